//! What was asked, for tests.

use lab_wire::Millis;

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it came.
    pub at: Millis,
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query, as pairs.
    pub query: Vec<(String, String)>,
    /// Who asked.
    pub user: String,
    /// Status code, also when the answer was lost on purpose.
    pub status: u16,
}

/// A server that runs for days forgets its first requests: this many are kept at least.
const KEPT: usize = 50_000;

/// Adds an entry.
pub fn push(log: &mut Vec<LogEntry>, entry: LogEntry) {
    if log.len() >= 2 * KEPT {
        log.drain(..KEPT);
    }
    log.push(entry);
}
