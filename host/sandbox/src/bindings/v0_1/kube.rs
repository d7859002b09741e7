//! The kube import.

use wasmtime::component::{Accessor, HasSelf};

use super::capabilities::{begin, host_call};
use super::capability::{kube, types};
use crate::capabilities::kube as capability;
use crate::state::State;
use agentkube_contract::Fault;

type Given<T> = wasmtime::Result<Result<T, types::Fault>>;

impl kube::HostWithStore<State> for HasSelf<State> {
    async fn get(a: &Accessor<State, Self>, connection: String, target: kube::Target) -> Given<String> {
        host_call!(a, |context| capability::get(&context, &connection, &target.into()))
    }

    async fn list(
        a: &Accessor<State, Self>,
        connection: String,
        resource: kube::Resource,
        options: kube::ListOptions,
    ) -> Given<kube::Page> {
        host_call!(a, |context| async {
            let (namespace, labels) = (options.namespace.as_deref(), options.labels.as_str());
            let (kind, next) = (resource.into(), options.continue_token.clone());
            let page = capability::list(&context, &connection, &kind, namespace, labels, options.limit, next).await?;
            Ok(kube::Page { items: page.items, continue_token: page.next })
        })
    }

    async fn create(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        object: String,
        entry: u64,
    ) -> Given<String> {
        host_call!(a, |context| capability::create(&context, &connection, &target.into(), &object, entry))
    }

    async fn apply(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        object: String,
        force: bool,
        entry: u64,
    ) -> Given<String> {
        host_call!(a, |context| capability::apply(&context, &connection, &target.into(), &object, force, entry))
    }

    async fn patch(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        subresource: Option<String>,
        kind: kube::PatchKind,
        patch: String,
        preconditions: kube::Preconditions,
        entry: u64,
    ) -> Given<String> {
        let kind = match kind {
            kube::PatchKind::Merge => capability::PatchKind::Merge,
            kube::PatchKind::Json => capability::PatchKind::Json,
            kube::PatchKind::Strategic => capability::PatchKind::Strategic,
        };
        host_call!(a, |context| async {
            let (target, subresource) = (target.into(), subresource.as_deref());
            let held = preconditions.into();
            capability::patch(&context, &connection, &target, subresource, kind, &patch, held, entry).await
        })
    }

    async fn delete(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        preconditions: kube::Preconditions,
        propagation: kube::Propagation,
        entry: u64,
    ) -> Given<()> {
        let propagation = match propagation {
            kube::Propagation::Background => "Background",
            kube::Propagation::Foreground => "Foreground",
            kube::Propagation::Orphan => "Orphan",
        };
        host_call!(a, |context| async {
            capability::delete(&context, &connection, &target.into(), preconditions.into(), propagation, entry).await
        })
    }

    async fn wait_for(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        known: Option<String>,
        timeout_ms: u32,
    ) -> Given<kube::Waited> {
        host_call!(a, |context| async {
            let (target, known) = (target.into(), known.as_deref());
            let waited = capability::wait_for(&context, &connection, &target, known, timeout_ms).await?;
            Ok(kube::Waited { object: waited.object, timed_out: waited.timed_out })
        })
    }

    async fn may(
        a: &Accessor<State, Self>,
        connection: String,
        verb: String,
        resource: kube::Resource,
        namespace: Option<String>,
    ) -> Given<bool> {
        host_call!(a, |context| async {
            capability::may(&context, &connection, &verb, &resource.into(), namespace.as_deref()).await
        })
    }

    async fn rehearse(
        a: &Accessor<State, Self>,
        connection: String,
        target: kube::Target,
        object: String,
    ) -> Given<String> {
        host_call!(a, |context| capability::rehearse(&context, &connection, &target.into(), &object))
    }

    async fn raw_get(a: &Accessor<State, Self>, connection: String, path: String) -> Given<kube::RawResponse> {
        host_call!(a, |context| async {
            let (status, body) = capability::raw_get(&context, &connection, &path).await?;
            Ok(kube::RawResponse { status, body })
        })
    }
}

impl From<kube::Resource> for capability::Kind {
    fn from(resource: kube::Resource) -> Self {
        capability::Kind { group: resource.group, version: resource.version, plural: resource.plural }
    }
}

impl From<kube::Target> for capability::Target {
    fn from(target: kube::Target) -> Self {
        capability::Target { kind: target.resource.into(), namespace: target.namespace, name: target.name }
    }
}

impl From<kube::Preconditions> for capability::Preconditions {
    fn from(held: kube::Preconditions) -> Self {
        capability::Preconditions { uid: held.uid, resource_version: held.resource_version }
    }
}
