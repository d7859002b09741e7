//! First-boot data of a machine: cloud-init's user data, meta data and network configuration.
//!
//! The host makes files and commands; a template puts them together, and operators can replace it. The template is given:
//!
//! | name | what |
//! |---|---|
//! | `machine` | `name`, `pool`, `index`, `providerId`, `macs` |
//! | `cluster` | the cluster's description; `name` is the one made from its identity |
//! | `join` | `endpoint`, `token`, `caCertHashes`, `ca` (PEM), `version` |
//! | `files` | for `write_files`: `path`, `permissions`, `content` |
//! | `commands` | for `runcmd`: lists of words; the last one removes every trace |
//! | `users`, `ntp` | from the configuration |
//!
//! and the filter `yaml`, which writes any value as YAML on one line, quoted whole. Values come from people whom the machine's
//! owner does not know, so a template must write none without it.

mod check;
mod files;
mod kubeadm;
mod network;
pub mod settings;
mod shell;

use std::path::Path;

use agentkube_contract::{Bootstrap, BootstrapRenderer, BootstrapRequest};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Value, json};

pub use settings::BootstrapSettings;

use crate::{Error, Result, yaml};
use files::Loaded;

const TEMPLATE: &str = "user-data";
const DEFAULT_TEMPLATE: &str = include_str!("default.yaml.j2");

/// Renders first-boot data.
pub struct Renderer {
    settings: BootstrapSettings,
    loaded: Loaded,
    environment: Environment<'static>,
}

impl Renderer {
    /// A renderer; checks the settings and reads the files that they name.
    pub fn new(settings: BootstrapSettings) -> Result<Self> {
        check::check(&settings)?;
        let mut loaded = Loaded::default();
        if let Some(path) = &settings.packages.key {
            loaded.key = Some(read(path)?);
        }
        for (name, registry) in &settings.registries {
            if let Some(path) = &registry.ca {
                loaded.cas.push((name.clone(), read(path)?));
            }
        }
        let template = settings.template.as_deref().map_or_else(|| Ok(DEFAULT_TEMPLATE.to_owned()), read)?;
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.add_filter("yaml", filter);
        environment.add_template_owned(TEMPLATE, template).map_err(template_error)?;
        Ok(Renderer { settings, loaded, environment })
    }

    fn user_data(&self, request: &BootstrapRequest<'_>) -> Result<Vec<u8>> {
        let BootstrapRequest { key, join, .. } = request;
        let mut cluster = serde_json::to_value(request.cluster).unwrap_or_default();
        if let Some(fields) = cluster.as_object_mut() {
            fields.insert("name".to_owned(), Value::from(request.owner.cluster.as_str()));
        }
        let context = json!({
            "machine": {
                "name": key.name, "pool": key.pool, "index": key.index,
                "providerId": request.provider_id, "macs": request.macs,
            },
            "cluster": cluster,
            "join": {
                "endpoint": join.server, "token": format!("{}.{}", join.token.id, join.token.secret),
                "caCertHashes": join.ca_hashes, "ca": join.ca, "version": join.version,
            },
            "files": files::files(request, &self.settings, &self.loaded)?,
            "commands": shell::commands(request, &self.settings)?,
            "users": self.settings.users.iter().map(user).collect::<Vec<_>>(),
            "ntp": self.settings.ntp,
        });
        let template = self.environment.get_template(TEMPLATE).map_err(template_error)?;
        let text = template.render(&context).map_err(template_error)?;
        // A mistake in a template shows here, and not as a machine that never joins.
        if text.starts_with("#cloud-config")
            && !serde_saphyr::from_str::<Value>(&text).is_ok_and(|value| value.is_object())
        {
            return Err(Error::bootstrap(
                "BOOTSTRAP_TEMPLATE",
                "the template's result is no YAML mapping; is a value written without the filter `yaml`?",
            ));
        }
        Ok(text.into_bytes())
    }
}

impl BootstrapRenderer for Renderer {
    fn render(&self, request: &BootstrapRequest<'_>) -> agentkube_contract::Result<Bootstrap> {
        self.carry(request, self.user_data(request)?)
    }

    fn carry(&self, request: &BootstrapRequest<'_>, user_data: Vec<u8>) -> agentkube_contract::Result<Bootstrap> {
        let name = &request.key.name;
        Ok(Bootstrap {
            user_data,
            // The name is made once and never again, so it tells this machine from every other for cloud-init too.
            meta_data: vec![("instance-id".to_owned(), name.clone()), ("local-hostname".to_owned(), name.clone())],
            network_config: network::configuration(request)?,
        })
    }
}

/// One of cloud-init's `users`; its schema allows no empty lists.
fn user(user: &settings::User) -> Value {
    let mut entry = serde_json::Map::new();
    entry.insert("name".to_owned(), Value::from(user.name.as_str()));
    entry.insert("lock_passwd".to_owned(), Value::from(true));
    entry.insert("shell".to_owned(), Value::from("/bin/bash"));
    for (field, list) in [("ssh_authorized_keys", &user.ssh_keys), ("groups", &user.groups)] {
        if !list.is_empty() {
            entry.insert(field.to_owned(), json!(list));
        }
    }
    entry.extend(user.sudo.iter().map(|rule| ("sudo".to_owned(), Value::from(rule.as_str()))));
    Value::Object(entry)
}

fn filter(value: minijinja::Value) -> std::result::Result<String, minijinja::Error> {
    let value = serde_json::to_value(&value)
        .map_err(|_| minijinja::Error::new(minijinja::ErrorKind::BadSerialization, "a value has no form in YAML"))?;
    Ok(yaml::inline(&value))
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    std::fs::read_to_string(path)
        .map_err(|error| Error::bootstrap("BOOTSTRAP_FILE", format!("[bootstrap] {}: {error}", path.display())))
}

/// Line and kind alone: what the engine says beyond that may quote a value.
fn template_error(error: minijinja::Error) -> Error {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    Error::bootstrap("BOOTSTRAP_TEMPLATE", format!("[bootstrap] template{line}: {}", error.kind()))
}

#[cfg(test)]
mod tests;
