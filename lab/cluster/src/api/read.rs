//! get and list.

use std::sync::Arc;

use lab_wire::{Millis, Request, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::kind::Kind;
use super::registry::Target;
use super::selector::Selector;
use super::server::ApiServer;
use super::table;
use crate::encoding::{base64url, unbase64url};

/// How the client wants objects shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As they are.
    Whole,
    /// As a `Table`.
    Table,
    /// Only their metadata.
    Metadata,
}

impl Shown {
    /// By the `Accept` header: the first form that is understood.
    pub fn asked(request: &Request) -> Result<Self, Failure> {
        let accept = request.header_value("accept").unwrap_or("*/*");
        for item in accept.split(',').map(str::trim) {
            let is = |part: &str| item.split(';').any(|p| p.trim() == part);
            match item.split(';').next().unwrap_or_default() {
                "application/json" if is("as=Table") && is("v=v1") => return Ok(Shown::Table),
                "application/json" if is("as=PartialObjectMetadata") || is("as=PartialObjectMetadataList") => {
                    return Ok(Shown::Metadata);
                }
                "application/json" | "*/*" | "application/*" | "" if !item.contains("as=") => return Ok(Shown::Whole),
                _ => {}
            }
        }
        Err(Failure::new(406, "NotAcceptable", "only the following media types are accepted: application/json"))
    }
}

impl ApiServer {
    pub(super) fn read(&self, request: &Request, target: &Target, now: Millis) -> Result<Response, Failure> {
        let object = self.live(target)?;
        if target.subresource.as_deref() == Some("scale") {
            return Ok(Response::json(200, &scale_of(&target.kind, object)));
        }
        self.show(request, &target.kind, object, 200, now)
    }

    /// The object that a target names.
    pub(super) fn live(&self, target: &Target) -> Result<&Arc<Value>, Failure> {
        let (namespace, name) =
            (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
        self.store
            .get(&target.kind.resource(), namespace, name)
            .ok_or_else(|| Failure::not_found(&target.kind.group, &target.kind.plural, name))
    }

    /// One object as the client wants to see it.
    pub(super) fn show(
        &self,
        request: &Request,
        kind: &Kind,
        object: &Value,
        status: u16,
        now: Millis,
    ) -> Result<Response, Failure> {
        let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        Ok(match Shown::asked(request)? {
            Shown::Whole => Response::json(status, &versioned(kind, object)),
            Shown::Metadata => Response::json(status, &metadata_of(object)),
            Shown::Table => {
                let mut table = table::table(kind, &[object], now, request.query_value("includeObject"));
                table["metadata"] = json!({"resourceVersion": revision});
                Response::json(status, &table)
            }
        })
    }

    pub(super) fn list(
        &self,
        request: &Request,
        target: &Target,
        selector: &Selector,
        now: Millis,
    ) -> Result<Response, Failure> {
        let (kind, revision) = (&target.kind, self.store.revision());
        self.check_revision(request.query_value("resourceVersion"), request)?;
        let (revision, start) = match request.query_value("continue").filter(|token| !token.is_empty()) {
            Some(token) => {
                let (revision, start) = continued(token)?;
                if revision < self.store.compacted() {
                    return Err(Failure::expired(
                        "The provided continue parameter is too old to display a consistent list result.",
                    ));
                }
                (revision, Some(start))
            }
            None => (revision, None),
        };
        let limit = request.query_value("limit").and_then(|l| l.parse::<usize>().ok()).filter(|l| *l > 0);
        let mut found = self
            .store
            .list(&kind.resource(), target.namespace.as_deref())
            .filter(|(key, object)| start.as_ref().is_none_or(|start| *key > start) && selector.matches(object));
        let mut page = Vec::new();
        let mut last = None;
        for (key, object) in found.by_ref().take(limit.unwrap_or(usize::MAX)) {
            page.push(&**object);
            last = Some(key);
        }
        let rest = found.count();
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if let (Some((namespace, name)), true) = (last, rest > 0) {
            metadata["continue"] =
                base64url(json!({"v": 1, "rv": revision, "at": [namespace, name]}).to_string()).into();
            metadata["remainingItemCount"] = rest.into();
        }
        let mut body = match Shown::asked(request)? {
            Shown::Table => table::table(kind, &page, now, request.query_value("includeObject")),
            Shown::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "items": page.into_iter().map(metadata_of).collect::<Vec<_>>(),
            }),
            Shown::Whole => json!({
                "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
                "items": page.into_iter().map(|object| versioned(kind, object)).collect::<Vec<_>>(),
            }),
        };
        body["metadata"] = metadata;
        Ok(Response::json(200, &body))
    }

    /// Refuses a resource version from the future, or one that must be met exactly and is forgotten.
    fn check_revision(&self, asked: Option<&str>, request: &Request) -> Result<(), Failure> {
        let Some(asked) = asked.filter(|asked| !asked.is_empty() && *asked != "0") else { return Ok(()) };
        let number: u64 =
            asked.parse().map_err(|_| Failure::bad_request(format!("invalid resource version {asked:?}")))?;
        if number > self.store.revision() {
            return Err(too_large(number, self.store.revision()));
        }
        if request.query_value("resourceVersionMatch") == Some("Exact") && number < self.store.revision() {
            return Err(Failure::expired(format!("The resourceVersion for the provided list is too old: {number}")));
        }
        Ok(())
    }
}

/// The refusal of a resource version from the future.
pub fn too_large(asked: u64, current: u64) -> Failure {
    Failure::new(504, "Timeout", format!("Too large resource version: {asked}, current: {current}"))
        .causes(vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})])
}

/// An object in the version in which it was asked for.
pub fn versioned(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.clone().into();
    object
}

/// An object as `PartialObjectMetadata`.
pub fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// The scale subresource of an object.
pub fn scale_of(kind: &Kind, object: &Value) -> Value {
    let pointer = |path: &str| object.pointer(path).cloned().unwrap_or(Value::Null);
    let (wanted, seen, selector) = kind.scale.clone().unwrap_or_default();
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let labels = |value: &Value| -> String {
        let pairs = value["matchLabels"].as_object().into_iter().flatten();
        pairs.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",")
    };
    let selector = pointer(&selector);
    let selector = selector.as_str().map_or_else(|| labels(&selector), str::to_owned);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": pointer(&wanted).as_i64().unwrap_or(0)},
        "status": {"replicas": pointer(&seen).as_i64().unwrap_or(0), "selector": selector},
    })
}

fn continued(token: &str) -> Result<(u64, (String, String)), Failure> {
    let invalid = || Failure::bad_request("continue key is not valid");
    let value: Value = unbase64url(token).and_then(|b| serde_json::from_slice(&b).ok()).ok_or_else(invalid)?;
    let text = |i: usize| value["at"][i].as_str().map(str::to_owned).ok_or_else(invalid);
    Ok((value["rv"].as_u64().ok_or_else(invalid)?, (text(0)?, text(1)?)))
}
