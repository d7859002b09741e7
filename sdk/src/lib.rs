//! What a plugin author uses.
//!
//! A plugin is one type that implements the trait of one role, [`NodeProvider`], [`ControlPlane`] or [`JobSource`], and is
//! exported with [`export!`]. It reaches the world through the modules named after the host's capabilities, and nothing else.
//!
//! ```
//! use agentkube_sdk::prelude::*;
//! use agentkube_sdk::{http, ledger, path};
//! # use serde_json::json;
//!
//! /// Makes a volume, whatever happened to the calls before this one.
//! async fn volume(name: &str) -> Result<String> {
//!     let item = ledger::intend("volume", name, "").await?;
//!     if let Some(id) = &item.external_id {
//!         return Ok(id.clone());
//!     }
//!     if !item.is_fresh() {
//!         // An earlier call may have sent the request: look before sending another.
//!         let found: Vec<String> = http::get("cloud", path!("volumes")).query("name", name).send().await?.ok_or_fault()?.json()?;
//!         if let Some(id) = found.into_iter().next() {
//!             item.created(&id).await?;
//!             return Ok(id);
//!         }
//!     }
//!     let made = http::post("cloud", path!("volumes")).json(&json!({ "name": name })).entry(item.entry).send().await?;
//!     let id: String = made.ok_or_fault()?.json()?;
//!     item.created(&id).await?;
//!     Ok(id)
//! }
//!
//! // Natively the same code runs against doubles; here the first answer is lost on its way.
//! use agentkube_sdk::testing::{Reply, World, answer};
//! let world = World::new();
//! world.http("cloud", |request| match (request.method(), request.path()) {
//!     ("POST", "/volumes") => Reply::Lost(answer(201, json!("v-1"))),
//!     _ => answer(200, json!(["v-1"])).into(),
//! });
//! assert!(world.run(volume("data")).is_err());
//! assert_eq!(world.run(volume("data")).unwrap(), "v-1");
//! assert_eq!(world.sent("POST", "/volumes"), 1);
//! ```
//!
//! # Layout
//!
//! - One module per role with its trait and its own types: [`node_provider`], [`control_plane`], [`job_source`].
//! - What a node provider may offer beside its role: [`bootstrap_log`], [`join_material`].
//! - What the roles share: [`call`] (for whom), [`cluster`] (what is wanted), [`machine`] and [`observed`] (what is).
//! - One module per capability: [`http`], [`kube`], [`ledger`], [`permits`], [`reservations`], [`secrets`], [`files`], [`clock`],
//!   [`random`], [`log`], [`config`].
//! - [`wait`] and [`fan_out`](mod@fan_out): waiting with back-off, and many requests at once.
//! - [`manifest`](mod@manifest): what the plugin says about itself and asks for.
//! - [`testing`] (native only): doubles of every capability, and a way to kill a call at every point where it waits.
//!
//! # From a crate to a component
//!
//! The crate is a `cdylib` (the component) and an `rlib` (its tests). `cargo build --target wasm32-unknown-unknown --profile plugin`
//! makes a core module, `agentkube plugin pack` makes a component of it and puts the checked-in `manifest.json` inside. On that target
//! there is no standard error, no file, no environment and no randomness but the host's; what a component imports is what it uses.
//!
//! # The two rules
//!
//! A call **may be killed wherever it waits, and is then run again from its beginning**: find before you create, and write
//! down with [`ledger`] what a second run must know. A request that **has an effect names its ledger entry**, otherwise the
//! host refuses it.

extern crate self as agentkube_sdk;

mod backend;
#[doc(hidden)]
pub mod bindings;
pub mod bootstrap_log;
pub mod call;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod control_plane;
mod export;
pub mod fan_out;
mod fault;
pub mod files;
pub mod http;
pub mod job_source;
pub mod join_material;
pub mod kube;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod manifest;
pub mod node_provider;
pub mod observed;
pub mod permits;
pub mod prelude;
pub mod random;
pub mod reservations;
pub mod secrets;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod wait;

pub use agentkube_manifest::Manifest;
pub use bootstrap_log::BootstrapLog;
pub use control_plane::ControlPlane;
pub use fan_out::{fan_out, try_fan_out};
pub use fault::{Class, Fault, Outcome, Result, Scope};
pub use job_source::JobSource;
pub use join_material::JoinMaterial;
pub use node_provider::NodeProvider;

/// The name of a value that a plugin may pass on but never see. Durable; bound to the service and the plugin it was made for.
pub type Reference = String;

/// What has no field: pairs of a name and JSON text. Unknown names are ignored by both sides.
pub type More = Vec<(String, String)>;

/// A ledger entry; stable for the life of the installation.
pub type Entry = u64;

/// Not for use: what the macros of this crate expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::export::{Exported, assert_exportable};
    pub use wit_bindgen;
}
