//! The sandbox: one engine, one linker, what outlives calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::capabilities::kube::Watches;
use crate::detached::Detached;
use crate::state::State;
use crate::{Error, Result, Settings, bindings, cache, engine};

/// Runs plugins.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<State>,
    settings: Settings,
    detached: Arc<Detached>,
    watches: Arc<Watches>,
    /// One component is compiled at a time; each uses all cores.
    compiling: Semaphore,
    /// Places in the pool of instances, whose exhaustion would be an error and not a wait.
    instances: Option<Arc<Semaphore>>,
}

impl Sandbox {
    /// Builds the engine and starts its ticker.
    pub fn new(settings: Settings) -> Result<Arc<Self>> {
        let engine = engine::build(&settings)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(|e| Error::runtime("linking WASI", e))?;
        bindings::v0_1::link(&mut linker).map_err(|e| Error::runtime("linking the capabilities", e))?;
        let instances = settings.pooling.then(|| Arc::new(Semaphore::new(settings.pool_size as usize)));
        Ok(Arc::new(Sandbox {
            watches: Arc::new(Watches::new(settings.watch_idle)),
            detached: Arc::default(),
            compiling: Semaphore::new(1),
            engine,
            linker,
            settings,
            instances,
        }))
    }

    /// Waits for the exchanges that outlived their calls, at most so long; gives how many are still under way.
    pub async fn drain(&self, within: Duration) -> usize {
        self.detached.drain(within).await
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.linker
    }

    pub(crate) fn detached(&self) -> &Arc<Detached> {
        &self.detached
    }

    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    pub(crate) fn instances(&self) -> Option<Arc<Semaphore>> {
        self.instances.clone()
    }

    /// Compiles a component, or takes it from the cache; off the runtime.
    pub(crate) async fn component(&self, digest: &str, bytes: Vec<u8>) -> Result<Component> {
        let _turn = self.compiling.acquire().await.map_err(|e| Error::runtime("compiling the component", e))?;
        let (engine, settings, digest) = (self.engine.clone(), self.settings.clone(), digest.to_owned());
        tokio::task::spawn_blocking(move || cache::load(&engine, &settings, &digest, &bytes))
            .await
            .map_err(|e| Error::runtime("compiling the component", e))?
    }
}
