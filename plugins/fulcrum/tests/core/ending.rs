//! How jobs end: accepted, late, lost on the way, refused.

use agentkube_sdk::job_source::{Failure, Settled, Settlement};
use agentkube_sdk::testing::kill_at_every_host_call;
use agentkube_sdk::{Fault, JobSource};
use lab_core::{Fault as Broken, Matching, Settings};
use serde_json::{Value, json};

use crate::lab::{KUBECONFIG, Lab, failed, service_type, wanted};

const MINUTE: u64 = 60_000;

fn completions(times: u32, fault: fn(Matching, u32) -> Broken) -> Broken {
    fault(Matching::new("POST", "/api/v1/jobs").ending("/complete"), times)
}

fn drop_reply(matching: Matching, times: u32) -> Broken {
    Broken::DropReply { matching, times }
}

#[test]
fn a_completion_stores_everything_and_the_kubeconfig_by_reference() {
    let lab = Lab::new();
    let service = lab.started();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!((&row["status"], &row["agentInstanceId"]), (&json!("Started"), &json!(format!("k8s-{service}"))));
    let properties = &row["properties"];
    assert_eq!(properties["apiEndpoint"], "https://10.0.0.5:6443");
    assert!(properties["clusterCa"].as_str().unwrap().contains("CERTIFICATE-----\nMIIB"));
    assert_eq!(properties["kubeconfig"], KUBECONFIG);
    assert_eq!(
        properties["nodes"]["k-b-00"],
        json!({"pool": "b", "ready": true, "version": "v1.35.2", "address": "10.0.0.7"})
    );
    let data = &row["agentInstanceData"];
    assert_eq!(
        (&data["schema"], &data["phase"], &data["version"]),
        (&json!(1), &json!("Provisioned"), &json!("v1.35.2"))
    );
    assert_eq!(data["observedGeneration"], 1);
    let pool = &data["pools"]["a"];
    assert_eq!((&pool["wanted"], &pool["ready"], &pool["provider"]), (&json!(2), &json!(2), &json!("machines")));
    assert_eq!(pool["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(pool["nodes"][0]["machine"], "pve/k-a-00");
    assert_eq!(data["conditions"][0]["lastTransitionTime"], "2026-11-20T11:53:20Z");
    assert_eq!(data["spec"]["nodePools"]["a"]["count"], 2);
    assert_eq!(data["more"]["cluster"], "kabc");
    assert!(data["spec"].get("kubeconfig").is_none());
}

// Checklist 251.
#[test]
fn a_deletion_frees_the_instance_id() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().admin("DELETE", &format!("/services/{service}"), Value::Null);
    let job = lab.done();
    assert_eq!((job.action.as_str(), job.wanted, job.problem), ("delete", None, None));
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!(row["status"], "Deleted");
    assert!(row.get("agentInstanceId").is_none());
}

#[test]
fn every_action_of_the_type_can_succeed() {
    let lab = Lab::new();
    let service = lab.started();
    for (action, state) in [("upgrade", "Started"), ("stop", "Stopped"), ("start", "Started")] {
        lab.queue.borrow_mut().act(&service, action);
        lab.done();
        assert_eq!(lab.queue.borrow_mut().service(&service)["status"], state, "{action}");
    }
}

#[test]
fn a_lost_answer_is_settled_by_asking() {
    let lab = Lab::new();
    lab.order();
    let job = lab.claimed();
    lab.queue.borrow_mut().core.fault(completions(1, drop_reply));
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted), "asked within the call");
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted), "a second call says the same");
    assert_eq!(lab.world.sent("POST", "/api/v1/jobs/*/complete"), 1);
}

#[test]
fn a_call_can_be_killed_anywhere_and_run_again() {
    let scene = || {
        let lab = Lab::new();
        lab.order();
        let (job, completed) = (lab.pending().remove(0), lab.completed());
        (lab.world.clone(), (lab, job, completed))
    };
    let calls = kill_at_every_host_call(
        scene,
        async |_, (lab, job, completed)| {
            lab.plugin.claim(job.id.clone()).await?;
            lab.plugin.settle(job.id.clone(), job.service.clone(), completed.clone()).await
        },
        |_, (lab, job, _), settled| {
            assert_eq!(settled, Ok(Settled::Accepted));
            assert_eq!(lab.queue.borrow().state(&job.id), "Completed");
            assert_eq!(lab.queue.borrow_mut().service(&job.service)["properties"]["kubeconfig"], KUBECONFIG);
        },
    );
    assert_eq!(calls, 5, "claim, job, agent, service type, complete");
}

