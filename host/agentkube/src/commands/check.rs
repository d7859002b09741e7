//! `agentkube config check`: everything that can be said about a configuration without running anything of it.

use std::sync::Arc;

use agentkube_contract::Clock;
use agentkube_engine::{Journal, Options};
use agentkube_sandbox::{Metrics, NoMetrics};
use miette::IntoDiagnostic;

use super::say;
use crate::cli::ConfigFile;
use crate::config::Config;
use crate::daemon::assemble;
use crate::daemon::world::SystemClock;

/// Reads the configuration, opens its connections without sending a packet, and checks every plugin without compiling or running it.
/// The journal of the installation is not touched: a scratch one stands in for it.
pub async fn check(file: &ConfigFile) -> miette::Result<()> {
    let (config, source) = Config::read(&file.config)?;
    let scratch = tempfile::tempdir().into_diagnostic()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, clock) };
    Journal::open(&scratch.path().join(assemble::JOURNAL), options)
        .map_err(|error| assemble::journal_problem(&source, &error))?;
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    assemble::connections(&config, &source, &metrics)?;
    assemble::renderer(&config, &source)?;
    for (name, plugin) in &config.plugins {
        let found = assemble::check(name, plugin, &source)?;
        say(format_args!("plugin {name}: {} {}, {}", found.name, found.version, found.role));
    }
    say(format_args!("{}: all is well", source.file.display()));
    Ok(())
}
