//! Plugins: their files, and what their own preflight finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentkube_sandbox::{Plugin, package};
use futures::future::join_all;

use super::Found;
use super::report::Kind;
use crate::config::{Config, PluginConfig};
use crate::daemon::preflight;

/// The files: `running` has the digests of what a daemon loaded.
pub fn files(config: &Config, running: &BTreeMap<String, Arc<Plugin>>) -> Vec<Found> {
    let looked = config.plugins.iter();
    looked.map(|(name, plugin)| file(name, plugin, running.get(name).map(|plugin| plugin.digest()))).collect()
}

fn file(name: &str, plugin: &PluginConfig, running: Option<&str>) -> Found {
    let shown = plugin.file.display();
    let inspection = match package::read(&plugin.file).and_then(|bytes| package::inspect(&bytes)) {
        Ok(inspection) => inspection,
        Err(error) => {
            let remedy = "put the plugin's file back; `agentkube plugin inspect` says more about it";
            return Found::error(Kind::Plugin, name, error.code(), format!("{shown}: {error}"), remedy);
        }
    };
    if running.is_some_and(|digest| digest != inspection.digest) {
        let message = format!("{shown} was changed since the daemon started, and is now {}", inspection.digest);
        return Found::warning(Kind::Plugin, name, "PLUGIN_CHANGED", message, "restart the daemon to use it");
    }
    let pinned = if plugin.digest.is_some() { "pinned" } else { "not pinned" };
    let message = format!("{} {}, {}, {pinned}", inspection.name, inspection.version, inspection.digest);
    Found::ok(Kind::Plugin, name, "PLUGIN_FILE", message)
}

/// What every plugin finds, side by side.
pub async fn preflights(plugins: &BTreeMap<String, Arc<Plugin>>) -> Vec<Found> {
    let looks = plugins.iter().map(async |(name, plugin)| {
        let findings = preflight::look(plugin).await;
        findings.into_iter().map(move |finding| Found { kind: Kind::Plugin, name: name.clone(), finding })
    });
    join_all(looks).await.into_iter().flatten().collect()
}
