//! What bites a new agent, one test each.

mod lab;

use lab::{Lab, error, service_type, wanted};
use lab_core::Settings;
use lab_wire::{Answer, Request};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000;

fn maintained() -> Lab {
    Lab::with(Settings { job_maintenance: Some(1000), ..Settings::default() }, service_type())
}

#[test]
fn q01_the_timeout_counts_from_creation_and_kills_pending_jobs_too() {
    let mut lab = maintained();
    lab.ordered();
    let other = lab.new_group("g2");
    lab.order_in(&other, wanted());
    lab.pass(4 * MINUTE);
    let job = lab.pending()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(lab.agent("POST", &format!("/jobs/{job}/claim"), Value::Null).status, 204);
    lab.pass(MINUTE + 1001);
    assert!(lab.core.jobs().iter().all(|job| job.status.as_str() == "Failed" && job.completed.is_some()));
    assert_eq!(lab.core.jobs()[0].error, "Job marked as failed due to exceeding maximum processing time");
}

#[test]
fn q02_a_timed_out_job_leaves_the_service_as_it_was_and_takes_no_late_answer() {
    let mut lab = maintained();
    let service = lab.ordered();
    let job = lab.claimed();
    lab.pass(6 * MINUTE);
    assert_eq!(lab.service(&service)["status"], "New");
    let late = lab.complete(&job, json!({"agentInstanceId": "x"}));
    assert_eq!(late.status, 400);
    assert_eq!(error(&late), "invalid input: cannot complete a job not in processing status");
    assert_eq!(error(&lab.fail(&job, "x")), "invalid input: cannot fail a job not in processing status");
}

#[test]
fn q03_a_retried_create_has_no_params() {
    let mut lab = Lab::new();
    let service = lab.ordered();
    let job = lab.claimed();
    assert_eq!(lab.fail(&job, "FATAL: disk").status, 204);
    assert_eq!(lab.service(&service)["status"], "CreateFailed");
    assert!(lab.job(&job).get("completedAt").is_none());
    assert_eq!(lab.admin("POST", &format!("/services/{service}/create"), Value::Null).status, 200);
    let pending = lab.pending();
    assert!(pending[0].get("params").is_none());
    assert_eq!(pending[0]["service"]["properties"]["kubernetesVersion"], "v1.30.2");
}

#[test]
fn q04_a_processing_job_blocks_its_group_only() {
    let mut lab = Lab::new();
    lab.ordered();
    lab.ordered();
    let other = lab.new_group("g2");
    lab.order_in(&other, wanted());
    assert_eq!(lab.pending().len(), 2, "one job of each group");
    let first = lab.core.jobs()[0].meta.id.clone();
    assert_eq!(lab.agent("POST", &format!("/jobs/{first}/claim"), Value::Null).status, 204);
    let pending = lab.pending();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0]["service"]["groupId"], other.as_str());
    let second = lab.core.jobs().iter().find(|job| job.status.as_str() == "Pending").unwrap().meta.id.clone();
    assert_eq!(lab.agent("POST", &format!("/jobs/{second}/claim"), Value::Null).status, 204, "by id it can be claimed");
}

#[test]
fn q05_two_claims_at_the_same_moment_can_both_win() {
    let both = |race: u64| {
        let mut lab = Lab::with(Settings { claim_race_ms: race, ..Settings::default() }, service_type());
        lab.ordered();
        let job = lab.claimed();
        (0..20).any(|_| lab.agent("POST", &format!("/jobs/{job}/claim"), Value::Null).status == 204)
    };
    assert!(both(5));
    assert!(!both(0));
}

#[test]
fn q06_a_sibling_sees_and_takes_the_jobs_of_its_provider() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.next_job();
    let (_, sibling) = lab.new_agent("pve-2");
    assert_eq!(lab.call(&sibling, "GET", "/jobs/pending", Value::Null).value(), json!([]));
    assert_eq!(lab.call(&sibling, "GET", "/jobs", Value::Null).value()["totalItems"], 1);
    assert_eq!(lab.call(&sibling, "GET", "/services", Value::Null).value()["totalItems"], 1);
    assert_eq!(lab.call(&sibling, "POST", &format!("/jobs/{job}/claim"), Value::Null).status, 204);
    assert_eq!(lab.call(&sibling, "POST", &format!("/jobs/{job}/complete"), json!({})).status, 204);
}

