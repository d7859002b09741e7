//! What Fulcrum Core does to its clients, and what its clients' users ask for.

use std::time::Duration;

use agentkube_lab::daemon::Infrastructure;
use agentkube_tests::report::{Ends, Row};
use agentkube_tests::{Plan, Scene, one_machine, wait};
use lab_core::store::{Job, JobStatus};
use lab_core::{Fault, Matching, Settings};
use reqwest::Method;
use serde_json::{Value, json};

const CLAIM: &str = "POST /jobs/{id}/claim";
const COMPLETE: &str = "POST /jobs/{id}/complete";
const FAIL: &str = "POST /jobs/{id}/fail";
const PENDING: &str = "GET /jobs/pending";
const ANY: &str = "any request";

async fn scene() -> Scene {
    Scene::start(Plan { infrastructure: Infrastructure::Toy, ..Plan::default() }).await
}

/// Requests to a place of the table's form.
fn at(place: &str) -> Matching {
    match place.split_once(' ') {
        Some((method, path)) if path.contains("{id}") => {
            Matching::new(method, "/api/v1/jobs/").ending(path.rsplit('}').next().unwrap_or_default())
        }
        Some((method, path)) if method != "any" => Matching::new(method, &format!("/api/v1{path}")),
        _ => Matching::new("", "/api/v1"),
    }
}

fn inject(scene: &Scene, fault: Fault) {
    scene.lab.core(|core| core.fault(fault));
}

/// A cluster comes up although this goes wrong, and goes without a trace.
async fn survived(fault: &'static str, place: &'static str, make: impl FnOnce(Matching) -> Fault) {
    let mut row = Row::of(fault, place);
    let scene = scene().await;
    inject(&scene, make(at(place)));
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    assert_eq!(scene.service(&service).status, "Started");
    row.left_nothing(&scene, &service).await;
}

/// An order that cannot be carried out is told so although this goes wrong.
async fn told(fault: &'static str, place: &'static str, make: impl FnOnce(Matching) -> Fault) {
    let mut row = Row::of(fault, place);
    let scene = scene().await;
    inject(&scene, make(at(place)));
    let service = scene.order_with("shop", json!({"kubernetesVersion": "v1.34.1", "nodePools": []})).await;
    row.seen(&scene, &service, Ends::Failed("BAD_PROPERTIES:")).await;
    assert_eq!(scene.service(&service).status, "CreateFailed");
    row.left_nothing(&scene, &service).await;
}

