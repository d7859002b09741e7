//! Get, list and the changes, each one request.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Class, EntryId, Fault};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::policy::{self, Use};
use super::secrets;
use super::status::accepted;
use super::target::{Kind, Target};
use crate::capabilities::http::journalled;
use crate::connections::{Connection, Outgoing};
use crate::state::Context;

/// Most objects of one page.
const PAGE: u32 = 500;

/// One page of objects.
pub(crate) struct Page {
    pub items: Vec<String>,
    pub next: Option<String>,
}

/// How a patch is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Merge,
    Json,
    Strategic,
}

/// What must hold for a change to happen.
pub(crate) struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

pub(crate) async fn get(context: &Context, connection: &str, target: &Target) -> Result<String, Fault> {
    let open = policy::check(&context.core, connection, &on(target, "get", None))?;
    let object = accepted(open.exchange(Outgoing::get(&target.path(None)?, &[])).await?)?;
    secrets::veil(context, connection, &target.kind, object).await
}

pub(crate) async fn list(
    context: &Context,
    connection: &str,
    kind: &Kind,
    namespace: Option<&str>,
    labels: &str,
    limit: u32,
    next: Option<String>,
) -> Result<Page, Fault> {
    let what = Use { verb: "list", kind, subresource: None, namespace, name: None };
    let open = policy::check(&context.core, connection, &what)?;
    let limit = if limit == 0 { PAGE } else { limit.min(PAGE) };
    let mut query = vec![("limit".to_owned(), limit.to_string())];
    if !labels.is_empty() {
        query.push(("labelSelector".to_owned(), labels.to_owned()));
    }
    if let Some(next) = next {
        query.push(("continue".to_owned(), next));
    }
    let body = accepted(open.exchange(Outgoing::get(&kind.path(namespace)?, &query)).await?)?;
    let mut list: Value = serde_json::from_slice(&body).map_err(|_| not_json())?;
    let next = list.pointer("/metadata/continue").and_then(Value::as_str).filter(|next| !next.is_empty());
    let next = next.map(str::to_owned);
    let Some(Value::Array(found)) = list.get_mut("items").map(Value::take) else { return Err(not_json()) };
    let mut items = Vec::with_capacity(found.len());
    for item in found {
        items.push(secrets::veil(context, connection, kind, item.to_string().into_bytes()).await?);
    }
    Ok(Page { items, next })
}

pub(crate) async fn create(
    context: &Context,
    connection: &str,
    target: &Target,
    object: &str,
    entry: EntryId,
) -> Result<String, Fault> {
    let open = policy::check(&context.core, connection, &on(target, "create", None))?;
    let object = parse(target, object)?;
    let path = target.kind.path(target.namespace.as_deref())?;
    let query = written(context);
    change(context, open, Method::POST, path, query, "application/json", object.to_string(), entry).await
}

pub(crate) async fn apply(
    context: &Context,
    connection: &str,
    target: &Target,
    object: &str,
    force: bool,
    entry: EntryId,
) -> Result<String, Fault> {
    let open = policy::check(&context.core, connection, &on(target, "patch", None))?;
    let object = parse(target, object)?;
    let mut query = written(context);
    query.push(("force".to_owned(), force.to_string()));
    let kind = "application/apply-patch+yaml";
    change(context, open, Method::PATCH, target.path(None)?, query, kind, object.to_string(), entry).await
}

#[allow(clippy::too_many_arguments, reason = "the contract's function has as many")]
pub(crate) async fn patch(
    context: &Context,
    connection: &str,
    target: &Target,
    subresource: Option<&str>,
    kind: PatchKind,
    patch: &str,
    preconditions: Preconditions,
    entry: EntryId,
) -> Result<String, Fault> {
    let open = policy::check(&context.core, connection, &on(target, "patch", subresource))?;
    let patch: Value = serde_json::from_str(patch).map_err(|e| Fault::invalid("BAD_PATCH", e.to_string()))?;
    let patch = guarded(patch, kind, preconditions)?;
    let content_type = match kind {
        PatchKind::Merge => "application/merge-patch+json",
        PatchKind::Json => "application/json-patch+json",
        PatchKind::Strategic => "application/strategic-merge-patch+json",
    };
    let query = written(context);
    let path = target.path(subresource)?;
    change(context, open, Method::PATCH, path, query, content_type, patch.to_string(), entry).await
}

pub(crate) async fn delete(
    context: &Context,
    connection: &str,
    target: &Target,
    preconditions: Preconditions,
    propagation: &str,
    entry: EntryId,
) -> Result<(), Fault> {
    let open = policy::check(&context.core, connection, &on(target, "delete", None))?;
    let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation });
    let held = [("uid", preconditions.uid), ("resourceVersion", preconditions.resource_version)];
    let held: serde_json::Map<_, _> =
        held.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?)))).collect();
    if let (false, Some(options)) = (held.is_empty(), options.as_object_mut()) {
        options.insert("preconditions".to_owned(), Value::Object(held));
    }
    let path = target.path(None)?;
    match change(context, open, Method::DELETE, path, Vec::new(), "application/json", options.to_string(), entry).await
    {
        Err(fault) if fault.class != Class::NotFound => Err(fault),
        _ => Ok(()),
    }
}

