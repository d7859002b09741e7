//! Every kind of answer that Core gives: what recordings of it are checked by.

mod lab;

use lab::Lab;
use serde_json::{Value, json};

#[test]
fn every_kind_of_answer_is_given() {
    let mut lab = Lab::new();
    lab.made("/metric-types", json!({"name": "cpu", "entityType": "Resource"}));
    let sites = lab.made("/service-option-types", json!({"name": "Sites", "type": "site", "description": "d"}));
    let option = json!({"providerId": lab.provider, "serviceOptionTypeId": sites, "name": "DC 1", "value": "dc1"});
    lab.made("/service-options", option);
    let service = lab.started();
    let entry = json!({"serviceId": service, "resourceId": "n", "value": 1, "typeName": "cpu"});
    assert_eq!(lab.agent("POST", "/metric-entries", entry).status, 201);
    for path in [
        "/agents",
        "/agent-types",
        "/events",
        "/jobs",
        "/metric-entries",
        "/metric-types",
        "/participants",
        "/service-groups",
        "/service-options",
        "/service-option-types",
        "/service-types",
        "/services",
        "/tokens",
    ] {
        let page = lab.admin("GET", &format!("{path}?pageSize=100"), Value::Null).value();
        let items = page["items"].as_array().unwrap().clone();
        assert!(!items.is_empty(), "{path}");
        for item in items.iter().filter(|_| path != "/events" && path != "/metric-entries") {
            let one = lab.admin("GET", &format!("{path}/{}", item["id"].as_str().unwrap()), Value::Null).value();
            assert_eq!(one["id"], item["id"], "{path}");
        }
    }
    lab.ordered();
    assert_eq!(lab.pending().len(), 1);
    let install = format!("/agents/{}/install-command", lab.agent);
    assert_eq!(lab.agent("GET", "/agents/me", Value::Null).value()["id"], json!(lab.agent));
    assert_eq!(lab.admin("POST", &install, Value::Null).status, 201);
    assert_eq!(lab.admin("GET", &install, Value::Null).status, 200);
    assert_eq!(lab.order(json!({})).value()["valid"], false);
    assert_eq!(lab.agent("GET", "/events", Value::Null).status, 403);
}
