//! `agentkube config check`: everything that can be said about a configuration without running anything of it.

use std::path::Path;
use std::sync::Arc;

use agentkube_contract::Clock;
use agentkube_engine::{Journal, Options};
use agentkube_sandbox::package::Inspection;
use agentkube_sandbox::{Metrics, NoMetrics};
use serde_json::json;

use super::{printed, say};
use crate::BAD_CONFIG;
use crate::cli::{Ask, Form};
use crate::config::{Config, Problem};
use crate::daemon::world::SystemClock;
use crate::daemon::{assemble, ground};
use crate::doctor::{Found, connections};

/// Says what is wrong, or that all is well; gives the exit code.
pub fn check(command: &Ask) -> miette::Result<u8> {
    let file = &command.config.config;
    match (look(file), command.output.output) {
        (Err(problem), Form::Text) => Err(problem.into()),
        (Err(problem), Form::Json) => {
            say(format_args!("{:#}", json!({ "ok": false, "error": problem.json() })));
            Ok(BAD_CONFIG)
        }
        (Ok(checked), _) => {
            if !printed(&checked.json(), command.output) {
                checked.print(file);
            }
            Ok(0)
        }
    }
}

/// A configuration that can be used.
struct Checked {
    installation: String,
    plugins: Vec<(String, Inspection)>,
    warnings: Vec<Found>,
}

/// Reads the configuration, opens its connections without sending a packet, and checks every plugin without compiling or running it.
/// The journal of the installation is not touched: a scratch one stands in for it.
fn look(file: &Path) -> Result<Checked, Problem> {
    let (config, source) = Config::read(file)?;
    let scratch = tempfile::tempdir().map_err(|error| Problem::new("START", format!("temporary files: {error}")))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, clock) };
    Journal::open(&scratch.path().join(assemble::JOURNAL), options)
        .map_err(|error| assemble::journal_problem(&source, &error))?;
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    let connections = assemble::connections(&config, &source, &metrics)?;
    assemble::renderer(&config, &source)?;
    let plugins =
        config.plugins.iter().map(|(name, plugin)| Ok((name.clone(), assemble::check(name, plugin, &source)?)));
    let plugins = plugins.collect::<Result<_, Problem>>()?;
    ground::check(&config, &source)?;
    Ok(Checked { installation: config.installation, plugins, warnings: connections::rights(&connections) })
}

impl Checked {
    fn json(&self) -> serde_json::Value {
        let plugin = |(name, found): &(String, Inspection)| {
            let Inspection { name: plugin, version, role, digest, .. } = found;
            json!({ "name": name, "plugin": plugin, "version": version, "role": role, "digest": digest })
        };
        let plugins: Vec<serde_json::Value> = self.plugins.iter().map(plugin).collect();
        json!({ "ok": true, "installation": self.installation, "plugins": plugins, "warnings": self.warnings })
    }

    fn print(&self, file: &Path) {
        for (name, found) in &self.plugins {
            say(format_args!("plugin {name}: {} {}, {}", found.name, found.version, found.role));
        }
        for found in &self.warnings {
            say(found.line(0));
        }
        say(format_args!("{}: all is well", file.display()));
    }
}
