//! What came back.

use serde::de::DeserializeOwned;

use crate::{Class, Fault, Outcome, Result};

/// How much of a refusal's body stands in the fault's message, in characters.
const EXCERPT: usize = 300;

/// A whole answer. Header names are in lower case; cookies and credentials are not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Method and path of the request, for messages.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// Reason phrase as it came.
    pub reason: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Fails with `UNEXPECTED_ANSWER` when it is not what was expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("{}: the answer is not what was expected: {error}", self.request);
            Fault::internal("UNEXPECTED_ANSWER", message).outcome(self.outcome_if_understood())
        })
    }

    /// The answer if its status is 2xx, otherwise [`fault`](Response::fault).
    pub fn ok_or_fault(self) -> Result<Response> {
        if self.is_success() { Ok(self) } else { Err(self.fault()) }
    }

    /// The answer, or `None` for 404, or a fault for any other refusal.
    pub fn found_or_fault(self) -> Result<Option<Response>> {
        if self.status == 404 { Ok(None) } else { self.ok_or_fault().map(Some) }
    }

    /// What this status says, in general, about an API: code `HTTP_<status>`. A plugin that knows better says better.
    pub fn fault(&self) -> Fault {
        let class = match self.status {
            401 | 403 => Class::Unauthorized,
            404 | 410 => Class::NotFound,
            405 | 501 => Class::Unsupported,
            408 => Class::Timeout,
            409 | 412 => Class::Conflict,
            423 | 425 | 429 => Class::Busy,
            507 => Class::Exhausted,
            400..=499 => Class::Invalid,
            500..=599 => Class::Unavailable,
            _ => Class::Internal,
        };
        let text = self.text();
        let excerpt: String = text.trim().chars().take(EXCERPT).collect();
        let message = format!("{}: {} {} {excerpt}", self.request, self.status, self.reason);
        let mut fault = Fault::new(class, &format!("HTTP_{}", self.status), message.trim_end());
        // A server that fails half way may have done what it was asked to; a refusal did not.
        if matches!(self.status, 408 | 500 | 502 | 504) && !self.request.starts_with("GET ") {
            fault = fault.outcome(Outcome::Unknown);
        }
        if let Some(seconds) = self.header("retry-after").and_then(|value| value.trim().parse::<u64>().ok()) {
            fault = fault.retry_after_ms(seconds.saturating_mul(1000));
        }
        fault
    }

    fn outcome_if_understood(&self) -> Outcome {
        if self.is_success() { Outcome::Applied } else { Outcome::NotApplied }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, empty};

    fn refused(request: &str, status: u16) -> Fault {
        Response { request: request.to_owned(), ..empty(status) }.ok_or_fault().unwrap_err()
    }

    #[test]
    fn a_status_becomes_a_fault() {
        for (status, class) in [
            (400, Class::Invalid),
            (401, Class::Unauthorized),
            (404, Class::NotFound),
            (409, Class::Conflict),
            (429, Class::Busy),
            (503, Class::Unavailable),
        ] {
            let fault = refused("GET /x", status);
            assert_eq!((fault.class, fault.code), (class, format!("HTTP_{status}")));
        }
    }

    #[test]
    fn a_server_error_leaves_an_effect_in_doubt() {
        assert_eq!(refused("POST /x", 502).outcome, Outcome::Unknown);
        assert_eq!(refused("POST /x", 503).outcome, Outcome::NotApplied);
        assert_eq!(refused("GET /x", 500).outcome, Outcome::NotApplied);
    }

    #[test]
    fn the_hint_when_to_come_back_is_kept() {
        let mut response = empty(429);
        response.headers.push(("retry-after".to_owned(), "3".to_owned()));
        assert_eq!(response.fault().retry_after_ms, Some(3000));
    }

    #[test]
    fn the_message_says_what_was_asked_and_answered() {
        let mut response = answer(422, serde_json::json!({ "error": "no such image" }));
        response.request = "POST /v1/machines".to_owned();
        assert_eq!(response.fault().message, r#"POST /v1/machines: 422  {"error":"no such image"}"#);
    }
}
