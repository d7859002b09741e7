//! The request log: what tests judge by.

use lab_wire::Millis;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this status.
    Answered(u16),
    /// It would have been answered with this status, but the answer was lost.
    Lost(u16),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it came.
    pub at: Millis,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// How it ended.
    pub outcome: Outcome,
}
