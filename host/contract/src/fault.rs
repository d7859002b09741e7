//! How things fail, in words that decide what happens next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `Result` with a [`Fault`].
pub type Result<T> = std::result::Result<T, Fault>;

/// What kind of trouble it is, and so what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The request is wrong as it stands; repeating it cannot help.
    Invalid,
    /// The host's policy does not allow it.
    Denied,
    /// The other side does not accept the connection's credential.
    Unauthorized,
    /// The object does not exist.
    NotFound,
    /// The state of the other side contradicts the request.
    Conflict,
    /// No capacity; another placement may have some.
    Exhausted,
    /// Busy with something else; waiting helps.
    Busy,
    /// Not reachable or not well; waiting helps.
    Unavailable,
    /// A time limit passed.
    Timeout,
    /// The other side cannot do this at all.
    Unsupported,
    /// A defect.
    Internal,
}

/// Whether the effect of the failed request happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did not happen.
    NotApplied,
    /// It happened, and something after it failed.
    Applied,
    /// Nobody knows: find out first.
    Unknown,
}

/// How far the trouble reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// This one request.
    Request,
    /// This machine or cluster object.
    Machine,
    /// The placement.
    Placement,
    /// Every machine of the pool.
    Pool,
    /// Everything behind this provider.
    Provider,
}

/// A failure that somebody can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What kind of trouble.
    pub class: Class,
    /// How far it reaches.
    pub scope: Scope,
    /// Stable, upper-case, for machines.
    pub code: String,
    /// For people: what, where, what to do.
    pub message: String,
    /// Whether the effect happened.
    pub outcome: Outcome,
    /// Milliseconds to wait before another try, when the other side said so.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault of this one request whose effect did not happen.
    pub fn new(class: Class, code: &str, message: impl Into<String>) -> Self {
        Fault {
            class,
            scope: Scope::Request,
            code: code.to_owned(),
            message: message.into(),
            outcome: Outcome::NotApplied,
            retry_after_ms: None,
        }
    }

    /// [`Class::Invalid`].
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Fault::new(Class::Invalid, code, message)
    }

    /// [`Class::Internal`]: a defect.
    pub fn internal(code: &str, message: impl Into<String>) -> Self {
        Fault::new(Class::Internal, code, message)
    }

    /// The same fault with another reach.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The same fault with another outcome.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Whether another try of the same step can help.
    pub fn retryable(&self) -> bool {
        match self.class {
            Class::Busy | Class::Unavailable | Class::Timeout | Class::Unauthorized => true,
            Class::Exhausted => true,
            // The state changed under us: looking again settles it, unless the object is somebody else's.
            Class::Conflict => self.outcome == Outcome::Unknown || self.scope == Scope::Request,
            Class::Internal => self.outcome == Outcome::Unknown,
            Class::Invalid | Class::Denied | Class::NotFound | Class::Unsupported => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_that_waiting_or_looking_can_mend_are_retried() {
        assert!(Fault::new(Class::Busy, "LOCKED", "").retryable());
        assert!(Fault::new(Class::Conflict, "CHANGED", "").retryable());
        assert!(!Fault::new(Class::Conflict, "NOT_OURS", "").scope(Scope::Machine).retryable());
        assert!(!Fault::invalid("BAD_CIDR", "").retryable());
        assert!(!Fault::internal("TRAP", "").retryable());
    }

    // Checklist 250.
    #[test]
    fn the_code_leads_the_text() {
        assert_eq!(
            Fault::invalid("BAD_CIDR", "pod CIDR `x` is no CIDR").to_string(),
            "BAD_CIDR: pod CIDR `x` is no CIDR"
        );
    }
}
