//! A machine: how it is named, and how it is.

pub use crate::bindings::host::agentkube::provider::types::{Address, Instance, Lifecycle, MachineKey};
