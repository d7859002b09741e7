//! The daemon: everything wired, started, and stopped again within ten seconds whatever runs.
//!
//! - [`ground`]: the directory, the socket and the address that it needs. [`assemble`]: from the configuration to parts.
//! - [`heartbeat`]: on a thread of its own.
//! - [`web`], [`metrics`]: status pages. [`answers`]: the admin socket.
//! - [`defaults`]: what every cluster gets. `suggestions`: intervals that a job source sets. [`preflight`]: whether all that is needed is there.
//! - [`world`]: the real clock and randomness.

pub mod answers;
pub mod assemble;
pub mod defaults;
pub mod ground;
pub mod heartbeat;
pub mod metrics;
pub mod preflight;
mod suggestions;
pub mod web;
pub mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use agentkube_contract::{Clock, Health};
use agentkube_engine::{Engine, Kind, Repeats};
use agentkube_manifest::Role;
use agentkube_sandbox::Services;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use self::answers::Desk;
use self::assemble::Parts;
use self::heartbeat::{Heart, Pulse};
use self::metrics::Metrics;
use self::preflight::Preflight;
use crate::admin;
use crate::config::{Config, PluginConfig, Problem, Source};

/// Time for everything to end after a signal; after it the process ends all the same.
const FAREWELL: Duration = Duration::from_secs(8);

/// What is known of every source's heart, by its configured name.
type Pulses = BTreeMap<String, Arc<Pulse>>;

/// Runs until a signal.
pub async fn run(mut config: Config, source: Source) -> Result<(), Problem> {
    let io = |what: &str, error: std::io::Error| Problem::new("START", format!("{what}: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| io("signals", error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| io("signals", error))?;

    ground::check(&config, &source)?;
    let parts = Arc::new(Parts::open(&config, &source).await?);
    suggestions::apply(&mut config, &parts).await;
    let engine = Arc::new(parts.start(&config, &source)?);
    let (stop, stopping) = watch::channel(false);
    let preflight = Arc::new(Preflight::new(&config));
    let (pulses, beating) = hearts(&config, &source, &parts, &engine, &preflight, stopping)?;

    let status = Arc::new(Status {
        engine: Arc::clone(&engine),
        parts: Arc::clone(&parts),
        pulses: pulses.clone(),
        preflight: Arc::clone(&preflight),
    });
    let (listening, pages) =
        web::serve(config.listen, status).await.map_err(|error| ground::not_listening(&config, &source, &error))?;
    tokio::spawn(pages);
    let desk = Desk {
        parts: Arc::clone(&parts),
        engine: Arc::clone(&engine),
        config: config.clone(),
        source: source.clone(),
        preflight: Arc::clone(&preflight),
    };
    let socket = config.socket();
    let answers =
        admin::serve(&socket, Arc::new(desk)).await.map_err(|error| ground::no_socket(&config, &source, &error))?;
    tokio::spawn(answers);
    tokio::spawn(count(Arc::clone(&parts.metrics), engine.events()));
    tokio::spawn(obey(Arc::clone(&engine), pulses.clone(), Arc::clone(&preflight)));
    let (clock, random) = (Arc::clone(&parts.services.clock), Arc::clone(&parts.services.random));
    let watching =
        preflight.watch(Arc::clone(&parts.plugins), Arc::clone(&engine), Arc::clone(&parts.metrics), clock, random);
    tokio::spawn(watching);
    info!(installation = config.installation, %listening, socket = %socket.display(), plugins = parts.plugins.len(), "started");

    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!("{signal}: stopping; what is under way goes on after the next start");
    let _ = stop.send(true);
    let end = async {
        // The hearts say goodbye meanwhile, each within two seconds.
        let goodbye = tokio::task::spawn_blocking(move || beating.join());
        engine.stop().await;
        let open = parts.sandbox.drain(FAREWELL).await;
        let _ = goodbye.await;
        open
    };
    match tokio::time::timeout(FAREWELL, end).await {
        Ok(0) => info!("stopped"),
        Ok(open) => warn!(
            "stopped; the answers of {open} requests did not come in time and will be looked for at the next start"
        ),
        Err(_) => warn!("stopped before everything had ended; it will be looked for at the next start"),
    }
    Ok(())
}

/// Starts the heartbeats of all sources on a thread of their own, with their own runtime, connections and plugin instances.
fn hearts(
    config: &Config,
    source: &Source,
    parts: &Arc<Parts>,
    engine: &Arc<Engine>,
    preflight: &Arc<Preflight>,
    stopping: watch::Receiver<bool>,
) -> Result<(Pulses, JoinHandle<()>), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("START", format!("heartbeats: {error}")))?;
    let services = Services {
        connections: Arc::new(assemble::connections(config, source, &parts.services.metrics)?),
        ..parts.services.clone()
    };
    let hearts: Vec<(String, PluginConfig, Arc<Pulse>)> = config
        .plugins
        .iter()
        .filter(|(_, plugin)| plugin.role == Role::JobSource)
        .map(|(name, plugin)| (name.clone(), plugin.clone(), Arc::default()))
        .collect();
    let pulses = hearts.iter().map(|(name, _, pulse)| (name.clone(), Arc::clone(pulse))).collect();
    let interval = config.engine.heartbeat();
    let (sandbox, source) = (Arc::clone(&parts.sandbox), source.clone());
    let (engine, preflight) = (Arc::clone(engine), Arc::clone(preflight));
    let clock: Arc<dyn Clock> = Arc::clone(&parts.services.clock);
    let beat_all = async move {
        let mut tasks = tokio::task::JoinSet::new();
        for (name, plugin, pulse) in hearts {
            let role = match assemble::load(&sandbox, &name, &plugin, &source, services.clone()).await {
                Ok(plugin) => plugin.job_source(),
                Err(problem) => {
                    warn!(source = name, "no heartbeats: {problem}");
                    continue;
                }
            };
            let Some(role) = role else { continue };
            let heart = Heart { name, source: role, pulse, interval, trouble: Repeats::default() };
            let (engine, preflight) = (Arc::clone(&engine), Arc::clone(&preflight));
            let health = move |source: &str| match engine.health().ok() && preflight.against(source).is_empty() {
                true => Health::Connected,
                false => Health::Error,
            };
            tasks.spawn(heart.beat(Arc::clone(&clock), health, stopping.clone()));
        }
        while tasks.join_next().await.is_some() {}
    };
    let thread = std::thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || runtime.block_on(beat_all))
        .map_err(|error| Problem::new("START", format!("heartbeats: {error}")))?;
    Ok((pulses, thread))
}

