//! What the API answers when it refuses.

use lab_wire::Response;
use serde_json::json;

/// A refusal: a status, a code for programs, a sentence for people.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into() }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "the bearer token is missing or wrong")
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, "not_found", format!("there is no {what}"))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "method_not_allowed", "this path does not know that method")
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "invalid", message)
    }

    /// Another operation of the machine still runs: try again later.
    pub(crate) fn busy(operation: &str) -> Self {
        Self::new(409, "busy", format!("operation {operation} still runs on this machine"))
    }

    /// The machine is in a state in which this cannot be done: trying again will not help.
    pub(crate) fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(409, "wrong_state", message)
    }

    pub(crate) fn quota(message: impl Into<String>) -> Self {
        Self::new(409, "quota_exceeded", message)
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::new(429, "too_many_requests", "slow down")
    }

    pub(crate) fn mishap(status: u16) -> Self {
        Self::new(status, "internal", "something went wrong on our side")
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let response = Response::json(self.status, &body);
        match self.status {
            429 | 503 => response.header("retry-after", "1"),
            _ => response,
        }
    }
}
