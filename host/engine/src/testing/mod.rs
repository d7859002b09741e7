//! Scripted doubles of everything outside the engine, and a way to end a life of the engine at any point.
//!
//! The doubles are deliberately simple-minded: a machine is made whenever `create` is called without a found one, so a safeguard of
//! the engine that is missing shows as a second machine.

mod cloud;
mod crash;
#[cfg(not(any(feature = "sabotage-find", feature = "sabotage-intent", feature = "sabotage-undo")))]
mod journey;
mod life;
mod roles;
mod sabotage;
#[cfg(not(any(feature = "sabotage-find", feature = "sabotage-intent", feature = "sabotage-undo")))]
mod trouble;

pub(crate) use cloud::{Cloud, JobState};
pub(crate) use life::{Kill, Life, clock};

/// Cluster name of a service in these tests.
pub(crate) fn roles_cluster(service: &str) -> String {
    let key = agentkube_contract::ServiceKey { source: "core".into(), service: service.into() };
    agentkube_contract::identity::cluster_name("dc1", &key)
}
