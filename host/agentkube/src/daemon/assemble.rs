//! From a configuration to running parts: journal, connections, plugins, engine.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use agentkube_contract::{Clock, Reference};
use agentkube_engine::{Engine, Journal, Options, World};
use agentkube_kubernetes::{Cidr, KubeconfigSource, Opener, Renderer, TenantAddresses};
use agentkube_sandbox::package::{self, Inspection};
use agentkube_sandbox::{Connections, Grants, Metrics as Counts, Permits, Plugin, Sandbox, Secrets, Services};
use async_trait::async_trait;
use zeroize::Zeroizing;

use super::defaults::WithDefaults;
use super::ground;
use super::metrics::Metrics;
use super::world::{SystemClock, SystemRandom};
use crate::config::{Config, PluginConfig, Problem, Source};

/// The journal's file in the data directory.
pub const JOURNAL: &str = "journal.db";

/// What of the daemon does not work without the others.
pub struct Parts {
    /// Held for as long as the daemon lives: one daemon per data directory.
    _lock: File,
    /// The durable store.
    pub journal: Journal,
    /// Runs plugins.
    pub sandbox: Arc<Sandbox>,
    /// What plugins are offered.
    pub services: Services,
    /// All plugins, by configured name.
    pub plugins: Arc<BTreeMap<String, Arc<Plugin>>>,
    /// Resolves references for the host.
    pub secrets: Arc<Secrets>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Parts {
    /// Opens and loads everything; nothing runs yet.
    pub async fn open(config: &Config, source: &Source) -> Result<Parts, Problem> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new());
        let lock = ground::lock(config, source)?;
        let options =
            Options { ranges: config.ranges.clone(), ..Options::new(&config.installation, Arc::clone(&clock)) };
        let journal =
            Journal::open(&config.data_dir.join(JOURNAL), options).map_err(|error| journal_problem(source, &error))?;
        let counts: Arc<dyn Counts> = Arc::clone(&metrics) as _;
        let services = Services {
            ledger: Arc::new(journal.clone()),
            reservations: Arc::new(journal.clone()),
            references: Arc::new(journal.clone()),
            clock,
            random: Arc::new(SystemRandom),
            connections: Arc::new(connections(config, source, &counts)?),
            permits: Arc::new(Permits::new(config.permits.clone())),
            metrics: counts,
        };
        let sandbox = sandbox(config, true)?;
        let mut plugins = BTreeMap::new();
        let mut grants = BTreeMap::new();
        for (name, plugin) in &config.plugins {
            plugins.insert(name.clone(), load(&sandbox, name, plugin, source, services.clone()).await?);
            grants.insert(name.clone(), plugin_grants(name, plugin, source)?);
        }
        let secrets = Arc::new(Secrets::new(services.clone(), grants));
        Ok(Parts { _lock: lock, journal, sandbox, services, plugins: Arc::new(plugins), secrets, metrics })
    }

    /// Starts the engine on the current runtime.
    pub fn start(&self, config: &Config, source: &Source) -> Result<Engine, Problem> {
        let (mut sources, mut control_planes, mut node_providers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, plugin) in self.plugins.iter() {
            if let Some(role) = plugin.job_source() {
                let with_defaults = WithDefaults {
                    source: role,
                    defaults: config.defaults.clone(),
                    addons: config.addons.keys().cloned().collect(),
                    plugins: Arc::clone(&self.plugins),
                };
                sources.insert(name.clone(), Arc::new(with_defaults) as _);
            } else if let Some(role) = plugin.control_plane() {
                control_planes.insert(name.clone(), role);
            } else if let Some(role) = plugin.node_provider() {
                node_providers.insert(name.clone(), role);
            }
        }
        let world = World {
            journal: self.journal.clone(),
            clock: Arc::clone(&self.services.clock),
            random: Arc::clone(&self.services.random),
            sources,
            control_planes,
            node_providers,
            digests: self.plugins.iter().map(|(name, plugin)| (name.clone(), plugin.digest().to_owned())).collect(),
            tenants: Arc::new(self.tenants(config, source)?),
            renderer: Arc::new(renderer(config, source)?),
            default_control_plane: config.defaults.control_plane.clone(),
            default_nodes: config.defaults.node_provider.clone(),
        };
        // Until preflight has looked.
        let settings = agentkube_engine::Settings { hold: true, ..config.engine.settings() };
        Engine::start(settings, world).map_err(|error| journal_problem(source, &error))
    }

    fn tenants(&self, config: &Config, source: &Source) -> Result<Opener, Problem> {
        let mut addresses = TenantAddresses::new();
        for (name, plugin) in &config.plugins {
            let ranges = plugin.grants.iter().flat_map(|grant| &grant.tenant_addresses);
            let ranges: Vec<Cidr> = ranges
                .map(|text| text.parse())
                .collect::<Result<_, agentkube_kubernetes::Error>>()
                .map_err(|error| source.problem("CONFIG_INVALID", &["plugins", name, "grants"], error.to_string()))?;
            addresses.insert(name.clone(), ranges);
        }
        Ok(Opener::new(
            Arc::new(Kubeconfigs(Arc::clone(&self.secrets))),
            addresses,
            config.tenants.clone(),
            config.addons.clone(),
            Arc::clone(&self.services.clock),
            Arc::clone(&self.services.random),
        ))
    }
}

/// Opens the connections; used once for work and once for heartbeats.
pub fn connections(config: &Config, source: &Source, counts: &Arc<dyn Counts>) -> Result<Connections, Problem> {
    Connections::open(&config.connections, &config.secrets, counts).map_err(|error| {
        let name = match &error {
            agentkube_sandbox::Error::Connection { connection, .. } => connection.clone(),
            _ => String::new(),
        };
        source.problem("CONNECTION", &["connections", &name], error.to_string())
    })
}

