//! The data of Secrets as references: a plugin learns which keys there are, never what they hold.

use agentkube_contract::{Fault, Locator, Reference};
use serde_json::Value;

use super::target::Kind;
use crate::state::Context;

/// The object as a plugin may see it.
pub(super) async fn veil(context: &Context, connection: &str, kind: &Kind, object: Vec<u8>) -> Result<String, Fault> {
    let text =
        |object| String::from_utf8(object).map_err(|_| Fault::internal("ANSWER_NOT_JSON", "the answer is no text"));
    if !kind.is_secret() {
        return text(object);
    }
    let mut object: Value =
        serde_json::from_slice(&object).map_err(|_| Fault::internal("ANSWER_NOT_JSON", "the answer is no JSON"))?;
    let at = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (at("/metadata/namespace"), at("/metadata/name"));
    let keys: Vec<String> = match object.get("data").and_then(Value::as_object) {
        Some(data) => data.keys().cloned().collect(),
        None => Vec::new(),
    };
    let mut veiled = serde_json::Map::new();
    for key in keys {
        let locator = Locator::KubeSecret {
            connection: connection.to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            key: key.clone(),
        };
        let Reference(reference) = context.core.services.references.put(&context.holder, &locator).await?;
        veiled.insert(key, Value::String(reference));
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("stringData");
        fields.insert("data".to_owned(), Value::Object(veiled));
    }
    // kubectl keeps the whole object, data and all, in an annotation.
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    Ok(object.to_string())
}
