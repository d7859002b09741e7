//! What the configuration says about tenant clusters.

use std::time::Duration;

use serde::Deserialize;

/// `[tenants]`: how tenant clusters are talked to. All times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TenantSettings {
    /// Longest time for a connection to be made.
    pub connect_timeout_ms: u64,
    /// Longest time for one request, answer included.
    pub request_timeout_ms: u64,
    /// Pause between two looks at something that is waited for.
    pub poll_ms: u64,
    /// The signature of cluster-info must be seen twice, this far apart: whoever maintains cluster-info may rewrite it once when a
    /// token appears, and the signature is then gone for a moment.
    pub signature_settle_ms: u64,
    /// How many opened clusters are kept for the next call.
    pub cached: usize,
}

impl Default for TenantSettings {
    fn default() -> Self {
        TenantSettings {
            connect_timeout_ms: 5_000,
            request_timeout_ms: 15_000,
            poll_ms: 1_000,
            signature_settle_ms: 2_000,
            cached: 256,
        }
    }
}

impl TenantSettings {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(1))
    }
}
