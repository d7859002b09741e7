//! Planner, executor, journal and ledger: jobs come in, clusters come out, and a crash at any point changes nothing of it.
//!
//! The engine knows no WebAssembly and no network and has no clock of its own; all of that comes through the traits of
//! `agentkube-contract`, gathered in a [`World`].
//!
//! - [`journal`]: the durable store, one SQLite file. It implements the ledger, the reservations and the references that
//!   plugins are offered.
//! - [`plan`]: from an intent and what the ledger knows to a graph of steps. Pure.
//! - `execute`: runs a plan, in parallel where the graph allows, with retries, every step journalled.
//! - `service`: one writer per service, which carries out the newest intent and cancels what it supersedes.
//! - `intake`, `delivery`, `measure`: the loops around the job sources: poll and claim, settle, report measurements.
//! - [`Engine`]: starts and stops all of it, and shows what it does.

mod delivery;
mod engine;
mod error;
mod event;
mod execute;
mod intake;
pub mod journal;
mod measure;
pub mod plan;
mod repeats;
mod service;
mod settings;
mod show;
mod status;
// With a safeguard switched off only the tests that miss it are built.
#[cfg(test)]
#[cfg_attr(any(feature = "sabotage-find", feature = "sabotage-intent", feature = "sabotage-undo"), allow(dead_code))]
mod testing;
mod world;

pub use engine::Engine;
pub use error::{Error, Result};
pub use event::{Event, Kind};
pub use journal::{Journal, Options};
pub use plan::Plan;
pub use repeats::Repeats;
pub use settings::{KubeconfigDelivery, Limits, OnFailure, Retry, Settings, Times};
pub use show::{Health, Snapshot, SourceHealth};
pub use world::World;
