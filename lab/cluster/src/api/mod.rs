//! One generic Kubernetes API server as a state machine.
//!
//! - [`Kind`], [`Registry`]: what is served; built-in kinds stand in a table, custom ones come from
//!   CustomResourceDefinitions in the store.
//! - [`Store`]: objects, revisions, history.
//! - [`User`], [`StaticToken`]: authentication; RBAC reads the roles in the store.
//! - [`ApiServer`]: the verbs. Reads and writes by the cluster's own controllers go through [`ApiServer::get`],
//!   [`ApiServer::put`], … and are neither authorized nor recorded.

mod apply;
mod builtin;
mod crd;
mod create;
mod defaults;
mod delete;
mod discovery;
mod failure;
mod fault;
mod fields;
mod inside;
mod kind;
mod lifecycle;
mod log;
mod managers;
mod openapi;
mod patch;
mod printers;
mod protobuf;
mod question;
mod rbac;
mod read;
mod registry;
mod request;
mod roles;
mod schema;
mod selector;
mod server;
mod shape;
mod store;
mod table;
mod update;
mod user;
mod validate;
mod watch;

pub use failure::Failure;
pub use fault::{Fault, FaultKind};
pub use kind::{Kind, Resource};
pub use log::LogEntry;
pub use registry::Registry;
pub use server::{Admission, ApiServer, Settings, WriteBlock};
pub use store::{Change, Record, Store};
pub use user::{BootstrapToken, StaticToken, User, bootstrap_tokens};

pub(crate) use rbac::{Attributes, allowed};
