//! What is promised when something breaks.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Class, Fault, Outcome, Scope, Settlement};

use super::{Cloud, JobState, Kill, Life};
use crate::OnFailure;

fn broken() -> Fault {
    Fault::invalid("BROKEN", "never")
}

fn busy() -> Fault {
    Fault::new(Class::Busy, "LOCKED", "later")
}

const CREATE: [&str; 12] = [
    "ensure-claimed",
    "ensure-joinable",
    "ensure-ready",
    "open",
    "join-token",
    "addons-apply",
    "find",
    "create",
    "boot",
    "node",
    "revoke",
    "addons-healthy",
];

#[test]
fn every_step_that_fails_for_good_is_undone_and_undoing_twice_is_harmless() {
    for call in CREATE.into_iter().chain(["finish", "observe"]) {
        for applied in [false, true] {
            let cloud = Cloud::with_create(2);
            match applied {
                false => cloud.fail(call, u32::MAX, broken()),
                true if ["find", "node", "open", "observe"].contains(&call) => continue,
                true => cloud.lose_answer(call, u32::MAX, broken()),
            }
            let life = Life::new(Arc::clone(&cloud));
            life.until_settled("j1");
            let job = cloud.job("j1");
            assert_eq!(job.state, JobState::Failed, "{call}");
            let Some(Settlement::Failed(failure)) = job.settlement else { panic!("{call}") };
            let (fault, status) = (failure.fault, failure.status.unwrap());
            assert_eq!(fault.code, "BROKEN", "{call}");
            assert_eq!((status.phase.as_str(), status.nodes.len()), ("Undone", 0), "{call}");
            let last = status.conditions.last().unwrap();
            assert_eq!((last.condition.name.as_str(), last.condition.reason.as_str()), ("JobSucceeded", "BROKEN"));
            assert!(fault.message.starts_with("step "), "{call}: {}", fault.message);
            assert_eq!(cloud.flaws_empty(), Vec::<String>::new(), "{call}");
            cloud.ask("j2", "s1", "delete", None);
            life.until_settled("j2");
            assert_eq!(cloud.job("j2").state, JobState::Completed, "{call}");
            assert_eq!(cloud.flaws_empty(), Vec::<String>::new(), "{call}");
            assert_eq!(life.journal().ledger_live().unwrap(), [], "{call}");
        }
    }
}

#[test]
fn trouble_that_passes_is_waited_for() {
    for call in CREATE.into_iter().chain(["finish", "observe", "claim", "settle", "pending"]) {
        let cloud = Cloud::with_create(2);
        cloud.fail(call, 2, busy());
        cloud.lose_answer(call, 1, busy().outcome(Outcome::Unknown));
        Life::new(Arc::clone(&cloud)).until_settled("j1");
        assert_eq!(cloud.job("j1").state, JobState::Completed, "{call}");
        assert_eq!(cloud.flaws_standing(2), Vec::<String>::new(), "{call}");
    }
}

#[test]
fn a_claim_whose_answer_was_lost_is_asked_about_at_once() {
    let cloud = Cloud::with_create(1);
    cloud.lose_answer("claim", 1, busy().outcome(Outcome::Unknown));
    let mut life = Life::new(Arc::clone(&cloud));
    // The job is pending no more, and the usual look for unfinished ones would come too late.
    life.settings.times.unfinished = Duration::from_secs(3600);
    life.until_settled("j1");
    assert_eq!(cloud.job("j1").state, JobState::Completed);
}

#[test]
fn trouble_that_stays_ends_a_create_but_never_a_delete() {
    let cloud = Cloud::with_create(1);
    cloud.fail("create", u32::MAX, busy());
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    assert_eq!(cloud.job("j1").state, JobState::Failed);
    assert_eq!(cloud.log().iter().filter(|line| line.starts_with("> create ")).count(), 4, "as many tries as set");

    let cloud = Cloud::with_create(1);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    cloud.ask("j2", "s1", "delete", None);
    cloud.fail("delete", 9, broken());
    life.until_settled("j2");
    assert_eq!(cloud.job("j2").state, JobState::Failed, "the job is told early");
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new(), "and the delete goes on");
}

