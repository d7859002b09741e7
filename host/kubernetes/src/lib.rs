//! What any conformant tenant cluster needs, whoever runs its control plane and whoever makes its machines.
//!
//! - [`Opener`]: opens a tenant from a kubeconfig reference, with the refusals that keep a kubeconfig from being a program.
//! - [`ClusterTenant`]: an open tenant: readiness, join tokens, join information, nodes, add-ons, cluster metrics.
//! - [`addons`]: add-on manifests from directories, applied server-side in phases and waited for.
//! - [`bootstrap`]: first-boot data of a machine, from a template that operators can replace.
//! - [`settings`]: what the configuration says about tenants.
//!
//! Nothing here knows a product: a kubeconfig goes in, Kubernetes comes out.

pub mod addons;
mod address;
mod api;
pub mod bootstrap;
mod ca;
mod error;
mod join;
mod kubeconfig;
mod nodes;
mod opener;
mod session;
pub mod settings;
mod tenant;
mod token;
mod wait;
mod yaml;

#[cfg(test)]
mod fake;

pub use address::{Cidr, TenantAddresses};
pub use bootstrap::Renderer;
pub use error::{Error, Result};
pub use opener::{KubeconfigSource, Opener};
pub use settings::TenantSettings;
pub use tenant::ClusterTenant;
pub use token::new_token_id;
