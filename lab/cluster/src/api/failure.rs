//! What a Kubernetes API server answers when it cannot do what was asked: an object of kind `Status`.

use lab_wire::Response;
use serde_json::{Value, json};

/// A failed request, as `metav1.Status` tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status code, repeated in the body.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// Human-readable message.
    pub message: String,
    /// `details` of the status: name, group, kind, causes.
    pub details: Option<Value>,
    /// Seconds for the `Retry-After` header.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Failure { code, reason, message: message.into(), details: None, retry_after: None }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Failure::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Failure::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Failure::new(403, "Forbidden", message)
    }

    /// 404 for a path that nothing serves.
    pub fn no_such_path() -> Self {
        Failure::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 404 for an object.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, plural));
        Failure::new(404, "NotFound", message).about(group, plural, name)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Failure::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 409 for a name that is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, plural));
        Failure::new(409, "AlreadyExists", message).about(group, plural, name)
    }

    /// 409 for a write that is based on an old state.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, plural));
        Failure::new(409, "Conflict", message).about(group, plural, name)
    }

    /// 410 for a resource version or continue token that history no longer holds.
    pub fn expired(message: impl Into<String>) -> Self {
        Failure::new(410, "Expired", message)
    }

    /// 415.
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Failure::new(415, "UnsupportedMediaType", message)
    }

    /// 422 with one cause per `(field, message)`.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[(String, String)]) -> Self {
        let text: Vec<String> = causes.iter().map(|(field, why)| format!("{field}: {why}")).collect();
        let text = match text.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let what = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut failure = Failure::new(422, "Invalid", format!("{what} \"{name}\" is invalid: {text}"));
        let causes: Vec<Value> = causes
            .iter()
            .map(|(field, why)| json!({"reason": "FieldValueInvalid", "message": why, "field": field}))
            .collect();
        failure.details = Some(json!({"name": name, "group": group, "kind": kind, "causes": causes}));
        failure
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Failure::new(500, "InternalError", message)
    }

    /// The same failure with the object it is about.
    pub fn about(mut self, group: &str, plural: &str, name: &str) -> Self {
        let mut details = json!({"name": name, "kind": plural});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        self.details = Some(details);
        self
    }

    /// The same failure with causes (`reason`, `message`, `field`) added to its details.
    pub fn causes(mut self, causes: Vec<Value>) -> Self {
        let details = self.details.get_or_insert_with(|| json!({}));
        details["causes"] = causes.into();
        self
    }

    /// The body.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(seconds) = self.retry_after {
            status["details"]["retryAfterSeconds"] = seconds.into();
        }
        status
    }

    /// The whole answer.
    pub fn response(&self) -> Response {
        let response = Response::json(self.code, &self.status());
        match self.retry_after {
            Some(seconds) => response.header("retry-after", &seconds.to_string()),
            None => response,
        }
    }
}

/// `deployments.apps`, or `pods` for the core group.
pub fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}