#[test]
fn what_only_people_can_mend_is_told_sooner() {
    let cloud = Cloud::with_create(1);
    cloud.fail("create", u32::MAX, Fault::new(Class::Exhausted, "STORAGE_FULL", "no room"));
    Life::new(Arc::clone(&cloud)).until_settled("j1");
    assert_eq!(cloud.job("j1").state, JobState::Failed);
    assert_eq!(
        cloud.log().iter().filter(|line| line.starts_with("> create ")).count(),
        2,
        "fewer tries than for a lock"
    );
}

#[test]
fn a_failed_create_may_be_kept_and_the_next_goes_on_from_it() {
    let cloud = Cloud::with_create(2);
    cloud.fail("addons-healthy", 1, broken());
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.on_failure = OnFailure::Keep;
    life.until_settled("j1");
    assert_eq!(cloud.truth.lock().unwrap().vms.len(), 2);
    cloud.ask("j2", "s1", "create", None);
    life.until_settled("j2");
    assert_eq!(cloud.job("j2").state, JobState::Completed);
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    let Some(Settlement::Failed(failure)) = cloud.job("j1").settlement else { panic!() };
    let failed = failure.status.unwrap();
    assert_eq!((failed.phase.as_str(), failed.nodes.len(), failed.observed_generation), ("Failed", 2, 1));
    assert!(failed.nodes.iter().all(|node| node.machine.is_some()), "{failed:?}");
    let Some(Settlement::Completed(status)) = cloud.job("j2").settlement else { panic!() };
    assert_eq!((status.phase.as_str(), status.nodes.len(), status.observed_generation), ("Provisioned", 2, 2));
    assert!(status.more.iter().any(|(name, text)| name == "lastFailure" && text.contains("BROKEN")), "{status:?}");
    assert!(status.conditions.iter().all(|standing| standing.since_ms > 0), "{status:?}");
}

#[test]
fn a_kept_failure_leaves_no_live_token() {
    let cloud = Cloud::with_create(2);
    cloud.fail("node", u32::MAX, broken());
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.on_failure = OnFailure::Keep;
    life.until_settled("j1");
    let truth = cloud.truth.lock().unwrap();
    assert!(truth.control_planes.values().all(|object| object.tokens.is_empty()), "{truth:?}");
}

#[test]
fn a_machine_that_never_joins_says_why_and_keeps_its_secrets() {
    let name = format!("{}-w-01", crate::testing::roles_cluster("s1"));
    let cloud = Cloud::with_create(1);
    {
        let mut truth = cloud.truth.lock().unwrap();
        truth.never_join.insert(name.clone());
        let secret = "token-secret-abcdef.0123456789abcdef";
        let log =
            format!("noise\n{}[preflight] no route to host\0\nkubeadm join --token {secret}\n", "x\n".repeat(100));
        truth.logs.insert(name.clone(), log);
    }
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    let job = cloud.job("j1");
    let Some(Settlement::Failed(failure)) = job.settlement else { panic!("{job:?}") };
    let fault = failure.fault;
    assert_eq!(fault.code, "NO_NODE");
    let text = fault.message;
    assert!(text.starts_with(&format!("step machine/{name}/node: it did not join")), "{text}");
    assert!(
        text.contains("the end of its first-boot log:") && text.contains("[preflight] no route to host\n"),
        "{text}"
    );
    assert!(text.ends_with("kubeadm join --token [hidden]") && !text.contains("noise"), "{text}");
    // The time for a node is the operator's: it is not given again.
    assert_eq!(cloud.log().iter().filter(|line| line.starts_with("> node ")).count(), 1);
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
}

