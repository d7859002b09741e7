//! How things fail, in words that decide what the engine does next.

use std::fmt;

pub use crate::bindings::host::agentkube::host::types::{Class, Outcome, Scope};

/// `Result` with a [`Fault`].
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// A failure that somebody can act on.
///
/// ```
/// use agentkube_sdk::{Fault, Scope};
///
/// let fault = Fault::exhausted("STORAGE_FULL", "storage `fast` has 3 GiB left, 20 are needed").scope(Scope::Placement);
/// assert_eq!(fault.to_string(), "STORAGE_FULL: storage `fast` has 3 GiB left, 20 are needed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of trouble, and so what helps.
    pub class: Class,
    /// How far it reaches.
    pub scope: Scope,
    /// Stable, upper-case, for machines: `STORAGE_FULL`. Documented; never renamed.
    pub code: String,
    /// One or two sentences for people: what, where, and what to do. Never holds a secret.
    pub message: String,
    /// Whether the effect happened.
    pub outcome: Outcome,
    /// Milliseconds to wait before another try, when the other side said so.
    pub retry_after_ms: Option<u64>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $class:ident,)*) => {
        $($(#[$doc])* pub fn $name(code: &str, message: impl Into<String>) -> Self {
            Fault::new(Class::$class, code, message)
        })*
    };
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

    constructors! {
        /// [`Class::Invalid`]: wrong as it stands; repeating cannot help.
        invalid => Invalid,
        /// [`Class::Denied`]: policy does not allow it.
        denied => Denied,
        /// [`Class::Unauthorized`]: the other side does not accept the credential.
        unauthorized => Unauthorized,
        /// [`Class::NotFound`]: the object does not exist.
        not_found => NotFound,
        /// [`Class::Conflict`]: the other side's state contradicts the request.
        conflict => Conflict,
        /// [`Class::Exhausted`]: no capacity; another placement may have some.
        exhausted => Exhausted,
        /// [`Class::Busy`]: busy with something else; waiting helps.
        busy => Busy,
        /// [`Class::Unavailable`]: not reachable or not well; waiting helps.
        unavailable => Unavailable,
        /// [`Class::Timeout`]: a time limit passed.
        timeout => Timeout,
        /// [`Class::Unsupported`]: the other side cannot do this at all.
        unsupported => Unsupported,
        /// [`Class::Internal`]: a defect, or an answer that cannot be understood.
        internal => Internal,
    }

    /// The object carries another's mark, or none: nothing was done to it.
    pub fn not_ours(message: impl Into<String>) -> Self {
        Fault::conflict("NOT_OURS", message).scope(Scope::Machine)
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

    /// The same fault with the time after which another try makes sense.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Whether the same request, sent again after a while, may succeed although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, Class::Busy | Class::Unavailable | Class::Timeout)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
