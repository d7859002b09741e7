//! How the sandbox is set up, and what one call may use.

use std::path::PathBuf;
use std::time::Duration;

/// How the sandbox is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of compiled components; `None` compiles at every start.
    pub cache: Option<PathBuf>,
    /// Whether that directory is made and added to; otherwise what it holds already is used and it stays as it is.
    pub keep_compiled: bool,
    /// Instances from a preallocated pool: faster to make, more address space.
    pub pooling: bool,
    /// How many instances the pool holds; one call takes one.
    pub pool_size: u32,
    /// Time between two epoch ticks: how soon a busy guest gives way to others.
    pub tick: Duration,
    /// Deadline of calls that carry none of their own.
    pub call_timeout: Duration,
    /// Deadline of a heartbeat.
    pub heartbeat_timeout: Duration,
    /// What one call may use.
    pub limits: Limits,
    /// How long a watch stays open after its last waiter left.
    pub watch_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cache: None,
            keep_compiled: true,
            pooling: false,
            pool_size: 1000,
            tick: Duration::from_millis(5),
            call_timeout: Duration::from_secs(60),
            heartbeat_timeout: Duration::from_secs(10),
            limits: Limits::default(),
            watch_idle: Duration::from_secs(30),
        }
    }
}

/// What one call may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of linear memory, over all memories of the store.
    pub memory: usize,
    /// Elements over all tables of the store.
    pub table_elements: usize,
    /// Core instances; interpreters of other languages are many linked modules.
    pub instances: usize,
    /// Entries of the resource table, and handles of the component.
    pub handles: usize,
    /// Bytes that one host call may hand over.
    pub hostcall_bytes: usize,
    /// Host calls that wait at the same time.
    pub pending: usize,
    /// Bytes of log.
    pub log_bytes: usize,
    /// Calls of one plugin at the same time; more wait.
    pub concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 64 << 20,
            table_elements: 100_000,
            instances: 64,
            handles: 4096,
            hostcall_bytes: 32 << 20,
            pending: 4096,
            log_bytes: 256 << 10,
            concurrent: 64,
        }
    }
}
