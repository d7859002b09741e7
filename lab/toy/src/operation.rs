//! Operations: everything that changes a machine takes time and is asked for by its id.

use lab_wire::{Millis, rfc3339};
use serde::Serialize;
use serde_json::{Value, json};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Makes a machine.
    Create,
    /// Starts it.
    Start,
    /// Stops it.
    Stop,
    /// Deletes it.
    Delete,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not over yet.
    Running {
        /// The error it will end with, if it is to fail.
        failure: Option<String>,
    },
    /// It did what it was to do.
    Succeeded,
    /// It did not, and why.
    Failed(String),
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: Kind,
    /// To which machine.
    pub machine: String,
    /// How far it is.
    pub progress: Progress,
    /// When it was asked for.
    pub started: Millis,
}

impl Operation {
    /// The operation as the API shows it.
    pub(crate) fn view(&self) -> Value {
        let (state, error) = match &self.progress {
            Progress::Running { .. } => ("running", Value::Null),
            Progress::Succeeded => ("succeeded", Value::Null),
            Progress::Failed(message) => ("failed", json!({ "code": "operation_failed", "message": message })),
        };
        json!({
            "id": self.id,
            "kind": self.kind,
            "machine": self.machine,
            "state": state,
            "error": error,
            "started_at": rfc3339(self.started),
        })
    }
}
