//! How Core behaves beside the quirks: transitions, refusals, secrets, agents, metrics, tokens, options.

mod lab;

use lab::{Lab, error, service_type, wanted};
use lab_core::{ADMIN_TOKEN, Settings};
use lab_wire::Server;
use serde_json::{Value, json};

#[test]
fn the_first_error_transition_decides_and_without_one_the_state_stays() {
    for (message, state) in [("QUOTA exceeded", "Degraded"), ("FATAL: x", "CreateFailed"), ("odd", "New"), ("", "New")]
    {
        let mut lab = Lab::new();
        let service = lab.ordered();
        let job = lab.claimed();
        assert_eq!(lab.fail(&job, message).status, 204);
        assert_eq!(lab.service(&service)["status"], state);
        assert_eq!(lab.job(&job)["status"], "Failed");
    }
}

#[test]
fn bad_properties_are_told_one_by_one_to_users_and_counted_to_agents() {
    let mut lab = Lab::new();
    let job = {
        lab.ordered();
        lab.claimed()
    };
    let one = lab.complete(&job, json!({"properties": {"apiPort": "6443"}}));
    assert_eq!(error(&one), "invalid input: validation failed: apiPort: expected integer, got string");
    let two = lab.complete(&job, json!({"properties": {"apiPort": 1.5, "apiEndpoint": 1}}));
    assert_eq!(error(&two), "invalid input: validation failed: 2 errors");
    let state = lab.complete(&job, json!({"properties": {"kubernetesVersion": "v1.31.0"}}));
    let text = "kubernetesVersion: property cannot be updated in state 'New' (allowed states: [Started Stopped])";
    assert!(error(&state).ends_with(text), "{}", error(&state));
    let user = lab.order(json!({"kubernetesVersion": "1.30", "replicas": 9, "apiEndpoint": "x"}));
    assert_eq!(user.status, 400);
    assert_eq!(user.value()["errors"].as_array().unwrap().len(), 4, "{}", user.value());
}

#[test]
fn numbers_are_what_go_reads_and_writes() {
    let mut lab = Lab::new();
    let mut order = |replicas: Value| {
        let mut properties = wanted();
        properties["replicas"] = replicas;
        properties["nodePools"] = json!({"a": {"count": 3.0, "share": 0.5, "text": "2"}});
        lab.order(properties).value()
    };
    for (value, why) in [
        (json!("2"), "replicas: expected integer, got string"),
        (json!(true), "replicas: expected integer, got bool"),
        (json!(2.5), "replicas: expected integer, got float with decimal part"),
        (json!(1e300), "replicas: expected integer, got float with decimal part"),
        (json!([2]), "replicas: expected integer, got []interface {}"),
        (json!(0), "replicas: value 0 is less than minimum 1"),
    ] {
        let detail = json!({"path": "replicas", "message": why});
        assert_eq!(order(value), json!({"status": "Validation failed", "valid": false, "errors": [detail]}));
    }
    assert_eq!(order(json!(2.0))["properties"]["replicas"].to_string(), "2");
    // Free-form JSON is not looked at, but it is read and written: whole numbers lose their point, and texts stay texts.
    let pools = &lab.pending()[0]["params"]["nodePools"];
    assert_eq!(pools.to_string(), r#"{"a":{"count":3,"share":0.5,"text":"2"}}"#);
}

#[test]
fn a_body_that_does_not_fit_is_refused_in_the_words_of_go() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.claimed();
    let (complete, fail) = (format!("/jobs/{job}/complete"), format!("/jobs/{job}/fail"));
    for (path, body, words) in [
        (
            &complete,
            json!({"agentInstanceId": 7}),
            "number into Go struct field CompleteJobReq.agentInstanceId of type string",
        ),
        (&complete, json!([]), "array into Go value of type api.CompleteJobReq"),
        (
            &complete,
            json!({"properties": "x"}),
            "string into Go struct field CompleteJobReq.properties of type map[string]interface {}",
        ),
        (&fail, json!({"errorMessage": {}}), "object into Go struct field FailJobReq.errorMessage of type string"),
        (
            &"/metric-entries".to_owned(),
            json!({"resourceId": "a", "typeName": "t", "value": "1.5"}),
            "string into Go struct field CreateMetricEntryReq.value of type float64",
        ),
        (
            &"/metric-entries".to_owned(),
            json!({"metricTypeId": 5}),
            "number into Go struct field CreateMetricEntryReq.metricTypeId of type uuid.UUID",
        ),
    ] {
        let answer = lab.agent("POST", path, body);
        assert_eq!((answer.status, error(&answer)), (400, format!("json: cannot unmarshal {words}")));
    }
    assert_eq!(lab.job(&job)["status"], "Processing");
}

