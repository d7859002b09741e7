//! The daemon's own ground: its configuration, its data directory, the cache of compiled plugins.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use agentkube_manifest::Role;
use rustix::fs::statvfs;

use super::Found;
use super::report::Kind;
use crate::config::{Config, Problem, Source};
use crate::daemon::ground;

/// Bytes without which a journal soon cannot be written.
const TOO_LITTLE: u64 = 64 << 20;
/// Bytes from which on there is nothing to say.
const ENOUGH: u64 = 1 << 30;

/// The configuration, as it was read; `running` when a daemon runs with it.
pub fn configuration(config: &Config, source: &Source, running: bool) -> Found {
    let file = source.file.display();
    if running {
        match Config::read(&source.file) {
            Err(problem) => {
                let finding = problem.finding();
                let message = format!("the next start would be refused: {}", finding.message);
                return Found::error(Kind::Host, "", &finding.code, message, finding.remedy);
            }
            Ok((_, now)) if now.text != source.text => {
                let message = format!("{file} was changed since the daemon started");
                return Found::warning(Kind::Host, "", "CONFIG_CHANGED", message, "restart the daemon to use it");
            }
            Ok(_) => {}
        }
    }
    let (connections, plugins) = (config.connections.len(), config.plugins.len());
    let message = format!("{file}: installation {}, {connections} connections, {plugins} plugins", config.installation);
    Found::ok(Kind::Host, "", "CONFIGURATION", message)
}

/// What the start would refuse of the places that it needs. `running`: they are that daemon's.
pub fn ground(config: &Config, source: &Source, running: bool) -> Vec<Found> {
    let mut found = vec![match ground::data_dir(config, source) {
        Ok(()) => data_dir(config),
        Err(problem) => told(Kind::Host, "", &problem),
    }];
    if !running {
        let (socket, listen) = (config.socket(), config.listen);
        found.push(match ground::socket(config, source) {
            Ok(()) => Found::ok(Kind::Host, "", "SOCKET", format!("{} can be made", socket.display())),
            Err(problem) => told(Kind::Host, "", &problem),
        });
        // A daemon that does not answer may hold it yet.
        if !ground::in_use(config) {
            found.push(match ground::listen(config, source) {
                Ok(()) => Found::ok(Kind::Host, "", "LISTEN", format!("{listen} is free")),
                Err(problem) => told(Kind::Host, "", &problem),
            });
        }
    }
    found
}

/// What else there is to say about a data directory that can be used.
fn data_dir(config: &Config) -> Found {
    let (path, shown) = (&config.data_dir, config.data_dir.display());
    let Ok(about) = path.metadata() else {
        return Found::ok(Kind::Host, "", "DATA_DIR", format!("{shown} will be made at the first start"));
    };
    let free = statvfs(path).map_or(u64::MAX, |about| about.f_bavail.saturating_mul(about.f_frsize));
    let mib = free >> 20;
    if free < ENOUGH {
        let message = format!("{shown}: {mib} MiB are free");
        let remedy = "make room: a journal that cannot be written stops all work";
        return match free < TOO_LITTLE {
            true => Found::error(Kind::Host, "", "DISK_SPACE", message, remedy),
            false => Found::warning(Kind::Host, "", "DISK_SPACE", message, remedy),
        };
    }
    if open_to_others(&about) {
        let message = format!("{shown}: others may look into it (mode {:04o})", about.mode() & 0o7777);
        return Found::warning(Kind::Host, "", "DATA_DIR_MODE", message, format!("chmod 700 {shown}"));
    }
    Found::ok(Kind::Host, "", "DATA_DIR", format!("{shown} can be written, {mib} MiB are free"))
}

/// Whether compiled plugins can be kept.
pub fn cache(config: &Config) -> Found {
    let path = config.data_dir.join("cache");
    let shown = path.display();
    let Ok(about) = path.metadata() else {
        return Found::ok(Kind::Host, "", "CACHE", format!("{shown} will be made when the first plugin is compiled"));
    };
    let ours = Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == about.uid());
    if about.mode() & 0o077 != 0 || !ours {
        let message = format!("{shown} is open to others or another user's: compiled plugins in it are not used");
        return Found::warning(Kind::Host, "", "CACHE_MODE", message, format!("remove {shown}; it is made anew"));
    }
    let entries = path.read_dir().into_iter().flatten().flatten();
    let compiled = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "cwasm")).count();
    Found::ok(Kind::Host, "", "CACHE", format!("{shown} holds {compiled} compiled plugins"))
}

/// Where the API servers of the clusters may lie.
pub fn tenants(config: &Config) -> Vec<Found> {
    let planes = config.plugins.iter().filter(|(_, plugin)| plugin.role == Role::ControlPlane);
    planes
        .map(|(name, plugin)| {
            let ranges: Vec<&str> =
                plugin.grants.iter().flat_map(|grant| &grant.tenant_addresses).map(String::as_str).collect();
            let shown = ranges.join(", ");
            if ranges.iter().any(|range| range.ends_with("/0")) {
                let message = format!("the API servers of its clusters may lie anywhere: {shown}");
                let remedy = "name the ranges in `tenant-addresses` from which the load balancer gives addresses";
                return Found::warning(Kind::Plugin, name, "TENANT_ADDRESSES_WIDE", message, remedy);
            }
            let message = format!("the API servers of its clusters may lie in {shown}");
            Found::ok(Kind::Plugin, name, "TENANT_ADDRESSES", message)
        })
        .collect()
}

/// Whether anybody but owner and group has rights there.
pub fn open_to_others(about: &Metadata) -> bool {
    about.mode() & 0o007 != 0
}

/// A problem of the configuration as a finding.
pub fn told(kind: Kind, name: &str, problem: &Problem) -> Found {
    Found { kind, name: name.to_owned(), finding: problem.finding() }
}
