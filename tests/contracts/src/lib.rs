//! Recorded requests and answers against the published schemas of the real systems.
//!
//! The lab's servers write every request and its answer down where `AGENTKUBE_LAB_RECORD` names a folder
//! ([`lab_wire::Exchange`]). This crate reads such recordings and checks both halves against the schemas in the folder that
//! `AGENTKUBE_CONTRACTS` names. No schema is part of the project.
//!
//! - [`Contract`]: one system in one version. [`Fulcrum`], [`Kamaji`], [`Proxmox`].
//! - [`Judge`]: the rule by which a fault becomes a violation, and the sums.
//! - [`deviations`]: where the real systems differ from what they publish.

pub mod deviations;
mod error;
mod fault;
mod fulcrum;
mod judge;
mod kamaji;
mod openapi;
mod proxmox;
mod recording;
mod table;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use fault::{Checked, Contract, Fault, Side};
pub use fulcrum::Fulcrum;
pub use judge::{Judge, Sums, Violation};
pub use kamaji::Kamaji;
pub use proxmox::Proxmox;
pub use recording::replay;
pub use table::print;
