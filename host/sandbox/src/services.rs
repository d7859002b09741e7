//! What the host offers to plugins, injected.

use std::sync::Arc;

use agentkube_contract::{Clock, Ledger, Random, References, Reservations};

use crate::connections::Connections;
use crate::metrics::Metrics;
use crate::permits::Permits;

/// What the host offers to plugins, shared by all of them.
#[derive(Clone)]
pub struct Services {
    /// What we own.
    pub ledger: Arc<dyn Ledger>,
    /// Numbers and addresses.
    pub reservations: Arc<dyn Reservations>,
    /// Secret references.
    pub references: Arc<dyn References>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Ways out and named secrets.
    pub connections: Arc<Connections>,
    /// Named semaphores.
    pub permits: Arc<Permits>,
    /// Who counts.
    pub metrics: Arc<dyn Metrics>,
}
