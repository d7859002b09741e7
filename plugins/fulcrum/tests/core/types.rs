//! The types that an administrator registers, and what the preflight check says about others.

use agentkube_sdk::observed::{Finding, Severity};
use agentkube_sdk::{Fault as Fault_, JobSource};
use lab_core::{Fault, Settings};
use serde_json::{Value, json};

use crate::lab::{Lab, service_type};

fn findings(lab: &Lab) -> Vec<Finding> {
    lab.world.run(lab.plugin.preflight()).unwrap()
}

fn judged(change: fn(&mut Value)) -> (Severity, String) {
    let mut kind = service_type();
    change(&mut kind);
    let lab = Lab::with(Settings::default(), kind);
    let found = findings(&lab).into_iter().find(|finding| finding.code == "SERVICE_TYPE").unwrap();
    assert_eq!(found.remedy.is_empty(), found.severity == Severity::Ok);
    (found.severity, found.message)
}

#[test]
fn the_shipped_types_are_all_that_is_needed() {
    let lab = Lab::new();
    for name in ["nodes.total", "nodes.ready", "nodes.ready.ratio"] {
        lab.queue.borrow_mut().made("/metric-types", json!({"name": name, "entityType": "Service"}));
    }
    let findings = findings(&lab);
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
}

#[test]
fn what_is_missing_is_named() {
    let (severity, message) = judged(|kind| kind["propertySchema"]["properties"]["nodePools"]["type"] = json!("array"));
    assert!(severity == Severity::Error && message.contains("`nodePools` is of type array"), "{message}");
    let (severity, message) = judged(|kind| kind["propertySchema"]["properties"]["nodes"]["authorizers"] = json!([]));
    assert_eq!(severity, Severity::Ok, "{message}");
    let (severity, message) =
        judged(|kind| kind["propertySchema"]["properties"]["clusterCa"]["type"] = json!("integer"));
    assert_eq!(severity, Severity::Warning);
    assert!(message.contains("`clusterCa` is of type integer, so it is not written"), "{message}");
    let (severity, message) = judged(|kind| kind["propertySchema"]["properties"]["nodes"]["type"] = json!("string"));
    assert!(severity == Severity::Warning && message.contains("`nodes` is of type string"), "{message}");
    let (severity, message) = judged(|kind| {
        kind["propertySchema"]["properties"]["nodes"]["authorizers"][0]["config"]["actors"] = json!(["user"]);
    });
    assert!(severity == Severity::Warning && message.contains("may not write `nodes`"), "{message}");
    let (severity, message) = judged(|kind| {
        kind["propertySchema"]["properties"].as_object_mut().unwrap().remove("kubeconfig");
    });
    assert!(severity == Severity::Warning && message.contains("no property `kubeconfig`"), "{message}");
    let (severity, message) = judged(|kind| {
        kind["lifecycleSchema"]["actions"].as_array_mut().unwrap().retain(|action| action["name"] != "upgrade");
    });
    assert!(severity == Severity::Warning && message.contains("no action upgrade"), "{message}");
    let (severity, message) = judged(|kind| kind["lifecycleSchema"]["terminalStates"] = json!([]));
    assert!(severity == Severity::Error && message.contains("no terminal state"), "{message}");
    let (severity, message) = judged(|kind| {
        let transitions = kind["lifecycleSchema"]["actions"][3]["transitions"].as_array_mut().unwrap();
        transitions.push(json!({"from": "Started", "to": "Error", "onError": true}));
    });
    assert!(severity == Severity::Warning && message.contains("`update` has a transition on error"), "{message}");
}

