//! The journal of a daemon that does not run: looked at in a copy, so that nothing of it is touched.

use std::path::Path;
use std::sync::Arc;

use agentkube_contract::Clock;
use agentkube_engine::{Journal, Options};
use agentkube_manifest::Role;

use super::Found;
use super::report::Kind;
use crate::config::Config;
use crate::daemon::assemble::{JOURNAL, journal_remedy};
use crate::daemon::ground;

/// Opens a copy of the journal below `scratch`.
pub fn look(config: &Config, scratch: &Path, clock: &Arc<dyn Clock>) -> Found {
    let path = config.data_dir.join(JOURNAL);
    let shown = path.display();
    if ground::in_use(config) {
        let message =
            format!("a daemon uses {} and does not answer on {}", config.data_dir.display(), config.socket().display());
        let remedy = "look at its log: at the first start plugins are compiled, which takes some time; if its `admin-socket` is \
                      another one, ask with its configuration";
        return Found::error(Kind::Host, "", "DAEMON_SILENT", message, remedy);
    }
    if !path.exists() {
        return Found::ok(Kind::Host, "", "JOURNAL", format!("{shown} will be made at the first start"));
    }
    let copy = scratch.join("journal-copy.db");
    if let Err(error) = copied(&path, &copy) {
        let message = format!("cannot read {shown}: {error}");
        return Found::error(Kind::Host, "", "JOURNAL", message, "run this as the daemon's user");
    }
    let options = Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, Arc::clone(clock)) };
    let sources = config.plugins.iter().filter(|(_, plugin)| plugin.role == Role::JobSource);
    let opened = Journal::open(&copy, options).and_then(|journal| {
        journal.check_sources(sources.map(|(name, _)| name.as_str()))?;
        journal.services()
    });
    match opened {
        Ok(services) => Found::ok(Kind::Host, "", "JOURNAL", format!("{shown} is whole, {} services", services.len())),
        Err(error) => {
            // What was opened is a copy; the message shall name the original.
            let message = error.to_string().replace(&copy.display().to_string(), &shown.to_string());
            Found::error(Kind::Host, "", error.code(), message, journal_remedy(&error))
        }
    }
}

/// What was not yet moved from the write-ahead log into the file belongs to it.
fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let log = |path: &Path| path.with_extension("db-wal");
    match std::fs::copy(log(from), log(to)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
