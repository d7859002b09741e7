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
    let cause = |key: &str, value: &str| {
        let mut causes = said.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
        causes.any(|cause| cause.get(key).and_then(Value::as_str) == Some(value))
    };
    let denied = message.contains("admission webhook") && message.contains("denied the request");
    let (class, code) = match (answer.status, reason) {
        (422, _) if cause("field", "metadata.uid") => (Class::Conflict, "CONFLICT"),
        // No matter of rights: it can be created once the namespace is gone and made anew.
        (403, _) if cause("reason", "NamespaceTerminating") => (Class::Busy, "NAMESPACE_TERMINATING"),
        (400 | 405 | 406 | 413 | 415 | 422, _) => (Class::Invalid, "INVALID_OBJECT"),
        // An admission webhook's verdict is about the object, whatever status it chose.
        (400..500, _) if denied => (Class::Invalid, "ADMISSION_DENIED"),
        // A webhook written in Go that cannot read the object says so with 500; it comes before the server's own look at the types.
        (500.., _) if denied && message.contains("cannot unmarshal") => (Class::Invalid, "ADMISSION_DENIED"),
        // A quota answers 403 as missing rights do, and means something else.
        (403, _) if message.contains("exceeded quota") => (Class::Exhausted, "QUOTA_EXCEEDED"),
        (403 | 409, _) if message.contains("because it is being terminated") => (Class::Busy, "NAMESPACE_TERMINATING"),
        (401, _) => (Class::Unauthorized, "UNAUTHORIZED"),
        (403, _) => (Class::Unauthorized, "FORBIDDEN"),
        (404, _) => (Class::NotFound, "NOT_FOUND"),
        (409, "AlreadyExists") => (Class::Conflict, "ALREADY_EXISTS"),
        (409 | 412, _) => (Class::Conflict, "CONFLICT"),
        (410, _) => (Class::Conflict, "EXPIRED"),
        (429, _) => (Class::Busy, "TOO_MANY_REQUESTS"),
        // The webhook has to agree before anything is stored.
        (500.., _) if message.contains("failed calling webhook") => (Class::Unavailable, "WEBHOOK_UNAVAILABLE"),
        _ => (Class::Unavailable, "SERVER_ERROR"),
    };
    let mut fault = Fault::new(class, code, format!("the API server answered {}: {message}", answer.status));
    if matches!(class, Class::Unauthorized) {
        fault = fault.scope(Scope::Provider);
    }
    // A server that failed may have done it before; what a webhook denied, or could not be asked about, was not done.
    if answer.status >= 500 && !denied && code != "WEBHOOK_UNAVAILABLE" {
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
        // As a webhook on controller-runtime 0.24 answers a port that is a string.
        let unread = "admission webhook \"m.example.org\" denied the request: unable to decode into *v1.Thing: json: cannot \
                      unmarshal string into Go struct field Spec.port of type int32";
        let unread = refused(500, unread);
        assert_eq!((unread.class, unread.outcome), (Class::Invalid, Outcome::NotApplied));
        let troubled = refused(500, "admission webhook \"v.example.org\" denied the request: cannot look that up");
        assert_eq!((troubled.retryable(), troubled.outcome), (true, Outcome::NotApplied));
        // A webhook that is down denies nothing.
        let down = "failed calling webhook \"v.example.org\": connection refused";
        let down = refused(500, down);
        assert_eq!((down.code.as_str(), down.outcome), ("WEBHOOK_UNAVAILABLE", Outcome::NotApplied));
        assert!(down.retryable());
    }

    #[test]
    fn quotas_and_dying_namespaces_are_no_matter_of_rights_either() {
        let quota = "pods \"a\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1";
        assert_eq!(
            (refused(403, quota).class, refused(403, quota).code.as_str()),
            (Class::Exhausted, "QUOTA_EXCEEDED")
        );
        let dying =
            "pods \"a\" is forbidden: unable to create new content in namespace ns because it is being terminated";
        assert_eq!(
            (refused(403, dying).class, refused(403, dying).code.as_str()),
            (Class::Busy, "NAMESPACE_TERMINATING")
        );
        assert_eq!(refused(500, "etcdserver: request timed out").outcome, Outcome::Unknown);
        assert_eq!(refused(429, "too many requests").outcome, Outcome::NotApplied);
    }

    // As Kubernetes 1.34 answers.
    #[test]
    fn a_namespace_that_goes_is_no_matter_of_rights() {
        let body = serde_json::json!({
            "kind": "Status", "reason": "Forbidden", "code": 403,
            "message": "things.example.org \"a\" is forbidden: unable to create new content in namespace n because it is being \
                        terminated",
            "details": { "causes": [{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }] },
        });
        let answer =
            Incoming { status: 403, reason: String::new(), headers: Vec::new(), body: body.to_string().into() };
        let fault = accepted(answer).unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (Class::Busy, "NAMESPACE_TERMINATING"));
        assert_ne!(fault.scope, Scope::Provider);
    }
}
