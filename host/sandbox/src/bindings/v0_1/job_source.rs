//! A plugin as a job source.

use std::sync::Arc;

use agentkube_contract::{
    Beat, Claimed, Completion, Finding, Health, Identity, Job, JobSource, Mistake, Page, Result, Sample, ServiceKey,
    ServiceRow, Settled, Settlement,
};
use async_trait::async_trait;

use super::common::all;
use super::invoke;
use super::job_source_world::JobSourcePluginPre;
use super::job_source_world::exports::agentkube::provider::job_source as wit;
use crate::call::Spec;
use crate::plugin::Plugin;
use crate::state::State;

/// A plugin as a job source.
pub(crate) struct JobSourcePlugin {
    plugin: Arc<Plugin>,
    pre: JobSourcePluginPre<State>,
}

impl JobSourcePlugin {
    /// `None` when the plugin has another role.
    pub fn new(plugin: &Arc<Plugin>) -> Option<Self> {
        let pre = JobSourcePluginPre::new(plugin.pre()).ok()?;
        Some(JobSourcePlugin { plugin: Arc::clone(plugin), pre })
    }

    /// A call that concerns one service of this source.
    fn about(&self, export: &'static str, service: &str) -> Spec {
        let service = Some(ServiceKey { source: self.plugin.name().to_owned(), service: service.to_owned() });
        Spec { service, ..self.plugin.general(export) }
    }
}

#[async_trait]
impl JobSource for JobSourcePlugin {
    async fn preflight(&self) -> Result<Vec<Finding>> {
        let spec = self.plugin.general("preflight");
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_preflight(a)).map(all)
    }

    async fn identify(&self) -> Result<Identity> {
        let spec = self.plugin.general("identify");
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_identify(a)).map(|i| Identity {
            id: i.id,
            name: i.name,
            disabled: i.disabled,
            settings: i.settings,
        })
    }

    async fn heartbeat(&self, health: Health) -> Result<Beat> {
        let time = self.plugin.sandbox.settings().heartbeat_timeout;
        let spec = Spec { time, exempt: true, ..self.plugin.general("heartbeat") };
        let health = match health {
            Health::Connected => wit::Health::Connected,
            Health::Error => wit::Health::Error,
            Health::Disconnected => wit::Health::Disconnected,
        };
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_heartbeat(a, health))
            .map(|beat| Beat { disabled: beat.disabled })
    }

    async fn pending(&self) -> Result<Vec<Job>> {
        let spec = self.plugin.general("pending");
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_pending(a)).map(all)
    }

    async fn unfinished(&self) -> Result<Vec<Job>> {
        let spec = self.plugin.general("unfinished");
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_unfinished(a)).map(all)
    }

    async fn job_by_id(&self, id: &str) -> Result<Option<Job>> {
        let (spec, id) = (self.plugin.general("job-by-id"), id.to_owned());
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_job_by_id(a, id))
            .map(|job| job.map(Into::into))
    }

    async fn claim(&self, job: &str) -> Result<Claimed> {
        let (spec, job) = (self.plugin.general("claim"), job.to_owned());
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_claim(a, job)).map(|c| match c {
            wit::Claimed::Ours => Claimed::Ours,
            wit::Claimed::Lost => Claimed::Lost,
        })
    }

    async fn settle(&self, job: &str, service: &str, settlement: &Settlement) -> Result<Settled> {
        let (spec, job) = (self.about("settle", service), job.to_owned());
        let (service, settlement) = (service.to_owned(), settlement.into());
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_settle(a, job, service, settlement))
            .map(|settled| match settled {
                wit::Settled::Accepted => Settled::Accepted,
                wit::Settled::Late => Settled::Late,
            })
    }

    async fn services(&self, page: Option<&str>) -> Result<Page<ServiceRow>> {
        let (spec, page) = (self.plugin.general("services"), page.map(str::to_owned));
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_services(a, page))
            .map(|page| Page { items: all(page.items), next: page.next })
    }

    async fn report(&self, service: &str, samples: &[Sample]) -> Result<Vec<String>> {
        let (spec, service, samples) = (self.about("report", service), service.to_owned(), all(samples));
        invoke!(self, spec, agentkube_provider_job_source, |guest, a| guest.call_report(a, service, samples))
            .map(|reported| reported.unknown)
    }
}

impl From<wit::Job> for Job {
    fn from(job: wit::Job) -> Self {
        Job {
            id: job.id,
            service: job.service,
            service_name: job.service_name,
            group: job.group,
            action: job.action,
            priority: job.priority,
            created_ms: job.created_ms,
            wanted: job.wanted.map(Into::into),
            problem: job.problem.map(Into::into),
            mistakes: all(job.mistakes),
            more: job.more,
        }
    }
}

impl From<wit::Mistake> for Mistake {
    fn from(mistake: wit::Mistake) -> Self {
        Mistake { path: mistake.path, code: mistake.code, text: mistake.text }
    }
}

impl From<wit::Service> for ServiceRow {
    fn from(service: wit::Service) -> Self {
        ServiceRow { id: service.id, name: service.name, state: service.state, instance_id: service.instance_id }
    }
}

impl From<&Settlement> for wit::Settlement {
    fn from(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Completed(completion) => wit::Settlement::Completed(completion.as_ref().into()),
            Settlement::Failed(failure) => wit::Settlement::Failed(wit::Failure {
                fault: failure.fault.clone().into(),
                status: failure.status.as_ref().map(Into::into),
            }),
        }
    }
}

impl From<&Completion> for wit::Completion {
    fn from(c: &Completion) -> Self {
        let nodes = c.nodes.iter().map(|node| wit::Node {
            name: node.name.clone(),
            pool: node.pool.clone(),
            ready: node.ready,
            version: node.version.clone(),
            address: node.address.clone(),
            machine: node.machine.clone(),
        });
        let pools = c.pools.iter().map(|pool| wit::PoolReport {
            name: pool.name.clone(),
            provider: pool.provider.clone(),
            wanted: pool.wanted,
        });
        let conditions = c
            .conditions
            .iter()
            .map(|standing| wit::Standing { condition: (&standing.condition).into(), since_ms: standing.since_ms });
        wit::Completion {
            instance_id: c.instance_id.clone(),
            endpoint: c.endpoint.clone(),
            ca: c.ca.clone(),
            kubeconfig: c.kubeconfig.as_ref().map(|reference| reference.0.clone()),
            version: c.version.clone(),
            phase: c.phase.clone(),
            conditions: conditions.collect(),
            pools: pools.collect(),
            nodes: nodes.collect(),
            observed_generation: c.observed_generation,
            more: c.more.clone(),
        }
    }
}
