//! Generated from `wit/0.1`. What is public of it is re-exported under friendlier names elsewhere.
//!
//! The capabilities and shared types are generated once, in [`host`]; each role is generated beside it and borrows them. The
//! generated `export!` of a role, not these modules, carries the role's component type, so all three can be compiled together.
#![allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::unwrap_used, rust_2018_idioms)]

/// Capabilities and shared types.
pub mod host {
    wit_bindgen::generate!({
        inline: "package agentkube:sdk@0.1.0;
            world everything {
                include agentkube:host/capabilities@0.1.0;
                import agentkube:provider/types@0.1.0;
            }",
        path: ["../wit/0.1/host", "../wit/0.1/provider"],
        world: "agentkube:sdk/everything@0.1.0",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        runtime_path: "::agentkube_sdk::__private::wit_bindgen::rt",
        with: { "agentkube:host/types@0.1.0/fault": crate::fault::Fault },
    });
}

/// The interface `types`, with a [`Fault`](crate::Fault) of our own that prints well.
pub mod types {
    pub use super::host::agentkube::host::types::*;
    pub use crate::fault::Fault;
}

/// The exports of one world, which borrow what others share.
macro_rules! exports {
    ($module:ident, $world:literal, { $($capabilities:tt)* }) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: ["../wit/0.1/host", "../wit/0.1/provider"],
                world: $world,
                generate_all,
                generate_unused_types: true,
                pub_export_macro: true,
                default_bindings_module: "agentkube_sdk::__private",
                additional_derives: [PartialEq],
                runtime_path: "::agentkube_sdk::__private::wit_bindgen::rt",
                with: {
                    "agentkube:host/types@0.1.0": crate::bindings::types,
                    "agentkube:provider/types@0.1.0": crate::bindings::host::agentkube::provider::types,
                    $($capabilities)*
                },
            });
        }
    };
}

macro_rules! role {
    ($module:ident, $world:literal) => {
        exports!($module, $world, {
            "agentkube:host/http@0.1.0": crate::bindings::host::agentkube::host::http,
            "agentkube:host/kube@0.1.0": crate::bindings::host::agentkube::host::kube,
            "agentkube:host/secrets@0.1.0": crate::bindings::host::agentkube::host::secrets,
            "agentkube:host/ledger@0.1.0": crate::bindings::host::agentkube::host::ledger,
            "agentkube:host/permits@0.1.0": crate::bindings::host::agentkube::host::permits,
            "agentkube:host/reservations@0.1.0": crate::bindings::host::agentkube::host::reservations,
            "agentkube:host/clock@0.1.0": crate::bindings::host::agentkube::host::clock,
            "agentkube:host/random@0.1.0": crate::bindings::host::agentkube::host::random,
            "agentkube:host/log@0.1.0": crate::bindings::host::agentkube::host::log,
            "agentkube:host/config@0.1.0": crate::bindings::host::agentkube::host::config,
            "agentkube:host/files@0.1.0": crate::bindings::host::agentkube::host::files,
        });
    };
}

role!(job_source, "agentkube:provider/job-source-plugin@0.1.0");
role!(control_plane, "agentkube:provider/control-plane-plugin@0.1.0");
role!(node_provider, "agentkube:provider/node-provider-plugin@0.1.0");
exports!(bootstrap_log, "agentkube:provider/bootstrap-log-offer@0.1.0", {});
exports!(join_material, "agentkube:provider/join-material-offer@0.1.0", {});
