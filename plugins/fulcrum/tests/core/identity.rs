//! Who we are, and how we are.

use agentkube_sdk::job_source::Health;
use agentkube_sdk::{Class, JobSource};
use lab_core::Fault;
use serde_json::{Value, json};

use crate::lab::Lab;

// Checklist 8.
#[test]
fn the_agent_is_known_by_its_token_and_core_sets_what_it_may() {
    let lab = Lab::new();
    let me = lab.world.run(lab.plugin.identify()).unwrap();
    assert_eq!((me.id, me.name.as_str(), me.disabled), (lab.queue.borrow().agent.clone(), "dc1", false));
    let settings: Value = serde_json::from_str(&me.settings).unwrap();
    assert_eq!(settings, json!({"poll-ms": 3000, "defaults": {"domain": "site.local"}}));
}

// Checklist 27.
#[test]
fn a_heartbeat_says_how_we_are() {
    let lab = Lab::new();
    for (health, status) in
        [(Health::Connected, "Connected"), (Health::Error, "Error"), (Health::Disconnected, "Disconnected")]
    {
        assert!(!lab.world.run(lab.plugin.heartbeat(health)).unwrap().disabled);
        assert_eq!(lab.queue.borrow().core.agents()[0].status, status);
    }
}

// Checklist 27.
#[test]
fn what_an_administrator_disabled_stays_disabled() {
    let lab = Lab::new();
    let path = format!("/agents/{}", lab.queue.borrow().agent);
    lab.queue.borrow_mut().admin("PATCH", &path, json!({"status": "Disabled"}));
    assert!(lab.world.run(lab.plugin.heartbeat(Health::Connected)).unwrap().disabled);
    assert!(lab.world.run(lab.plugin.identify()).unwrap().disabled);
    assert_eq!(lab.queue.borrow().core.agents()[0].status, "Disabled");
    assert_eq!(lab.world.sent("PUT", "/api/v1/agents/me/status"), 0);
}

#[test]
fn a_dead_token_is_told_as_such() {
    let lab = Lab::new();
    lab.order();
    let job = lab.pending().remove(0);
    lab.queue.borrow_mut().core.fault(Fault::ExpireTokens { name: None });
    let (world, plugin) = (&lab.world, &lab.plugin);
    let faults = [
        world.run(plugin.identify()).unwrap_err(),
        world.run(plugin.heartbeat(Health::Connected)).unwrap_err(),
        world.run(plugin.pending()).unwrap_err(),
        world.run(plugin.unfinished()).unwrap_err(),
        world.run(plugin.claim(job.id.clone())).unwrap_err(),
        world.run(plugin.job_by_id(job.id.clone())).unwrap_err(),
        lab.settle(&job, lab.completed()).unwrap_err(),
        world.run(plugin.services(None)).unwrap_err(),
    ];
    for fault in faults {
        assert_eq!((fault.class, fault.code.as_str()), (Class::Unauthorized, "TOKEN_REFUSED"), "{fault}");
        assert!(fault.message.contains("POST /tokens"), "{fault}");
    }
}

#[test]
fn a_core_that_is_not_well_is_unavailable() {
    let lab = Lab::new();
    let matching = lab_core::Matching::new("GET", "/api/v1/agents/me");
    lab.queue.borrow_mut().core.fault(Fault::Answer { matching, times: 1, status: 429, retry_after: Some(9) });
    let fault = lab.world.run(lab.plugin.identify()).unwrap_err();
    assert_eq!((fault.class, fault.retry_after_ms), (Class::Busy, Some(9000)));
}
