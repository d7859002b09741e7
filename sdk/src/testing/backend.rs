//! The same functions that a component imports, on the current [`World`].
#![allow(missing_docs)]

use super::World;
use crate::{Entry, Fault, Reference, Result};

pub(crate) mod http {
    use super::*;
    use crate::bindings::host::agentkube::host::http::{Request, Response};

    pub(crate) async fn send(request: Request) -> Result<Response> {
        World::current().send(request).await
    }
}

pub(crate) mod kube {
    use super::*;
    use crate::bindings::host::agentkube::host::kube::{
        ListOptions, Page, PatchKind, Preconditions, Propagation, RawResponse, Resource, Target, Waited,
    };

    pub(crate) async fn get(connection: String, target: Target) -> Result<String> {
        World::current().kube(move |kube| kube.get(&connection, &target)).await
    }
    pub(crate) async fn list(connection: String, resource: Resource, options: ListOptions) -> Result<Page> {
        World::current().kube(move |kube| kube.list(&connection, &resource, &options)).await
    }
    pub(crate) async fn create(connection: String, target: Target, object: String, entry: Entry) -> Result<String> {
        let world = World::current();
        world.need_entry(entry)?;
        world.kube(move |kube| kube.create(&connection, &target, &object)).await
    }
    pub(crate) async fn apply(
        connection: String,
        target: Target,
        object: String,
        _force: bool,
        entry: Entry,
    ) -> Result<String> {
        let world = World::current();
        world.need_entry(entry)?;
        world.kube(move |kube| kube.apply(&connection, &target, &object)).await
    }
    pub(crate) async fn patch(
        connection: String,
        target: Target,
        subresource: Option<String>,
        kind: PatchKind,
        patch: String,
        preconditions: Preconditions,
        entry: Entry,
    ) -> Result<String> {
        let world = World::current();
        world.need_entry(entry)?;
        world
            .kube(move |kube| kube.patch(&connection, &target, subresource.as_deref(), kind, &patch, &preconditions))
            .await
    }
    pub(crate) async fn delete(
        connection: String,
        target: Target,
        preconditions: Preconditions,
        _propagation: Propagation,
        entry: Entry,
    ) -> Result<()> {
        let world = World::current();
        world.need_entry(entry)?;
        world.kube(move |kube| kube.delete(&connection, &target, &preconditions)).await
    }
    pub(crate) async fn wait_for(
        connection: String,
        target: Target,
        known: Option<String>,
        timeout_ms: u32,
    ) -> Result<Waited> {
        World::current().kube_wait(connection, target, known, timeout_ms).await
    }
    pub(crate) async fn may(
        connection: String,
        verb: String,
        resource: Resource,
        namespace: Option<String>,
    ) -> Result<bool> {
        World::current().kube(move |kube| kube.may(&connection, &verb, &resource, namespace.as_deref())).await
    }
    pub(crate) async fn rehearse(connection: String, target: Target, object: String) -> Result<String> {
        World::current().kube(move |kube| kube.rehearse(&connection, &target, &object)).await
    }
    pub(crate) async fn raw_get(connection: String, path: String) -> Result<RawResponse> {
        World::current().kube(move |kube| kube.raw_get(&connection, &path)).await
    }
}

pub(crate) mod secrets {
    use super::*;

    pub(crate) async fn lookup(name: String) -> Result<Reference> {
        let unknown = Fault::not_found("NO_SUCH_SECRET", format!("the operator named no secret `{name}`"));
        let world = World::current();
        world.call(|state| state.secrets.get(&name).cloned().ok_or(unknown)).await
    }
}

pub(crate) mod ledger {
    use super::*;
    use crate::bindings::host::agentkube::host::ledger::Item;

    pub(crate) async fn intend(kind: String, name: String, detail: String) -> Result<Item> {
        World::current().call(|state| state.ledger.intend(&kind, &name, &detail)).await
    }
    pub(crate) async fn note(entry: Entry, note: Vec<u8>) -> Result<()> {
        World::current().call(|state| state.ledger.note(entry, note)).await
    }
    pub(crate) async fn created(entry: Entry, external_id: String) -> Result<()> {
        World::current().call(|state| state.ledger.created(entry, &external_id)).await
    }
    pub(crate) async fn gone(entry: Entry) -> Result<()> {
        let world = World::current();
        world
            .call(|state| {
                state.reservations.release(entry);
                state.ledger.gone(entry)
            })
            .await
    }
    pub(crate) async fn mine(kind: String) -> Result<Vec<Item>> {
        World::current().call(|state| Ok(state.ledger.mine(&kind))).await
    }
}

pub(crate) mod permits {
    use super::*;

    pub(crate) async fn take(names: Vec<String>) -> Result<u64> {
        World::current().take_permits(names).await
    }
    pub(crate) fn release(permit: u64) {
        World::current().with(|state| state.permits.release(permit));
    }
}

pub(crate) mod reservations {
    use super::*;

    pub(crate) async fn take(range: String, entry: Entry) -> Result<String> {
        World::current().call(|state| state.reservations.take(&range, entry)).await
    }
    pub(crate) async fn look(range: String) -> Result<crate::reservations::Stock> {
        World::current().call(|state| state.reservations.look(&range)).await
    }
    pub(crate) async fn reject(range: String, entry: Entry, value: String) -> Result<()> {
        World::current().call(|state| state.reservations.reject(&range, entry, &value)).await
    }
}

pub(crate) mod clock {
    use super::*;

    pub(crate) fn now() -> u64 {
        World::current().now()
    }
    pub(crate) async fn sleep(ms: u64) {
        let world = World::current();
        world.call(|_| ()).await;
        world.sleep(ms).await;
    }
}

pub(crate) mod random {
    use super::*;

    pub(crate) fn bytes(count: u32) -> Vec<u8> {
        World::current().with(|state| state.random(count))
    }
}

pub(crate) mod log {
    use super::*;
    use crate::log::Level;

    pub(crate) fn event(level: Level, message: &str, fields: &[(String, String)]) {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        World::current().with(|state| state.logs.push(format!("{level} {message}{fields}")));
    }
}

pub(crate) mod config {
    use super::*;

    pub(crate) fn get() -> String {
        World::current().with(|state| state.config.to_string())
    }
}

pub(crate) mod files {
    use super::*;

    pub(crate) async fn list(directory: String) -> Result<Vec<String>> {
        World::current().call(|state| state.files.list(&directory)).await
    }
    pub(crate) async fn read(directory: String, name: String) -> Result<Vec<u8>> {
        World::current().call(|state| state.files.read(&directory, &name)).await
    }
    pub(crate) async fn wait_for_change(directory: String, timeout_ms: u32) -> Result<bool> {
        World::current().wait_for_file_change(directory, timeout_ms).await
    }
}
