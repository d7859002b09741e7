//! What is promised when nothing breaks: order, parallelism, results.

use std::sync::Arc;

use agentkube_contract::Settlement;

use super::{Cloud, JobState, Kill, Life};
use crate::Kind;

#[test]
fn a_create_runs_in_the_promised_order_and_its_result_says_what_stands() {
    let cloud = Cloud::with_create(3);
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("ensure-joinable", true);
    let cluster = crate::testing::roles_cluster("s1");
    let creates: Vec<String> = (1..=3).map(|n| format!("create {cluster}-w-{n:02}")).collect();
    creates.iter().for_each(|create| cloud.hold(create, true));
    let seen = |mark: &str| cloud.log().iter().filter(|line| line.starts_with(&format!("{mark} create "))).count();
    // The machines are made side by side, and while the control plane starts: this would never end otherwise.
    let kill = Kill::at(0);
    life.run(&kill, |engine| {
        if seen(">") == 3 {
            creates.iter().for_each(|create| cloud.hold(create, false));
        }
        if seen("<") == 3 {
            cloud.hold("ensure-joinable", false);
        }
        life.settled(engine, "j1")
    });
    assert_eq!(cloud.flaws_standing(3), Vec::<String>::new());
    let log = cloud.log();
    let at = |what: &str| {
        log.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no `{what}` in {log:#?}"))
    };
    let last = |what: &str| log.iter().rposition(|line| line.starts_with(what)).unwrap();
    assert!(at("< ensure-claimed") < at("> create "), "the fence comes first");
    assert!(at("< join-token") < at("> boot "));
    assert!(last("> node ") < at("> revoke"), "the token lives until the last join");
    assert_eq!(log.iter().filter(|line| line.starts_with("< join-token")).count(), 1, "one token per plan");
    let Some(Settlement::Completed(result)) = cloud.job("j1").settlement else { panic!("not completed") };
    assert_eq!(result.endpoint.as_deref(), Some("https://10.0.0.1:6443"));
    assert_eq!(result.kubeconfig.unwrap().0, "ref-owner");
    assert_eq!((result.nodes.len(), result.observed_generation, result.phase.as_str()), (3, 1, "Provisioned"));
    assert!(result.instance_id.ends_with("-s1"));
}

#[test]
fn limits_hold() {
    let cloud = Cloud::with_create(6);
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.limits.per_provider = 2;
    life.settings.limits.steps = 2;
    life.until_settled("j1");
    assert_eq!(cloud.flaws_standing(6), Vec::<String>::new());
    assert!(cloud.truth.lock().unwrap().most_at_work <= 2 + 1, "two steps, and the source");
}

#[test]
fn a_provider_that_renders_first_boot_data_itself_is_asked_for_it() {
    let cloud = Arc::new(Cloud { renders: true, ..Cloud::default() });
    cloud.ask("j1", "s1", "create", Some(crate::testing::cloud::cluster(2)));
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    assert!(cloud.truth.lock().unwrap().secrets.iter().all(|secret| secret != "canary-data"), "no template was used");
}

#[test]
fn a_provider_that_needs_the_data_at_creation_gets_it_there() {
    let cloud = Arc::new(Cloud { bootstrap_at_create: true, ..Cloud::default() });
    cloud.ask("j1", "s1", "create", Some(super::cloud::cluster(2)));
    Life::new(Arc::clone(&cloud)).until_settled("j1");
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    assert!(cloud.truth.lock().unwrap().vms.iter().all(|vm| vm.with_data));
}

#[test]
fn a_cluster_comes_and_goes_and_comes_again() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    cloud.ask("j2", "s1", "delete", None);
    life.until_settled("j2");
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
    assert_eq!(life.journal().ledger_live().unwrap(), []);
    // Deleting twice is success; a retried create carries no description.
    cloud.ask("j3", "s1", "delete", None);
    life.until_settled("j3");
    cloud.ask("j4", "s1", "create", None);
    life.until_settled("j4");
    for job in ["j2", "j3", "j4"] {
        assert_eq!(cloud.job(job).state, JobState::Completed, "{job}");
    }
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    assert_eq!(life.journal().audit_broken_at().unwrap(), None);
}

