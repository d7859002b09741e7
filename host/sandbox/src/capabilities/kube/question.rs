//! Questions without an effect: what the server would allow, and what it would answer.

use agentkube_contract::Fault;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::policy;
use super::requests::{not_json, on, parse, written};
use super::secrets;
use super::status::accepted;
use super::target::{Kind, Target};
use crate::connections::Outgoing;
use crate::state::Context;

/// Where a client asks what it may do.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Whether the server would allow it.
pub(crate) async fn may(
    context: &Context,
    connection: &str,
    verb: &str,
    kind: &Kind,
    namespace: Option<&str>,
) -> Result<bool, Fault> {
    let open = policy::check_question(&context.core, connection, verb, kind)?;
    let (plural, subresource) = kind.plural.split_once('/').unwrap_or((&kind.plural, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "verb": verb, "group": kind.group, "version": kind.version, "resource": plural, "subresource": subresource,
            "namespace": namespace.unwrap_or_default(),
        } },
    });
    let body = accepted(open.exchange(post(REVIEWS, Vec::new(), &review)).await?)?;
    let answer: Value = serde_json::from_slice(&body).map_err(|_| not_json())?;
    answer.pointer("/status/allowed").and_then(Value::as_bool).ok_or_else(not_json)
}

/// The object as a `create` would leave it, though it is not made.
pub(crate) async fn rehearse(
    context: &Context,
    connection: &str,
    target: &Target,
    object: &str,
) -> Result<String, Fault> {
    let open = policy::check(&context.core, connection, &on(target, "create", None))?;
    let object = parse(target, object)?;
    let path = target.kind.path(target.namespace.as_deref())?;
    let mut query = written(context);
    query.push(("dryRun".to_owned(), "All".to_owned()));
    let body = accepted(open.exchange(post(&path, query, &object)).await?)?;
    secrets::veil(context, connection, &target.kind, body).await
}

fn post(path: &str, query: Vec<(String, String)>, object: &Value) -> Outgoing {
    let mut out =
        Outgoing { method: Method::POST, query, body: Bytes::from(object.to_string()), ..Outgoing::get(path, &[]) };
    out.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out
}
