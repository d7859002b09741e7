//! Which jobs wait, which are ours, and what they want.

use agentkube_sdk::job_source::Claimed;
use agentkube_sdk::{JobSource, Scope};
use lab_core::{Fault, Matching, Settings};
use serde_json::{Value, json};

use crate::lab::{KUBECONFIG, Lab, because, failed, service_type, wanted};

#[test]
fn a_job_is_told_in_the_contracts_words() {
    let lab = Lab::new();
    let service = lab.order();
    let job = lab.pending().remove(0);
    assert_eq!((job.service.as_str(), job.service_name.as_str(), job.action.as_str()), (&*service, "demo", "create"));
    assert_eq!((job.group, job.created_ms, job.problem), (lab.queue.borrow().group.clone(), 1_795_175_600_000, None));
    let cluster = job.wanted.unwrap();
    assert_eq!((cluster.version.as_str(), cluster.powered, cluster.control_plane.replicas), ("v1.35.2", true, 2));
    assert_eq!(cluster.network.pod_cidrs, ["10.244.0.0/16"]);
    assert_eq!(
        cluster.network.domain, "site.local",
        "what the agent's configuration in Core says where the order does not"
    );
    let shapes: Vec<_> =
        cluster.pools.iter().map(|p| (p.name.as_str(), p.count, p.shape.cores, p.shape.memory_mib)).collect();
    assert_eq!(shapes, [("a", 2, 2, 2048), ("b", 1, 4, 4096)]);
    assert!(cluster.more.is_empty(), "{:?}", cluster.more);
}

#[test]
fn jobs_of_all_groups_come_oldest_first() {
    let lab = Lab::new();
    let mut expected = Vec::new();
    for at in 0..30 {
        let mut queue = lab.queue.borrow_mut();
        queue.now += 1000;
        let group = queue.new_group(&format!("group {at}"));
        expected.push(queue.order_in(&group, wanted()));
    }
    let services: Vec<String> = lab.pending().into_iter().map(|job| job.service).collect();
    assert_eq!(services, expected);
}

#[test]
fn a_group_is_served_one_job_at_a_time_and_others_beside_it() {
    let lab = Lab::new();
    let first = lab.order();
    lab.queue.borrow_mut().now += 1000;
    lab.order();
    let job = lab.claimed();
    assert_eq!(job.service, first);
    assert!(lab.pending().is_empty());
    let other = lab.queue.borrow_mut().new_group("other");
    let beside = lab.queue.borrow_mut().order_in(&other, wanted());
    assert_eq!(lab.pending()[0].service, beside);
}

#[test]
fn an_empty_queue_costs_one_request() {
    let lab = Lab::new();
    assert!(lab.pending().is_empty());
    assert_eq!(lab.world.requests().len(), 1);
}

#[test]
fn a_retried_create_has_no_parameters_and_is_understood() {
    let lab = Lab::new();
    let service = lab.order();
    let job = lab.claimed();
    lab.settle(&job, failed("STORAGE_FULL")).unwrap();
    assert_eq!(lab.queue.borrow_mut().service(&service)["status"], "CreateFailed");
    lab.queue.borrow_mut().act(&service, "create");
    let retried = lab.claimed();
    assert!(retried.id != job.id);
    assert_eq!(retried.wanted.unwrap().pools.len(), 2);
}

#[test]
fn an_update_brings_the_whole_new_wish_and_a_stopped_cluster_stays_stopped() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().change(&service, json!({"nodePools": {"a": {"size": "s1", "count": 0}}}));
    let wish = lab.done().wanted.unwrap();
    assert_eq!((wish.pools.len(), wish.pools[0].count, wish.powered), (1, 0, true));
    lab.queue.borrow_mut().act(&service, "stop");
    assert_eq!(lab.done().wanted, None, "a stop says nothing new");
    lab.queue.borrow_mut().change(&service, json!({"kubernetesVersion": "v1.36.0"}));
    let wish = lab.done().wanted.unwrap();
    assert_eq!((wish.version.as_str(), wish.powered), ("v1.36.0", false));
    assert_eq!(lab.queue.borrow_mut().service(&service)["status"], "Stopped");
}

#[test]
fn an_update_that_says_nothing_is_a_problem_and_failing_it_loses_nothing() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().act(&service, "update");
    let job = lab.claimed();
    let problem = job.problem.clone().unwrap();
    assert_eq!((problem.code.as_str(), job.wanted.is_none()), ("UPDATE_WITHOUT_PARAMS", true));
    lab.settle(&job, because(problem)).unwrap();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!((&row["status"], &row["properties"]["kubernetesVersion"]), (&json!("Started"), &json!("v1.35.2")));
}