#[test]
fn a_machine_that_its_provider_gives_up_is_not_waited_for() {
    let name = format!("{}-w-01", crate::testing::roles_cluster("s1"));
    let cloud = Cloud::with_create(1);
    {
        let mut truth = cloud.truth.lock().unwrap();
        truth.never_join.insert(name.clone());
        truth.failed.insert(name.clone());
    }
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.times.node = std::time::Duration::from_millis(80);
    life.until_settled("j1");
    let job = cloud.job("j1");
    let Some(Settlement::Failed(failure)) = job.settlement else { panic!("{job:?}") };
    let fault = failure.fault;
    assert_eq!(fault.code, "MACHINE_FAILED", "{fault}");
    assert!(!fault.message.contains("first-boot log"), "none is offered: {fault}");
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
}

#[test]
fn a_delete_supersedes_a_running_create() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("addons-apply", true);
    assert!(life.run(&Kill::at(0), |_| {
        let log = cloud.log();
        if log.iter().any(|line| line == "> addons-apply")
            && log.iter().filter(|line| line.starts_with("< create")).count() == 2
            && cloud.job("j1").state == JobState::Processing
        {
            cloud.time_out("j1");
            cloud.ask("j2", "s1", "delete", None);
        }
        log.iter().any(|line| line.starts_with("< settle j2"))
    }));
    life.until_settled("j2");
    assert_eq!(cloud.job("j2").state, JobState::Completed);
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
    assert!(matches!(cloud.job("j1").late, Some(Settlement::Failed(failure)) if failure.fault.code == "SUPERSEDED"));
}

#[test]
fn a_create_that_supersedes_a_running_create_takes_over_what_it_made() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("addons-healthy", true);
    let asked = std::cell::Cell::new(false);
    assert!(life.run(&Kill::at(0), |engine| {
        if !asked.get() && cloud.log().iter().any(|line| line == "> addons-healthy") {
            asked.set(true);
            cloud.time_out("j1");
            cloud.ask("j2", "s1", "create", None);
        }
        if cloud.log().iter().any(|line| line == "< claim j2") {
            cloud.hold("addons-healthy", false);
        }
        asked.get() && life.settled(engine, "j2")
    }));
    assert_eq!(cloud.job("j2").state, JobState::Completed);
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    assert_eq!(cloud.truth.lock().unwrap().next_id, 2, "no machine was made anew");
}

#[test]
fn machines_too_many_go_with_their_nodes() {
    let cloud = Cloud::with_create(3);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    cloud.ask("j2", "s1", "create", Some(super::cloud::cluster(1)));
    cloud.fail("delete", 1, busy());
    life.until_settled("j2");
    assert_eq!(cloud.flaws_standing(1), Vec::<String>::new());
    assert_eq!(life.journal().ledger_live().unwrap().len(), 2);
}

#[test]
fn a_source_whose_services_live_cannot_be_renamed() {
    let cloud = Cloud::with_create(1);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    let journal = life.journal();
    assert!(matches!(journal.check_sources(["renamed"]), Err(crate::Error::SourceGone { services: 1, .. })));
    journal.check_sources(["core", "another"]).unwrap();
    drop(journal);
    cloud.ask("j2", "s1", "delete", None);
    life.until_settled("j2");
    life.journal().check_sources(["renamed"]).unwrap();
}

#[test]
fn a_job_that_the_queue_gave_up_keeps_its_cluster_for_the_next() {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("settle j1", true);
    assert!(life.run(&Kill::at(0), |_| {
        let reached = cloud.log().iter().any(|line| line == "> settle j1");
        if reached {
            cloud.time_out("j1");
            cloud.hold("settle j1", false);
        }
        cloud.job("j1").late.is_some()
    }));
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
    let ids: Vec<String> = cloud.truth.lock().unwrap().vms.iter().map(|vm| vm.id.clone()).collect();
    cloud.ask("j2", "s1", "create", None);
    life.until_settled("j2");
    assert_eq!(cloud.job("j2").state, JobState::Completed);
    assert_eq!(ids, cloud.truth.lock().unwrap().vms.iter().map(|vm| vm.id.clone()).collect::<Vec<_>>());
    assert_eq!(cloud.flaws_standing(2), Vec::<String>::new());
}

