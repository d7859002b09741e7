//! Requests to a tenant's API server: JSON in, JSON out, with every failure classified.

use std::sync::Arc;

use agentkube_contract::{Clock, Outcome};
use http::Method;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde_json::Value;

use crate::session::{Session, Sessions};
use crate::{Error, Result, TenantSettings};

/// Longest answer that is read, in bytes.
const LIMIT: usize = 16 << 20;
/// Who we are in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "agentkube";

/// One tenant's API server.
pub(crate) struct Api {
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: TenantSettings,
}

impl Api {
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        json(path, &self.send(Method::GET, path, None).await?)
    }

    /// The object, or `None` when there is none.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        absent(self.get(path).await)
    }

    pub(crate) async fn text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.send(Method::GET, path, None).await?).into_owned())
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        json(path, &self.send(Method::POST, path, Some(("application/json", object))).await?)
    }

    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        json(path, &self.send(Method::PATCH, path, Some(("application/merge-patch+json", patch))).await?)
    }

    /// Server-side apply, as the owner of what is said.
    pub(crate) async fn apply(&self, path: &str, object: &Value) -> Result<Value> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        json(&path, &self.send(Method::PATCH, &path, Some(("application/apply-patch+yaml", object))).await?)
    }

    /// Deletes; false when there was nothing.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<bool> {
        let answer = self.send(Method::DELETE, path, Some(("application/json", options))).await;
        Ok(absent(answer)?.is_some())
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Vec<u8>> {
        let session = self.sessions.current();
        match self.once(&session, &method, path, body).await {
            Err(error) if error.status() == Some(401) => match self.sessions.renew(&session).await? {
                Some(renewed) => self.once(&renewed, &method, path, body).await,
                None => Err(error),
            },
            // A server that is not trusted any more may have new keys: the kubeconfig says so. What had an effect is not repeated.
            Err(error @ Error::Transport { .. }) => match self.sessions.renew(&session).await {
                Ok(Some(renewed)) if method == Method::GET => self.once(&renewed, &method, path, body).await,
                _ => Err(error),
            },
            answer => answer,
        }
    }

    async fn once(
        &self,
        session: &Session,
        method: &Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Vec<u8>> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let mutating = method != Method::GET;
        let unanswered = |message: String, timeout| Error::Transport {
            message: format!("{what}: {message}"),
            outcome: if mutating { Outcome::Unknown } else { Outcome::NotApplied },
            timeout,
        };
        let mut request = http::Request::builder().method(method).uri(path).header("accept", "application/json");
        let mut bytes = Vec::new();
        if let Some((kind, value)) = body {
            request = request.header("content-type", kind);
            bytes = value.to_string().into_bytes();
        }
        let request = request.body(Body::from(bytes)).map_err(|error| Error::Setting(format!("{what}: {error}")))?;
        let exchange = async {
            let answer = session.client.send(request).await.map_err(|error| unanswered(chain(&error), false))?;
            let (parts, body) = answer.into_parts();
            let body =
                Limited::new(body, LIMIT).collect().await.map_err(|error| unanswered(error.to_string(), false))?;
            Ok::<_, Error>((parts, body.to_bytes().to_vec()))
        };
        let limit = self.settings.request_timeout();
        let (parts, body) = tokio::time::timeout(limit, exchange)
            .await
            .map_err(|_| unanswered(format!("no answer within {} ms", limit.as_millis()), true))??;
        if parts.status.is_success() {
            return Ok(body);
        }
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default();
        let retry_after = parts.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        Err(Error::Status {
            what,
            status: parts.status.as_u16(),
            reason: clip(said("reason"), 60),
            message: clip(said("message"), 300),
            retry_after_ms: retry_after.map(|seconds| seconds.saturating_mul(1000)),
            mutating,
        })
    }
}

fn json(path: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::Transport {
        message: format!("{path}: the answer is no JSON: {error}"),
        outcome: Outcome::Unknown,
        timeout: false,
    })
}

fn absent<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.status() == Some(404) => Ok(None),
        answer => answer.map(Some),
    }
}

/// A text that the cluster wrote, for a message.
pub(crate) fn clip(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    clip(&text, 400)
}

/// A path segment made from a name that a cluster or an operator wrote; anything that would change the path is refused.
pub(crate) fn segment(name: &str) -> Result<&str> {
    let fits = !name.is_empty()
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    if fits { Ok(name) } else { Err(Error::Setting(format!("`{}` cannot be a name", clip(name, 60)))) }
}
