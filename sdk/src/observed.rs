//! What was found: conditions, findings of a preflight check, measurements, objects that are ours.

pub use crate::bindings::host::agentkube::provider::types::{Condition, Finding, Owned, OwnedPage, Sample, Severity};

impl Finding {
    /// What was looked at is well.
    pub fn ok(code: &str, message: impl Into<String>) -> Self {
        Finding { code: code.to_owned(), severity: Severity::Ok, message: message.into(), remedy: String::new() }
    }

    /// It works, and somebody should look at it.
    pub fn warning(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { code: code.to_owned(), severity: Severity::Warning, message: message.into(), remedy: remedy.into() }
    }

    /// It cannot work like this.
    pub fn error(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { code: code.to_owned(), severity: Severity::Error, message: message.into(), remedy: remedy.into() }
    }
}

impl Sample {
    /// One measurement of a machine or object.
    pub fn new(name: &str, resource: impl Into<String>, value: f64) -> Self {
        Sample { name: name.to_owned(), resource: resource.into(), value }
    }
}
