//! `agentkube config check`: everything that can be said about a configuration without running anything of it.

use std::sync::Arc;

use agentkube_contract::Clock;
use agentkube_engine::{Journal, Options};
use agentkube_sandbox::{Metrics, NoMetrics, Permits, Services};
use miette::IntoDiagnostic;

use super::say;
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::daemon::assemble;
use crate::daemon::world::{SystemClock, SystemRandom};

/// Reads the configuration, opens its connections without sending a packet, and loads every plugin without running it. The
/// journal of the installation is not touched: a scratch one stands in for it.
pub async fn check(file: &ConfigFile) -> miette::Result<()> {
    let (mut config, source) = Config::read(&file.config)?;
    let scratch = tempfile::tempdir().into_diagnostic()?;
    config.data_dir = scratch.path().to_owned();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, Arc::clone(&clock)) };
    let journal = Journal::open(&scratch.path().join("journal.db"), options)
        .map_err(|error| source.problem("JOURNAL", &["ranges"], error.to_string()))?;
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    let services = Services {
        ledger: Arc::new(journal.clone()),
        reservations: Arc::new(journal.clone()),
        references: Arc::new(journal),
        clock,
        random: Arc::new(SystemRandom),
        connections: Arc::new(assemble::connections(&config, &source, &metrics)?),
        permits: Arc::new(Permits::new(config.permits.clone())),
        metrics,
    };
    assemble::renderer(&config, &source)?;
    let sandbox = assemble::sandbox(&config)?;
    for (name, plugin) in &config.plugins {
        let loaded = assemble::load(&sandbox, name, plugin, &source, services.clone()).await?;
        let manifest = loaded.manifest();
        say(format_args!("plugin {name}: {} {}, {}", manifest.name, manifest.version, manifest.role.as_str()));
    }
    say(format_args!("{}: all is well", source.file.display()));
    Ok(())
}
