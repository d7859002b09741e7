//! How lists and maps of a kind merge: by key, as a set, or as one value.

use serde_json::Value;

use super::kind::Kind;

/// How one value merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Maps merge field by field; scalars are replaced.
    Granular,
    /// The whole value is one.
    Atomic,
    /// A list of scalars, each on its own.
    Set,
    /// A list of objects that these fields tell apart.
    Keyed(Vec<String>),
}

/// The shape of the value at `path` (field names; list items as `[]`) for server-side apply.
pub fn shape(kind: &Kind, path: &[String], value: &Value) -> Shape {
    if let Some(schema) = &kind.schema {
        return from_schema(schema, path, value);
    }
    let last = path.last().map(String::as_str).unwrap_or_default();
    let parent = path.iter().rev().skip(1).find(|p| *p != "[]").map(String::as_str).unwrap_or_default();
    if value.is_array() {
        return match listed(last, parent, path) {
            Some(keys) => Shape::Keyed(keys.iter().map(|k| (*k).to_owned()).collect()),
            None if last == "finalizers" || last == "podCIDRs" => Shape::Set,
            None => Shape::Atomic,
        };
    }
    let whole = match last {
        "nodeSelector" | "labelSelector" | "podSelector" | "namespaceSelector" | "roleRef" | "fieldRef" => true,
        "selector" => path.first().is_some_and(|p| p == "spec"),
        "secretKeyRef" | "configMapKeyRef" | "resourceFieldRef" | "objectRef" | "targetRef" => true,
        _ => false,
    };
    if whole { Shape::Atomic } else { Shape::Granular }
}

/// Keys of a list of a built-in kind, as its Go type declares them.
fn listed(last: &str, parent: &str, path: &[String]) -> Option<&'static [&'static str]> {
    Some(match last {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets" => &["name"],
        "secrets" if path.len() == 1 => &["name"],
        "webhooks" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "conditions" => &["type"],
        "addresses" if parent == "status" => &["type"],
        "ownerReferences" => &["uid"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ports" if ["containers", "initContainers"].contains(&parent) => &["containerPort", "protocol"],
        "ports" if path.len() == 2 => &["port", "protocol"],
        _ => return None,
    })
}

/// The merge key of a list for a strategic merge patch; these differ a little from those of server-side apply.
pub fn merge_key(path: &[String]) -> Option<&'static str> {
    let last = path.last().map(String::as_str).unwrap_or_default();
    let parent = path.iter().rev().skip(1).find(|p| *p != "[]").map(String::as_str).unwrap_or_default();
    match last {
        "taints" => Some("key"),
        _ => listed(last, parent, path).and_then(|keys| keys.first().copied()),
    }
}

fn from_schema(schema: &Value, path: &[String], value: &Value) -> Shape {
    let metadata = path.first().is_some_and(|p| p == "metadata");
    if metadata {
        return match path.last().map(String::as_str) {
            Some("finalizers") => Shape::Set,
            Some("ownerReferences") => Shape::Keyed(vec!["uid".to_owned()]),
            _ if value.is_array() => Shape::Atomic,
            _ => Shape::Granular,
        };
    }
    let mut at = schema;
    for part in path {
        at = if part == "[]" {
            &at["items"]
        } else if at["properties"].get(part).is_some() {
            &at["properties"][part.as_str()]
        } else {
            &at["additionalProperties"]
        };
    }
    if value.is_array() {
        return match at["x-kubernetes-list-type"].as_str() {
            Some("set") => Shape::Set,
            Some("map") => {
                let keys = at["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                Shape::Keyed(keys.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => Shape::Atomic,
        };
    }
    if at["x-kubernetes-map-type"] == "atomic" { Shape::Atomic } else { Shape::Granular }
}

/// The key of a list item: its key fields in order, with the defaults that key fields have.
pub fn item_key(item: &Value, keys: &[String]) -> Value {
    let mut key = serde_json::Map::new();
    for name in keys {
        match item.get(name) {
            Some(value) => {
                key.insert(name.clone(), value.clone());
            }
            None if name == "protocol" => {
                key.insert(name.clone(), "TCP".into());
            }
            None => {}
        }
    }
    Value::Object(key)
}
