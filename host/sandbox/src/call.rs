//! One call of a plugin: a fresh store, a deadline around everything, and a fault for whatever ends it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentkube_contract::{Call, Class, Fault, Holder, Outcome, Scope, ServiceKey};
use futures::FutureExt;
use tracing::Instrument;
use wasmtime::Store;

use crate::limits::Traces;
use crate::plugin::Plugin;
use crate::state::State;

/// What is known of a call before it begins.
pub(crate) struct Spec {
    /// The function, for spans and metrics.
    pub export: &'static str,
    /// For whom the work is.
    pub service: Option<ServiceKey>,
    /// How long it may take.
    pub time: Duration,
    /// It has a place of its own, outside every concurrency limit.
    pub exempt: bool,
    pub attempt: u32,
}

impl Plugin {
    /// A call that concerns one service; its deadline is the caller's.
    pub(crate) fn serving(&self, export: &'static str, call: &Call) -> Spec {
        let now = self.core.services.clock.now();
        Spec {
            export,
            service: Some(call.owner.key.clone()),
            time: Duration::from_millis(call.deadline.saturating_sub(now)),
            exempt: false,
            attempt: call.attempt,
        }
    }

    /// A call that concerns no service; its deadline is the sandbox's.
    pub(crate) fn general(&self, export: &'static str) -> Spec {
        Spec { export, service: None, time: self.sandbox.settings().call_timeout, exempt: false, attempt: 1 }
    }

    /// A store for one call.
    pub(crate) fn store(&self, service: Option<ServiceKey>, exempt: bool, traces: Arc<Traces>) -> Store<State> {
        let core = Arc::clone(&self.core);
        let limits = core.limits;
        let holder = Holder { plugin: core.name.clone(), digest: core.digest.clone(), service };
        let mut store = Store::new(self.sandbox.engine(), State::new(core, holder, traces));
        store.data_mut().exempt = exempt;
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        // Before anything runs: start functions are code too. Each tick gives way to others; the deadline is around the call.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// Runs the work of one call, which owns its store, and ends it at its deadline. Whatever ends it, the store is gone when
    /// this returns.
    pub(crate) async fn supervise<T, F: Into<Fault>>(
        &self,
        spec: Spec,
        traces: Arc<Traces>,
        work: impl Future<Output = wasmtime::Result<Result<T, F>>> + Send,
    ) -> Result<T, Fault> {
        let began = Instant::now();
        let service = spec.service.as_ref().map(ToString::to_string).unwrap_or_default();
        let span = tracing::info_span!("call", plugin = %self.core.name, export = spec.export, service, attempt = spec.attempt);
        let bounded = async {
            let _places = match spec.exempt {
                true => None,
                false => Some(self.places().await?),
            };
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(Ok(value))) => Ok(value),
                Ok(Ok(Err(fault))) => Err(fault.into()),
                Ok(Err(error)) => Err(trapped(spec.export, &error, &traces)),
                Err(_) => Err(defect(
                    Class::Internal,
                    "HOST_PANIC",
                    "the runtime failed; this call is lost, no other".to_owned(),
                )),
            }
        };
        let result = tokio::select! {
            result = bounded.instrument(span.clone()) => result,
            () = self.core.services.clock.sleep(spec.time) => Err(defect(
                Class::Timeout,
                "PLUGIN_TIMEOUT",
                format!("{} did not end within {} ms", spec.export, spec.time.as_millis()),
            )),
        };
        let result = result.map_err(|fault| name(fault, &self.core.name));
        let outcome = result.as_ref().err().map_or("ok", |fault| fault.code.as_str());
        self.core.services.metrics.call(&self.core.name, spec.export, outcome, traces.limit(), began.elapsed());
        span.in_scope(|| match &result {
            Ok(_) => tracing::debug!(took = ?began.elapsed(), "the call ended"),
            Err(fault) => {
                tracing::debug!(took = ?began.elapsed(), code = %fault.code, "the call failed: {}", fault.message)
            }
        });
        result
    }

    /// A place among the calls of this plugin, and one in the pool of instances.
    async fn places(&self) -> Result<impl Sized, Fault> {
        let closed = |_| Fault::internal("CLOSED", "the sandbox is closed");
        let own = Arc::clone(&self.calls).acquire_owned().await.map_err(closed)?;
        let pooled = match self.sandbox.instances() {
            Some(places) => Some(places.acquire_owned().await.map_err(closed)?),
            None => None,
        };
        Ok((own, pooled))
    }
}

/// The guest ended abnormally. A limit that was hit says more than the trap that followed.
fn trapped(export: &str, error: &wasmtime::Error, traces: &Traces) -> Fault {
    let (code, mut message) = match traces.limit() {
        Some("memory") => ("PLUGIN_MEMORY", format!("{export} needed more memory than its limit allows")),
        Some("table") => ("PLUGIN_TABLE", format!("{export} needed larger tables than its limit allows")),
        _ => ("PLUGIN_TRAP", format!("{export} trapped: {}", error.root_cause())),
    };
    if let Some(last) = traces.last_error() {
        message.push_str("; it said: ");
        message.push_str(&last);
    }
    tracing::debug!(?error, "trap");
    defect(Class::Internal, code, message)
}

/// A fault of the plugin itself: what it had begun is in doubt.
fn defect(class: Class, code: &str, message: String) -> Fault {
    Fault::new(class, code, message).scope(Scope::Request).outcome(Outcome::Unknown)
}

/// Says whose defect it is.
fn name(mut fault: Fault, plugin: &str) -> Fault {
    if fault.code.starts_with("PLUGIN_") {
        fault.message = format!("plugin `{plugin}`: {}", fault.message);
    }
    fault
}
