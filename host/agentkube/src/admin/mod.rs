//! The local admin socket: how the command line asks a running daemon.
//!
//! One connection carries one question and one answer, each a line of JSON: [`Question`], and either `{"ok": …}` or
//! `{"error": {"code", "message"}}`. Whoever may open the socket (mode 0600) is trusted as the daemon's own user.

mod client;
mod server;

pub use client::{NO_DAEMON, ask};
pub use server::{Answers, may_serve, serve};

use serde::{Deserialize, Serialize};

/// What a running daemon can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// How the daemon is: version, sources, plugins, counts.
    Status,
    /// The jobs that it knows, with their steps.
    Jobs,
    /// The clusters that it keeps.
    Clusters,
    /// The plan of a pending job, or of a cluster description.
    Plan {
        /// A pending job's id, unless `description` is given.
        job: Option<String>,
        /// A cluster description.
        description: Option<serde_json::Value>,
    },
    /// The kubeconfig of a cluster, for its owner.
    Kubeconfig {
        /// Cluster name, service id or display name.
        cluster: String,
    },
    /// Everything that can be checked, looked at now.
    Doctor,
    /// What is owned right now: every live ledger row.
    Ledger,
}

/// An answer that is no success.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Stable.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal with a stable code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Refusal { code: code.to_owned(), message: message.into() }
    }
}

impl From<agentkube_contract::Fault> for Refusal {
    fn from(fault: agentkube_contract::Fault) -> Self {
        Refusal { code: fault.code, message: fault.message }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Ok(serde_json::Value),
    Error(Refusal),
}
