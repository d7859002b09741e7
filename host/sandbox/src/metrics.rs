//! What the sandbox counts. The binary exports it; without it nothing is kept.

use std::time::Duration;

/// Receives what happens. Called from many threads; must not block.
pub trait Metrics: Send + Sync {
    /// A plugin call ended. `outcome` is `ok` or the fault's code; `limit` names the limit that was hit.
    fn call(&self, plugin: &str, export: &str, outcome: &str, limit: Option<&str>, took: Duration) {
        let _ = (plugin, export, outcome, limit, took);
    }

    /// An exchange ended: HTTP status, or the fault's code.
    fn request(&self, connection: &str, outcome: &str, took: Duration) {
        let _ = (connection, outcome, took);
    }

    /// A TLS handshake began.
    fn handshake(&self, connection: &str) {
        let _ = connection;
    }

    /// Something was denied; `what` is the capability. `plugin` is empty where the connection itself refused.
    fn denial(&self, plugin: &str, what: &str) {
        let _ = (plugin, what);
    }
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetrics;

impl Metrics for NoMetrics {}
