//! What the end-to-end tests and the measurements share: the real binary in front of a lab.
//!
//! - [`artifacts`]: where the built things are.
//! - [`Scene`]: a lab, a customer, and the daemon that can be killed and started again.
//! - [`case`]: a configuration that is to be refused.
//! - [`Found`]: what really is there, by the lab's own state.
//! - [`report`]: a line for each fault.
//! - [`traces`]: what a join may not leave behind.
//! - [`command`]: the command line.
//!
//! The tests judge by what the lab knows, never by the daemon's journal.

pub mod artifacts;
pub mod case;
pub mod command;
mod found;
pub mod pages;
pub mod report;
mod scene;
mod traces;
pub mod wait;

pub use found::Found;
pub use scene::{Plan, Scene, heavy, one_machine, seed, two_pools};
pub use traces::traces;
