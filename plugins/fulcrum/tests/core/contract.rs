//! Every request, and the shipped types, against Core's published schemas, where the folder that `AGENTKUBE_CONTRACTS` names holds
//! them.

use agentkube_sdk::JobSource;
use agentkube_sdk::job_source::Health;
use agentkube_sdk::observed::Sample;
use agentkube_sdk::testing::Sent;
use serde_json::{Value, json};

use crate::lab::{Lab, failed, service_type, wanted};

struct Contract(Value);

impl Contract {
    fn read() -> Option<Self> {
        let Ok(folder) = std::env::var("AGENTKUBE_CONTRACTS") else {
            // A passing test swallows what the print macros say; the handle itself is heard.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"contract checks NOT RUN\n");
            return None;
        };
        let text = std::fs::read_to_string(format!("{folder}/fulcrum/openapi.yaml")).unwrap();
        Some(Contract(serde_saphyr::from_str(&text).unwrap()))
    }

    /// What is wrong with a value.
    fn mistakes(&self, schema: &Value, value: &Value) -> Vec<String> {
        let schema = json!({"allOf": [schema], "components": self.0["components"]});
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn named(&self, name: &str, value: &Value) -> Vec<String> {
        self.mistakes(&json!({"$ref": format!("#/components/schemas/{name}")}), value)
    }

    /// What is wrong with a request.
    fn violations(&self, sent: &Sent) -> Vec<String> {
        let path = sent.path().strip_prefix("/api/v1").unwrap();
        let fits = |template: &str| {
            let (parts, given) = (template.split('/'), path.split('/'));
            parts.clone().count() == given.clone().count()
                && parts.zip(given).all(|(part, given)| part == given || part.starts_with('{'))
        };
        let paths = self.0["paths"].as_object().unwrap();
        let exact = paths.get_key_value(path);
        let Some((template, item)) = exact.or_else(|| paths.iter().find(|(template, _)| fits(template))) else {
            return vec![format!("{path}: no such path")];
        };
        let Some(operation) = item.get(sent.method().to_lowercase()) else {
            return vec![format!("{template}: no {}", sent.method())];
        };
        let mut found = Vec::new();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for (name, _) in sent.queries() {
            let known = parameters.iter().any(|parameter| parameter["name"] == json!(name));
            if !known {
                found.push(format!("{template}: no parameter {name}"));
            }
        }
        match operation.pointer("/requestBody/content/application~1json/schema") {
            Some(schema) => {
                found.extend(self.mistakes(schema, &sent.json()).into_iter().map(|text| format!("{template}: {text}")));
            }
            None if !sent.body().is_empty() => found.push(format!("{template}: takes no body")),
            None => {}
        }
        found
    }
}

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
fn requests_have_the_published_shapes() {
    let Some(contract) = Contract::read() else { return };
    let requests = requests();
    let needs = &agentkube_plugin_fulcrum::manifest().needs.http[0].requests;
    for need in needs {
        let sent = requests.iter().any(|sent| need.matches(sent.method(), sent.path()));
        assert!(sent, "the manifest asks for {} {}, which is never sent", need.method, need.path);
    }
    let found: Vec<String> = requests.iter().flat_map(|sent| contract.violations(sent)).collect();
    assert!(found.is_empty(), "{found:#?}");
    // The check itself can fail.
    let failure = json!({"errorMessage": 1});
    assert_eq!(contract.named("FailJobReq", &failure).len(), 1);
}

#[test]
fn the_shipped_types_have_the_published_shapes() {
    let Some(contract) = Contract::read() else { return };
    let agent_type: Value = serde_json::from_str(include_str!("../../agent-type.json")).unwrap();
    let found =
        [contract.named("CreateServiceTypeReq", &service_type()), contract.named("CreateAgentTypeReq", &agent_type)];
    assert!(found.iter().all(Vec::is_empty), "{found:#?}");
}
