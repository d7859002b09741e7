//! Files that hold credentials: readable by us, and by nobody who has no business with them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use agentkube_sandbox::connections::config::{Auth, Kubernetes, SecretSource};
use agentkube_sandbox::connections::secret::read_secret;

use super::Found;
use super::host::open_to_others;
use super::report::Kind;
use crate::config::Config;

/// Looks at every secret that the configuration names.
pub fn look(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, connection) in &config.connections {
        let secret = match &connection.auth {
            Auth::None => None,
            Auth::Bearer { secret } | Auth::Basic { secret, .. } | Auth::Header { secret, .. } => Some(secret),
        };
        found.extend(secret.map(|secret| source(Kind::Connection, name, secret)));
        let kubeconfig = match &connection.kubernetes {
            Some(Kubernetes::Kubeconfig { file, .. }) => Some(file),
            _ => None,
        };
        let files = kubeconfig.into_iter().chain(&connection.tls.client_key_file);
        found.extend(files.map(|path| file(Kind::Connection, name, path)));
    }
    found.extend(config.secrets.iter().map(|(name, secret)| source(Kind::Secret, name, secret)));
    found
}

fn source(kind: Kind, name: &str, secret: &SecretSource) -> Found {
    match secret {
        SecretSource::File(path) => file(kind, name, path),
        SecretSource::Env(variable) if std::env::var_os(variable).is_none_or(|value| value.is_empty()) => {
            let message = format!("environment variable {variable} is not set here");
            Found::warning(kind, name, "SECRET_ENV", message, "set it in the daemon's environment")
        }
        SecretSource::Env(variable) => {
            Found::ok(kind, name, "SECRET", format!("environment variable {variable} is set"))
        }
        // A configuration that holds one and is open to others was refused before.
        SecretSource::Value(_) => Found::ok(kind, name, "SECRET", "the secret stands in the configuration"),
    }
}

fn file(kind: Kind, name: &str, path: &Path) -> Found {
    let shown = path.display();
    let about = match read_secret(path).and_then(|text| Ok((text, path.metadata()?))) {
        Err(error) => {
            let remedy = "make it readable for the daemon's user, or name another file";
            return Found::error(kind, name, "SECRET_UNREADABLE", format!("cannot read {shown}: {error}"), remedy);
        }
        Ok((text, _)) if text.trim().is_empty() => {
            return Found::error(kind, name, "SECRET_UNREADABLE", format!("{shown} is empty"), "put the secret there");
        }
        Ok((_, about)) => about,
    };
    let mode = about.mode() & 0o7777;
    if open_to_others(&about) {
        let message = format!("{shown} has mode {mode:04o}: every user of this machine may read or change it");
        return Found::warning(kind, name, "SECRET_EXPOSED", message, format!("chmod 600 {shown}"));
    }
    Found::ok(kind, name, "SECRET", format!("{shown} can be read, mode {mode:04o}"))
}
