//! Doubles of every capability, so that a provider is tested natively, in microseconds and without a component.
//!
//! A [`World`] is one host with everything around it: scripted HTTP servers, a small API server, a ledger that knows doubt,
//! permits, ranges, files, a clock that jumps instead of waiting, and randomness that repeats itself. It belongs to the thread that
//! made it; [`World::run`] runs one call in it. [`kill_at_every_host_call`] shows that a provider survives being killed.
//!
//! ```
//! use agentkube_sdk::testing::{World, answer};
//! use agentkube_sdk::{clock, http, path};
//! use serde_json::json;
//!
//! let world = World::new();
//! world.http("cloud", |request| match request.path() {
//!     "/version" => answer(200, json!("1.2")),
//!     _ => answer(404, json!(null)),
//! });
//! let version: String = world.run(async {
//!     clock::sleep(3_600_000).await; // takes no time
//!     http::get("cloud", path!("version")).send().await?.json()
//! }).unwrap();
//! assert_eq!(version, "1.2");
//! ```
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

pub(crate) mod backend;
mod executor;
mod files;
mod http;
mod kill;
mod kube;
mod ledger;
mod manifest;
mod permits;
mod reservations;
mod world;

pub use http::{Reply, Sent, answer, empty};
pub use kill::{Moment, kill_at_every_host_call};
pub use manifest::check_manifest;
pub use world::{EPOCH, World};
