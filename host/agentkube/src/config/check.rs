//! What serde cannot see: names that must exist, values that must fit each other.

use agentkube_manifest::Role;
use agentkube_sandbox::connections::config::{Auth, SecretSource};
use agentkube_sandbox::connections::secret::read_secret;
use agentkube_sandbox::suggestion;

use super::{Config, Problem, Source};

impl Config {
    /// Finds the first thing wrong.
    pub(super) fn check(&self, source: &Source) -> Result<(), Problem> {
        self.check_names(source)?;
        self.check_retry(source)?;
        self.check_inline_secrets(source)?;
        self.check_secrets(source)?;
        self.check_defaults(source)?;
        self.check_grants(source)?;
        self.check_addons(source)?;
        self.check_tenants(source)
    }

    fn check_names(&self, source: &Source) -> Result<(), Problem> {
        let fits = |name: &str| {
            (1..=40).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !fits(&self.installation) {
            let message = format!("installation `{}` must be 1 to 40 of a-z, 0-9 and `-`", self.installation);
            return Err(source.problem("CONFIG_NAME", &["installation"], message));
        }
        let sections = [
            ("connections", self.connections.keys().collect::<Vec<_>>()),
            ("plugins", self.plugins.keys().collect()),
            ("addons", self.addons.keys().collect()),
        ];
        for (section, names) in sections {
            for name in names {
                if !fits(name) {
                    let message = format!("`{name}` must be 1 to 40 of a-z, 0-9 and `-`");
                    return Err(source.problem("CONFIG_NAME", &[section, name], message));
                }
            }
        }
        if !self.plugins.values().any(|plugin| plugin.role == Role::JobSource) {
            return Err(source
                .problem(
                    "CONFIG_NO_SOURCE",
                    &["plugins"],
                    "no plugin has the role job-source, so there would be no work",
                )
                .help("add one: [plugins.NAME] with file, role = \"job-source\", config and grants"));
        }
        Ok(())
    }

    fn check_retry(&self, source: &Source) -> Result<(), Problem> {
        let retry = self.engine.settings().retry;
        let (base, cap) = (retry.base.as_millis(), retry.cap.as_millis());
        if base <= cap {
            return Ok(());
        }
        let key = if self.engine.retry_cap_ms.is_some() { "retry-cap-ms" } else { "retry-base-ms" };
        let message =
            format!("the first pause, `retry-base-ms` ({base}), is longer than the longest, `retry-cap-ms` ({cap})");
        Err(source.problem("CONFIG_INVALID", &["engine", key], message))
    }

    fn check_inline_secrets(&self, source: &Source) -> Result<(), Problem> {
        if source.is_private() {
            return Ok(());
        }
        let inline = |secret: &SecretSource| matches!(secret, SecretSource::Value(_));
        let problem = |keys: &[&str]| {
            source
                .problem(
                    "CONFIG_SECRET_EXPOSED",
                    keys,
                    "a secret stands here, and others than its owner may read this file",
                )
                .help("`chmod 600` the file, or name a file or an environment variable: secret = { file = \"…\" }")
        };
        for (name, connection) in &self.connections {
            let secret = match &connection.auth {
                Auth::None => None,
                Auth::Bearer { secret } | Auth::Basic { secret, .. } | Auth::Header { secret, .. } => Some(secret),
            };
            if secret.is_some_and(inline) {
                return Err(problem(&["connections", name, "auth"]));
            }
        }
        match self.secrets.iter().find(|(_, secret)| inline(secret)) {
            Some((name, _)) => Err(problem(&["secrets", name])),
            None => Ok(()),
        }
    }

    /// A secret that is not there now would only show when the first request needs it.
    fn check_secrets(&self, source: &Source) -> Result<(), Problem> {
        for (name, connection) in &self.connections {
            let secret = match &connection.auth {
                Auth::None => continue,
                Auth::Bearer { secret } | Auth::Basic { secret, .. } | Auth::Header { secret, .. } => secret,
            };
            if let Err(why) = present(secret) {
                let message = format!("connection `{name}`: {why}");
                return Err(source.problem("SECRET_UNREADABLE", &["connections", name], message));
            }
        }
        for (name, secret) in &self.secrets {
            if let Err(why) = present(secret) {
                return Err(source.problem("SECRET_UNREADABLE", &["secrets", name], format!("secret `{name}`: {why}")));
            }
        }
        Ok(())
    }

    fn check_defaults(&self, source: &Source) -> Result<(), Problem> {
        let wanted = [
            ("control-plane", &self.defaults.control_plane, Role::ControlPlane),
            ("node-provider", &self.defaults.node_provider, Role::NodeProvider),
        ];
        for (key, name, role) in wanted {
            let Some(name) = name else { continue };
            if self.plugins.get(name).is_none_or(|plugin| plugin.role != role) {
                let known: Vec<&str> = self
                    .plugins
                    .iter()
                    .filter(|(_, plugin)| plugin.role == role)
                    .map(|(name, _)| name.as_str())
                    .collect();
                let message = format!("no plugin `{name}` has the role {}", role.as_str());
                let problem = source.problem("CONFIG_UNKNOWN_PLUGIN", &["defaults", key], message);
                return Err(with_suggestion(problem, name, &known));
            }
        }
        for addon in &self.defaults.addons {
            if !self.addons.contains_key(addon) {
                let known: Vec<&str> = self.addons.keys().map(String::as_str).collect();
                let problem = source.problem(
                    "CONFIG_UNKNOWN_ADDON",
                    &["defaults", "addons"],
                    format!("no add-on is named `{addon}`"),
                );
                return Err(with_suggestion(problem, addon, &known));
            }
        }
        Ok(())
    }

    fn check_grants(&self, source: &Source) -> Result<(), Problem> {
        let known: Vec<&str> = self.connections.keys().map(String::as_str).collect();
        for (name, plugin) in &self.plugins {
            for (index, grant) in plugin.grants.iter().enumerate() {
                let index = index.to_string();
                let keys = ["plugins", name, "grants", &index];
                if let Some(connection) = grant.connection.as_ref().filter(|c| !self.connections.contains_key(*c)) {
                    let problem = source.problem(
                        "CONFIG_UNKNOWN_CONNECTION",
                        &keys,
                        format!("no connection is named `{connection}`"),
                    );
                    return Err(with_suggestion(problem, connection, &known));
                }
                let patterns = [
                    ("from", &grant.from, self.plugins.keys().collect::<Vec<_>>()),
                    ("to", &grant.to, self.connections.keys().collect()),
                ];
                for (key, words, names) in patterns {
                    if let Some(word) = words.iter().find(|word| !word.contains('*') && !names.contains(word)) {
                        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                        let message = format!("`{key}` names `{word}`, which is not configured");
                        return Err(with_suggestion(
                            source.problem("CONFIG_UNKNOWN_NAME", &keys, message),
                            word,
                            &names,
                        ));
                    }
                }
                if let Some(range) = grant.range.as_ref().filter(|range| !self.ranges.contains_key(*range)) {
                    let message = format!("no range is named `{range}`");
                    let problem = source.problem("CONFIG_UNKNOWN_RANGE", &keys, message);
                    return Err(problem.help(format!("add it under [ranges]: {range} = \"20000-29999\"")));
                }
            }
        }
        Ok(())
    }
}

impl Config {
    fn check_addons(&self, source: &Source) -> Result<(), Problem> {
        for (name, addon) in &self.addons {
            if !(addon.path.is_dir() || addon.path.is_file()) {
                let message = format!("{} is neither a directory nor a file", addon.path.display());
                return Err(source.problem("CONFIG_ADDON_PATH", &["addons", name, "path"], message));
            }
        }
        Ok(())
    }

