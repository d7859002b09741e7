//! The words that all of the host shares: domain types, one trait per role, one trait per thing that is injected.
//!
//! No I/O and no WebAssembly live here. The engine plans with these types, the sandbox turns plugins into these traits, and
//! the tests put scripted fakes behind them.
//!
//! - [`fault`]: how things fail.
//! - [`identity`]: installation, service, cluster and machine names.
//! - [`cluster`]: a cluster as somebody wants it.
//! - [`order`]: what is wrong in one.
//! - [`observed`]: machines, control planes and conditions as they are.
//! - [`job`]: what a job source asks for and is told.
//! - [`role`]: [`JobSource`], [`ControlPlane`], [`NodeProvider`].
//! - [`ledger`]: what we own, with [`Reservations`] and [`References`] beside it.
//! - [`mistake`]: what is wrong in a description, told all at once.
//! - [`tenant`]: what the engine needs of a tenant cluster.
//! - [`world`]: time and randomness.

mod cidr;
pub mod cluster;
pub mod fault;
pub mod identity;
pub mod job;
pub mod ledger;
pub mod mistake;
mod network;
pub mod observed;
pub mod order;
pub mod role;
pub mod tenant;
pub mod world;

pub use cluster::{Card, Cluster, ControlPlaneWish, Network, Pool, Shape, StaticAddress, Taint};
pub use fault::{Class, Fault, Outcome, Result, Scope};
pub use identity::{MachineKey, Owner, ServiceKey};
pub use job::{
    Beat, Claimed, Completion, Failure, Health, Identity, Job, NodeReport, PoolReport, ServiceRow, Settled, Settlement,
    Standing,
};
pub use ledger::{Answer, EntryId, Holder, Item, Ledger, Locator, Reference, References, Reservations, State, Stock};
pub use mistake::Mistake;
pub use observed::{Address, Condition, Finding, Instance, Lifecycle, Owned, Page, Phase, Sample, Severity};
pub use role::{
    Bootstrap, Call, ControlPlane, ControlPlaneStatus, Endpoint, JobSource, Kubeconfigs, NodeProvider, PowerAction,
    Stage,
};
pub use tenant::{Addons, BootstrapRenderer, BootstrapRequest, JoinInfo, JoinToken, Node, Tenant, Tenants};
pub use world::{Clock, Random};

/// Observations and wishes without a field of their own: (name, JSON text).
pub type More = Vec<(String, String)>;
/// Milliseconds since the Unix epoch.
pub type Millis = u64;