#[test]
fn what_cannot_be_done_is_claimed_and_failed_with_its_code() {
    let cloud = Arc::new(Cloud::default());
    let mut bad = super::cloud::cluster(1);
    bad.version = "latest".into();
    let mut unknown = super::cloud::cluster(1);
    unknown.pools[0].provider = Some("nobody".into());
    cloud.ask("j1", "s1", "explode", None);
    cloud.ask("j2", "s2", "upgrade", Some(super::cloud::cluster(1)));
    cloud.ask("j3", "s3", "create", Some(bad));
    cloud.ask("j4", "s4", "create", None);
    cloud.ask("j5", "s5", "create", Some(unknown));
    cloud.ask("j6", "s6", "create", None);
    cloud.truth.lock().unwrap().jobs[5].job.problem = Some(broken());
    let life = Life::new(Arc::clone(&cloud));
    life.run(&Kill::at(0), |engine| ["j1", "j2", "j3", "j4", "j5", "j6"].iter().all(|job| life.settled(engine, job)));
    let code = |job: &str| match cloud.job(job).settlement {
        Some(Settlement::Failed(failure)) => failure.fault.code,
        other => panic!("{job}: {other:?}"),
    };
    let codes: Vec<String> = ["j1", "j2", "j3", "j4", "j5", "j6"].iter().map(|job| code(job)).collect();
    assert_eq!(codes, ["UNSUPPORTED", "UNSUPPORTED", "BAD_PROPERTIES", "NO_DESCRIPTION", "BAD_PROPERTIES", "BROKEN"]);
    let mut refused = life.journal().refused(10).unwrap();
    refused.sort_by(|a, b| a.job.cmp(&b.job));
    assert_eq!(refused.iter().map(|job| job.fault.code.as_str()).collect::<Vec<_>>(), codes);
    let (third, services): (_, Vec<&str>) = (&refused[2], refused.iter().map(|job| job.key.service.as_str()).collect());
    assert_eq!(services, ["s1", "s2", "s3", "s4", "s5", "s6"]);
    assert_eq!(third.action, "create");
    assert!(third.fault.message.starts_with("version: VERSION: "), "the place: {}", third.fault);
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
}

#[test]
fn another_installations_control_plane_is_left_alone() {
    let cloud = Cloud::with_create(1);
    let cluster = crate::testing::roles_cluster("s1");
    let object = super::cloud::ControlPlaneObject { installation: "dc2".into(), ..Default::default() };
    cloud.truth.lock().unwrap().control_planes.insert(cluster.clone(), object);
    let life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    let Some(Settlement::Failed(failure)) = cloud.job("j1").settlement else { panic!() };
    let fault = failure.fault;
    assert_eq!((fault.code.as_str(), fault.scope), ("FOREIGN_CONTROL_PLANE", Scope::Machine));
    assert!(cloud.truth.lock().unwrap().control_planes.contains_key(&cluster));
    assert!(!cloud.log().iter().any(|line| line.starts_with("> create ")), "nothing was made before the fence");
    assert_eq!(life.journal().ledger_live().unwrap(), []);
}

#[test]
fn a_delete_after_the_journal_was_lost_finds_what_the_providers_hold() {
    let cloud = Cloud::with_create(2);
    Life::new(Arc::clone(&cloud)).until_settled("j1");
    let fresh = Life::new(Arc::clone(&cloud));
    cloud.ask("j2", "s1", "delete", None);
    fresh.until_settled("j2");
    assert_eq!(cloud.job("j2").state, JobState::Completed);
    assert_eq!(cloud.flaws_empty(), Vec::<String>::new());
}

