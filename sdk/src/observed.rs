//! What was found: conditions, findings of a preflight check, measurements, objects that are ours.

use crate::fault::{Class, Fault};

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

    /// No request gets through to `what`, or no answer back; `check` is what to look at when it is the way there.
    pub fn unreached(code: &str, what: &str, fault: &Fault, check: &str) -> Self {
        let remedy = match fault.class {
            Class::Timeout => {
                "it takes requests and does not answer in time: see its load, and what stands in between; it is asked again by itself"
            }
            Class::Denied => "grant what the message names",
            _ => check,
        };
        Finding::error(code, format!("{what} does not answer: {fault}"), remedy)
    }
}

impl Sample {
    /// One measurement of a machine or object.
    pub fn new(name: &str, resource: impl Into<String>, value: f64) -> Self {
        Sample { name: name.to_owned(), resource: resource.into(), value }
    }
}