#[test]
fn q07_unknown_filters_and_sorts_are_errors_of_the_server() {
    let mut lab = Lab::new();
    lab.ordered();
    let response = lab.agent("GET", &format!("/services?agentId={}", lab.agent.clone()), Value::Null);
    assert_eq!((response.status, error(&response)), (500, "cannot filter by field agentId".to_owned()));
    assert_eq!(lab.agent("GET", "/jobs?status=Done", Value::Null).status, 500);
    assert_eq!(lab.agent("GET", "/jobs?sort=action", Value::Null).status, 500);
    assert_eq!(lab.agent("GET", "/jobs?pageSize=101", Value::Null).status, 400);
    let path = format!("/jobs?agentId={}&status=Pending&status=Processing&sort=-createdAt&pageSize=100", lab.agent);
    assert_eq!(lab.agent("GET", &path, Value::Null).value()["totalItems"], 1);
    assert_eq!(lab.agent("GET", "/services?currentStatus=New&name=EM", Value::Null).value()["totalItems"], 1);
}

#[test]
fn q08_a_dead_token_is_403_and_so_is_an_unknown_job() {
    let mut lab = Lab::new();
    let dead = lab.call("nonsense", "GET", "/agents/me", Value::Null);
    assert_eq!((dead.status, error(&dead)), (403, "authentication failed: no valid identity found".to_owned()));
    for header in ["", "bearer x", "Basic x"] {
        let request = Request::new("GET", "/api/v1/agents/me").header("authorization", header);
        let Answer::Now(response) = lab.send(&request) else { panic!() };
        assert_eq!(response.status, 401);
        assert_eq!(error(&response), "invalid token format, expected 'Bearer <token>'");
    }
    let unknown = "8f2b3c1d-0000-4000-a000-000000000001";
    let response = lab.agent("POST", &format!("/jobs/{unknown}/claim"), Value::Null);
    assert_eq!(response.status, 403);
    assert_eq!(error(&response), "cannot load resource: resource not found: sql: no rows in result set");
    let response = lab.agent("POST", "/jobs/abc/claim", Value::Null);
    assert_eq!((response.status, error(&response)), (400, "invalid UUID length: 3".to_owned()));
    let response = lab.admin("GET", "/agents/me", Value::Null);
    assert_eq!(error(&response), "access denied: user role 'admin' is not authorized");
    let response = lab.agent("GET", "/events", Value::Null);
    let text = "access denied: no matching authorization rule found for action 'read' on object 'event_entry'";
    assert_eq!((response.status, error(&response)), (403, text.to_owned()));
    lab.pass(24 * 60 * MINUTE + 1);
    assert_eq!(lab.admin("GET", "/agents", Value::Null).status, 403, "the first token lives for a day");
}

#[test]
fn q08_another_providers_job_is_403() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.next_job();
    let own = lab.provider.clone();
    lab.provider = lab.made("/participants", json!({"name": "Other", "status": "Enabled"}));
    let (_, stranger) = lab.new_agent("elsewhere");
    lab.provider = own;
    let response = lab.call(&stranger, "POST", &format!("/jobs/{job}/claim"), Value::Null);
    assert_eq!(
        (response.status, error(&response)),
        (403, "access denied: object context does not match identity".into())
    );
}

#[test]
fn q09_claimed_already_is_400() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.claimed();
    let again = lab.agent("POST", &format!("/jobs/{job}/claim"), Value::Null);
    let body = json!({"status": "Invalid request", "error": "invalid input: cannot claim a job not in pending status"});
    assert_eq!((again.status, again.value()), (400, body));
    assert_eq!(lab.job(&job)["status"], "Processing");
}

#[test]
fn q10_errors_are_plain_text_and_some_have_no_body() {
    let mut lab = Lab::new();
    let response = lab.agent("GET", "/jobs/abc", Value::Null);
    assert!(response.headers.contains(&("content-type".into(), "text/plain; charset=utf-8".into())));
    let response = lab.agent("PUT", "/jobs", Value::Null);
    assert_eq!((response.status, response.body.len()), (405, 0));
    let response = lab.agent("GET", "/nothing", Value::Null);
    assert_eq!((response.status, response.body.as_slice()), (404, "404 page not found\n".as_bytes()));
}