/// Status and body of a GET.
pub(crate) async fn raw_get(context: &Context, connection: &str, path: &str) -> Result<(u16, String), Fault> {
    let open = policy::check_raw(&context.core, connection, path)?;
    let answer = open.exchange(Outgoing::get(path, &[])).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}

pub(super) fn on<'a>(target: &'a Target, verb: &'a str, subresource: Option<&'a str>) -> Use<'a> {
    let (namespace, name) = (target.namespace.as_deref(), Some(target.name.as_str()));
    Use { verb, kind: &target.kind, subresource, namespace, name }
}

/// A request with an effect: journalled, and finished whatever becomes of the call.
#[allow(clippy::too_many_arguments, reason = "one request, in its parts")]
async fn change(
    context: &Context,
    connection: Arc<Connection>,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    content_type: &'static str,
    body: String,
    entry: EntryId,
) -> Result<String, Fault> {
    let line = format!("{method} {path}");
    let mut out = Outgoing { method, query, body: Bytes::from(body), ..Outgoing::get(&path, &[]) };
    out.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    out.timeout = Some(Duration::from_millis(connection.limits().timeout_ms));
    let (core, holder) = (Arc::clone(&context.core), Arc::clone(&context.holder));
    let exchange = async move { connection.exchange(out).await };
    let body = accepted(journalled(core, holder, entry, line, exchange).await?)?;
    String::from_utf8(body).map_err(|_| not_json())
}

/// The object is what the target says it is: the policy was asked about the target.
pub(super) fn parse(target: &Target, object: &str) -> Result<Value, Fault> {
    let object: Value =
        serde_json::from_str(object).map_err(|e| Fault::invalid("BAD_OBJECT", format!("no JSON: {e}")))?;
    let at = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let version = match target.kind.group.as_str() {
        "" => target.kind.version.clone(),
        group => format!("{group}/{}", target.kind.version),
    };
    let named = at("/metadata/name") == Some(target.name.as_str());
    let placed = at("/metadata/namespace").is_none_or(|namespace| Some(namespace) == target.namespace.as_deref());
    if named && placed && at("/apiVersion") == Some(version.as_str()) {
        return Ok(object);
    }
    Err(Fault::invalid("BAD_OBJECT", "apiVersion, metadata.name and metadata.namespace must be those of the target"))
}

/// The patch with its preconditions within, as values that the server itself compares: a `test` step that fails would be answered
/// 422 like any wrong patch, and not 409.
fn guarded(mut patch: Value, kind: PatchKind, held: Preconditions) -> Result<Value, Fault> {
    let held = [("uid", held.uid), ("resourceVersion", held.resource_version)];
    for (field, value) in held.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        match &mut patch {
            Value::Array(steps) if kind == PatchKind::Json => {
                steps.insert(0, json!({ "op": "replace", "path": format!("/metadata/{field}"), "value": value }));
            }
            Value::Object(fields) if kind != PatchKind::Json => {
                let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
                let Some(metadata) = metadata.as_object_mut() else { return Err(bad_patch()) };
                metadata.insert(field.to_owned(), Value::from(value));
            }
            _ => return Err(bad_patch()),
        }
    }
    Ok(patch)
}

fn bad_patch() -> Fault {
    Fault::invalid("BAD_PATCH", "a JSON patch is a list, every other patch an object")
}

/// Who writes, and that fields which the server does not know are an error: it would drop them, and say so in a header at most.
pub(super) fn written(context: &Context) -> Vec<(String, String)> {
    let pairs =
        [("fieldManager", format!("agentkube-{}", context.core.name)), ("fieldValidation", "Strict".to_owned())];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

pub(super) fn not_json() -> Fault {
    Fault::internal("ANSWER_NOT_JSON", "the API server's answer cannot be understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Preconditions {
        Preconditions { uid: Some("u".into()), resource_version: Some("7".into()) }
    }

    #[test]
    fn preconditions_ride_within_the_patch() {
        let merged = guarded(json!({"metadata": {"labels": {}}}), PatchKind::Merge, held()).unwrap();
        assert_eq!(merged, json!({"metadata": {"labels": {}, "uid": "u", "resourceVersion": "7"}}));
        let steps = guarded(json!([{"op": "remove", "path": "/x"}]), PatchKind::Json, held()).unwrap();
        assert_eq!(steps[0], json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}));
        assert_eq!(steps[2]["op"], "remove");
        assert_eq!(guarded(json!([]), PatchKind::Merge, held()).unwrap_err().code, "BAD_PATCH");
    }

    #[test]
    fn an_object_must_be_the_one_that_policy_was_asked_about() {
        let kind = Kind { group: "apps".into(), version: "v1".into(), plural: "deployments".into() };
        let target = Target { kind, namespace: Some("a".into()), name: "web".into() };
        let object = |version: &str, namespace: &str, name: &str| {
            json!({"apiVersion": version, "metadata": {"name": name, "namespace": namespace}}).to_string()
        };
        parse(&target, &object("apps/v1", "a", "web")).unwrap();
        for (version, namespace, name) in [("v1", "a", "web"), ("apps/v1", "b", "web"), ("apps/v1", "a", "other")] {
            assert!(parse(&target, &object(version, namespace, name)).is_err());
        }
    }
}
