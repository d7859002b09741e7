//! Which objects are refused.

use serde_json::Value;

use super::failure::Failure;
use super::kind::Kind;
use super::registry::Target;
use crate::encoding::unbase64;

/// Whether a body belongs to the path it was sent to.
pub fn belongs(kind: &Kind, body: &Value, target: &Target) -> Result<(), Failure> {
    if !body.is_object() {
        return Err(Failure::bad_request("the body is no object"));
    }
    let action = target.subresource.as_deref().is_some_and(|s| s == "scale" || kind.actions.contains(&s));
    for (field, wanted) in [("apiVersion", kind.api_version()), ("kind", kind.kind.clone())] {
        match body[field].as_str() {
            Some(given) if given == wanted || action => {}
            Some(given) => {
                return Err(Failure::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({wanted})"
                )));
            }
            // Typed clients of the built-in kinds leave both out.
            None if !kind.custom => {}
            None => {
                return Err(Failure::bad_request(format!("Object '{field}' is missing in the body")));
            }
        }
    }
    if let (Some(place), Some(given)) = (&target.namespace, body["metadata"]["namespace"].as_str())
        && !given.is_empty()
        && given != place
    {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if let (Some(name), Some(given)) = (&target.name, body["metadata"]["name"].as_str())
        && given != name
    {
        return Err(Failure::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// Checks an object before it is stored; `live` is what it replaces.
pub fn object(kind: &Kind, object: &Value, live: Option<&Value>) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes: Vec<(String, String)> = Vec::new();
    let mut cause = |field: &str, why: String| causes.push((field.to_owned(), why));
    if live.is_none() && !valid_name(kind, name) {
        cause(
            "metadata.name",
            format!(
                "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
            ),
        );
    }
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if !value.as_str().is_some_and(valid_label_value) {
            cause("metadata.labels", format!("Invalid value: {value}: value of label {key:?} is not valid"));
        }
    }
    if let Some(live) = live
        && live["metadata"]["deletionTimestamp"].is_string()
    {
        let had = live["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let new = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if new.iter().any(|finalizer| !had.contains(finalizer)) {
            cause(
                "metadata.finalizers",
                "Forbidden: no new finalizers can be added if the object is being deleted".to_owned(),
            );
        }
    }
    let immutable = |pointer: &str| live.is_some_and(|live| live.pointer(pointer) != object.pointer(pointer));
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "secrets") => {
            for (key, value) in object["data"].as_object().into_iter().flatten() {
                if !value.is_null() && value.as_str().and_then(unbase64).is_none() {
                    return Err(Failure::bad_request(format!(
                        "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at data.{key}"
                    )));
                }
            }
            if immutable("/type") {
                cause("type", "Invalid value: field is immutable".to_owned());
            }
        }
        ("", "configmaps")
            if object["data"].as_object().into_iter().flatten().any(|(_, v)| !v.is_string() && !v.is_null()) =>
        {
            return Err(Failure::bad_request(
                "ConfigMap in version \"v1\" cannot be handled: data holds a value that is no string",
            ));
        }
        ("apps", _) if kind.generation => {
            for field in ["selector", "template"] {
                if !object["spec"][field].is_object() {
                    cause(&format!("spec.{field}"), "Required value".to_owned());
                }
            }
            let labels = &object["spec"]["template"]["metadata"]["labels"];
            for (key, value) in object["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten() {
                if labels.get(key) != Some(value) {
                    cause(
                        "spec.template.metadata.labels",
                        "Invalid value: `selector` does not match template `labels`".to_owned(),
                    );
                }
            }
            if immutable("/spec/selector") {
                cause("spec.selector", "Invalid value: field is immutable".to_owned());
            }
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") if immutable("/roleRef") => {
            cause("roleRef", "Invalid value: cannot change roleRef".to_owned());
        }
        ("certificates.k8s.io", _) => {
            if object["spec"]["request"].as_str().and_then(unbase64).is_none_or(|request| request.is_empty()) {
                cause("spec.request", "Required value".to_owned());
            }
            if object["spec"]["signerName"].as_str().is_none_or(str::is_empty) {
                cause("spec.signerName", "Required value".to_owned());
            }
            if immutable("/spec") {
                cause("spec", "Invalid value: field is immutable".to_owned());
            }
        }
        ("apiextensions.k8s.io", _) => {
            let spec = &object["spec"];
            let wanted = format!(
                "{}.{}",
                spec["names"]["plural"].as_str().unwrap_or_default(),
                spec["group"].as_str().unwrap_or_default()
            );
            if wanted != name {
                cause("metadata.name", format!("Invalid value: {name:?}: must be spec.names.plural+\".\"+spec.group"));
            }
        }
        _ => {}
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&kind.group, &kind.kind, name, &causes)) }
}

fn valid_name(kind: &Kind, name: &str) -> bool {
    if kind.group == "rbac.authorization.k8s.io" || kind.plural == "certificatesigningrequests" {
        return !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    }
    let limit = if kind.plural == "namespaces" || kind.plural == "services" { 63 } else { 253 };
    !name.is_empty() && name.len() <= limit && name.split('.').all(is_label)
}

/// Whether a text is a DNS label of lower-case letters, digits and inner hyphens.
pub fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn valid_label_value(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= 63
            && text.starts_with(plain)
            && text.ends_with(plain)
            && text.chars().all(|c| plain(c) || "-_.".contains(c)))
}