#[test]
fn q11_agent_instance_data_is_replaced_whole() {
    let mut lab = Lab::new();
    let service = lab.ordered();
    let job = lab.claimed();
    let array = lab.complete(&job, json!({"agentInstanceData": [1]}));
    assert_eq!(array.status, 400);
    let words = "json: cannot unmarshal array into Go struct field CompleteJobReq.agentInstanceData of type map[string]interface {}";
    assert_eq!(error(&array), words);
    assert_eq!(lab.complete(&job, json!({"agentInstanceData": {"a": 1}})).status, 204);
    for (body, left) in [
        (json!({"agentInstanceData": null}), json!({"a": 1})),
        (json!({}), json!({"a": 1})),
        (json!({"agentInstanceData": {"b": 2}}), json!({"b": 2})),
    ] {
        let action = if lab.service(&service)["status"] == "Started" { "stop" } else { "start" };
        lab.admin("POST", &format!("/services/{service}/{action}"), Value::Null);
        lab.done(body);
        assert_eq!(lab.service(&service)["agentInstanceData"], left);
    }
}

#[test]
fn q12_agent_instance_ids_are_unique_over_everything() {
    let mut lab = Lab::new();
    let first = lab.started();
    let second = lab.ordered();
    let job = lab.claimed();
    let taken = json!({"agentInstanceId": format!("kube-{first}"), "agentInstanceData": {"x": 1}});
    let response = lab.complete(&job, taken.clone());
    assert_eq!(response.status, 500);
    let text =
        "ERROR: duplicate key value violates unique constraint \"service_agent_instance_id_uniq\" (SQLSTATE 23505)";
    assert_eq!(error(&response), text);
    assert_eq!(lab.job(&job)["status"], "Processing", "rolled back");
    assert!(lab.service(&second).get("agentInstanceData").is_none());
    assert_eq!(lab.complete(&job, json!({})).status, 204);
    lab.admin("DELETE", &format!("/services/{first}"), Value::Null);
    lab.done(json!({}));
    lab.admin("POST", &format!("/services/{second}/stop"), Value::Null);
    lab.done(taken);
}

#[test]
fn q13_properties_reported_on_an_update_are_lost() {
    let mut lab = Lab::new();
    let service = lab.started();
    lab.admin("PATCH", &format!("/services/{service}"), json!({"properties": {"replicas": 3}}));
    lab.done(json!({"properties": {"apiEndpoint": "https://10.0.0.5:6443"}, "agentInstanceData": {"kept": true}}));
    let row = lab.service(&service);
    assert_eq!(row["properties"]["replicas"], 3);
    assert!(row["properties"].get("apiEndpoint").is_none());
    assert_eq!(row["agentInstanceData"], json!({"kept": true}));
}

#[test]
fn q14_an_update_without_params_wipes_the_properties() {
    let mut lab = Lab::new();
    let service = lab.started();
    let path = format!("/services/{service}");
    assert_eq!(lab.admin("POST", &format!("{path}/update"), Value::Null).status, 200);
    assert!(lab.pending()[0].get("params").is_none());
    lab.done(json!({}));
    assert!(lab.service(&service).get("properties").is_none());
    let panic = lab.admin("PATCH", &path, json!({"properties": {"replicas": 3}}));
    assert_eq!((panic.status, panic.body.len()), (500, 0));
    assert_eq!(lab.admin("PATCH", &path, json!({"name": "renamed"})).status, 200);
}

#[test]
fn q14_a_failed_update_takes_its_params_when_an_error_transition_fits() {
    let mut lab = Lab::new();
    let service = lab.started();
    for (message, replicas) in [("odd", 2), ("FATAL: no", 4)] {
        lab.admin("PATCH", &format!("/services/{service}"), json!({"properties": {"replicas": 4}}));
        let job = lab.claimed();
        assert_eq!(lab.fail(&job, message).status, 204);
        assert_eq!(lab.service(&service)["properties"]["replicas"], replicas);
    }
}