#[test]
fn missing_metric_types_and_a_disabled_agent_are_warnings() {
    let lab = Lab::new();
    let path = format!("/agents/{}", lab.queue.borrow().agent);
    lab.queue.borrow_mut().admin("PATCH", &path, json!({"status": "Disabled"}));
    let codes: Vec<(String, Severity)> = findings(&lab).into_iter().map(|f| (f.code, f.severity)).collect();
    let expected = [
        ("CORE_REACHABLE", Severity::Ok),
        ("CORE_TOKEN", Severity::Ok),
        ("AGENT_DISABLED", Severity::Warning),
        ("SERVICE_TYPE", Severity::Ok),
        ("METRIC_TYPES", Severity::Warning),
    ];
    assert_eq!(codes, expected.map(|(code, severity)| (code.to_owned(), severity)));
}

#[test]
fn a_dead_token_is_a_finding() {
    let lab = Lab::new();
    lab.queue.borrow_mut().core.fault(Fault::ExpireTokens { name: None });
    let found = findings(&lab);
    assert_eq!((found.len(), found[1].code.as_str(), found[1].severity), (2, "CORE_TOKEN", Severity::Error));
    assert!(found[1].message.starts_with("TOKEN_REFUSED: "), "{:?}", found[1]);
    assert!(found[1].remedy.contains("POST /tokens"), "{:?}", found[1]);
    assert!(!found[1].message.contains("POST /tokens"), "it is said once: {:?}", found[1]);
}

#[test]
fn a_core_that_does_not_answer_is_a_finding() {
    let lab = Lab::new();
    lab.world.http("core", |_| agentkube_sdk::testing::Reply::NotConnected);
    let found = findings(&lab);
    assert_eq!((found.len(), found[0].code.as_str(), found[0].severity), (1, "CORE_UNREACHABLE", Severity::Error));
    lab.world.http("core", |_| agentkube_sdk::testing::empty(502));
    let found = findings(&lab);
    assert_eq!((found[1].code.as_str(), found[1].severity), ("CORE_UNWELL", Severity::Error));
    lab.world.http("core", |_| agentkube_sdk::testing::empty(431));
    let found = findings(&lab);
    assert_eq!(found[1].code, "HTTP_431");
    assert!(!found[1].message.contains("HTTP_431"), "the code is said once: {:?}", found[1]);
    lab.world.http("core", |_| {
        agentkube_sdk::testing::Reply::Fault(Fault_::timeout("ANSWER_TIMEOUT", "no whole answer came in time"))
    });
    assert!(findings(&lab)[0].remedy.starts_with("it takes requests and does not answer in time"), "{:?}", found[0]);
}

#[test]
fn clocks_that_differ_are_a_finding() {
    let lab = Lab::new();
    let served = lab.queue.clone();
    lab.world.http("core", move |sent| {
        let agentkube_sdk::testing::Reply::Answer(mut answer) = served.borrow_mut().forward(sent) else { panic!() };
        answer.headers.push(("date".to_owned(), "Fri, 20 Nov 1970 11:53:20 GMT".to_owned()));
        answer
    });
    let found = findings(&lab).into_iter().find(|finding| finding.code == "CLOCK_SKEW").unwrap();
    assert_eq!(found.severity, Severity::Error, "more than five minutes");
    assert!(found.message.starts_with("Core's clock and ours differ by "), "{}", found.message);
}

#[test]
fn only_an_update_without_error_transitions_loses_nothing() {
    let kind = service_type();
    let update = kind["lifecycleSchema"]["actions"].as_array().unwrap().iter().find(|a| a["name"] == "update").unwrap();
    assert!(update["transitions"].as_array().unwrap().iter().all(|transition| transition.get("onError").is_none()));
}

#[test]
fn every_property_is_documented() {
    let page = include_str!("../../../../docs/fulcrum.md");
    let agent_type: Value = serde_json::from_str(include_str!("../../agent-type.json")).unwrap();
    let config = agentkube_plugin_fulcrum::manifest().config_schema;
    let tables = [
        &service_type()["propertySchema"]["properties"],
        &agent_type["configurationSchema"]["properties"],
        &config["properties"],
        &config["$defs"]["Names"]["properties"],
        &config["$defs"]["Defaults"]["properties"],
    ];
    for name in tables.into_iter().flat_map(|table| table.as_object().unwrap().keys()) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