fn html(matching: Matching, times: u32, status: u16) -> Fault {
    let body = "<html><body><h1>Bad Gateway</h1></body></html>".to_owned();
    Fault::Say { matching, times, status, content_type: "text/html".to_owned(), body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_is_settled_by_asking() {
    survived("claim: answer lost", CLAIM, |matching| Fault::DropReply { matching, times: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_lost_is_sent_again() {
    survived("claim: request lost", CLAIM, |matching| Fault::DropRequest { matching, times: 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_whose_answer_is_lost_is_settled_by_asking() {
    survived("complete: answer lost", COMPLETE, |matching| Fault::DropReply { matching, times: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_is_lost_is_sent_again() {
    survived("complete: request lost", COMPLETE, |matching| Fault::DropRequest { matching, times: 3 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_whose_answer_is_lost_is_settled_by_asking() {
    told("fail: answer lost", FAIL, |matching| Fault::DropReply { matching, times: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_is_lost_is_sent_again() {
    told("fail: request lost", FAIL, |matching| Fault::DropRequest { matching, times: 3 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_asks_for_patience_gets_it() {
    survived("503 with Retry-After, HTML", PENDING, |matching| Fault::Answer {
        matching,
        times: 2,
        status: 503,
        retry_after: Some(1),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_too_often_waits() {
    survived("429 with Retry-After", CLAIM, |matching| Fault::Answer {
        matching,
        times: 2,
        status: 429,
        retry_after: Some(1),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_in_front_of_core_may_speak_html() {
    let mut row = Row::of("502, HTML", ANY);
    let scene = scene().await;
    // The customer's own requests pass the same proxy.
    let service = scene.order_with("shop", one_machine()).await;
    inject(&scene, html(at(ANY), 10, 502));
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_core_has_no_body() {
    survived("500, empty body", COMPLETE, |matching| Fault::panic(matching, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_trouble_is_waited_for() {
    let words = "ERROR: deadlock detected (SQLSTATE 40P01)";
    survived("500, SQLSTATE as text/plain", COMPLETE, |matching| Fault::refusal(matching, 2, 500, words)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_id_that_another_service_holds_does_not_stop_the_job() {
    let words =
        "ERROR: duplicate key value violates unique constraint \"service_agent_instance_id_uniq\" (SQLSTATE 23505)";
    survived("500, agent instance id taken", COMPLETE, |matching| Fault::refusal(matching, 1, 500, words)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_property_does_not_take_the_others_with_it() {
    let mut row = Row::of("400, one property refused", COMPLETE);
    let scene = scene().await;
    let words = "invalid input: validation failed: clusterCa: expected integer, got string";
    inject(&scene, Fault::refusal(at(COMPLETE), 1, 400, words));
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let properties = scene.service(&service).properties.unwrap();
    assert!(!properties.contains_key("clusterCa"));
    assert!(properties.contains_key("apiEndpoint") && properties.contains_key("nodes"), "{properties:?}");
    row.also("all other properties are there");
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_that_core_refuses_without_naming_them_are_left_out_one_by_one() {
    let mut row = Row::of("400, several properties refused, none named", COMPLETE);
    let scene = scene().await;
    inject(&scene, Fault::refusal(at(COMPLETE), 2, 400, "invalid input: validation failed: 2 errors"));
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let properties = scene.service(&service).properties.unwrap();
    assert!(properties.contains_key("kubeconfig") && !properties.contains_key("nodes"), "{properties:?}");
    row.also("what matters most is there");
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_the_lifecycle_has_no_place_for_is_told() {
    let mut row = Row::of("400, no transition", COMPLETE);
    let scene = scene().await;
    let words = "invalid input: no valid transition found for action create from state New";
    inject(&scene, Fault::refusal(at(COMPLETE), 1, 400, words));
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Failed("NO_TRANSITION:")).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_core_refuses_is_looked_into_and_tried_again() {
    survived("400, claimed already", CLAIM, |matching| {
        Fault::refusal(matching, 1, 400, "invalid input: cannot claim a job not in pending status")
    })
    .await;
    let words = "cannot load resource: resource not found: sql: no rows in result set";
    survived("403, job unknown", CLAIM, |matching| Fault::refusal(matching, 1, 403, words)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_type_does_not_know_is_dropped_and_missed_by_nobody() {
    let mut row = Row::of("dropped properties: unknown to the type", COMPLETE);
    let mut scene = Scene::prepare(Plan { infrastructure: Infrastructure::Toy, ..Plan::default() }).await;
    let path = format!("/service-types/{}", scene.registration.service_type);
    let mut schema = scene.customer.call(Method::GET, &path, None).await.unwrap()["propertySchema"].take();
    // What is not set is shown as null, and null is no schema of anything.
    schema.as_object_mut().unwrap().retain(|_, part| !part.is_null());
    let written = ["apiEndpoint", "clusterCa", "nodes", "kubeconfig"];
    for name in written {
        assert!(schema["properties"].as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    scene.customer.call(Method::PATCH, &path, Some(&json!({"propertySchema": schema}))).await.unwrap();
    scene.run().await;
    let mut wanted = one_machine();
    wanted["colour"] = json!("red");
    let service = scene.order_with("shop", wanted).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let properties = scene.service(&service).properties.unwrap();
    assert!(written.iter().chain(&["colour"]).all(|name| !properties.contains_key(*name)), "{properties:?}");
    let endpoint = record(&scene, &service)["endpoint"].clone();
    assert!(endpoint.as_str().is_some_and(|text| text.starts_with("https://")), "{endpoint}");
    row.also("the record has what the properties have not");
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_properties_is_deleted_all_the_same() {
    let mut row = Row::of("dropped properties: none left when it is deleted", "service.properties");
    let scene = scene().await;
    let service = scene.order_with("shop", one_machine()).await;
    scene.completed(&service).await;
    inject(&scene, Fault::WipeProperties);
    assert!(scene.service(&service).properties.is_none());
    scene.customer.delete(&service).await.unwrap();
    row.seen(&scene, &service, Ends::Completed).await;
    row.nothing(&scene);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_lost_its_properties_is_refused() {
    let mut row = Row::of("dropped properties: none left when it is created", "service.properties");
    let mut scene = Scene::prepare(Plan { infrastructure: Infrastructure::Toy, ..Plan::default() }).await;
    // A create that is called again has no parameters: what is wanted stands in the service alone.
    let service = scene.order_with("shop", json!({"kubernetesVersion": "v1.34.1", "nodePools": []})).await;
    scene.run().await;
    row.seen(&scene, &service, Ends::Failed("BAD_PROPERTIES:")).await;
    let first = scene.newest_job(&service).unwrap().meta.id;
    inject(&scene, Fault::WipeProperties);
    scene.customer.call(Method::POST, &format!("/services/{service}/create"), None).await.unwrap();
    wait::until("the next job", || scene.newest_job(&service).filter(|job| job.meta.id != first)).await;
    row.seen(&scene, &service, Ends::Failed("NO_PROPERTIES:")).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_only_take_time() {
    survived("slow answers", ANY, |matching| Fault::Delay { matching, times: 20, millis: 400 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_restarts_is_waited_for() {
    let mut row = Row::of("Core restarts: connections refused, then cut", ANY);
    let mut scene = scene().await;
    scene.lab.restart_core(Duration::from_secs(2)).await.unwrap();
    let service = scene.order_with("shop", one_machine()).await;
    wait::until("the claim", || scene.newest_job(&service).filter(|job| job.status == JobStatus::Processing)).await;
    // The job is worked on, and its result has to wait.
    scene.lab.restart_core(Duration::from_secs(3)).await.unwrap();
    scene.lab.restart_core(Duration::ZERO).await.unwrap();
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_core_gave_up_is_taken_up_by_the_next() {
    let mut row = Row::of("job timeout, counted from creation", "Core's job maintenance");
    let scene = scene().await;
    let service = scene.order_with("shop", one_machine()).await;
    wait::until("a machine", || (scene.found().toy_machines > 0).then_some(())).await;
    let now = agentkube_lab::Clock::real().now();
    scene.lab.core(|core| {
        let settings = core.settings().clone();
        core.reconfigure(Settings { job_maintenance: Some(20), job_timeout_ms: 1, ..settings.clone() }, now);
    });
    row.seen(&scene, &service, Ends::Failed("Job marked as failed due to exceeding")).await;
    let first = scene.newest_job(&service).unwrap();
    scene.lab.core(|core| {
        let settings = core.settings().clone();
        core.reconfigure(Settings { job_maintenance: None, ..settings }, now);
    });
    assert_eq!(scene.service(&service).status, "New", "Core leaves the service as it was");
    // The cluster is kept, and the job that is called again adopts it.
    scene.customer.call(Method::POST, &format!("/services/{service}/create"), None).await.unwrap();
    wait::until("the next job", || scene.newest_job(&service).filter(|job| job.meta.id != first.meta.id)).await;
    row.seen(&scene, &service, Ends::Completed).await;
    assert_eq!(scene.found().toy_machines, 1, "not a second machine");
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_claims_that_both_succeed_make_one_cluster() {
    let mut row = Row::of("claim is not atomic: both succeed", CLAIM);
    let scene = scene().await;
    let now = agentkube_lab::Clock::real().now();
    scene.lab.core(|core| {
        let settings = core.settings().clone();
        core.reconfigure(Settings { claim_race_ms: 60_000, ..settings }, now);
    });
    inject(&scene, Fault::DropReply { matching: at(CLAIM), times: 2 });
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    assert_eq!((scene.found().toy_machines, scene.found().planes), (1, 1));
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_died_is_replaced_while_the_daemon_runs() {
    let mut row = Row::of("token expired, and regenerated", ANY);
    let scene = scene().await;
    inject(&scene, Fault::ExpireTokens { name: Some("agentkube".to_owned()) });
    let service = scene.order_with("shop", one_machine()).await;
    wait::until("the trouble", || scene.log().contains("TOKEN_REFUSED").then_some(())).await;
    row.also("TOKEN_REFUSED in the log and in `agentkube status`");
    assert_eq!(scene.newest_job(&service).unwrap().status, JobStatus::Pending);
    let body = json!({"name": "second", "role": "agent", "scopeId": scene.registration.agent,
        "expireAt": "2099-01-01T00:00:00Z"});
    let token = scene.customer.call(Method::POST, "/tokens", Some(&body)).await.unwrap();
    std::fs::write(scene.directory().join("agent.token"), token["value"].as_str().unwrap()).unwrap();
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_403_on_the_queue_is_waited_out() {
    let words = "authentication failed: no valid identity found";
    survived("403 for a while", PENDING, |matching| Fault::refusal(matching, 3, 403, words)).await;
    survived("403 when a job is settled", COMPLETE, |matching| Fault::refusal(matching, 1, 403, words)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_says_nothing_is_failed_and_wipes_nothing() {
    let mut row = Row::of("update without parameters", "POST /services/{id}/update");
    let scene = scene().await;
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    ask(&scene, &service, "update").await;
    row.seen(&scene, &service, Ends::Failed("UPDATE_WITHOUT_PARAMS:")).await;
    let left = scene.service(&service);
    assert_eq!(left.status, "Started");
    assert_eq!(left.properties.unwrap()["kubernetesVersion"], "v1.34.1");
    row.left_nothing(&scene, &service).await;
}

/// Calls an action and waits for its job.
async fn ask(scene: &Scene, service: &str, action: &str) -> Job {
    scene.customer.call(Method::POST, &format!("/services/{service}/{action}"), None).await.unwrap();
    wait::until(action, || scene.newest_job(service).filter(|job| job.action == action && !job.status.active())).await
}

/// The status record as Core has it.
fn record(scene: &Scene, service: &str) -> Value {
    Value::Object(scene.service(service).instance_data.unwrap())
}

/// Condition of that name.
fn condition(record: &Value, name: &str) -> Value {
    let conditions = record["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == name).unwrap_or_else(|| panic!("{name}: {record}")).clone()
}

// Checklist 16, 59, 72.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_whole_after_each_job_after_failures_and_after_a_restart() {
    let mut row = Row::of("agentInstanceData is replaced whole", COMPLETE);
    let mut scene = scene().await;
    // The first create fails and is undone; all that Core keeps of it is its text.
    let service = scene
        .order_with(
            "shop",
            json!({"kubernetesVersion": "v1.34.1", "nodePools": {
        "workers": {"count": 1, "cores": 2, "memory": "2Gi", "image": "there-is-none"}}}),
        )
        .await;
    let failed = wait::until("the failure", || scene.newest_job(&service).filter(|job| !job.status.active())).await;
    assert_eq!(failed.status, JobStatus::Failed);
    for told in ["phase Undone", "generation 1", "0 of 1 machines", "JobSucceeded=False"] {
        assert!(failed.error.contains(told), "{told}: {}", failed.error);
    }
    row.also(failed.error.clone());
    scene.customer.delete(&service).await.unwrap();
    scene.completed(&service).await;
    let deleted = record(&scene, &service);
    assert_eq!((&deleted["phase"], &deleted["observedGeneration"]), (&json!("Deleted"), &json!(2)));
    let failure = &deleted["more"]["lastFailure"];
    assert_eq!((&failure["generation"], &failure["action"]), (&json!(1), &json!("create")));

    let service = scene.order_with("shop2", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let created = record(&scene, &service);
    assert_eq!(created["phase"], "Provisioned");
    assert!(created["endpoint"].as_str().unwrap().starts_with("https://"));
    assert_eq!((&created["version"], &created["observedGeneration"]), (&json!("v1.34.1"), &json!(1)));
    let pool = &created["pools"]["workers"];
    assert_eq!((&pool["wanted"], &pool["machines"], &pool["ready"]), (&json!(1), &json!(1), &json!(1)));
    assert!(pool["nodes"][0]["machine"].is_string() && pool["nodes"][0]["version"] == "v1.34.1", "{pool}");
    let nodes_ready = condition(&created, "NodesReady");
    assert_eq!(nodes_ready["status"], "True");
    assert!(nodes_ready["lastTransitionTime"].as_str().unwrap().ends_with('Z'), "{nodes_ready}");
    assert_eq!(condition(&created, "JobSucceeded")["status"], "True");

    // What is refused changes nothing; a restart forgets nothing.
    let refused = ask(&scene, &service, "stop").await;
    assert!(refused.error.starts_with("UNSUPPORTED:"), "{}", refused.error);
    assert_eq!(record(&scene, &service), created);
    scene.terminate().await;
    scene.run().await;
    row.left_nothing(&scene, &service).await;
    let deleted = record(&scene, &service);
    assert_eq!((&deleted["phase"], &deleted["observedGeneration"]), (&json!("Deleted"), &json!(2)));
    let before = condition(&created, "JobSucceeded")["lastTransitionTime"].clone();
    assert_eq!(condition(&deleted, "JobSucceeded")["lastTransitionTime"], before, "it was so before the restart");
}

// Checklist 31, 52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_an_order_is_worked_off_oldest_first() {
    let mut row = Row::of("queue in arbitrary order", PENDING);
    let more = "services = 1\n".to_owned();
    let mut scene = Scene::prepare(Plan { infrastructure: Infrastructure::Toy, more, ..Plan::default() }).await;
    let mut services = Vec::new();
    for name in ["first", "second", "third"] {
        services.push(scene.order_with(name, one_machine()).await);
        // The lab's times are whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    scene.run().await;
    for service in &services {
        row.seen(&scene, service, Ends::Completed).await;
    }
    let mut claimed: Vec<Job> = scene.lab.core(|core| core.jobs().into_iter().cloned().collect());
    claimed.sort_by_key(|job| job.claimed);
    let order: Vec<&String> = claimed.iter().map(|job| &job.service).collect();
    assert_eq!(order, services.iter().collect::<Vec<_>>());
    for service in &services {
        scene.customer.delete(service).await.unwrap();
    }
    for service in &services {
        scene.completed(service).await;
    }
    row.nothing(&scene);
}
