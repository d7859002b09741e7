//! A Kubernetes API server, the Kamaji controller and tenant clusters, as state machines without I/O.
//!
//! - [`api`]: one generic API server; it serves admin and tenant clusters alike.
//! - [`tenant`]: a tenant cluster: an API server and the controllers that a join needs.
//! - [`admin`]: the admin cluster: an API server with Kamaji's kinds and its controller, and the tenants behind it.
//! - [`pki`], [`mod@kubeconfig`]: certificates and the files that carry them.
//!
//! Requests with an empty endpoint go to the admin cluster, `tenant/<namespace>/<name>` names a tenant.
//! docs/lab-api-server.md lists what these servers leave out.

pub mod admin;
pub mod api;
mod encoding;
pub mod kubeconfig;
pub mod pki;
pub mod tenant;

pub use admin::{AdminCluster, AdminFault, AdminSettings, Balancer, KubeconfigFlaw, Skew, Timings, version_skew};
pub use kubeconfig::Credential;
