//! The imports: each begins with the call's state, and is given on in domain types.

use agentkube_contract::{Fault, Reference, Stock};
use tracing::Level;
use wasmtime::component::{Accessor, HasSelf};

use super::capability::{clock, config, files, http, kube, ledger, log, permits, random, reservations, secrets, types};
use crate::capabilities;
use crate::state::{Context, State};

/// What an async import gives: an outer error would be a trap, which no refusal ever is.
type Given<T> = wasmtime::Result<Result<T, types::Fault>>;

/// Runs a host call with the context of its call.
macro_rules! host_call {
    ($accessor:ident, |$context:ident| $work:expr) => {{
        let $context = match begin($accessor) {
            Ok(context) => context,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let result: Result<_, Fault> = $work.await;
        Ok(result.map_err(types::Fault::from))
    }};
}
pub(super) use host_call;

/// The context of a host call.
pub(super) fn begin(accessor: &Accessor<State, HasSelf<State>>) -> Result<Context, Fault> {
    accessor.with(|mut access| access.get().begin())
}

impl types::Host for State {}
impl http::Host for State {}
impl kube::Host for State {}
impl secrets::Host for State {}
impl ledger::Host for State {}
impl reservations::Host for State {}
impl files::Host for State {}

impl http::HostWithStore<State> for HasSelf<State> {
    async fn send(accessor: &Accessor<State, Self>, request: http::Request) -> Given<http::Response> {
        host_call!(accessor, |context| async {
            let answer = capabilities::http::send(&context, request.into()).await?;
            let (status, reason) = (answer.status, answer.reason);
            Ok(http::Response { status, reason, headers: answer.headers, body: answer.body })
        })
    }
}

impl From<http::Request> for capabilities::http::Request {
    fn from(r: http::Request) -> Self {
        use capabilities::http::{Encoding, Part};
        let part = |part| match part {
            http::Part::Bytes(bytes) => Part::Bytes(bytes),
            http::Part::Secret(secret) => {
                let encoding = match secret.encoding {
                    http::Encoding::Raw => Encoding::Raw,
                    http::Encoding::JsonString => Encoding::JsonString,
                    http::Encoding::Form => Encoding::Form,
                    http::Encoding::Base64 => Encoding::Base64,
                    http::Encoding::XmlText => Encoding::XmlText,
                };
                Part::Secret(Reference(secret.reference), encoding)
            }
        };
        capabilities::http::Request {
            connection: r.connection,
            endpoint: r.endpoint,
            method: r.method,
            path: r.path,
            query: r.query,
            headers: r.headers,
            body: r.body.into_iter().map(part).collect(),
            capture: r.capture,
            entry: r.entry,
            timeout_ms: r.timeout_ms,
        }
    }
}

impl ledger::HostWithStore<State> for HasSelf<State> {
    async fn intend(a: &Accessor<State, Self>, kind: String, name: String, detail: String) -> Given<ledger::Item> {
        host_call!(a, |context| async {
            capabilities::ledger::intend(&context, &kind, &name, &detail).await.map(Into::into)
        })
    }

    async fn note(a: &Accessor<State, Self>, entry: u64, note: Vec<u8>) -> Given<()> {
        host_call!(a, |context| capabilities::ledger::note(&context, entry, note))
    }

    async fn created(a: &Accessor<State, Self>, entry: u64, external_id: String) -> Given<()> {
        host_call!(a, |context| capabilities::ledger::created(&context, entry, &external_id))
    }

    async fn gone(a: &Accessor<State, Self>, entry: u64) -> Given<()> {
        host_call!(a, |context| context.core.services.ledger.gone(&context.holder, entry))
    }

    async fn mine(a: &Accessor<State, Self>, kind: String) -> Given<Vec<ledger::Item>> {
        host_call!(a, |context| async {
            let items = context.core.services.ledger.mine(&context.holder, &kind).await?;
            Ok(items.into_iter().map(Into::into).collect())
        })
    }
}

impl reservations::HostWithStore<State> for HasSelf<State> {
    async fn take(a: &Accessor<State, Self>, range: String, entry: u64) -> Given<String> {
        host_call!(a, |context| capabilities::reservations::take(&context, &range, entry))
    }

    async fn look(a: &Accessor<State, Self>, range: String) -> Given<reservations::Stock> {
        host_call!(a, |context| async {
            let Stock { first, last, free } = capabilities::reservations::look(&context, &range).await?;
            Ok(reservations::Stock { first, last, free })
        })
    }

    async fn reject(a: &Accessor<State, Self>, range: String, entry: u64, value: String) -> Given<()> {
        host_call!(a, |context| capabilities::reservations::reject(&context, &range, entry, &value))
    }
}

impl permits::HostWithStore<State> for HasSelf<State> {
    async fn take(accessor: &Accessor<State, Self>, names: Vec<String>) -> Given<u64> {
        host_call!(accessor, |context| async {
            let taken = capabilities::permits::take(&context, &names).await?;
            Ok(accessor.with(|mut access| access.get().hold(taken)))
        })
    }
}

impl permits::Host for State {
    fn release(&mut self, permit: u64) -> wasmtime::Result<()> {
        self.give_back(permit);
        Ok(())
    }
}

impl secrets::HostWithStore<State> for HasSelf<State> {
    async fn lookup(a: &Accessor<State, Self>, name: String) -> Given<String> {
        host_call!(a, |context| async {
            capabilities::secrets::lookup(&context, &name).await.map(|reference| reference.0)
        })
    }
}

impl files::HostWithStore<State> for HasSelf<State> {
    async fn list(a: &Accessor<State, Self>, directory: String) -> Given<Vec<String>> {
        host_call!(a, |context| capabilities::files::list(&context, &directory))
    }

    async fn read(a: &Accessor<State, Self>, directory: String, name: String) -> Given<Vec<u8>> {
        host_call!(a, |context| capabilities::files::read(&context, &directory, &name))
    }

    async fn wait_for_change(a: &Accessor<State, Self>, directory: String, timeout_ms: u32) -> Given<bool> {
        host_call!(a, |context| capabilities::files::wait_for_change(&context, &directory, timeout_ms))
    }
}

impl clock::HostWithStore<State> for HasSelf<State> {
    async fn sleep(a: &Accessor<State, Self>, ms: u64) -> wasmtime::Result<()> {
        let clock = a.with(|mut access| std::sync::Arc::clone(&access.get().core.services.clock));
        clock.sleep(std::time::Duration::from_millis(ms)).await;
        Ok(())
    }
}

impl clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.core.services.clock.now())
    }
}

impl random::Host for State {
    fn bytes(&mut self, n: u32) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = vec![0; n.min(65_536) as usize];
        self.core.services.random.fill(&mut bytes);
        Ok(bytes)
    }
}

impl log::Host for State {
    fn event(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        capabilities::log::event(self, level, &message, &fields);
        Ok(())
    }
}

impl config::Host for State {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.core.config.clone())
    }
}
