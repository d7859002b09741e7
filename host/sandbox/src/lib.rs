//! Runs plugins: WebAssembly components that hold no socket, no file, no clock and no credential.
//!
//! - [`Settings`], [`Sandbox`]: the engine and what outlives calls.
//! - [`package`]: components as files: [`package::inspect`], [`package::pack`].
//! - [`connections`]: the ways out. [`grants`]: who may use them.
//! - [`Plugin`]: loaded and checked; gives the trait of its role.
//! - `call`: one call: a fresh store, a deadline, limits, and a fault for whatever ends it.
//! - `capabilities`: one folder or file for each thing that a plugin may use.
//! - `bindings`: one module for each version of the contract, converting to domain types.

mod bindings;
mod cache;
mod call;
mod capabilities;
pub mod connections;
mod core;
mod detached;
mod engine;
mod error;
pub mod grants;
mod limits;
mod metrics;
mod needs;
pub mod package;
mod permits;
mod plugin;
mod sandbox;
mod schema;
mod services;
mod settings;
mod state;
mod suggestion;
mod tenant_secrets;
#[cfg(test)]
mod testing;
mod wasi;

pub use self::connections::Connections;
pub use self::error::{ConfigMistake, Error, Result};
pub use self::grants::{Grant, Grants};
pub use self::metrics::{Metrics, NoMetrics};
pub use self::permits::Permits;
pub use self::plugin::Plugin;
pub use self::sandbox::Sandbox;
pub use self::services::Services;
pub use self::settings::{Limits, Settings};
pub use self::suggestion::suggestion;
pub use self::tenant_secrets::Secrets;
