//! The look of a doctor who finds no daemon: the configuration is opened in a temporary place, and nothing else is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use agentkube_contract::Clock;
use agentkube_engine::{Journal, Options};
use agentkube_sandbox::{Metrics, NoMetrics, Permits, Sandbox, Services};

use super::report::Kind;
use super::{Found, Report, connections, host, journal, plugins, secrets};
use crate::config::{Config, Problem, Source};
use crate::daemon::assemble;
use crate::daemon::world::{SystemClock, SystemRandom};

/// Looks at everything that the configuration names.
pub async fn examine(config: &Config, source: &Source) -> std::io::Result<Report> {
    let scratch = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut found = vec![host::configuration(config, source, false)];
    found.extend(host::ground(config, source, false));
    found.push(host::cache(config));
    found.push(journal::look(config, scratch.path(), &clock));
    found.extend(secrets::look(config));
    found.extend(host::tenants(config));
    found.extend(plugins::files(config, &BTreeMap::new()));
    match open(config, source, scratch.path(), clock) {
        Err(problem) => found.push(host::told(Kind::Host, "", &problem)),
        Ok((sandbox, services)) => {
            found.extend(connections::look(&services.connections).await);
            let mut loaded = BTreeMap::new();
            for (name, plugin) in &config.plugins {
                match assemble::load(&sandbox, name, plugin, source, services.clone()).await {
                    Ok(plugin) => {
                        loaded.insert(name.clone(), plugin);
                    }
                    Err(problem) if said(&found, name, problem.code()) => {}
                    Err(problem) => found.push(host::told(Kind::Plugin, name, &problem)),
                }
            }
            found.extend(plugins::preflights(&loaded).await);
        }
    }
    Ok(Report::new(false, found))
}

/// What plugins are offered, with a journal that nobody else sees.
fn open(
    config: &Config,
    source: &Source,
    scratch: &Path,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Sandbox>, Services), Problem> {
    let options = Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, Arc::clone(&clock)) };
    let journal = Journal::open(&scratch.join("scratch.db"), options)
        .map_err(|error| assemble::journal_problem(source, &error))?;
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    assemble::renderer(config, source)?;
    let services = Services {
        ledger: Arc::new(journal.clone()),
        reservations: Arc::new(journal.clone()),
        references: Arc::new(journal),
        clock,
        random: Arc::new(SystemRandom),
        connections: Arc::new(assemble::connections(config, source, &metrics)?),
        permits: Arc::new(Permits::new(config.permits.clone())),
        metrics,
    };
    Ok((assemble::sandbox(config, false)?, services))
}

/// Whether a plugin's file was found to be bad already.
fn said(found: &[Found], plugin: &str, code: &str) -> bool {
    found.iter().any(|found| found.kind == Kind::Plugin && found.name == plugin && found.finding.code == code)
}
