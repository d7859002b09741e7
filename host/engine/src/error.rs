//! What can go wrong here.

use agentkube_contract::{Class, Fault, Outcome};

/// `Result` with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in journal and engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused.
    #[error("journal: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A transaction could not be begun or committed; nothing of it is stored.
    #[error("journal: the transaction was not committed: {0}")]
    Commit(String),
    /// A stored text is not what this version writes.
    #[error("journal: a stored record cannot be read: {0}")]
    Record(#[from] serde_json::Error),
    /// What the file holds contradicts itself.
    #[error("the journal {} is damaged: {found}", .path.display())]
    Broken {
        /// The file.
        path: std::path::PathBuf,
        /// What the database says.
        found: String,
    },
    /// The writer thread is gone.
    #[error("journal: it is closed")]
    Closed,
    /// The lock file could not be made, or the writer thread not started.
    #[error("journal: {0}")]
    Io(#[from] std::io::Error),
    /// What is written now would be lost with the process.
    #[error(
        "the journal {} was deleted, moved or replaced while AgentKube runs on it: put that very file back, or restart AgentKube, \
         which then knows of its clusters only what their jobs and the marks on their objects say, and nothing of a machine \
         that was just being made", .0.display()
    )]
    Gone(std::path::PathBuf),
    /// Another process has it open.
    #[error("the journal {} is in use: another AgentKube runs on it", .0.display())]
    Locked(std::path::PathBuf),
    /// The file belongs to somebody else.
    #[error(
        "the journal belongs to installation `{found}`, and the configuration says `{configured}`: objects made under one \
         name would not be found under the other"
    )]
    Installation {
        /// In the file.
        found: String,
        /// In the configuration.
        configured: String,
    },
    /// The file was written by a newer version.
    #[error("the journal has schema {found}, and this version knows {known}: start the newer version again")]
    Schema {
        /// In the file.
        found: u64,
        /// Newest known here.
        known: u64,
    },
    /// A job source was renamed or removed while clusters of it live.
    #[error(
        "job source `{name}` is not configured any more and {services} of its services live: names come from the source's \
         name, so put it back, or delete the services first"
    )]
    SourceGone {
        /// The missing name.
        name: String,
        /// How many services live.
        services: u64,
    },
    /// A range that cannot be used.
    #[error("range `{name}`: `{text}` is neither `FIRST-LAST` nor a CIDR of at most 65,536 addresses")]
    Range {
        /// Its name.
        name: String,
        /// What stands in the configuration.
        text: String,
    },
    /// A newer intent took over the service.
    #[error("a newer intent for the service took over")]
    Superseded,
    /// A fault of a role or of the caller.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Error {
    /// A stable word for machines.
    pub fn code(&self) -> &str {
        match self {
            Error::Broken { .. } => "JOURNAL_BROKEN",
            Error::Sql(error) if damaged(error) => "JOURNAL_BROKEN",
            Error::Sql(_) | Error::Commit(_) | Error::Record(_) | Error::Closed | Error::Io(_) => "JOURNAL",
            Error::Gone(_) => "JOURNAL_GONE",
            Error::Locked(_) => "JOURNAL_LOCKED",
            Error::Installation { .. } => "JOURNAL_INSTALLATION",
            Error::Schema { .. } => "JOURNAL_SCHEMA",
            Error::SourceGone { .. } => "SOURCE_GONE",
            Error::Range { .. } => "CONFIG_RANGE",
            Error::Superseded => "SUPERSEDED",
            Error::Fault(fault) => &fault.code,
        }
    }
}

/// Whether the file is no database, or one that was damaged.
pub(crate) fn damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::Fault(fault) => fault,
            // A full disk is mended by people: the step waits, and nothing is known about what it did before.
            other => Fault::new(Class::Unavailable, other.code(), other.to_string()).outcome(Outcome::Unknown),
        }
    }
}