#[test]
fn a_refused_update_leaves_state_and_properties_as_they_were() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().change(&service, json!({"nodePools": {"a": {"size": "s9", "count": 1}}}));
    let job = lab.claimed();
    let mistake = job.mistakes[0].clone();
    assert_eq!((mistake.path.as_str(), mistake.code.as_str()), ("nodePools.a.size", "UNKNOWN_SIZE"));
    assert_eq!(job.wanted.as_ref().unwrap().pools.len(), 1, "the host looks at the rest of it");
    let told = format!("{}: {}", mistake.path, mistake.text);
    lab.settle(&job, because(agentkube_sdk::Fault::invalid("BAD_PROPERTIES", told))).unwrap();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!((&row["status"], &row["properties"]["nodePools"]), (&json!("Started"), &wanted()["nodePools"]));
    assert!(lab.queue.borrow().error(&job.id).starts_with("BAD_PROPERTIES: nodePools.a.size"));
}

#[test]
fn an_order_that_fails_for_its_properties_can_be_corrected() {
    let lab = Lab::new();
    let group = lab.queue.borrow().group.clone();
    let service = lab.queue.borrow_mut().order_in(&group, json!({"kubernetesVersion": "v1.35.2", "nodePools": []}));
    let job = lab.claimed();
    lab.settle(&job, because(agentkube_sdk::Fault::invalid("BAD_PROPERTIES", job.mistakes[0].text.clone()))).unwrap();
    lab.queue.borrow_mut().change(&service, wanted());
    assert_eq!(lab.done().wanted.unwrap().pools.len(), 2);
    assert_eq!(lab.queue.borrow_mut().service(&service)["status"], "Started");
}

#[test]
fn a_claim_whose_answer_was_lost_is_ours() {
    let lab = Lab::new();
    lab.order();
    let job = lab.pending().remove(0);
    let matching = Matching::new("POST", "/api/v1/jobs").ending("/claim");
    lab.queue.borrow_mut().core.fault(Fault::DropReply { matching, times: 1 });
    let lost = lab.world.run(lab.plugin.claim(job.id.clone())).unwrap_err();
    assert_eq!(lost.outcome, agentkube_sdk::Outcome::Unknown);
    assert_eq!(lab.world.run(lab.plugin.claim(job.id.clone())), Ok(Claimed::Ours));
    assert_eq!(lab.queue.borrow().state(&job.id), "Processing");
}

#[test]
fn what_is_over_or_unknown_is_lost() {
    let lab = Lab::new();
    lab.order();
    let job = lab.done();
    assert_eq!(lab.world.run(lab.plugin.claim(job.id)), Ok(Claimed::Lost));
    let unknown = "8f2b3c1d-0000-4000-a000-000000000001".to_owned();
    assert_eq!(lab.world.run(lab.plugin.claim(unknown.clone())), Ok(Claimed::Lost));
    assert_eq!(lab.world.run(lab.plugin.job_by_id(unknown)), Ok(None));
    assert_eq!(lab.world.run(lab.plugin.job_by_id("abc".to_owned())), Ok(None));
}

#[test]
fn another_providers_job_is_lost() {
    let lab = Lab::new();
    lab.order();
    let job = lab.pending().remove(0);
    let stranger = {
        let mut queue = lab.queue.borrow_mut();
        queue.provider = queue.id("/participants", json!({"name": "Other", "status": "Enabled"}));
        queue.new_agent("elsewhere").1
    };
    lab.queue.borrow_mut().token = stranger;
    assert_eq!(lab.world.run(lab.plugin.claim(job.id)), Ok(Claimed::Lost));
}

#[test]
fn a_siblings_job_is_not_ours() {
    let lab = Lab::new();
    lab.order();
    let job = lab.claimed();
    let (_, sibling) = lab.queue.borrow_mut().new_agent("dc2");
    lab.queue.borrow_mut().token = sibling;
    assert!(lab.world.run(lab.plugin.unfinished()).unwrap().is_empty());
    assert_eq!(lab.world.run(lab.plugin.claim(job.id.clone())), Ok(Claimed::Lost));
    assert_eq!(lab.world.run(lab.plugin.job_by_id(job.id.clone())), Ok(None));
    assert_eq!(lab.settle(&job, lab.completed()).unwrap_err().code, "NOT_OUR_JOB");
    assert!(lab.world.run(lab.plugin.services(None)).unwrap().items.is_empty());
    assert_eq!(lab.queue.borrow().state(&job.id), "Processing");
}

#[test]
fn unfinished_jobs_are_found_again_over_several_pages() {
    let lab = Lab::new();
    for at in 0..120 {
        let mut queue = lab.queue.borrow_mut();
        queue.now += 1000;
        let group = queue.new_group(&format!("group {at}"));
        queue.order_in(&group, wanted());
    }
    let pending = lab.pending();
    for job in &pending {
        lab.world.run(lab.plugin.claim(job.id.clone())).unwrap();
    }
    let found = lab.world.run(lab.plugin.unfinished()).unwrap();
    assert_eq!(found.len(), 120);
    assert!(found.iter().zip(&pending).all(|(found, claimed)| found.id == claimed.id));
    assert_eq!(found[0].wanted, pending[0].wanted);
    let one = lab.world.run(lab.plugin.job_by_id(pending[7].id.clone())).unwrap().unwrap();
    assert!(one.more.contains(&("status".to_owned(), "\"Processing\"".to_owned())));
}