    /// What would otherwise show only once a control plane stands.
    fn check_tenants(&self, source: &Source) -> Result<(), Problem> {
        for (name, plugin) in self.plugins.iter().filter(|(_, plugin)| plugin.role == Role::ControlPlane) {
            if !plugin.grants.iter().any(|grant| !grant.tenant_addresses.is_empty()) {
                let message = format!(
                    "nothing says where the API servers of `{name}`'s clusters may lie, so none could be opened"
                );
                let help = format!("add:\n[[plugins.{name}.grants]]\ntenant-addresses = [\"10.0.0.0/8\"]");
                return Err(source.problem("CONFIG_NO_TENANT_ADDRESSES", &["plugins", name], message).help(help));
            }
        }
        let passes = |grants: &[agentkube_sandbox::Grant]| grants.iter().any(|grant| grant.pass.is_some());
        for (name, plugin) in self.plugins.iter().filter(|(_, plugin)| plugin.role == Role::JobSource) {
            if self.engine.delivers_kubeconfig() && !passes(&plugin.grants) {
                let message = format!("owners get their kubeconfig by `{name}`, and no grant lets it pass one on");
                let planes = self.plugins.iter().filter(|(_, plugin)| plugin.role == Role::ControlPlane);
                let planes: Vec<String> = planes.map(|(name, _)| format!("\"{name}\"")).collect();
                let to = plugin
                    .grants
                    .iter()
                    .find_map(|grant| grant.connection.clone())
                    .unwrap_or_else(|| "NAME".to_owned());
                let help = format!(
                    "add:\n[[plugins.{name}.grants]]\npass = \"kube-secret\"\nfrom = [{}]\nto = [\"{to}\"]\nor, to hand \
                     kubeconfigs over by the command line alone:\n[engine]\nkubeconfig-delivery = \"none\"",
                    planes.join(", ")
                );
                return Err(source.problem("CONFIG_KUBECONFIG_GRANT", &["plugins", name], message).help(help));
            }
        }
        Ok(())
    }
}

/// Whether a secret can be read and is a header's value.
fn present(secret: &SecretSource) -> Result<(), String> {
    let (whence, value) = match secret {
        SecretSource::File(path) => {
            let text = read_secret(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            (path.display().to_string(), text)
        }
        SecretSource::Env(name) => {
            let value = std::env::var(name).map_err(|_| format!("environment variable {name} is not set"))?;
            (format!("environment variable {name}"), value)
        }
        SecretSource::Value(value) => ("the value in the configuration".to_owned(), value.clone()),
    };
    let value = value.trim();
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(format!("{whence} holds no secret of one line"));
    }
    Ok(())
}

fn with_suggestion(problem: Problem, word: &str, known: &[&str]) -> Problem {
    match suggestion(word, known.iter().copied()) {
        Some(help) => problem.help(help),
        None if known.is_empty() => problem.help("none is configured"),
        None => problem.help(format!("there are: {}", known.join(", "))),
    }
}
