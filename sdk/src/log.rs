//! Structured events into the host's log.
//!
//! ```
//! # let world = agentkube_sdk::testing::World::new();
//! use agentkube_sdk::log;
//!
//! log::info("machine started", &[("machine", &"kabc-workers-01"), ("cores", &4)]);
//! # assert_eq!(world.logs(), ["info machine started machine=kabc-workers-01 cores=4"]);
//! ```

use std::fmt::Display;

use crate::backend;
pub use crate::bindings::host::agentkube::host::log::Level;

/// One event with its fields.
pub fn event(level: Level, message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    backend::log::event(level, message.as_ref(), &fields);
}

/// For the author of the plugin.
pub fn debug(message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    event(Level::Debug, message, fields);
}

/// For the operator: something happened.
pub fn info(message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    event(Level::Info, message, fields);
}

/// For the operator: something should be looked at.
pub fn warn(message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    event(Level::Warn, message, fields);
}

/// For the operator: something failed.
pub fn error(message: impl AsRef<str>, fields: &[(&str, &dyn Display)]) {
    event(Level::Error, message, fields);
}
