//! Endpoints and parameters against the published schema, which `AGENTKUBE_CONTRACTS` names the folder of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lab_pve::{Kind, Param, Release, served};
use serde_json::Value;

/// Words and parameters that a release has less or more of than the lab's one table, with what the lab does instead.
const KNOWN: &[(Release, &str, &str)] = &[
    // Dropped with 9.0 (QEMU no longer has it); the lab has no such storage.
    (Release::V8_4, "GET /storage type", "lacks glusterfs"),
    // The handler refuses it before 9.
    (Release::V8_4, "GET /nodes/{node}/rrddata timeframe", "has decade"),
    (Release::V8_4, "GET /nodes/{node}/network type", "has fabric"),
    (Release::V8_4, "GET /nodes/{node}/network type", "has include_sdn"),
];

#[test]
fn served_endpoints_are_those_of_the_schema() {
    let Ok(folder) = std::env::var("AGENTKUBE_CONTRACTS") else {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"contract checks NOT RUN\n");
        return;
    };
    let mut violations = Vec::new();
    for (release, file) in [(Release::V8_4, "pve-apidoc-8.4.json"), (Release::V9_1, "pve-apidoc-9.1.json")] {
        let text = std::fs::read_to_string(Path::new(&folder).join("proxmox").join(file)).expect("the schema file");
        let mut operations = BTreeMap::new();
        collect(&serde_json::from_str(&text).expect("JSON"), &mut operations);
        for endpoint in served() {
            let name = format!("{} {}", endpoint.method, endpoint.path);
            let Some(properties) = operations.get(&name) else {
                violations.push((release, name, "is no endpoint".to_owned()));
                continue;
            };
            let of_release = |param: &&Param| param.since.is_none_or(|since| release >= since);
            let params: Vec<&Param> = endpoint.params.iter().filter(of_release).collect();
            for param in &params {
                match properties.get(param.name) {
                    None => violations.push((release, format!("{name} {}", param.name), "is no parameter".to_owned())),
                    Some(schema) => compare(release, &format!("{name} {}", param.name), param, schema, &mut violations),
                }
            }
            let mine: BTreeSet<&str> = params.iter().map(|param| param.name).collect();
            // The proxy adds the temporary file, the storage is in the path already, and a thin lab has no storages in
            // pools and does not tune running migrations.
            let left_out = ["tmpfilename", "nets-host-mtu", "storage", "statusfilter"];
            for missing in
                properties.keys().filter(|key| !mine.contains(key.as_str()) && !left_out.contains(&key.as_str()))
            {
                violations.push((release, format!("{name} {missing}"), "is not served".to_owned()));
            }
        }
    }
    violations.retain(|(release, place, what)| {
        !KNOWN.iter().any(|(known, at, text)| known == release && at == place && text == what)
    });
    assert!(violations.is_empty(), "{violations:#?}");
}

fn collect(nodes: &Value, into: &mut BTreeMap<String, serde_json::Map<String, Value>>) {
    for node in nodes.as_array().into_iter().flatten() {
        let path = node["path"].as_str().unwrap_or_default();
        for (method, info) in node["info"].as_object().into_iter().flatten() {
            let properties = info["parameters"]["properties"].as_object().cloned().unwrap_or_default();
            into.insert(format!("{method} {path}"), properties);
        }
        collect(&node["children"], into);
    }
}

fn compare(release: Release, place: &str, param: &Param, schema: &Value, into: &mut Vec<(Release, String, String)>) {
    let mut say = |what: String| into.push((release, place.to_owned(), what));
    let optional = schema["optional"] == 1;
    if optional != param.optional {
        say(format!("optional is {optional}"));
    }
    let kind = schema["type"].as_str().unwrap_or("string");
    let number = |key: &str| match &schema[key] {
        Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    let mine = match param.kind {
        Kind::Integer(low, high) => {
            if number("minimum").is_some_and(|minimum| minimum != low as f64) {
                say(format!("minimum is not {low}"));
            }
            if number("maximum").is_some_and(|maximum| maximum != high as f64) {
                say(format!("maximum is not {high}"));
            }
            "integer"
        }
        Kind::Number(..) => "number",
        Kind::Boolean => "boolean",
        Kind::List => "array",
        Kind::Short(limit) => {
            if schema["maxLength"].as_u64() != Some(limit as u64) {
                say(format!("maxLength is not {limit}"));
            }
            "string"
        }
        Kind::Word(words) => {
            let theirs: BTreeSet<&str> =
                schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mine: BTreeSet<&str> = words.iter().copied().collect();
            for word in mine.difference(&theirs) {
                say(format!("has {word}"));
            }
            for word in theirs.difference(&mine) {
                say(format!("lacks {word}"));
            }
            "string"
        }
        Kind::Properties(shape) => {
            let theirs = schema["format"].as_object();
            for (key, _) in shape.keys.iter().filter(|(key, _)| theirs.is_some_and(|keys| !keys.contains_key(*key))) {
                // One shape serves every bus: each has a few keys that others lack.
                let bus_specific =
                    ["model", "iothread", "queues", "ro", "scsiblock", "ssd", "wwn", "shared", "snapshot"];
                if !bus_specific.contains(key) {
                    say(format!("has key {key}"));
                }
            }
            "string"
        }
        Kind::Text | Kind::Format(_) => "string",
    };
    if mine != kind {
        say(format!("type is {kind}"));
    }
}
