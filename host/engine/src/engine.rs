//! Start, stop, and what all tasks share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentkube_contract::{Fault, Owner, ServiceKey};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::JoinSet;

use crate::event::{Event, Kind};
use crate::journal::Intent;
use crate::settings::Settings;
use crate::show::SourceState;
use crate::world::World;
use crate::{Error, Result, delivery, intake, measure, service};

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 4096;
/// Longest wait for running calls to be dropped; each is at its next await.
const DROP: Duration = Duration::from_secs(2);
/// Longest wait for results to be delivered at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// The running engine. Dropping it stops everything at once, as a crash would.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all tasks share.
pub(crate) struct Shared {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) sources: BTreeMap<String, SourceState>,
    events: broadcast::Sender<Event>,
    stop: watch::Sender<bool>,
    steps: Arc<Semaphore>,
    providers: BTreeMap<String, Arc<Semaphore>>,
    /// Newest intent of each service that has an actor.
    actors: Mutex<HashMap<ServiceKey, watch::Sender<u64>>>,
    tasks: Mutex<JoinSet<()>>,
    pub(crate) measure_now: Notify,
}

impl Engine {
    /// Starts all loops and resumes what is not over. Runs on the current tokio runtime.
    pub fn start(settings: Settings, world: World) -> Result<Engine> {
        world.journal.check_sources(world.sources.keys().map(String::as_str))?;
        let providers = world.control_planes.keys().chain(world.node_providers.keys());
        let shared = Arc::new(Shared {
            settings,
            sources: world.sources.keys().map(|name| (name.clone(), SourceState::new(settings.hold))).collect(),
            events: broadcast::channel(EVENTS).0,
            stop: watch::channel(false).0,
            steps: Arc::new(Semaphore::new(settings.limits.steps.max(1))),
            providers: providers
                .map(|name| (name.clone(), Arc::new(Semaphore::new(settings.limits.per_provider.max(1)))))
                .collect(),
            actors: Mutex::new(HashMap::new()),
            tasks: Mutex::new(JoinSet::new()),
            measure_now: Notify::new(),
            world,
        });
        for (key, intent) in shared.world.journal.unfinished()? {
            shared.wake(&key, intent);
        }
        for name in shared.world.sources.keys() {
            shared.spawn(intake::poll(Arc::clone(&shared), name.clone()));
            shared.spawn(delivery::deliver(Arc::clone(&shared), name.clone()));
        }
        shared.spawn(measure::measure(Arc::clone(&shared)));
        Ok(Engine { shared })
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// An administrator switched a source's agent off, or on again: while off no job of it is claimed, and running work ends
    /// as it would.
    pub fn set_disabled(&self, source: &str, disabled: bool) {
        if let Some(state) = self.shared.sources.get(source) {
            state.set_disabled(disabled);
        }
    }

    /// Holds a source, or lets go of it: while held no new job of it is claimed. What runs goes on, results are delivered, and jobs
    /// that the source holds for us already are taken up.
    pub fn hold(&self, source: &str, held: bool) {
        if let Some(state) = self.shared.sources.get(source) {
            state.set_held(held);
        }
    }

    /// Stops: no more polls, running calls are dropped and resume after the next start, results are delivered as far as they
    /// can be within 5 s.
    pub async fn stop(&self) {
        let _ = self.shared.stop.send(true);
        let mut tasks = std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let clock = Arc::clone(&self.shared.world.clock);
        tokio::select! {
            () = tasks.shutdown() => {}
            () = clock.sleep(DROP) => {}
        }
        tokio::select! {
            () = delivery::flush(&self.shared) => {}
            () = clock.sleep(FLUSH) => {}
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.shared.stop.send(true);
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Shared {
    /// Returns when the engine stops.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if !self.is_stopping() {
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
        }
    }

    /// Tells the service's one writer of its newest intent.
    pub(crate) fn wake(self: &Arc<Self>, key: &ServiceKey, intent: u64) {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = actors.get(key) {
            actor.send_if_modified(|newest| {
                let newer = intent > *newest;
                *newest = intent.max(*newest);
                newer
            });
            return;
        }
        let (actor, newest) = watch::channel(intent);
        actors.insert(key.clone(), actor);
        drop(actors);
        self.spawn(service::serve(Arc::clone(self), key.clone(), newest));
    }

    /// One place in the provider's limit and one in the global one, in this order, so that nobody holds a global place while
    /// waiting for a busy provider.
    pub(crate) async fn permits(&self, provider: Option<&str>) -> Result<Vec<OwnedSemaphorePermit>> {
        let own = provider.and_then(|name| self.providers.get(name));
        let mut permits = Vec::new();
        for limit in own.into_iter().chain([&self.steps]) {
            permits.push(Arc::clone(limit).acquire_owned().await.map_err(|_| Error::Closed)?);
        }
        Ok(permits)
    }

    pub(crate) fn owner(&self, key: &ServiceKey, display_name: &str) -> Owner {
        Owner::new(self.world.journal.installation(), key, display_name)
    }

    /// Unique over all sources and installations, and stable: the source may demand both.
    pub(crate) fn instance_id(&self, key: &ServiceKey) -> String {
        format!("{}-{}", self.owner(key, "").cluster, key.service)
    }

    pub(crate) fn outbox_changed(&self, source: &str) {
        if let Some(state) = self.sources.get(source) {
            state.outbox.notify_one();
        }
    }

    /// Tells listeners, and the log.
    pub(crate) fn event(
        &self,
        intent: Option<&Intent>,
        step: &str,
        kind: Kind,
        duration: Option<u64>,
        message: String,
    ) {
        let key = intent.map(|intent| intent.key.clone());
        self.tell(key, intent.map_or(0, |intent| intent.id), step, kind, duration, message);
    }

    pub(crate) fn tell(
        &self,
        service: Option<ServiceKey>,
        intent: u64,
        step: &str,
        kind: Kind,
        duration: Option<u64>,
        message: String,
    ) {
        let cluster = service.as_ref().map(|key| self.owner(key, "").cluster).unwrap_or_default();
        let name = service.as_ref().map(ToString::to_string).unwrap_or_default();
        let shown = if message.is_empty() { kind.text() } else { &message };
        match kind {
            Kind::Refused
            | Kind::Failed
            | Kind::Retrying
            | Kind::Undoing
            | Kind::GaveUp
            | Kind::Warning
            | Kind::SourceTrouble => {
                tracing::warn!(service = name, cluster, intent, step, ?kind, duration_ms = duration, "{shown}");
            }
            _ => tracing::info!(service = name, cluster, intent, step, ?kind, duration, "{message}"),
        }
        let at = self.world.clock.now();
        // Nobody may be listening.
        let _ =
            self.events.send(Event { at, service, cluster, intent, step: step.to_owned(), kind, duration, message });
    }

    /// A try that failed waits before the next.
    pub(crate) async fn back_off(&self, failures: u32, fault: &Fault) {
        let wait = self.settings.retry.wait(failures, fault, self.world.random.as_ref());
        self.world.clock.sleep(wait).await;
    }
}