#[test]
fn q15_array_items_merge_by_place() {
    let mut lab = Lab::new();
    let mut properties = wanted();
    properties["pools"] = json!([{"name": "a", "labels": {"tier": "db"}}, {"name": "b"}]);
    let service = lab.order(properties).value()["id"].as_str().unwrap().to_owned();
    lab.done(json!({}));
    let change = json!({"properties": {"pools": [{"name": "b"}], "nodePools": {"b": {}}}});
    assert_eq!(lab.admin("PATCH", &format!("/services/{service}"), change).status, 200);
    let params = &lab.pending()[0]["params"];
    assert_eq!(params["pools"], json!([{"name": "b", "labels": {"tier": "db"}}]), "b has the labels of a");
    assert_eq!(params["nodePools"], json!({"b": {}}), "free-form JSON is replaced whole");
}

#[test]
fn q16_immutable_numbers_cannot_be_said_again() {
    let mut lab = Lab::new();
    let mut properties = wanted();
    properties["slots"] = json!(4);
    let service = lab.order(properties).value()["id"].as_str().unwrap().to_owned();
    let job = lab.claimed();
    let response = lab.complete(&job, json!({"properties": {"slots": 4}}));
    let text = "invalid input: validation failed: slots: property is immutable and cannot be changed";
    assert_eq!((response.status, error(&response)), (400, text.to_owned()));
    assert_eq!(lab.complete(&job, json!({"properties": {"podCidr": "10.244.0.0/16"}})).status, 204, "texts can");
    let change = json!({"properties": {"podCidr": "10.1.0.0/16"}});
    let refused = lab.admin("PATCH", &format!("/services/{service}"), change);
    let detail = json!({"path": "podCidr", "message": "podCidr: property is immutable and cannot be changed"});
    assert_eq!(refused.value(), json!({"status": "Validation failed", "valid": false, "errors": [detail]}));
}

#[test]
fn q17_a_nul_is_500_and_rolls_back() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.claimed();
    let response = lab.fail(&job, "FATAL: \0");
    assert!(response.status == 500 && error(&response).contains("22021"), "{}", error(&response));
    let response = lab.complete(&job, json!({"agentInstanceData": {"log": ["\0"]}}));
    assert!(response.status == 500 && error(&response).contains("22P05"), "{}", error(&response));
    assert_eq!(lab.job(&job)["status"], "Processing");
}

#[test]
fn q18_complete_and_fail_need_a_body_and_no_path_ends_in_a_slash() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.claimed();
    let token = lab.token.clone();
    for (body, text) in [("", "EOF"), ("{\"a\":", "unexpected EOF")] {
        let mut request = Request::new("POST", &format!("/api/v1/jobs/{job}/complete")).bearer(&token);
        request.body = body.into();
        let Answer::Now(response) = lab.send(&request) else { panic!() };
        assert_eq!((response.status, error(&response)), (400, text.to_owned()));
    }
    assert_eq!(lab.agent("GET", "/jobs/pending/", Value::Null).status, 404);
    assert_eq!(lab.agent("GET", "/jobs/", Value::Null).status, 200);
}

#[test]
fn q19_names_are_not_unique_and_change_without_a_job() {
    let mut lab = Lab::new();
    let service = lab.started();
    let other = lab.new_group("g2");
    assert_eq!(lab.order_in(&other, wanted()).status, 201, "the same name again");
    let before = lab.core.jobs().len();
    let renamed = lab.admin("PATCH", &format!("/services/{service}"), json!({"name": "other"}));
    assert_eq!((renamed.status, renamed.value()["name"].as_str()), (200, Some("other")));
    assert_eq!(lab.core.jobs().len(), before);
}

#[test]
fn q20_unknown_fields_are_ignored() {
    let mut lab = Lab::new();
    let service = lab.ordered();
    lab.done(json!({"resources": {"a": 1}, "externalId": "x", "properties": {"nobodys": 1, "anybodys": "mine"}}));
    let row = lab.service(&service);
    assert!(row.get("agentInstanceData").is_none() && row.get("agentInstanceId").is_none());
    assert!(row["properties"].get("nobodys").is_none());
    assert_eq!(row["properties"]["anybodys"], "mine", "without an actor rule the agent may set it");
}