/// First-boot data.
pub fn renderer(config: &Config, source: &Source) -> Result<Renderer, Problem> {
    Renderer::new(config.bootstrap.clone())
        .map_err(|error| source.problem("BOOTSTRAP", &["bootstrap"], error.to_string()))
}

/// The sandbox, with its cache in the data directory; `keep` when newly compiled plugins go there.
pub fn sandbox(config: &Config, keep: bool) -> Result<Arc<Sandbox>, Problem> {
    let mut settings = config.sandbox.settings(config.data_dir.join("cache"));
    settings.keep_compiled = keep;
    Sandbox::new(settings).map_err(|error| Problem::new("SANDBOX", error.to_string()))
}

/// Why the journal cannot be used with this configuration.
pub fn journal_problem(source: &Source, error: &agentkube_engine::Error) -> Problem {
    use agentkube_engine::Error;
    let keys: &[&str] = match error {
        Error::Installation { .. } => &["installation"],
        Error::Range { .. } => &["ranges"],
        Error::SourceGone { .. } => &["plugins"],
        _ => &["data-dir"],
    };
    source.problem(error.code().to_owned(), keys, error.to_string()).help(journal_remedy(error))
}

/// What to do about a journal that cannot be used.
pub fn journal_remedy(error: &agentkube_engine::Error) -> &'static str {
    use agentkube_engine::Error;
    match error.code() {
        "JOURNAL_BROKEN" => {
            "put back a copy of it, or move it away: a new journal finds what exists by its marks when jobs of its services come"
        }
        "JOURNAL_INSTALLATION" => "put the old `installation` back, or use another `data-dir`",
        "JOURNAL_SCHEMA" => "start the version that wrote it",
        "SOURCE_GONE" => "put the job source back under its name",
        "CONFIG_RANGE" => "write it as \"20000-29999\" or as a CIDR",
        _ if matches!(error, Error::Locked(_)) => "end the other daemon first",
        _ => "look at the data directory: its owner, its mode, its free space",
    }
}

/// Loads one plugin, after checking that it is the file that was meant.
pub async fn load(
    sandbox: &Arc<Sandbox>,
    name: &str,
    plugin: &PluginConfig,
    source: &Source,
    services: Services,
) -> Result<Arc<Plugin>, Problem> {
    let (bytes, grants) = checked_file(name, plugin, source)?;
    Plugin::load(sandbox, name, bytes, &plugin.config, grants, services)
        .await
        .map_err(|error| refused(name, source, &error))
}

/// Checks one plugin as far as that is possible without compiling it.
pub fn check(name: &str, plugin: &PluginConfig, source: &Source) -> Result<Inspection, Problem> {
    let (bytes, grants) = checked_file(name, plugin, source)?;
    Plugin::check(name, &bytes, &plugin.config, &grants).map_err(|error| refused(name, source, &error))
}

/// The component, when it is the file that was meant.
fn checked_file(name: &str, plugin: &PluginConfig, source: &Source) -> Result<(Vec<u8>, Grants), Problem> {
    let bytes = package::read(&plugin.file).map_err(|error| refused(name, source, &error))?;
    let inspection = package::inspect(&bytes).map_err(|error| refused(name, source, &error))?;
    if inspection.manifest.role != plugin.role {
        let message = format!("{} has the role {}", plugin.file.display(), inspection.role);
        return Err(source.problem("PLUGIN_ROLE", &["plugins", name, "role"], message));
    }
    let found = inspection.digest.trim_start_matches("sha256:");
    if let Some(digest) =
        plugin.digest.as_ref().filter(|digest| !digest.trim_start_matches("sha256:").eq_ignore_ascii_case(found))
    {
        let message = format!("{} has the digest sha256:{found}, not {digest}", plugin.file.display());
        return Err(source.problem("PLUGIN_DIGEST", &["plugins", name, "digest"], message).help(
            "if this is the file that you want, look at it with `agentkube plugin inspect` and change the digest",
        ));
    }
    Ok((bytes, plugin_grants(name, plugin, source)?))
}

/// Why a plugin cannot be used, at the place of the configuration that is to be changed.
fn refused(name: &str, source: &Source, error: &agentkube_sandbox::Error) -> Problem {
    use agentkube_sandbox::Error;
    if let Error::PluginConfig { mistakes, .. } = error {
        let told = mistakes.iter().map(|mistake| {
            let keys = mistake.path.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"));
            let keys: Vec<String> = ["plugins", name, "config"].map(str::to_owned).into_iter().chain(keys).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            source.problem(error.code(), &keys, mistake.of(name))
        });
        if let Some(problem) = told.reduce(Problem::also) {
            return problem;
        }
    }
    let index;
    let keys: Vec<&str> = match error {
        Error::BadGrant { index: number, .. } => {
            index = number.saturating_sub(1).to_string();
            vec!["plugins", name, "grants", &index]
        }
        Error::NotGranted { .. } => vec!["plugins", name],
        _ => vec!["plugins", name, "file"],
    };
    source.problem(error.code(), &keys, error.to_string())
}

fn plugin_grants(name: &str, plugin: &PluginConfig, source: &Source) -> Result<Grants, Problem> {
    Grants::new(name, plugin.grants.clone()).map_err(|error| refused(name, source, &error))
}

/// Tenant kubeconfigs come through the sandbox's references.
struct Kubeconfigs(Arc<Secrets>);

#[async_trait]
impl KubeconfigSource for Kubeconfigs {
    async fn resolve(
        &self,
        owner: &agentkube_contract::Owner,
        provider: &str,
        reference: &Reference,
    ) -> agentkube_contract::Result<Zeroizing<Vec<u8>>> {
        self.0.resolve_for_host(owner, provider, reference).await
    }
}