#[test]
fn a_lost_request_is_sent_again_by_the_next_call() {
    let lab = Lab::new();
    lab.order();
    let job = lab.claimed();
    lab.queue.borrow_mut().core.fault(completions(1, |matching, times| Broken::DropRequest { matching, times }));
    let fault = lab.settle(&job, lab.completed()).unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted));
}

#[test]
fn a_lost_answer_to_a_failure_is_settled_too() {
    let lab = Lab::new();
    lab.order();
    let job = lab.claimed();
    let matching = Matching::new("POST", "/api/v1/jobs").ending("/fail");
    lab.queue.borrow_mut().core.fault(Broken::DropReply { matching, times: 1 });
    assert_eq!(lab.settle(&job, failed("STORAGE_FULL")), Ok(Settled::Accepted));
    assert_eq!(lab.settle(&job, failed("STORAGE_FULL")), Ok(Settled::Accepted));
    assert_eq!(lab.settle(&job, failed("OTHER")), Ok(Settled::Late));
    assert_eq!(lab.queue.borrow().error(&job.id), "STORAGE_FULL: because");
}

#[test]
fn a_job_that_timed_out_takes_no_result() {
    let lab = Lab::with(Settings { job_maintenance: Some(1000), ..Settings::default() }, service_type());
    let service = lab.order();
    let job = lab.claimed();
    lab.queue.borrow_mut().now += 6 * MINUTE;
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Late));
    assert_eq!(lab.settle(&job, failed("X")), Ok(Settled::Late));
    assert_eq!(lab.world.sent("POST", "/api/v1/jobs/*/complete"), 0);
    lab.queue.borrow_mut().act(&service, "create");
    assert_eq!(lab.claimed().wanted.unwrap().pools.len(), 2, "the retried job finds the cluster to adopt");
}

#[test]
fn a_job_that_times_out_under_way_is_late() {
    let lab = Lab::with(Settings { job_maintenance: Some(1000), ..Settings::default() }, service_type());
    lab.order();
    let job = lab.claimed();
    let queue = lab.queue.clone();
    let served = lab.queue.clone();
    // Time passes between the question and the completion.
    lab.world.http("core", move |sent| {
        if sent.method() == "POST" {
            queue.borrow_mut().now += 6 * MINUTE;
        }
        served.borrow_mut().forward(sent)
    });
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Late));
    assert_eq!(lab.world.sent("POST", "/api/v1/jobs/*/complete"), 1);
}

#[test]
fn a_database_in_trouble_makes_no_job_late() {
    for (method, ending) in [("GET", ""), ("POST", "/complete")] {
        let lab = Lab::new();
        lab.order();
        let job = lab.claimed();
        let words = "cannot load resource: ERROR: canceling statement due to statement timeout (SQLSTATE 57014)";
        let matching = Matching::new(method, &format!("/api/v1/jobs/{}", job.id)).ending(ending);
        lab.queue.borrow_mut().core.fault(Broken::refusal(matching, 1, 403, words));
        let fault = lab.settle(&job, lab.completed()).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.is_transient()), ("DATABASE", true), "{fault}");
        assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted));
    }
}

#[test]
fn a_job_that_core_forgot_is_late() {
    let lab = Lab::new();
    lab.order();
    let mut job = lab.claimed();
    job.id = "8f2b3c1d-0000-4000-a000-000000000001".to_owned();
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Late));
}

#[test]
fn a_job_whose_claim_core_lost_is_claimed_and_settled() {
    let lab = Lab::new();
    lab.order();
    let job = lab.pending().remove(0);
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted));
}

