//! What the server fills in when a built-in object is created.

use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::request::Context;
use crate::encoding::base64;

/// Fills in a new object.
pub fn on_create(kind: &Kind, object: &mut Value, context: &Context) {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.clone().into();
    // Kubelets register with a status; everything else starts without one.
    if kind.status
        && kind.plural != "nodes"
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        ("", "secrets") => {
            secrets_as_data(kind, object);
            default(object, "type", json!("Opaque"));
        }
        ("", "pods") => {
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            default(&mut object["spec"], "restartPolicy", json!("Always"));
            default(&mut object["spec"], "serviceAccountName", json!("default"));
        }
        ("", "services") => {
            default(&mut object["spec"], "type", json!("ClusterIP"));
            default(&mut object["spec"], "sessionAffinity", json!("None"));
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                default(port, "protocol", json!("TCP"));
                let number = port["port"].clone();
                default(port, "targetPort", number);
            }
            object["status"] = json!({"loadBalancer": {}});
        }
        ("apps", "deployments" | "statefulsets" | "replicasets") => {
            default(&mut object["spec"], "replicas", json!(1));
            object["status"] = json!({});
        }
        ("apps", "daemonsets") => {
            object["status"] = json!({
                "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
            });
        }
        ("certificates.k8s.io", _) => {
            object["spec"]["username"] = context.user.name.clone().into();
            object["spec"]["groups"] = context.user.groups.clone().into();
            object["status"] = json!({});
        }
        ("apiextensions.k8s.io", _) => {
            let kind = object["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
            let names = &mut object["spec"]["names"];
            default(names, "listKind", format!("{kind}List").into());
            default(names, "singular", kind.to_ascii_lowercase().into());
            default(&mut object["spec"], "conversion", json!({"strategy": "None"}));
        }
        _ => {}
    }
}

/// Turns `stringData` of a Secret into `data`.
pub fn secrets_as_data(kind: &Kind, object: &mut Value) {
    if kind.plural != "secrets" || !kind.group.is_empty() {
        return;
    }
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|map| map.remove("stringData")) else { return };
    if !object["data"].is_object() {
        object["data"] = Value::Object(Map::new());
    }
    for (key, text) in texts {
        object["data"][key] = base64(text.as_str().unwrap_or_default()).into();
    }
}

fn default(object: &mut Value, field: &str, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let Some(map) = object.as_object_mut() {
        map.entry(field.to_owned()).or_insert(value);
    }
}