#[test]
fn while_a_job_is_active_nothing_else_is_taken() {
    let mut lab = Lab::new();
    let service = lab.started();
    lab.admin("POST", &format!("/services/{service}/stop"), Value::Null);
    let job = lab.next_job();
    let text = format!("invalid input: cannot update service {service} while there is an active job {job}");
    for (method, path, body) in [
        ("DELETE", "", Value::Null),
        ("PATCH", "", json!({"properties": {"replicas": 3}})),
        ("POST", "/stop", Value::Null),
    ] {
        let response = lab.admin(method, &format!("/services/{service}{path}"), body);
        assert_eq!((response.status, error(&response)), (400, text.clone()));
    }
    let odd = lab.admin("POST", &format!("/services/{service}/dance"), Value::Null);
    assert_eq!(error(&odd), "invalid input: action \"dance\" not found in lifecycle schema");
}

#[test]
fn secrets_live_as_long_as_they_should() {
    let mut lab = Lab::new();
    let mut properties = wanted();
    properties["password"] = json!("p4ss");
    properties["once"] = json!("0nce");
    let service = lab.order(properties).value()["id"].as_str().unwrap().to_owned();
    let params = lab.pending()[0]["params"].clone();
    let name = |value: &Value| value.as_str().unwrap().strip_prefix("vault://").unwrap().to_owned();
    let (password, once) = (name(&params["password"]), name(&params["once"]));
    let read = |lab: &mut Lab, name: &str| {
        let response = lab.agent("GET", &format!("/vault/secrets/{name}"), Value::Null);
        (response.status, response.value()["value"].clone())
    };
    assert_eq!(read(&mut lab, &password), (200, json!("p4ss")));
    assert_eq!(read(&mut lab, &once), (200, json!("0nce")));
    assert_eq!(lab.admin("GET", &format!("/vault/secrets/{password}"), Value::Null).status, 403);
    let job = lab.claimed();
    lab.fail(&job, "odd");
    assert_eq!(read(&mut lab, &once).0, 404, "gone after any end of a job");
    lab.admin("POST", &format!("/services/{service}/create"), Value::Null);
    assert_eq!(lab.pending()[0]["service"]["properties"]["once"], params["once"], "its reference stays");
    lab.done(json!({}));
    lab.admin("PATCH", &format!("/services/{service}"), json!({"properties": {"password": "n3w"}}));
    assert_eq!(read(&mut lab, &password).0, 404, "gone when the change is asked for, not when it is done");
    let password = name(&lab.pending()[0]["params"]["password"]);
    lab.done(json!({}));
    assert_eq!(read(&mut lab, &password), (200, json!("n3w")));
    lab.admin("DELETE", &format!("/services/{service}"), Value::Null);
    lab.done(json!({}));
    assert_eq!(read(&mut lab, &password).0, 404);
}

#[test]
fn without_a_vault_key_reading_panics_and_orders_are_refused() {
    let mut lab = Lab::new();
    let settings = Settings { vault: false, ..Settings::default() };
    lab.core.reconfigure(settings, lab.now);
    let response = lab.agent("GET", "/vault/secrets/x", Value::Null);
    assert_eq!((response.status, response.body.len()), (500, 0));
    let mut properties = wanted();
    properties["password"] = json!("p");
    let refused = lab.order(properties).value();
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("vault is required"), "{refused}");
}

#[test]
fn an_agent_says_how_it_is_and_is_missed_when_silent() {
    let settings = Settings { agent_health_timeout_ms: Some(30_000), ..Settings::default() };
    let mut lab = Lab::with(settings, service_type());
    let me = lab.agent("GET", "/agents/me", Value::Null).value();
    assert_eq!(me["status"], "Disconnected");
    assert_eq!(me["participant"]["name"], "Provider");
    assert_eq!(me["agentType"]["serviceTypeIds"], json!([lab.service_type.as_str()]));
    assert!(me["configuration"]["apiToken"].as_str().unwrap().starts_with("vault://"));
    let events = lab.core.events().len();
    let beat = lab.agent("PUT", "/agents/me/status", json!({"status": "Connected"}));
    assert_eq!((beat.status, beat.value()["status"].as_str()), (200, Some("Connected")));
    assert_eq!(lab.core.events().len(), events + 1);
    let bad = lab.agent("PUT", "/agents/me/status", json!({"status": "connected"}));
    assert_eq!((bad.status, error(&bad)), (400, "invalid input: invalid agent status: connected".to_owned()));
    lab.pass(29_000);
    assert_eq!(lab.core.agents()[0].status, "Connected");
    lab.pass(31_001);
    assert_eq!(lab.core.agents()[0].status, "Disconnected");
    assert!(lab.core.next_timer().is_some_and(|due| due > lab.now));
}

