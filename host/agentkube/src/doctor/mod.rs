//! `agentkube doctor`: everything that can be checked without changing anything, with what to do about it.
//!
//! - [`report`]: findings and how they are shown.
//! - [`host`]: configuration, data directory, cache. `journal`: the durable store. [`secrets`]: files that hold credentials.
//! - [`connections`]: who answers, who it is, what time it is there. [`plugins`]: their files, their own preflight.
//! - [`alone`]: all of it without a daemon.

pub mod alone;
pub mod connections;
pub mod host;
mod journal;
pub mod plugins;
pub mod report;
pub mod secrets;

pub use report::{Found, Report};
