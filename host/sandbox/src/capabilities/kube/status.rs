//! What the refusals of an API server mean.

use agentkube_contract::{Class, Fault, Outcome, Scope};
use serde_json::Value;

use crate::connections::Incoming;

/// The body of a successful answer, or the fault that the status says.
pub(super) fn accepted(answer: Incoming) -> Result<Vec<u8>, Fault> {
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = said.get("message").and_then(Value::as_str).unwrap_or(&answer.reason).to_owned();
    let reason = said.get("reason").and_then(Value::as_str).unwrap_or_default();
    // A uid in a patch that is another object's: API servers refuse to change the field instead of calling it a conflict.
    let causes = said.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
    let another = causes.filter_map(|cause| cause.get("field")?.as_str()).any(|field| field == "metadata.uid");
    let (class, code) = match (answer.status, reason) {
        (422, _) if another => (Class::Conflict, "CONFLICT"),
        (400 | 405 | 406 | 413 | 415 | 422, _) => (Class::Invalid, "INVALID_OBJECT"),
        // An admission webhook's verdict is about the object, whatever status it chose.
        (400..500, _) if message.contains("admission webhook") && message.contains("denied the request") => {
            (Class::Invalid, "ADMISSION_DENIED")
        }
        (401, _) => (Class::Unauthorized, "UNAUTHORIZED"),
        (403, _) => (Class::Unauthorized, "FORBIDDEN"),
        (404, _) => (Class::NotFound, "NOT_FOUND"),
        (409, "AlreadyExists") => (Class::Conflict, "ALREADY_EXISTS"),
        (409 | 412, _) => (Class::Conflict, "CONFLICT"),
        (410, _) => (Class::Conflict, "EXPIRED"),
        (429, _) => (Class::Busy, "TOO_MANY_REQUESTS"),
        _ => (Class::Unavailable, "SERVER_ERROR"),
    };
    let mut fault = Fault::new(class, code, format!("the API server answered {}: {message}", answer.status));
    if matches!(class, Class::Unauthorized) {
        fault = fault.scope(Scope::Provider);
    }
    // A server that failed may have done it before.
    if answer.status >= 500 {
        fault = fault.outcome(Outcome::Unknown);
    }
    let asked = said.pointer("/details/retryAfterSeconds").and_then(Value::as_u64);
    let header =
        answer.headers.iter().find(|(name, _)| name == "retry-after").and_then(|(_, value)| value.parse().ok());
    fault.retry_after_ms = asked.or(header).map(|seconds: u64| seconds.saturating_mul(1000));
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Fault {
        let body = serde_json::json!({ "kind": "Status", "message": message }).to_string().into_bytes();
        accepted(Incoming { status, reason: String::new(), headers: Vec::new(), body }).unwrap_err()
    }

    #[test]
    fn what_a_webhook_denies_is_no_matter_of_rights() {
        let webhook =
            "admission webhook \"v.example.org\" denied the request: version is greater than the supported one";
        assert_eq!(refused(403, webhook).code, "ADMISSION_DENIED");
        assert!(!refused(403, webhook).retryable());
        assert_eq!(refused(403, "configmaps is forbidden: User \"a\" cannot get").class, Class::Unauthorized);
        // A webhook that is down denies nothing.
        let down = "failed calling webhook \"v.example.org\": connection refused";
        assert!(refused(500, down).retryable());
    }
}
