//! Structural schemas of custom kinds: pruning, defaults, validation.

use serde_json::{Map, Value};

use super::failure::Failure;
use super::kind::Kind;

/// Prunes unknown fields (with `strict` they are an error), fills in defaults, and validates.
pub fn settle(kind: &Kind, schema: &Value, object: &mut Value, strict: bool) -> Result<(), Failure> {
    let mut unknown = Vec::new();
    let mut causes = Vec::new();
    // apiVersion, kind and metadata are the server's own and in no need of a schema.
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        if ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            continue;
        }
        match object.get_mut(name) {
            Some(value) => {
                prune(part, value, name, &mut unknown);
                fill(part, value);
                check(part, value, name, &mut causes);
            }
            None => {
                if let Some(default) = part.get("default") {
                    let mut value = default.clone();
                    fill(part, &mut value);
                    object[name.as_str()] = value;
                } else if required(schema).any(|field| field == name) {
                    causes.push((name.clone(), "Required value".to_owned()));
                }
            }
        }
    }
    if let Some(map) = object.as_object_mut()
        && schema["x-kubernetes-preserve-unknown-fields"] != true
    {
        let known = |k: &str| ["apiVersion", "kind", "metadata"].contains(&k) || schema["properties"].get(k).is_some();
        unknown.extend(map.keys().filter(|k| !known(k)).cloned());
        map.retain(|k, _| known(k));
    }
    if strict && !unknown.is_empty() {
        let list: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        let (version, kind) = (&kind.version, &kind.kind);
        return Err(Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            list.join(", ")
        )));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&kind.group, &kind.kind, object["metadata"]["name"].as_str().unwrap_or_default(), &causes))
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn prune(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(map) => {
            if let Some(properties) = schema["properties"].as_object() {
                unknown.extend(map.keys().filter(|k| !properties.contains_key(*k)).map(|k| format!("{path}.{k}")));
                map.retain(|key, _| properties.contains_key(key));
                for (key, child) in map.iter_mut() {
                    if let Some(part) = properties.get(key) {
                        prune(part, child, &format!("{path}.{key}"), unknown);
                    }
                }
            } else if schema["additionalProperties"].is_object() {
                for (key, child) in map.iter_mut() {
                    prune(&schema["additionalProperties"], child, &format!("{path}.{key}"), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                prune(&schema["items"], item, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, part) in schema["properties"].as_object().into_iter().flatten() {
                if !map.contains_key(name)
                    && let Some(default) = part.get("default")
                {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(child) = map.get_mut(name) {
                    fill(part, child);
                }
            }
            if schema["additionalProperties"].is_object() {
                map.values_mut().for_each(|child| fill(&schema["additionalProperties"], child));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<(String, String)>) {
    let mut cause = |why: String| causes.push((path.to_owned(), why));
    if value.is_null() {
        return;
    }
    if schema["x-kubernetes-int-or-string"] == true {
        if !value.is_i64() && !value.is_string() {
            cause(format!("Invalid value: {value}: must be an integer or a string"));
        }
        return;
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        let wanted = schema["type"].as_str().unwrap_or_default();
        cause(format!("Invalid value: {value}: must be of type {wanted}"));
        return;
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        let list: Vec<String> = choices.iter().map(Value::to_string).collect();
        cause(format!("Unsupported value: {value}: supported values: {}", list.join(", ")));
    }
    if let Some(number) = value.as_f64() {
        if schema["minimum"].as_f64().is_some_and(|least| number < least) {
            cause(format!("Invalid value: {value}: should be greater than or equal to {}", schema["minimum"]));
        }
        if schema["maximum"].as_f64().is_some_and(|most| number > most) {
            cause(format!("Invalid value: {value}: should be less than or equal to {}", schema["maximum"]));
        }
    }
    if let Some(text) = value.as_str()
        && schema["minLength"].as_u64().is_some_and(|least| (text.chars().count() as u64) < least)
    {
        cause(format!("Invalid value: {value}: should be at least {} chars long", schema["minLength"]));
    }
    match value {
        Value::Object(map) => check_map(schema, map, path, causes),
        Value::Array(items) => {
            if schema["maxItems"].as_u64().is_some_and(|most| items.len() as u64 > most) {
                causes.push((path.to_owned(), format!("Too many: must have at most {} items", schema["maxItems"])));
            }
            if schema["minItems"].as_u64().is_some_and(|least| (items.len() as u64) < least) {
                causes.push((
                    path.to_owned(),
                    format!("Invalid value: should have at least {} items", schema["minItems"]),
                ));
            }
            for (i, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{i}]"), causes);
            }
        }
        _ => {}
    }
}

fn check_map(schema: &Value, map: &Map<String, Value>, path: &str, causes: &mut Vec<(String, String)>) {
    for field in required(schema).filter(|field| !map.contains_key(*field)) {
        causes.push((format!("{path}.{field}"), "Required value".to_owned()));
    }
    for (key, child) in map {
        let part = match schema["properties"].get(key) {
            Some(part) => part,
            None => &schema["additionalProperties"],
        };
        check(part, child, &format!("{path}.{key}"), causes);
    }
}
