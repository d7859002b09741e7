//! What the plugin sends, all of it: recordings of this are checked against what Core publishes.

use agentkube_sdk::JobSource;
use agentkube_sdk::job_source::Health;
use agentkube_sdk::observed::Sample;
use agentkube_sdk::testing::Sent;
use serde_json::json;

use crate::lab::{Lab, failed, service_type, wanted};

/// All that the plugin ever sends.
fn requests() -> Vec<Sent> {
    let mut kind = service_type();
    kind["propertySchema"]["properties"]["password"] = json!({"type": "string", "secret": {"type": "persistent"}});
    let lab = Lab::with(lab_core::Settings::default(), kind);
    lab.queue.borrow_mut().made("/metric-types", json!({"name": "nodes.ready", "entityType": "Service"}));
    let (world, plugin) = (&lab.world, &lab.plugin);
    world.run(plugin.preflight()).unwrap();
    world.run(plugin.identify()).unwrap();
    world.run(plugin.heartbeat(Health::Connected)).unwrap();
    let (mut order, group) = (wanted(), lab.queue.borrow().group.clone());
    order["password"] = json!("s3cret");
    let service = lab.queue.borrow_mut().order_in(&group, order);
    let job = lab.claimed();
    world.run(plugin.unfinished()).unwrap();
    world.run(plugin.job_by_id(job.id.clone())).unwrap();
    lab.settle(&job, lab.completed()).unwrap();
    lab.queue.borrow_mut().act(&service, "stop");
    let job = lab.claimed();
    lab.settle(&job, failed("UNSUPPORTED")).unwrap();
    world.run(plugin.services(None)).unwrap();
    world.run(plugin.report(service, vec![Sample::new("nodes.ready", "k", 3.0)])).unwrap();
    world.requests()
}

#[test]
fn what_the_manifest_asks_for_is_what_is_sent() {
    let requests = requests();
    let needs = &agentkube_plugin_fulcrum::manifest().needs.http[0].requests;
    for need in needs {
        let sent = requests.iter().any(|sent| need.matches(sent.method(), sent.path()));
        assert!(sent, "the manifest asks for {} {}, which is never sent", need.method, need.path);
    }
    for sent in requests {
        let needed = needs.iter().any(|need| need.matches(sent.method(), sent.path()));
        assert!(needed, "{} {} is sent, and the manifest does not ask for it", sent.method(), sent.path());
    }
}
