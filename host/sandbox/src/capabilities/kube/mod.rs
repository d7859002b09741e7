//! Kubernetes by named connection.
//!
//! - `target`: kinds and objects as paths.
//! - `policy`: manifest and grants.
//! - `requests`: get, list and the changes.
//! - `question`: what would be allowed, what would be answered.
//! - `secrets`: the data of Secrets as references.
//! - `status`: what the server's refusals mean.
//! - `watch`: shared watches. `wait`: waiting for a change with them.

mod policy;
mod question;
mod requests;
mod secrets;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod wait;
mod watch;

pub(crate) use self::question::{may, rehearse};
pub(crate) use self::requests::{PatchKind, Preconditions, apply, create, delete, get, list, patch, raw_get};
pub(crate) use self::target::{Kind, Target};
pub(crate) use self::wait::wait_for;
pub(crate) use self::watch::Watches;
