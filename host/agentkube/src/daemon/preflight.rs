//! A first look at everything that plugins need, once the daemon runs: what is amiss stands in the log, with its cure.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Finding, Result, Severity};
use agentkube_sandbox::Plugin;
use tracing::{error, warn};

use super::assemble::Parts;

/// Time for one plugin's look.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks through every plugin, one after the other; work goes on meanwhile.
pub async fn look(parts: Arc<Parts>) {
    for (name, plugin) in parts.plugins.iter() {
        match tokio::time::timeout(PATIENCE, ask(plugin)).await {
            Ok(Ok(findings)) => findings.iter().for_each(|finding| say(name, finding)),
            Ok(Err(fault)) => warn!(plugin = name, code = fault.code, "preflight could not look: {}", fault.message),
            Err(_) => warn!(plugin = name, "preflight did not end within {} s", PATIENCE.as_secs()),
        }
    }
}

async fn ask(plugin: &Arc<Plugin>) -> Result<Vec<Finding>> {
    if let Some(role) = plugin.job_source() {
        return role.preflight().await;
    }
    if let Some(role) = plugin.control_plane() {
        return role.preflight().await;
    }
    match plugin.node_provider() {
        Some(role) => role.preflight().await,
        None => Ok(Vec::new()),
    }
}

fn say(plugin: &str, finding: &Finding) {
    let Finding { code, message, remedy, .. } = finding;
    match finding.severity {
        Severity::Ok => {}
        Severity::Warning => warn!(plugin, code, remedy, "{message}"),
        Severity::Error => error!(plugin, code, remedy, "{message}"),
    }
}