// Checklist 95.
#[test]
fn services_do_not_wait_for_each_other() {
    let cloud = Cloud::with_create(1);
    cloud.ask("k1", "s2", "create", Some(super::cloud::cluster(1)));
    let life = Life::new(Arc::clone(&cloud));
    let first = crate::testing::roles_cluster("s1");
    cloud.hold(&format!("create {first}-w-01"), true);
    assert!(life.run(&Kill::at(0), |_| cloud.over("k1")));
    assert!(!cloud.over("j1"));
    cloud.hold(&format!("create {first}-w-01"), false);
    life.until_settled("j1");
}

#[test]
fn measurements_reach_the_source() {
    let cloud = Cloud::with_create(2);
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.times.measure = Some(std::time::Duration::from_secs(3600));
    assert!(life.run(&Kill::at(0), |_| cloud.truth.lock().unwrap().samples >= 3));
}

// Checklist 248.
#[test]
fn a_measurement_that_the_source_does_not_know_is_not_sent_again() {
    let cloud = Cloud::with_create(2);
    cloud.truth.lock().unwrap().unknown = vec!["cpu".to_owned()];
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.times.measure = Some(std::time::Duration::from_millis(2));
    assert!(life.run(&Kill::at(0), |_| cloud.truth.lock().unwrap().samples >= 12));
    assert_eq!(cloud.truth.lock().unwrap().asked_in_vain, 2, "one of each machine, in the first round");
}

#[test]
fn nothing_secret_is_in_the_journal() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    let secrets = cloud.truth.lock().unwrap().secrets.clone();
    assert!(secrets.len() >= 2, "{secrets:?}");
    let mut found_any = false;
    for file in std::fs::read_dir(life.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found_any |= holds("control-plane/claim");
        for secret in &secrets {
            assert!(!holds(secret), "{secret} stands in the journal");
        }
    }
    assert!(found_any, "the search finds what is there");
}

#[test]
fn an_engine_that_stops_delivers_what_waits_and_resumes_the_rest() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("addons-apply", true);
    assert!(life.stop_after(|_| cloud.log().iter().any(|line| line == "> addons-apply")));
    assert!(!cloud.over("j1"));
    cloud.hold("addons-apply", false);
    life.until_settled("j1");
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    let creates = cloud.log().iter().filter(|line| line.starts_with("< ensure-claimed")).count();
    assert_eq!(creates, 1, "finished steps are not run again");
}

#[test]
fn progress_is_told_as_it_happens() {
    let cloud = Cloud::with_create(1);
    let life = Life::new(Arc::clone(&cloud));
    let listener = std::cell::RefCell::new(None);
    let events = std::cell::RefCell::new(Vec::new());
    life.run(&Kill::at(0), |engine| {
        let mut listener = listener.borrow_mut();
        let listener = listener.get_or_insert_with(|| engine.events());
        while let Ok(event) = listener.try_recv() {
            events.borrow_mut().push(event);
        }
        assert!(!engine.health().stopping && engine.health().journal.is_none());
        // The source has the result a moment before it is told that it has.
        life.settled(engine, "j1") && events.borrow().iter().any(|event| event.kind == Kind::Settled)
    });
    let events = events.into_inner();
    let has = |kind: Kind, step: &str| events.iter().any(|event| event.kind == kind && event.step == step);
    assert!(has(Kind::Started, "health") && has(Kind::Succeeded, "health"), "{events:#?}");
    assert!(has(Kind::Completed, "") && has(Kind::Settled, ""), "{events:#?}");
    let ended = events.iter().filter(|event| event.kind == Kind::Succeeded);
    assert!(ended.clone().count() >= 10 && ended.clone().all(|event| event.duration.is_some()));
}

#[test]
fn what_is_there_can_be_shown() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    let shown = std::cell::RefCell::new(None);
    cloud.hold("addons-healthy", true);
    life.run(&Kill::at(0), |engine| {
        if shown.borrow().is_none() && cloud.log().iter().any(|line| line == "> addons-healthy") {
            *shown.borrow_mut() = Some(engine.snapshot().unwrap());
            let machines = engine.ledger_live().unwrap().into_iter().filter(|row| row.kind == "machine").count();
            assert_eq!(machines, 2);
            cloud.hold("addons-healthy", false);
        }
        life.settled(engine, "j1")
    });
    let shown = shown.take().unwrap();
    assert_eq!((shown.services.len(), shown.intents.len()), (1, 1));
    assert!(shown.steps[&1].iter().any(|step| step.step == "addons/healthy" && step.ended.is_none()));
    assert_eq!(shown.counts.jobs, [("create".to_owned(), "claimed".to_owned(), 1)]);
    serde_json::to_string(&shown).unwrap();
}
