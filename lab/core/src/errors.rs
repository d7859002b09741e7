//! What can go wrong, and how Core says it.
//!
//! Core writes the status before it renders the body, so its JSON errors leave with `text/plain`.

use lab_wire::Response;
use serde_json::{Value, json};

use crate::store::Object;

/// One property that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The property.
    pub path: String,
    /// Why.
    pub message: String,
}

/// Why a request got no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The domain refused it.
    #[error("invalid input: {0}")]
    Invalid(String),
    /// The request could not be read.
    #[error("{0}")]
    Request(String),
    /// Properties do not fit their schema.
    #[error("{}", refusal(.0))]
    Validation(Vec<Detail>),
    /// No such row; the answer does not say which.
    #[error("resource not found")]
    NotFound,
    /// No bearer token.
    #[error("invalid token format, expected 'Bearer <token>'")]
    Unauthenticated,
    /// Not allowed, or not known.
    #[error("{0}")]
    Forbidden(String),
    /// Exists already.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database refused it.
    #[error("{0}")]
    Internal(String),
    /// The handler panicked: no body.
    #[error("panic")]
    Panic,
    /// No such route.
    #[error("404 page not found")]
    NoRoute,
    /// The route exists, but not with this method.
    #[error("method not allowed")]
    NoMethod,
}

/// The text of a validation failure where it is wrapped into another error: details of several are lost.
fn refusal(details: &[Detail]) -> String {
    match details {
        [] => "validation failed".to_owned(),
        [one] => format!("validation failed: {}", one.message),
        several => format!("validation failed: {} errors", several.len()),
    }
}

impl Error {
    /// Refusal by the domain.
    pub fn invalid(text: impl Into<String>) -> Self {
        Error::Invalid(text.into())
    }

    /// The unique constraint of that name was violated.
    pub fn duplicate(constraint: &str) -> Self {
        let text = format!("ERROR: duplicate key value violates unique constraint \"{constraint}\" (SQLSTATE 23505)");
        Error::Internal(text)
    }

    /// The answer.
    pub fn response(&self) -> Response {
        let (status, word) = match self {
            Error::NoRoute => return Response::text(404, PLAIN, "404 page not found\n"),
            Error::NoMethod => return Response::empty(405),
            Error::Panic => return Response::empty(500),
            Error::NotFound => return rendered(404, &json!({"status": "Resource not found"})),
            Error::Validation(details) => {
                let errors: Vec<Value> =
                    details.iter().map(|d| json!({"path": d.path, "message": d.message})).collect();
                return rendered(400, &json!({"status": "Validation failed", "valid": false, "errors": errors}));
            }
            Error::Invalid(_) | Error::Request(_) => (400, "Invalid request"),
            Error::Unauthenticated => (401, "Unauthorized"),
            Error::Forbidden(_) => (403, "Forbidden"),
            Error::Conflict(_) => (409, "Conflict"),
            Error::Internal(_) => (500, "Internal server error"),
        };
        rendered(status, &json!({"status": word, "error": self.to_string()}))
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn rendered(status: u16, body: &Value) -> Response {
    Response::text(status, PLAIN, format!("{body}\n"))
}

/// PostgreSQL takes no NUL in a text column.
pub fn text_column(text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        let text = "ERROR: invalid byte sequence for encoding \"UTF8\": 0x00 (SQLSTATE 22021)";
        return Err(Error::Internal(text.to_owned()));
    }
    Ok(())
}

/// PostgreSQL takes no NUL in a jsonb column.
pub fn json_column(object: Option<&Object>) -> Result<(), Error> {
    let dirty = object.is_some_and(|object| object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)));
    if dirty {
        return Err(Error::Internal("ERROR: unsupported Unicode escape sequence (SQLSTATE 22P05)".to_owned()));
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_in_plain_text() {
        let response = Error::invalid("no").response();
        assert_eq!(response.status, 400);
        assert_eq!(response.headers, [("content-type".to_owned(), PLAIN.to_owned())]);
        assert_eq!(response.value(), json!({"status": "Invalid request", "error": "invalid input: no"}));
        assert_eq!(Error::NotFound.response().value(), json!({"status": "Resource not found"}));
    }

    #[test]
    fn a_nul_is_found_at_any_depth() {
        let object = json!({"a": [{"b": "x\0y"}]});
        assert!(json_column(object.as_object()).is_err());
        assert!(json_column(json!({"a": "b"}).as_object()).is_ok());
    }
}
