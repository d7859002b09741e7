//! How work on a tenant cluster fails.

use agentkube_contract::{Class, Fault, Outcome};

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// How work on a tenant cluster fails. Everything that leaves the crate through a trait becomes a [`Fault`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig holds something that is not taken from a kubeconfig, or lacks something that is needed.
    #[error("{message}")]
    Kubeconfig {
        /// Names the field: `KUBECONFIG_EXEC` …
        code: &'static str,
        /// What and why.
        message: String,
    },
    /// The API server lies where this provider's tenants may not lie.
    #[error("{0}")]
    Address(String),
    /// The kubeconfig could not be had.
    #[error(transparent)]
    Source(#[from] Fault),
    /// No answer from the API server.
    #[error("{message}")]
    Transport {
        /// What failed.
        message: String,
        /// Whether the request may have had an effect.
        outcome: Outcome,
        /// Whether a time limit passed.
        timeout: bool,
    },
    /// The API server answered with a failure.
    #[error("{what}: HTTP {status} {reason}: {message}")]
    Status {
        /// Method and path.
        what: String,
        /// HTTP status.
        status: u16,
        /// Kubernetes' reason, or empty.
        reason: String,
        /// Its message, clipped.
        message: String,
        /// Milliseconds to wait, when the server said so.
        retry_after_ms: Option<u64>,
        /// Whether the request would have changed something.
        mutating: bool,
    },
    /// The time was over before the wanted state was there.
    #[error("{message}")]
    Late {
        /// What was waited for.
        code: &'static str,
        /// What was there instead.
        message: String,
    },
    /// What the cluster holds contradicts what is needed.
    #[error("{message}")]
    Cluster {
        /// What kind of trouble.
        class: Class,
        /// Stable.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// An add-on's files cannot be used.
    #[error("{message}")]
    Addon {
        /// Stable.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// First-boot data cannot be made.
    #[error("{message}")]
    Bootstrap {
        /// Stable.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// A setting has no meaning.
    #[error("{0}")]
    Setting(String),
}

impl Error {
    pub(crate) fn cluster(class: Class, code: &'static str, message: impl Into<String>) -> Self {
        Error::Cluster { class, code, message: message.into() }
    }

    pub(crate) fn addon(code: &'static str, message: impl Into<String>) -> Self {
        Error::Addon { code, message: message.into() }
    }

    pub(crate) fn bootstrap(code: &'static str, message: impl Into<String>) -> Self {
        Error::Bootstrap { code, message: message.into() }
    }

    /// The HTTP status, when the API server answered with a failure.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Error::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether looking again can help. A tenant that has just come up answers 403 until its roles are there, so that counts.
    pub(crate) fn passing(&self) -> bool {
        match self {
            Error::Transport { .. } => true,
            Error::Status { status, .. } => matches!(status, 401 | 403 | 408 | 409 | 429 | 500..),
            Error::Source(fault) => fault.retryable(),
            _ => false,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Source(fault) => fault,
            Error::Kubeconfig { code, .. } => Fault::new(Class::Denied, code, message),
            Error::Address(_) => Fault::new(Class::Denied, "TENANT_ADDRESS", message),
            Error::Transport { outcome, timeout, .. } => {
                let (class, code) = match timeout {
                    true => (Class::Timeout, "TENANT_NO_ANSWER"),
                    false => (Class::Unavailable, "TENANT_UNREACHABLE"),
                };
                Fault::new(class, code, message).outcome(outcome)
            }
            Error::Status { status, retry_after_ms, mutating, .. } => {
                let (class, code) = match status {
                    401 => (Class::Unauthorized, "TENANT_UNAUTHORIZED"),
                    403 => (Class::Unauthorized, "TENANT_FORBIDDEN"),
                    404 => (Class::NotFound, "TENANT_NOT_FOUND"),
                    409 => (Class::Conflict, "TENANT_CONFLICT"),
                    429 => (Class::Busy, "TENANT_BUSY"),
                    500.. => (Class::Unavailable, "TENANT_FAILING"),
                    _ => (Class::Invalid, "TENANT_REFUSED"),
                };
                let outcome = if mutating && status >= 500 { Outcome::Unknown } else { Outcome::NotApplied };
                let mut fault = Fault::new(class, code, message).outcome(outcome);
                fault.retry_after_ms = retry_after_ms;
                fault
            }
            Error::Late { code, .. } => Fault::new(Class::Timeout, code, message),
            Error::Cluster { class, code, .. } => Fault::new(class, code, message),
            Error::Addon { code, .. } | Error::Bootstrap { code, .. } => Fault::invalid(code, message),
            Error::Setting(_) => Fault::invalid("SETTING", message),
        }
    }
}
