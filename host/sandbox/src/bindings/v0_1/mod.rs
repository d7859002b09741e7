//! Contract 0.1: what `bindgen!` makes of `wit/0.1`, three worlds that share their types.
//!
//! - `capabilities`: the imports, given on to [`crate::capabilities`].
//! - `common`, `wishes`, `things`: conversions to and from the domain types.
//! - `job_source`, `control_plane`, `node_provider`: a plugin as the role's trait; `offers`: what a node provider exports beside it.

mod capabilities;
mod common;
mod control_plane;
mod job_source;
mod kube;
mod node_provider;
mod offers;
#[cfg(test)]
mod tests;
mod things;
mod wishes;

use agentkube_manifest::Offer;
use wasmtime::component::{HasSelf, InstancePre, Linker};

pub(crate) use self::control_plane::ControlPlanePlugin;
pub(crate) use self::job_source::JobSourcePlugin;
pub(crate) use self::node_provider::NodeProviderPlugin;
use crate::state::State;

/// A world each, in a module of its own; `with` says what it borrows from another.
macro_rules! worlds {
    ($($(#[$doc:meta])* $module:ident: $world:literal with { $($with:tt)* })*) => {$(
        $(#[$doc])*
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::unwrap_used,
            clippy::expect_used,
            clippy::panic,
            clippy::indexing_slicing
        )]
        pub(crate) mod $module {
            wasmtime::component::bindgen!({
                path: ["../../wit/0.1/host", "../../wit/0.1/provider"],
                world: $world,
                imports: { default: trappable },
                exports: { default: async },
                with: { $($with)* },
            });
        }
    )*};
}

worlds! {
    /// The capabilities: what a plugin may import.
    host: "agentkube:host/capabilities" with {}

    /// The world of a job source.
    job_source_world: "agentkube:provider/job-source-plugin" with {
        "agentkube:host@0.1.0": super::host::agentkube::host,
    }

    /// The world of a control-plane provider.
    control_plane_world: "agentkube:provider/control-plane-plugin" with {
        "agentkube:host@0.1.0": super::host::agentkube::host,
        "agentkube:provider/types@0.1.0": super::job_source_world::agentkube::provider::types,
    }

    /// The world of a node provider.
    node_provider_world: "agentkube:provider/node-provider-plugin" with {
        "agentkube:host@0.1.0": super::host::agentkube::host,
        "agentkube:provider/types@0.1.0": super::job_source_world::agentkube::provider::types,
    }

    /// What a node provider may export beside its role: the log of a machine's first boot.
    bootstrap_log_world: "agentkube:provider/bootstrap-log-offer" with {
        "agentkube:host@0.1.0": super::host::agentkube::host,
        "agentkube:provider/types@0.1.0": super::job_source_world::agentkube::provider::types,
    }

    /// What a node provider may export beside its role: first-boot data of its own.
    join_material_world: "agentkube:provider/join-material-offer" with {
        "agentkube:host@0.1.0": super::host::agentkube::host,
        "agentkube:provider/types@0.1.0": super::job_source_world::agentkube::provider::types,
    }
}

use host::agentkube::host as capability;

/// Links every capability. What a component does not import is not linked to it, and what it may not import was refused before.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::Capabilities::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// The exports have the types of a job source.
pub(crate) fn check_job_source(pre: InstancePre<State>) -> wasmtime::Result<()> {
    job_source_world::JobSourcePluginPre::new(pre).map(drop)
}

/// The exports have the types of a control-plane provider.
pub(crate) fn check_control_plane(pre: InstancePre<State>) -> wasmtime::Result<()> {
    control_plane_world::ControlPlanePluginPre::new(pre).map(drop)
}

/// The exports have the types of a node provider.
pub(crate) fn check_node_provider(pre: InstancePre<State>) -> wasmtime::Result<()> {
    node_provider_world::NodeProviderPluginPre::new(pre).map(drop)
}

/// The exports of an optional interface have its types.
pub(crate) fn check_offer(offer: Offer, pre: InstancePre<State>) -> wasmtime::Result<()> {
    match offer {
        Offer::BootstrapLog => bootstrap_log_world::BootstrapLogOfferPre::new(pre).map(drop),
        Offer::JoinMaterial => join_material_world::JoinMaterialOfferPre::new(pre).map(drop),
    }
}

/// One call of an exported function: a store, an instance, the function, all under the plugin's supervision.
macro_rules! invoke {
    ($role:expr, $spec:expr, $interface:ident, |$guest:ident, $accessor:ident| $call:expr) => {
        invoke!($role, $role.pre, $spec, $interface, |$guest, $accessor| $call)
    };
    ($role:expr, $pre:expr, $spec:expr, $interface:ident, |$guest:ident, $accessor:ident| $call:expr) => {{
        let (role, spec) = ($role, $spec);
        let traces = std::sync::Arc::new(crate::limits::Traces::default());
        let mut store = role.plugin.store(spec.service.clone(), spec.exempt, std::sync::Arc::clone(&traces));
        let pre = $pre.clone();
        let work = async move {
            let instance = pre.instantiate_async(&mut store).await?;
            let $guest = instance.$interface();
            store.run_concurrent(async move |$accessor| $call.await).await?
        };
        role.plugin.supervise(spec, traces, work).await
    }};
}
use invoke;
