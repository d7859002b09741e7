//! What every cluster of a job source gets, and what its providers must be able to read, settled before the engine sees a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agentkube_contract::{
    Beat, Claimed, Cluster, Finding, Health, Identity, Job, JobSource, Mistake, Page, Result, Sample, ServiceRow,
    Settled, Settlement,
};
use agentkube_manifest::Role;
use agentkube_sandbox::Plugin;
use async_trait::async_trait;

use crate::config::Defaults;

/// A job source whose descriptions are completed and checked.
pub struct WithDefaults {
    /// The source itself.
    pub source: Arc<dyn JobSource>,
    /// What clusters get.
    pub defaults: Defaults,
    /// Names of the configured add-ons.
    pub addons: BTreeSet<String>,
    /// All plugins, by configured name.
    pub plugins: Arc<BTreeMap<String, Arc<Plugin>>>,
}

impl Defaults {
    /// Gives a cluster what every cluster gets.
    pub fn complete(&self, wanted: &mut Cluster) {
        for addon in &self.addons {
            if !wanted.addons.contains(addon) {
                wanted.addons.push(addon.clone());
            }
        }
    }
}

impl WithDefaults {
    fn complete(&self, mut job: Job) -> Job {
        if let Some(wanted) = &mut job.wanted {
            self.defaults.complete(wanted);
        }
        let mistakes = job.wanted.as_ref().map(|wanted| self.wrong_settings(wanted));
        job.found(mistakes.unwrap_or_default());
        job
    }

    /// What only one provider knows is checked by that provider's own schema.
    fn wrong_settings(&self, wanted: &Cluster) -> Vec<Mistake> {
        let plane = wanted.control_plane.provider.as_ref().or(self.defaults.control_plane.as_ref());
        let plane = plane.or_else(|| self.only(Role::ControlPlane));
        let plane = self.wrong("controlPlane.settings".to_owned(), plane, &wanted.control_plane.settings);
        let pools = wanted.pools.iter().filter_map(|pool| {
            let provider = pool.provider.as_ref().or(self.defaults.node_provider.as_ref());
            let provider = provider.or_else(|| self.only(Role::NodeProvider));
            self.wrong(format!("{}.settings", pool.place()), provider, &pool.settings)
        });
        let unknown = wanted.addons.iter().filter(|addon| !self.addons.contains(*addon)).map(|addon| {
            let known: Vec<&str> = self.addons.iter().map(String::as_str).collect();
            let known =
                if known.is_empty() { "none is configured".to_owned() } else { format!("use of {}", known.join(", ")) };
            Mistake::new("addons".to_owned(), "UNKNOWN_ADDON", format!("no add-on `{addon}`; {known}"))
        });
        plane.into_iter().chain(pools).chain(unknown).collect()
    }

    /// The one provider of a role, which needs no naming.
    fn only(&self, role: Role) -> Option<&String> {
        let mut names = self.plugins.iter().filter(|(_, plugin)| plugin.manifest().role == role).map(|(name, _)| name);
        names.next().filter(|_| names.next().is_none())
    }

    fn wrong(&self, path: String, provider: Option<&String>, settings: &str) -> Option<Mistake> {
        // Which provider it is, the planner decides, or says that there is none.
        let fault = self.plugins.get(provider?)?.check_settings(settings).err()?;
        Some(Mistake::new(path, &fault.code, fault.message))
    }
}

#[async_trait]
impl JobSource for WithDefaults {
    async fn preflight(&self) -> Result<Vec<Finding>> {
        self.source.preflight().await
    }

    async fn identify(&self) -> Result<Identity> {
        self.source.identify().await
    }

    async fn heartbeat(&self, health: Health) -> Result<Beat> {
        self.source.heartbeat(health).await
    }

    async fn pending(&self) -> Result<Vec<Job>> {
        Ok(self.source.pending().await?.into_iter().map(|job| self.complete(job)).collect())
    }

    async fn unfinished(&self) -> Result<Vec<Job>> {
        Ok(self.source.unfinished().await?.into_iter().map(|job| self.complete(job)).collect())
    }

    async fn job_by_id(&self, id: &str) -> Result<Option<Job>> {
        Ok(self.source.job_by_id(id).await?.map(|job| self.complete(job)))
    }

    async fn claim(&self, job: &str) -> Result<Claimed> {
        self.source.claim(job).await
    }

    async fn settle(&self, job: &str, service: &str, settlement: &Settlement) -> Result<Settled> {
        self.source.settle(job, service, settlement).await
    }

    async fn services(&self, page: Option<&str>) -> Result<Page<ServiceRow>> {
        self.source.services(page).await
    }

    async fn report(&self, service: &str, samples: &[Sample]) -> Result<Vec<String>> {
        self.source.report(service, samples).await
    }
}