#[test]
fn properties_that_the_type_does_not_take_are_left_out() {
    let mut kind = service_type();
    let properties = kind["propertySchema"]["properties"].as_object_mut().unwrap();
    properties.remove("nodes");
    properties["clusterCa"]["type"] = json!("integer");
    properties["apiEndpoint"]["authorizers"] = json!([{"type": "actor", "config": {"actors": ["user"]}}]);
    properties["kubeconfig"]["authorizers"] = json!([{"type": "state", "config": {"allowedStates": ["Started"]}}]);
    let lab = Lab::with(Settings::default(), kind);
    let service = lab.started();
    let row = lab.queue.borrow_mut().service(&service);
    for name in ["nodes", "clusterCa", "apiEndpoint", "kubeconfig"] {
        assert!(row["properties"].get(name).is_none(), "{name}");
    }
    assert_eq!(lab.world.sent("POST", "/api/v1/jobs/*/complete"), 1, "nothing was refused");
    lab.queue.borrow_mut().act(&service, "stop");
    lab.done();
    assert_eq!(lab.queue.borrow_mut().service(&service)["properties"]["kubeconfig"], KUBECONFIG);
}

#[test]
fn refused_properties_do_not_hold_up_the_job() {
    let mut kind = service_type();
    kind["propertySchema"]["properties"]["apiEndpoint"]["validators"] =
        json!([{"type": "pattern", "config": {"pattern": "^ftp:"}}]);
    let lab = Lab::with(Settings::default(), kind);
    let service = lab.started();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!((&row["status"], &row["agentInstanceData"]["schema"]), (&json!("Started"), &json!(1)));
    assert!(row["properties"].get("apiEndpoint").is_none());
    for kept in ["kubeconfig", "clusterCa", "nodes"] {
        assert!(row["properties"].get(kept).is_some(), "{kept}: Core named the refused one, and only that is left out");
    }
    assert_eq!(lab.world.sent("POST", "/api/v1/jobs/*/complete"), 2);
    assert!(lab.world.logs().iter().any(|line| line.contains("refuses a property") && line.contains("apiEndpoint")));
}

#[test]
fn of_several_refused_properties_that_core_does_not_name_as_many_as_needed_go() {
    let mut kind = service_type();
    for name in ["apiEndpoint", "clusterCa"] {
        kind["propertySchema"]["properties"][name]["validators"] =
            json!([{"type": "pattern", "config": {"pattern": "^ftp:"}}]);
    }
    let lab = Lab::with(Settings::default(), kind);
    let service = lab.started();
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!(row["status"], "Started");
    assert_eq!(row["properties"]["kubeconfig"], KUBECONFIG);
    assert!(row["properties"].get("apiEndpoint").is_none() && row["properties"].get("clusterCa").is_none());
}

#[test]
fn a_failure_says_what_stands_and_core_gets_the_same_text_again() {
    let lab = Lab::new();
    lab.order();
    let job = lab.claimed();
    let Settlement::Completed(mut status) = lab.completed() else { unreachable!() };
    (status.phase, status.nodes[0].ready) = ("Failed".to_owned(), false);
    status.conditions[0].condition.status = Some(false);
    let failed = Settlement::Failed(Failure { fault: Fault::invalid("X", "because"), status: Some(status) });
    assert_eq!(lab.settle(&job, failed.clone()), Ok(Settled::Accepted));
    assert_eq!(lab.settle(&job, failed), Ok(Settled::Accepted));
    let told = "X: because [phase Failed; generation 1; 3 of 3 machines, 2 Ready; endpoint https://10.0.0.5:6443; Ready=False]";
    assert_eq!(lab.queue.borrow().error(&job.id), told);
}

#[test]
fn a_kubeconfig_that_is_gone_does_not_hold_up_the_job() {
    let lab = Lab::new();
    let service = lab.order();
    let job = lab.claimed();
    let Settlement::Completed(mut completion) = lab.completed() else { unreachable!() };
    completion.kubeconfig = Some("ref-gone".to_owned());
    assert_eq!(lab.settle(&job, Settlement::Completed(completion)), Ok(Settled::Accepted));
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!(row["properties"]["apiEndpoint"], "https://10.0.0.5:6443");
    assert!(row["properties"].get("kubeconfig").is_none());
    assert!(lab.world.logs().iter().any(|line| line.starts_with("error the kubeconfig cannot be delivered")));
}