// Checklist 27.
#[test]
fn while_an_administrator_has_switched_us_off_nothing_is_claimed() {
    let cloud = Cloud::with_create(1);
    cloud.truth.lock().unwrap().disabled = true;
    let life = Life::new(Arc::clone(&cloud));
    let polls = std::cell::Cell::new(0);
    assert!(life.run(&Kill::at(0), |engine| {
        polls.set(polls.get() + 1);
        assert!(polls.get() > 100 || cloud.job("j1").state == JobState::Pending);
        if polls.get() == 100 {
            engine.set_disabled("core", false);
        }
        cloud.over("j1")
    }));
}

#[test]
fn while_a_source_is_held_nothing_new_is_claimed_and_what_runs_goes_on() {
    let cloud = Cloud::with_create(1);
    let mut life = Life::new(Arc::clone(&cloud));
    life.until_settled("j1");
    cloud.ask("j2", "s2", "create", Some(super::cloud::cluster(1)));
    life.settings.hold = true;
    // Only being let go of can wake it in time.
    life.settings.times.poll = Duration::from_secs(3600);
    let looks = std::cell::Cell::new(0);
    assert!(life.run(&Kill::at(0), |engine| {
        looks.set(looks.get() + 1);
        let held = engine.health().sources["core"].held;
        assert!(!held || cloud.job("j2").state == JobState::Pending);
        match looks.get() {
            100 => engine.hold("core", false),
            n if n < 100 => assert!(held),
            _ => {}
        }
        cloud.over("j2")
    }));
    // A hold in the middle of the work does not end it.
    cloud.ask("j3", "s3", "create", Some(super::cloud::cluster(1)));
    life.settings.hold = false;
    life.settings.times.poll = Duration::from_millis(1);
    assert!(life.run(&Kill::at(0), |engine| {
        if cloud.job("j3").state != JobState::Pending {
            engine.hold("core", true);
        }
        cloud.over("j3")
    }));
}

#[test]
fn a_step_that_does_not_end_is_dropped_and_tried_again() {
    let cloud = Cloud::with_create(1);
    let mut life = Life::new(Arc::clone(&cloud));
    life.settings.times.short = std::time::Duration::from_millis(20);
    cloud.hold("ensure-claimed", true);
    let mut events = None;
    let listener = std::cell::RefCell::new(&mut events);
    life.run(&Kill::at(0), |engine| {
        let mut listener = listener.borrow_mut();
        let events = listener.get_or_insert_with(|| engine.events());
        while let Ok(event) = events.try_recv() {
            if event.message.starts_with("STEP_DEADLINE") {
                cloud.hold("ensure-claimed", false);
            }
        }
        life.settled(engine, "j1")
    });
    assert_eq!(cloud.job("j1").state, JobState::Completed);
}

#[test]
fn many_clusters_at_once_all_come_and_the_restart_is_quick() {
    let cloud = Arc::new(Cloud::default());
    let jobs: Vec<(String, String)> = (0..60).map(|n| (format!("j{n}"), format!("s{n}"))).collect();
    for (job, service) in &jobs {
        cloud.ask(job, service, "create", Some(super::cloud::cluster(3)));
    }
    let life = Life::new(Arc::clone(&cloud));
    cloud.hold("addons-apply", true);
    let all_wait = || cloud.log().iter().filter(|line| *line == "> addons-apply").count() >= 60;
    let began = std::time::Instant::now();
    life.run(&Kill::at(0), |_| all_wait());
    println!("to add-ons: {:?}", began.elapsed());
    cloud.hold("addons-apply", false);
    let began = std::time::Instant::now();
    life.run(&Kill::at(0), |engine| jobs.iter().all(|(job, _)| cloud.over(job)) && life.settled(engine, "j0"));
    println!("to the end: {:?}", began.elapsed());
    assert!(jobs.iter().all(|(job, _)| cloud.job(job).state == JobState::Completed));
    let truth = cloud.truth.lock().unwrap();
    assert_eq!((truth.vms.len(), truth.next_id, truth.control_planes.len()), (180, 180, 60));
}
