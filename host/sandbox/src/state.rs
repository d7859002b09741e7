//! What a store holds: everything of one call, gone with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentkube_contract::{Class, Fault, Holder};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::core::Core;
use crate::limits::{Limiter, Traces};
use crate::wasi;

/// The state of one call.
pub(crate) struct State {
    pub core: Arc<Core>,
    pub holder: Arc<Holder>,
    pub limiter: Limiter,
    pub traces: Arc<Traces>,
    /// The call is outside every concurrency limit.
    pub exempt: bool,
    /// Bytes of log so far.
    pub logged: usize,
    /// Host calls that wait now.
    pending: Arc<AtomicUsize>,
    /// What `permits.take` took.
    permits: HashMap<u64, Vec<OwnedSemaphorePermit>>,
    next_permit: u64,
    table: ResourceTable,
    /// Made when the guest first asks for anything of WASI.
    wasi: Option<WasiCtx>,
}

impl State {
    /// The state of a call that begins.
    pub fn new(core: Arc<Core>, holder: Holder, traces: Arc<Traces>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(core.limits.handles);
        State {
            limiter: Limiter::new(core.limits, Arc::clone(&traces)),
            core,
            holder: Arc::new(holder),
            traces,
            exempt: false,
            logged: 0,
            pending: Arc::default(),
            permits: HashMap::new(),
            next_permit: 1,
            table,
            wasi: None,
        }
    }

    /// Keeps permits for as long as the call lives; gives the number by which the guest knows them.
    pub fn hold(&mut self, taken: Vec<OwnedSemaphorePermit>) -> u64 {
        let number = self.next_permit;
        self.next_permit += 1;
        self.permits.insert(number, taken);
        number
    }

    /// Gives permits back before the call ends.
    pub fn give_back(&mut self, number: u64) {
        self.permits.remove(&number);
    }

    /// What one host call works with, if not too many wait already.
    pub fn begin(&mut self) -> Result<Context, Fault> {
        let waiting = Waiting(Arc::clone(&self.pending));
        if self.pending.fetch_add(1, Ordering::Relaxed) >= self.core.limits.pending {
            self.traces.hit("pending");
            let most = self.core.limits.pending;
            return Err(Fault::new(Class::Exhausted, "TOO_MANY_PENDING", format!("{most} host calls wait already")));
        }
        Ok(Context {
            core: Arc::clone(&self.core),
            holder: Arc::clone(&self.holder),
            exempt: self.exempt,
            _waiting: waiting,
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let core = &self.core;
        WasiCtxView { ctx: self.wasi.get_or_insert_with(|| wasi::context(&core.services)), table: &mut self.table }
    }
}

/// What one host call works with; independent of the store, which it may outlive.
pub(crate) struct Context {
    pub core: Arc<Core>,
    pub holder: Arc<Holder>,
    pub exempt: bool,
    _waiting: Waiting,
}

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
