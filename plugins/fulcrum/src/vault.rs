//! Secrets of Core's vault: `vault://` texts become references of the host; the values never come here.

use std::collections::BTreeMap;

use agentkube_sdk::{Fault, Reference, Result, fan_out, log};
use serde_json::Value;

use crate::api::{Core, refusal};

const PREFIX: &str = "vault://";

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// Whether a text stands for a secret.
pub fn is_reference(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Puts a host's reference in the place of every `vault://` text within the values, at any depth; null where the secret is gone,
/// as that of an ephemeral property is after its first job.
pub async fn capture(core: &Core, values: Vec<&mut Value>) -> Result<()> {
    let mut found = BTreeMap::new();
    for value in &values {
        collect(value, &mut found);
    }
    let names: Vec<String> = found.into_keys().collect();
    let references = fan_out(AT_ONCE, names.iter().map(|name| one(core, name))).await;
    let mut known = BTreeMap::new();
    for (name, reference) in names.iter().zip(references) {
        known.insert(name.as_str(), reference?);
    }
    for value in values {
        put(value, &known);
    }
    Ok(())
}

/// The reference of one secret.
async fn one(core: &Core, name: &str) -> Result<Option<Reference>> {
    // Core makes UUIDs; anything else was written by somebody.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain || name.is_empty() || name.len() > 64 {
        return Ok(None);
    }
    let path = agentkube_sdk::path!("vault", "secrets", name);
    let answer = core.get(&path).capture("/value").send().await?;
    match answer.status {
        200 => {
            let body: Value = answer.json()?;
            Ok(body.get("value").and_then(Value::as_str).map(str::to_owned))
        }
        404 => Ok(None),
        // A Core without an encryption key panics here, and will the next time too.
        500 if answer.body.is_empty() => {
            log::warn("Core has no vault (FULCRUM_VAULT_ENCRYPTION_KEY): a secret counts as absent", &[]);
            Ok(None)
        }
        // What Core says may name the secret, so only the status is told.
        status => Err(Fault { message: format!("the vault answered {status}"), ..refusal(&answer) }),
    }
}

fn collect(value: &Value, found: &mut BTreeMap<String, ()>) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(PREFIX) {
                found.insert(name.to_owned(), ());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(object) => object.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn put(value: &mut Value, known: &BTreeMap<&str, Option<Reference>>) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(PREFIX) {
                *value = known.get(name).cloned().flatten().map_or(Value::Null, Value::String);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, known)),
        Value::Object(object) => object.values_mut().for_each(|value| put(value, known)),
        _ => {}
    }
}

/// The same values without any text that stands for a secret.
pub fn without(mut value: Value) -> Value {
    put(&mut value, &BTreeMap::new());
    value
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::testing::{World, answer, empty};
    use serde_json::json;

    use super::*;

    const KEPT: &str = "993f5d74-0000-4000-a000-000000000001";
    const GONE: &str = "993f5d74-0000-4000-a000-000000000002";

    #[test]
    fn secrets_become_references_and_lost_ones_null() {
        let world = World::new();
        world.http("core", |request| match request.path().rsplit('/').next() {
            Some(KEPT) => answer(200, json!({"value": "s3cret"})),
            _ => empty(404),
        });
        let kept = format!("vault://{KEPT}");
        let mut value = json!({"a": [kept, format!("vault://{GONE}")], "b": {"c": kept}, "d": "vault://../x", "e": 1});
        world.run(capture(&Core::new("core"), vec![&mut value])).unwrap();
        let reference = value["a"][0].as_str().unwrap().to_owned();
        assert_eq!(world.value(&reference).as_deref(), Some("s3cret"));
        assert_eq!(value, json!({"a": [reference, null], "b": {"c": reference}, "d": null, "e": 1}));
        assert_eq!(world.sent("GET", "/api/v1/vault/secrets/*"), 2, "each secret once");
    }

    #[test]
    fn a_core_without_a_vault_has_no_secrets_and_a_sick_one_is_asked_again() {
        for (status, body, absent) in [(500, "", true), (503, "<html>", false)] {
            let world = World::new();
            world.http("core", move |_| agentkube_sdk::http::Response { body: body.into(), ..empty(status) });
            let mut value = json!(format!("vault://{KEPT}"));
            let result = world.run(capture(&Core::new("core"), vec![&mut value]));
            assert_eq!(result.is_ok(), absent);
            assert!(result.err().is_none_or(|fault| fault.is_transient() && !fault.message.contains(KEPT)));
        }
    }
}
