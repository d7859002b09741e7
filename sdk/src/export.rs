//! From a provider to the exports of a component.

use std::marker::PhantomData;
use std::panic;
use std::sync::Once;

use crate::bindings::bootstrap_log::exports::agentkube::provider::bootstrap_log as bl;
use crate::bindings::control_plane::exports::agentkube::provider::control_plane as cp;
use crate::bindings::job_source::exports::agentkube::provider::job_source as js;
use crate::bindings::join_material::exports::agentkube::provider::join_material as jm;
use crate::bindings::node_provider::exports::agentkube::provider::node_provider as np;
use crate::log::{self, Level};
use crate::{BootstrapLog, ControlPlane, JobSource, JoinMaterial, NodeProvider, Result, config};

/// Exports a provider as the component's one role: `export!(NodeProvider for Toy)`. A node provider may offer more beside it:
/// `export!(NodeProvider + BootstrapLog + JoinMaterial for Toy)`.
///
/// Each call parses the configuration, makes the provider anew, and runs the function. A configuration that does not fit ends
/// the call with the fault `BAD_CONFIG`; a panic is logged with its message and place before the host sees a trap.
///
/// ```
/// # use agentkube_sdk::prelude::*;
/// # use agentkube_sdk::control_plane::{Kubeconfigs, Stage, Status};
/// # use agentkube_sdk::cluster::Cluster;
/// struct Empty;
///
/// impl ControlPlane for Empty {
///     type Config = ();
///     // …
/// #   fn new(_: ()) -> Result<Self> { Ok(Empty) }
/// #   async fn preflight(&self) -> Result<Vec<Finding>> { Ok(vec![]) }
/// #   async fn ensure(&self, _: Call, _: Cluster, _: Stage) -> Result<Status> { Err(Fault::unsupported("X", "")) }
/// #   async fn observe(&self, _: Call) -> Result<Option<Status>> { Ok(None) }
/// #   async fn delete(&self, _: Call) -> Result<()> { Ok(()) }
/// #   async fn list_owned(&self, _: String, _: Option<String>) -> Result<OwnedPage> { Err(Fault::unsupported("X", "")) }
/// #   async fn kubeconfig(&self, _: Call) -> Result<Kubeconfigs> { Err(Fault::unsupported("X", "")) }
/// }
///
/// agentkube_sdk::export!(ControlPlane for Empty);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    (JobSource for $provider:ty) => {
        $crate::__export_role!(JobSource, $provider, job_source, __export_job_source_plugin_impl);
    };
    (ControlPlane for $provider:ty) => {
        $crate::__export_role!(ControlPlane, $provider, control_plane, __export_control_plane_plugin_impl);
    };
    (NodeProvider $(+ $offer:ident)* for $provider:ty) => {
        $crate::__export_role!(NodeProvider, $provider, node_provider, __export_node_provider_plugin_impl);
        $($crate::__export_offer!($offer, $provider);)*
    };
}

/// Natively nothing is exported: the names are a component's, and two plugins in one test binary would clash.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    ($role:ident, $provider:ty, $module:ident, $export:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs)]
        const _: () = {
            type Exported = $crate::__private::Exported<$provider>;
    $crate::$export!(Exported with_types_in $crate::__private::bindings::$module);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::__private::assert_exportable::<$provider>(|_: &$provider| {
            fn check<P: $crate::$role>() {}
            check::<$provider>()
        });
    };
}

/// One of the optional interfaces beside a role.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_offer {
    (BootstrapLog, $provider:ty) => {
        $crate::__export_role!(BootstrapLog, $provider, bootstrap_log, __export_bootstrap_log_offer_impl);
    };
    (JoinMaterial, $provider:ty) => {
        $crate::__export_role!(JoinMaterial, $provider, join_material, __export_join_material_offer_impl);
    };
}

/// Checks natively that the type has the role it is exported in.
pub const fn assert_exportable<P>(_: fn(&P)) {}

/// Carries the exports of a provider.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

/// Once per instance: what a panic says goes to the log, since a component has no standard error.
fn prepare() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = info.payload_as_str().unwrap_or("panic");
            log::event(Level::Error, message, &[("panic", &place)]);
        }));
    });
}

macro_rules! guest {
    ($role:ident, $module:ident, { $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)* }) => {
        impl<P: $role> $module::Guest for Exported<P> {
            $(async fn $name($($argument: $type),*) -> Result<$result> {
                prepare();
                P::new(config::get()?)?.$name($($argument),*).await
            })*
        }
    };
}

guest!(JobSource, js, {
    preflight() -> Vec<js::Finding>;
    identify() -> js::Identity;
    heartbeat(health: js::Health) -> js::Beat;
    pending() -> Vec<js::Job>;
    unfinished() -> Vec<js::Job>;
    job_by_id(id: String) -> Option<js::Job>;
    claim(job: String) -> js::Claimed;
    settle(job: String, service: String, settlement: js::Settlement) -> js::Settled;
    services(page: Option<String>) -> js::ServicePage;
    report(service: String, samples: Vec<js::Sample>) -> js::Reported;
});

guest!(ControlPlane, cp, {
    preflight() -> Vec<cp::Finding>;
    ensure(call: cp::Call, wanted: cp::Cluster, stage: cp::Stage) -> cp::Status;
    observe(call: cp::Call) -> Option<cp::Status>;
    power(call: cp::Call, on: bool) -> cp::Status;
    delete(call: cp::Call) -> ();
    list_owned(installation: String, page: Option<String>) -> cp::OwnedPage;
    kubeconfig(call: cp::Call) -> cp::Kubeconfigs;
    rotate(call: cp::Call) -> ();
    metrics(call: cp::Call) -> Vec<cp::Sample>;
});

guest!(NodeProvider, np, {
    preflight() -> Vec<np::Finding>;
    find(call: np::Call, key: np::MachineKey) -> Option<np::Instance>;
    create(
        call: np::Call, key: np::MachineKey, pool: np::Pool, found: Option<np::Instance>, bootstrap: Option<np::Bootstrap>
    ) -> np::Instance;
    boot(call: np::Call, key: np::MachineKey, instance: np::Instance, bootstrap: np::Bootstrap) -> np::Instance;
    finish_bootstrap(call: np::Call, key: np::MachineKey, instance: np::Instance) -> ();
    observe(call: np::Call, key: np::MachineKey, instance_id: String) -> Option<np::Instance>;
    power(call: np::Call, key: np::MachineKey, instance_id: String, action: np::PowerAction) -> np::Instance;
    resize(call: np::Call, key: np::MachineKey, instance_id: String, pool: np::Pool) -> np::Instance;
    delete(call: np::Call, key: np::MachineKey, instance_id: Option<String>) -> ();
    list_owned(installation: String, page: Option<String>) -> np::OwnedPage;
    metrics(call: np::Call, key: np::MachineKey, instance_id: String) -> Vec<np::Sample>;
});

guest!(BootstrapLog, bl, {
    tail(call: bl::Call, key: bl::MachineKey, instance_id: String) -> String;
});

guest!(JoinMaterial, jm, {
    render(call: jm::Call, key: jm::MachineKey, pool: jm::Pool, endpoint: jm::Endpoint) -> Vec<u8>;
});
