//! Job source: Fulcrum Core.
//!
//! Written against `fulcrumproject/core` at commit `499230a` (2026-05-27). What an operator does in Core is in `docs/fulcrum.md`; the
//! types to register are `service-type.json` and `agent-type.json` beside this crate's manifest.
//!
//! - `api`: rows, requests, and what refusals mean.
//! - `identity`: who we are; the heartbeat; what Core may set.
//! - `jobs`: pending and unfinished jobs, one job, the claim.
//! - `properties`, `reading`: from the properties of a service to a cluster description, with every mistake told.
//! - `vault`: secrets as references.
//! - `settle`, `report`: ending a job, and the status record that Core keeps.
//! - `metrics`: services and measurements.
//! - `preflight`: what must be so in Core.
//! - `config`, `manifest`: what the operator says, and what the plugin asks for.
//!
//! Each call is made by a fresh instance, so nothing is remembered here: Core is asked.

mod api;
mod config;
mod identity;
mod jobs;
mod manifest;
mod metrics;
mod preflight;
mod properties;
mod reading;
mod report;
mod settle;
mod time;
mod vault;

use agentkube_sdk::job_source::{Beat, Claimed, Health, Identity, Job, Reported, ServicePage, Settled, Settlement};
use agentkube_sdk::prelude::*;

pub use crate::config::{Config, Defaults, Names, Size};
pub use crate::manifest::manifest;

/// The job source.
#[derive(Clone, Debug)]
pub struct Fulcrum {
    core: api::Core,
    config: Config,
}

impl JobSource for Fulcrum {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        let config = config.checked()?;
        Ok(Fulcrum { core: api::Core::new(&config.connection), config })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        preflight::preflight(&self.core, &self.config).await
    }

    async fn identify(&self) -> Result<Identity> {
        identity::identify(&self.core).await
    }

    async fn heartbeat(&self, health: Health) -> Result<Beat> {
        identity::heartbeat(&self.core, health).await
    }

    async fn pending(&self) -> Result<Vec<Job>> {
        jobs::pending(&self.core, &self.config).await
    }

    async fn unfinished(&self) -> Result<Vec<Job>> {
        jobs::unfinished(&self.core, &self.config).await
    }

    async fn job_by_id(&self, id: String) -> Result<Option<Job>> {
        jobs::job_by_id(&self.core, &self.config, &id).await
    }

    async fn claim(&self, job: String) -> Result<Claimed> {
        jobs::claim(&self.core, &self.config, &job).await
    }

    async fn settle(&self, job: String, service: String, settlement: Settlement) -> Result<Settled> {
        settle::settle(&self.core, &self.config, &job, &service, settlement).await
    }

    async fn services(&self, page: Option<String>) -> Result<ServicePage> {
        metrics::services(&self.core, &self.config, page).await
    }

    async fn report(&self, service: String, samples: Vec<Sample>) -> Result<Reported> {
        metrics::report(&self.core, &service, samples).await
    }
}

agentkube_sdk::export!(JobSource for Fulcrum);