#[test]
fn a_measurement_of_unknown_kind_or_thing_is_404_without_a_word() {
    let mut lab = Lab::new();
    let service = lab.started();
    lab.made("/metric-types", json!({"name": "cpu", "entityType": "Agent"}));
    let again = lab.admin("POST", "/metric-types", json!({"name": "cpu", "entityType": "Agent"}));
    assert_eq!(again.status, 500);
    let mut post = |body: Value| {
        let response = lab.agent("POST", "/metric-entries", body);
        (response.status, error(&response))
    };
    let instance = format!("kube-{service}");
    assert_eq!(post(json!({"serviceId": service.as_str(), "resourceId": "n", "value": 1, "typeName": "cpu"})).0, 201);
    assert_eq!(
        post(json!({"agentInstanceId": instance.as_str(), "resourceId": "n", "value": 1, "typeName": "ram"})),
        (404, String::new())
    );
    assert_eq!(
        post(json!({"agentInstanceId": "x", "resourceId": "n", "value": 1, "typeName": "cpu"})),
        (404, String::new())
    );
    let text = "invalid input: resource ID cannot be empty";
    assert_eq!(post(json!({"agentInstanceId": instance.as_str(), "value": 1, "typeName": "cpu"})), (400, text.into()));
    assert_eq!(post(json!({"value": 1})), (400, "serviceId or agent role and agentInstanceId are required".into()));
    assert_eq!(post(json!([])).0, 400);
    assert_eq!(post(json!({"agentInstanceId": instance, "resourceId": "n", "value": "1", "typeName": "cpu"})).0, 400);
    assert_eq!(
        post(json!({"serviceId": service, "entityId": "", "resourceId": "n", "value": 1, "typeName": "cpu"})).0,
        400
    );
    assert_eq!(lab.agent("GET", "/metric-entries", Value::Null).status, 403);
}

#[test]
fn tokens_are_made_by_people_and_die_with_their_agent() {
    let mut lab = Lab::new();
    let response = lab.agent("POST", "/tokens", json!({"name": "x", "role": "agent", "scopeId": lab.agent.clone()}));
    assert_eq!(response.status, 403);
    let token = lab.admin("POST", "/tokens", json!({"name": "root", "role": "admin"})).value();
    assert_eq!(token["expireAt"], "2026-11-21T11:53:20Z", "a day by default");
    assert_eq!(token["value"].as_str().unwrap().len(), 44);
    let id = token["id"].as_str().unwrap();
    assert!(lab.admin("GET", &format!("/tokens/{id}"), Value::Null).value().get("value").is_none());
    let renewed = lab.admin("POST", &format!("/tokens/{id}/regenerate"), Value::Null).value();
    assert_ne!(renewed["value"], token["value"]);
    assert_eq!(lab.call(token["value"].as_str().unwrap(), "GET", "/agents", Value::Null).status, 403);
    assert_eq!(lab.call(renewed["value"].as_str().unwrap(), "GET", "/agents", Value::Null).status, 200);
    assert_eq!(lab.admin("DELETE", &format!("/agents/{}", lab.agent.clone()), Value::Null).status, 204);
    assert_eq!(lab.agent("GET", "/agents/me", Value::Null).status, 403);
}

#[test]
fn options_restrict_values() {
    let mut kind = service_type();
    let rule = json!([{"type": "serviceOption", "config": {"value": "site"}}]);
    kind["propertySchema"]["properties"]["site"] = json!({"type": "string", "validators": rule});
    let mut lab = Lab::with(Settings::default(), kind);
    let sites = lab.made("/service-option-types", json!({"name": "Sites", "type": "site"}));
    let mut properties = wanted();
    properties["site"] = json!("dc1");
    assert_eq!(lab.order(properties.clone()).status, 400);
    let option =
        json!({"providerId": lab.provider.as_str(), "serviceOptionTypeId": sites, "name": "DC 1", "value": "dc1"});
    assert_eq!(lab.agent("POST", "/service-options", option).status, 201, "an agent may publish them");
    assert_eq!(lab.order(properties).status, 201);
}

#[test]
fn an_agent_is_found_by_its_tags() {
    let mut lab = Lab::new();
    let mut body = json!({"groupId": lab.group.as_str(), "serviceTypeId": lab.service_type.as_str(), "name": "x",
        "properties": wanted(), "agentTags": ["kube"]});
    let found = lab.admin("POST", "/services", body.clone());
    assert_eq!((found.status, found.value()["agentId"].as_str()), (201, Some(lab.agent.as_str())));
    body["agentTags"] = json!(["gpu"]);
    assert_eq!(lab.call(ADMIN_TOKEN, "POST", "/services", body).status, 400);
}