/// Passes on what the heartbeats learn: while an administrator has us disabled, nothing new is begun; a credential that is refused, or
/// accepted again, is reason for another preflight.
async fn obey(engine: Arc<Engine>, pulses: Pulses, preflight: Arc<Preflight>) {
    let mut refused = 0;
    loop {
        for (name, pulse) in &pulses {
            engine.set_disabled(name, pulse.disabled());
        }
        let now = pulses.values().filter(|pulse| pulse.refused()).count();
        if std::mem::replace(&mut refused, now) != now {
            preflight.look_again();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn count(metrics: Arc<Metrics>, mut events: tokio::sync::broadcast::Receiver<agentkube_engine::Event>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match events.recv().await {
            Ok(event) => {
                metrics.event(&event);
                match event.kind {
                    Kind::Completed => metrics.job("completed"),
                    Kind::GaveUp => metrics.job("failed"),
                    Kind::Refused => metrics.job("refused"),
                    Kind::Superseded => metrics.job("superseded"),
                    _ => {}
                }
            }
            Err(RecvError::Lagged(missed)) => warn!("{missed} events were not counted"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// What the status pages show.
struct Status {
    engine: Arc<Engine>,
    parts: Arc<Parts>,
    pulses: Pulses,
    preflight: Arc<Preflight>,
}

impl Status {
    fn age(&self, pulse: &Pulse) -> Option<Duration> {
        let now = self.parts.services.clock.now();
        pulse.last().map(|last| Duration::from_millis(now.saturating_sub(last)))
    }
}

impl web::Pages for Status {
    fn unready(&self) -> Vec<String> {
        let health = self.engine.health();
        let mut reasons = Vec::new();
        reasons.extend(health.journal.iter().map(|trouble| format!("journal: {trouble}")));
        if !self.preflight.looked() {
            reasons.push("preflight: the first look is not over yet".to_owned());
        }
        let held = self.preflight.held();
        reasons.extend(held.into_iter().flat_map(|(name, against)| {
            against.into_iter().map(move |reason| format!("job source {name} is held: {reason}"))
        }));
        for (name, source) in &health.sources {
            if let Some(trouble) = source.trouble.as_ref().filter(|_| source.failures >= 3) {
                reasons.push(format!("job source {name}: {trouble}"));
            }
        }
        for (name, pulse) in &self.pulses {
            if pulse.refused() {
                reasons.push(format!("job source {name}: it does not accept our credential"));
            } else if self.age(pulse).is_none() {
                reasons.push(format!("job source {name}: no heartbeat was accepted yet"));
            }
        }
        reasons
    }

    fn metrics(&self) -> String {
        for (name, pulse) in &self.pulses {
            if let Some(age) = self.age(pulse) {
                self.parts.metrics.heartbeat_age(name, age);
            }
        }
        self.parts.metrics.text()
    }
}
