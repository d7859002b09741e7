//! The configuration: one TOML file, every key of it known.
//!
//! Everything is named, nothing is a singleton: any number of connections, plugins, ranges and add-ons. Relative paths are relative
//! to the directory of the file.

mod check;
mod load;
pub mod numbers;
mod paths;
mod problem;
mod tuning;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use agentkube_kubernetes::addons::AddonSettings;
use agentkube_kubernetes::bootstrap::BootstrapSettings;
use agentkube_kubernetes::settings::TenantSettings;
use agentkube_manifest::Role;
use agentkube_sandbox::Grant;
use agentkube_sandbox::connections::config::{ConnectionConfig, SecretSource};
use serde::Deserialize;

pub use load::Source;
pub use problem::Problem;
pub use tuning::{EngineTuning, SandboxTuning};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The installation's id: part of every name and every mark, and so never changed while clusters live.
    pub installation: String,
    /// Where the journal, the cache of compiled plugins and the admin socket live.
    pub data_dir: PathBuf,
    /// The admin socket; by default `agentkube.sock` in the data directory.
    #[serde(default)]
    pub admin_socket: Option<PathBuf>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[serde(default = "status_pages")]
    pub listen: SocketAddr,
    /// Ways out, by name.
    #[serde(default)]
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// Plugins, by name.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginConfig>,
    /// What clusters and pools get that name nothing else.
    #[serde(default)]
    pub defaults: Defaults,
    /// Secrets that plugins may pass on, by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Ranges that plugins reserve numbers and addresses from: `"20000-29999"` or a CIDR.
    #[serde(default)]
    pub ranges: BTreeMap<String, String>,
    /// Sizes of named semaphores; 1 where nothing is said.
    #[serde(default)]
    pub permits: BTreeMap<String, usize>,
    /// Add-ons, by name.
    #[serde(default)]
    pub addons: AddonSettings,
    /// First-boot data of machines.
    #[serde(default)]
    pub bootstrap: BootstrapSettings,
    /// How tenant clusters are talked to.
    #[serde(default)]
    pub tenants: TenantSettings,
    /// How jobs are carried out.
    #[serde(default)]
    pub engine: EngineTuning,
    /// What a plugin call may use.
    #[serde(default)]
    pub sandbox: SandboxTuning,
}

/// The admin socket's name in the data directory.
const SOCKET: &str = "agentkube.sock";

/// Where a daemon is found.
#[derive(Clone, Debug)]
pub struct Places {
    /// What it holds while it runs.
    pub data_dir: PathBuf,
    /// Where it answers.
    pub socket: PathBuf,
}

/// One plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PluginConfig {
    /// The component.
    pub file: PathBuf,
    /// SHA-256 of the file in hex, optionally after `sha256:`: another file is refused.
    #[serde(default)]
    pub digest: Option<String>,
    /// The role that it must have.
    pub role: Role,
    /// Its own configuration; its manifest holds the schema.
    #[serde(default = "nothing")]
    pub config: serde_json::Value,
    /// What it may use.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

/// What clusters and pools get that name nothing else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Defaults {
    /// Control-plane provider.
    pub control_plane: Option<String>,
    /// Node provider.
    pub node_provider: Option<String>,
    /// Add-ons that every cluster gets beside its own.
    pub addons: Vec<String>,
}

fn status_pages() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9180))
}

fn nothing() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

impl Config {
    /// Reads and checks a file. What its plugins think of their sections is seen when they are loaded.
    pub fn read(file: &Path) -> Result<(Config, Source), Problem> {
        let source = Source::read(file)?;
        numbers::check(&source)?;
        let mut config: Config = source.parse()?;
        config.resolve_paths(file.parent().unwrap_or(Path::new(".")));
        config.check(&source)?;
        Ok((config, source))
    }

    /// Where a daemon with this configuration file is found; other trouble in the file does not matter for that.
    pub fn places(file: &Path) -> Result<Places, Problem> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Keys {
            data_dir: PathBuf,
            admin_socket: Option<PathBuf>,
        }
        let keys: Keys = Source::read(file)?.parse()?;
        let base = file.parent().unwrap_or(Path::new("."));
        let socket = keys.admin_socket.unwrap_or_else(|| keys.data_dir.join(SOCKET));
        Ok(Places { data_dir: base.join(keys.data_dir), socket: base.join(socket) })
    }

    /// Where the daemon answers the command line.
    pub fn socket(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| self.data_dir.join(SOCKET))
    }
}