#[test]
fn an_unchanged_or_immutable_property_is_not_sent_again() {
    let mut kind = service_type();
    kind["propertySchema"]["properties"]["kubeconfig"]["immutable"] = json!(true);
    let lab = Lab::with(Settings::default(), kind);
    let service = lab.started();
    lab.queue.borrow_mut().act(&service, "stop");
    lab.done();
    let sent = lab.world.requests().into_iter().rfind(|sent| sent.path().ends_with("/complete")).unwrap();
    assert!(sent.json().get("properties").is_none(), "{}", sent.text());
}

#[test]
fn an_update_sends_no_properties() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().change(&service, json!({"controlPlaneReplicas": 3}));
    lab.done();
    let sent = lab.world.requests().into_iter().rfind(|sent| sent.path().ends_with("/complete")).unwrap();
    assert!(sent.json().get("properties").is_none(), "{}", sent.text());
    let row = lab.queue.borrow_mut().service(&service);
    assert_eq!(row["properties"]["apiEndpoint"], "https://10.0.0.5:6443");
    assert_eq!(row["agentInstanceData"]["spec"]["controlPlaneReplicas"], 3);
}

#[test]
fn what_the_database_refuses_is_taken_out_before() {
    let lab = Lab::new();
    let service = lab.order();
    let job = lab.claimed();
    let Settlement::Completed(mut completion) = lab.completed() else { unreachable!() };
    completion.nodes[0].name = "k\0a".to_owned();
    completion.more.push(("log".to_owned(), "\"\\u0000x\"".to_owned()));
    assert_eq!(lab.settle(&job, Settlement::Completed(completion)), Ok(Settled::Accepted));
    assert_eq!(lab.queue.borrow_mut().service(&service)["agentInstanceData"]["more"]["log"], "x");
    lab.queue.borrow_mut().act(&service, "stop");
    let job = lab.claimed();
    let fault = Fault::internal("ODD", format!("\0{}", "x".repeat(100_000)));
    let failed = Settlement::Failed(Failure { fault, status: None });
    assert_eq!(lab.settle(&job, failed.clone()), Ok(Settled::Accepted));
    assert_eq!(lab.settle(&job, failed), Ok(Settled::Accepted));
    let error = lab.queue.borrow().error(&job.id);
    assert!(error.starts_with("ODD: xxx") && error.len() <= 8192);
}

#[test]
fn an_instance_id_that_somebody_holds_does_not_hold_up_the_job() {
    let lab = Lab::new();
    lab.order();
    let first = lab.claimed();
    let token = lab.queue.borrow().token.clone();
    let other = lab.queue.borrow_mut().new_group("other");
    let second = lab.queue.borrow_mut().order_in(&other, wanted());
    // Somebody took the id that the second service should have.
    let body = json!({"agentInstanceId": format!("k8s-{second}")});
    let path = format!("/jobs/{}/complete", first.id);
    assert_eq!(lab.queue.borrow_mut().call(&token, "POST", &path, body).0, 204);
    let job = lab.claimed();
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Accepted));
    assert_eq!(lab.queue.borrow().state(&job.id), "Completed");
}

#[test]
fn without_a_transition_for_success_the_job_fails_and_the_result_stays_with_us() {
    let mut kind = service_type();
    kind["lifecycleSchema"]["actions"][0]["transitions"] =
        json!([{"from": "New", "to": "CreateFailed", "onError": true}]);
    let lab = Lab::with(Settings::default(), kind);
    lab.order();
    let job = lab.claimed();
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Late));
    assert!(lab.queue.borrow().error(&job.id).starts_with("NO_TRANSITION: "));
    assert_eq!(lab.settle(&job, lab.completed()), Ok(Settled::Late));
}

#[test]
fn an_unsupported_action_is_claimed_and_failed_and_leaves_the_state() {
    let lab = Lab::new();
    let service = lab.started();
    for action in ["stop", "upgrade"] {
        lab.queue.borrow_mut().act(&service, action);
        let job = lab.claimed();
        assert_eq!(lab.settle(&job, failed("UNSUPPORTED")), Ok(Settled::Accepted));
        assert_eq!(lab.queue.borrow_mut().service(&service)["status"], "Started", "{action}");
    }
    lab.queue.borrow_mut().act(&service, "stop");
    let job = lab.claimed();
    lab.settle(&job, failed("NODE_NOT_READY")).unwrap();
    assert_eq!(lab.queue.borrow_mut().service(&service)["status"], "Error");
}
