//! Whose an object is: labels to find it by, annotations that say it exactly.

use agentkube_sdk::prelude::*;
use serde_json::{Value, json};

/// Label and annotation: the installation.
pub const INSTALLATION: &str = "agentkube.dev/installation";
/// Label: the cluster's name.
const CLUSTER: &str = "agentkube.dev/cluster";
/// Annotation: the job source.
const SOURCE: &str = "agentkube.dev/source";
/// Annotation: the service's id there.
const SERVICE: &str = "agentkube.dev/service";
/// Annotation: the display name, for people.
const DISPLAY_NAME: &str = "agentkube.dev/display-name";
/// Annotation: replicas to wake up to.
pub const REPLICAS: &str = "agentkube.dev/replicas";

/// Metadata of an object of this owner.
pub fn metadata(owner: &Owner, namespace: Option<&str>, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": { INSTALLATION: owner.installation, CLUSTER: owner.cluster },
        "annotations": {
            INSTALLATION: owner.installation,
            SOURCE: owner.source,
            SERVICE: owner.service,
            DISPLAY_NAME: owner.display_name,
        },
    });
    if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    metadata
}

/// The owner that the mark names; `None` when the object carries no mark of ours.
pub fn read(object: &Value) -> Option<Owner> {
    let text = |name: &str| annotation(object, name).map(str::to_owned);
    Some(Owner {
        installation: text(INSTALLATION)?,
        source: text(SOURCE)?,
        service: text(SERVICE)?,
        cluster: object.pointer("/metadata/labels")?.get(CLUSTER)?.as_str()?.to_owned(),
        display_name: text(DISPLAY_NAME).unwrap_or_default(),
    })
}

/// Fails unless the object carries this owner's mark.
pub fn prove(object: &Value, owner: &Owner) -> Result<()> {
    let found = read(object);
    if found.as_ref().is_some_and(|found| found.is(&owner.installation, &owner.source, &owner.service)) {
        return Ok(());
    }
    let whose = match found {
        Some(found) => {
            format!("it belongs to {} of {} in installation {}", found.service, found.source, found.installation)
        }
        None => "it carries no mark of ours".to_owned(),
    };
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("object");
    Err(Fault::conflict("FOREIGN_CONTROL_PLANE", format!("{kind} {} exists and is not ours: {whose}", name(object)))
        .scope(Scope::Machine))
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// The object's name.
pub fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// The object's uid.
pub fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

/// The object's resourceVersion.
pub fn version(object: &Value) -> &str {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
}