#[test]
fn a_delivered_kubeconfig_never_comes_back_to_the_plugin() {
    let lab = Lab::new();
    let service = lab.started();
    assert_eq!(lab.queue.borrow_mut().service(&service)["properties"]["kubeconfig"], KUBECONFIG);
    lab.queue.borrow_mut().change(&service, json!({"kubernetesVersion": "v1.35.3"}));
    let job = lab.claimed();
    let seen = format!("{job:?}{:?}", lab.world.run(lab.plugin.unfinished()));
    assert!(!seen.contains("t0p") && !seen.contains("kubeconfig"), "{seen}");
    lab.world.run(lab.plugin.services(None)).unwrap();
    lab.settle(&job, lab.completed()).unwrap();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!(row["properties"]["kubeconfig"], KUBECONFIG, "and an update does not lose it");
    assert!(!row["agentInstanceData"].to_string().contains("t0p"));
    // Wherever Core shows it, the host kept it.
    let one = format!("/{}", job.id);
    for (path, pointer) in [
        ("/pending", "/0/params/kubeconfig"),
        ("/pending", "/0/service/properties/kubeconfig"),
        ("", "/items/0/params/kubeconfig"),
        ("", "/items/0/service/properties/kubeconfig"),
        (&one, "/params/kubeconfig"),
        (&one, "/service/properties/kubeconfig"),
    ] {
        let kept = lab.world.value(&format!("http:core/api/v1/jobs{path}#{pointer}"));
        assert_eq!(kept.as_deref(), Some(KUBECONFIG), "{path} {pointer}");
    }
    let kept = lab.world.value("http:core/api/v1/services#/items/0/properties/kubeconfig");
    assert_eq!(kept.as_deref(), Some(KUBECONFIG));
}

/// The shipped type with a secret property, which an operator may add.
fn with_secrets() -> Value {
    let mut kind = service_type();
    kind["propertySchema"]["properties"]["registryPassword"] =
        json!({"type": "string", "secret": {"type": "persistent"}});
    kind["propertySchema"]["properties"]["once"] = json!({"type": "string", "secret": {"type": "ephemeral"}});
    kind
}

// Checklist 248.
#[test]
fn secrets_are_passed_on_as_references_and_absent_once_they_are_gone() {
    let lab = Lab::with(Settings::default(), with_secrets());
    let group = lab.queue.borrow().group.clone();
    let mut order = wanted();
    order["registryPassword"] = json!("s3cret");
    order["once"] = json!("0nly");
    let service = lab.queue.borrow_mut().order_in(&group, order);
    let job = lab.claimed();
    let more = job.wanted.clone().unwrap().more;
    let reference = |name: &str| -> String {
        let text = &more.iter().find(|(given, _)| given == name).unwrap().1;
        serde_json::from_str(text).unwrap()
    };
    assert_eq!(lab.world.value(&reference("registryPassword")).as_deref(), Some("s3cret"));
    assert_eq!(lab.world.value(&reference("once")).as_deref(), Some("0nly"));
    assert!(!format!("{job:?}").contains("s3cret"));
    lab.settle(&job, failed("STORAGE_FULL")).unwrap();
    lab.queue.borrow_mut().act(&service, "create");
    let more = lab.done().wanted.unwrap().more;
    assert_eq!(more.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["registryPassword"]);
    let data = lab.queue.borrow_mut().service(&service)["agentInstanceData"].to_string();
    assert!(!data.contains("vault://"), "{data}");
}

#[test]
fn a_job_waits_when_the_vault_cannot_be_asked() {
    let lab = Lab::with(Settings::default(), with_secrets());
    let group = lab.queue.borrow().group.clone();
    let mut order = wanted();
    order["registryPassword"] = json!("s3cret");
    lab.queue.borrow_mut().order_in(&group, order);
    let matching = Matching::new("GET", "/api/v1/vault");
    lab.queue.borrow_mut().core.fault(Fault::Answer { matching, times: 1, status: 503, retry_after: None });
    assert!(lab.pending().is_empty());
    assert!(lab.world.logs().iter().any(|line| line.contains("waits for its secrets")));
    assert_eq!(lab.pending().len(), 1);
}

#[test]
fn an_answer_that_is_no_json_is_a_fault() {
    let lab = Lab::new();
    let matching = Matching::new("GET", "/api/v1/jobs/pending");
    lab.queue.borrow_mut().core.fault(Fault::Answer { matching, times: 1, status: 502, retry_after: None });
    let fault = lab.world.run(lab.plugin.pending()).unwrap_err();
    assert!(fault.is_transient() && fault.scope == Scope::Request, "{fault}");
}
