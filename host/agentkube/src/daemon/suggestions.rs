//! Intervals that a job source's administrator set for us there. They fill what the configuration leaves open, and nothing else:
//! never addresses, credentials or grants.

use std::time::Duration;

use serde::Deserialize;
use tracing::{info, warn};

use super::assemble::Parts;
use crate::config::{Config, numbers};

/// Time for a source to say; without an answer the defaults hold until the next start.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is taken; everything else in the settings is left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Intervals {
    poll_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    measure_ms: Option<u64>,
}

/// Asks every source; the first that sets an interval wins.
pub async fn apply(config: &mut Config, parts: &Parts) {
    for (name, plugin) in parts.plugins.iter() {
        let Some(source) = plugin.job_source() else { continue };
        let settings = match tokio::time::timeout(PATIENCE, source.identify()).await {
            Ok(Ok(identity)) => identity.settings,
            Ok(Err(fault)) => {
                warn!(source = name, code = fault.code, "who we are there is not known yet: {}", fault.message);
                continue;
            }
            Err(_) => continue,
        };
        let intervals: Intervals = serde_json::from_str(&settings).unwrap_or_default();
        let tuning = &mut config.engine;
        let fields = [
            ("poll-ms", &mut tuning.poll_ms, intervals.poll_ms),
            ("heartbeat-ms", &mut tuning.heartbeat_ms, intervals.heartbeat_ms),
            ("measure-ms", &mut tuning.measure_ms, intervals.measure_ms),
        ];
        for (key, field, wanted) in fields {
            if let (None, Some(ms)) = (*field, wanted) {
                if !numbers::allowed(&format!("engine.{key}"), ms) {
                    warn!(source = name, key, ms, "set by the job source and not taken: out of range");
                    continue;
                }
                info!(source = name, key, ms, "set by the job source");
                *field = Some(ms);
            }
        }
    }
}
