//! What the daemon tells the command line.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Call, Class, Cluster, Fault, Owner, ServiceKey};
use agentkube_engine::journal::ServicePhase;
use agentkube_engine::plan::Action;
use agentkube_engine::{Engine, Plan};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::assemble::Parts;
use super::preflight::Preflight;
use crate::admin::{Answers, Question, Refusal};
use crate::config::{Config, Source};
use crate::doctor::report::Kind;
use crate::doctor::{self, Found, Report};

/// Time for a question that needs a plugin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers from the running parts.
pub struct Desk {
    /// The parts.
    pub parts: Arc<Parts>,
    /// The engine.
    pub engine: Arc<Engine>,
    /// What the daemon runs with.
    pub config: Config,
    /// Where that stands.
    pub source: Source,
    /// What plugins found.
    pub preflight: Arc<Preflight>,
}

#[async_trait]
impl Answers for Desk {
    async fn answer(&self, question: Question) -> Result<Value, Refusal> {
        match question {
            Question::Status => self.status(),
            Question::Jobs => self.jobs(),
            Question::Clusters => self.clusters(),
            Question::Plan { job, description } => self.plan(job, description).await,
            Question::Kubeconfig { cluster } => self.kubeconfig(&cluster).await,
            Question::Doctor => to_value(self.doctor().await),
            Question::Ledger => to_value(self.engine.ledger_live().map_err(refuse)?),
        }
    }
}

impl Desk {
    fn status(&self) -> Result<Value, Refusal> {
        let snapshot = self.engine.snapshot().map_err(refuse)?;
        let plugins: Vec<Value> = self
            .parts
            .plugins
            .iter()
            .map(|(name, plugin)| {
                let manifest = plugin.manifest();
                json!({
                    "name": name,
                    "role": manifest.role.as_str(),
                    "plugin": manifest.name,
                    "version": manifest.version,
                    "digest": plugin.digest(),
                })
            })
            .collect();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "installation": self.config.installation,
            "health": snapshot.health,
            "plugins": plugins,
            "preflight": {
                "looked": self.preflight.looked(),
                "held": self.preflight.held(),
                "plugins": self.preflight.looks(),
            },
            "counts": snapshot.counts,
        }))
    }

    /// Looks now, at everything.
    async fn doctor(&self) -> Report {
        let (config, source) = (&self.config, &self.source);
        let mut found = vec![doctor::host::configuration(config, source, true)];
        found.extend(doctor::host::ground(config, source, true));
        found.push(doctor::host::cache(config));
        found.push(match self.engine.health().journal {
            None => Found::ok(Kind::Host, "", "JOURNAL", "the journal can be read and written"),
            Some(trouble) => {
                let remedy = match trouble.code.as_str() {
                    "JOURNAL_GONE" => "put that very file back; the daemon then goes on by itself",
                    _ => "look at the data directory and its free space, then restart the daemon",
                };
                Found::error(Kind::Host, "", &trouble.code, trouble.message, remedy)
            }
        });
        found.extend(doctor::secrets::look(config));
        found.extend(doctor::host::tenants(config));
        found.extend(doctor::plugins::files(config, &self.parts.plugins));
        let (connections, plugins) = futures::join!(
            doctor::connections::look(&self.parts.services.connections),
            doctor::plugins::preflights(&self.parts.plugins)
        );
        found.extend(connections);
        found.extend(plugins);
        let report = Report::new(true, found);
        // What is seen now may differ from what the daemon goes by.
        self.preflight.look_again();
        report
    }

    fn jobs(&self) -> Result<Value, Refusal> {
        let snapshot = self.engine.snapshot().map_err(refuse)?;
        Ok(json!({ "jobs": snapshot.intents, "steps": snapshot.steps, "refused": snapshot.refused }))
    }

    fn clusters(&self) -> Result<Value, Refusal> {
        let snapshot = self.engine.snapshot().map_err(refuse)?;
        Ok(json!({ "clusters": snapshot.services }))
    }

    async fn plan(&self, job: Option<String>, description: Option<Value>) -> Result<Value, Refusal> {
        let plan = match (job, description) {
            (Some(job), _) => self.plan_of_job(&job).await?,
            (None, Some(description)) => {
                let mut wanted: Cluster = serde_json::from_value(description)
                    .map_err(|error| Refusal::new("DESCRIPTION", format!("not a cluster description: {error}")))?;
                self.config.defaults.complete(&mut wanted);
                let key = ServiceKey { source: "description".to_owned(), service: "new".to_owned() };
                self.engine.plan(Action::Create, &key, "", Some(&wanted)).map_err(refuse)?
            }
            (None, None) => return Err(Refusal::new("QUESTION", "give a job or a description")),
        };
        let text = plan.to_string();
        Ok(json!({ "plan": plan, "text": text }))
    }

    /// The job is looked for at every source; the first that knows it wins.
    async fn plan_of_job(&self, job: &str) -> Result<Plan, Refusal> {
        let mut last = Refusal::new("UNKNOWN_JOB", format!("no job source knows a job `{job}`"));
        for (name, plugin) in self.parts.plugins.iter() {
            if plugin.job_source().is_none() {
                continue;
            }
            match self.engine.plan_job(name, job).await {
                Ok(plan) => return Ok(plan),
                Err(error) => last = refuse(error),
            }
        }
        Err(last)
    }

    async fn kubeconfig(&self, wanted: &str) -> Result<Value, Refusal> {
        let snapshot = self.engine.snapshot().map_err(refuse)?;
        let mut fits = snapshot.services.iter().filter(|service| {
            let named = service.cluster == wanted || service.key.service == wanted || service.display_name == wanted;
            named && service.phase != ServicePhase::Gone
        });
        let service = fits.next().ok_or_else(|| {
            Refusal::new("UNKNOWN_CLUSTER", format!("no cluster is called `{wanted}`; see `agentkube clusters`"))
        })?;
        if fits.next().is_some() {
            let message = format!("more than one cluster is called `{wanted}`; use its cluster name or service id");
            return Err(Refusal::new("AMBIGUOUS_CLUSTER", message));
        }
        let owner = Owner::new(&self.config.installation, &service.key, &service.display_name);
        let provider = snapshot
            .intents
            .iter()
            .filter(|intent| intent.key == service.key)
            .find_map(|intent| intent.wanted.as_ref()?.control_plane.provider.clone())
            .or_else(|| self.config.defaults.control_plane.clone())
            .ok_or_else(|| Refusal::new("NO_CONTROL_PLANE", "the cluster has no control plane yet"))?;
        let plane = self.parts.plugins.get(&provider).and_then(|plugin| plugin.control_plane()).ok_or_else(|| {
            Refusal::new("PROVIDER_GONE", format!("control-plane provider `{provider}` is not configured any more"))
        })?;
        let deadline = self.parts.services.clock.now() + u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let references = plane.kubeconfig(&Call { owner: owner.clone(), deadline, attempt: 1 }).await?;
        let bytes = self.parts.secrets.resolve_for_host(&owner, &provider, &references.owner).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Fault::new(Class::Internal, "KUBECONFIG", "the kubeconfig is no text"))?;
        Ok(json!({ "kubeconfig": text }))
    }
}

fn refuse(error: agentkube_engine::Error) -> Refusal {
    match error {
        agentkube_engine::Error::Fault(fault) => fault.into(),
        other => Refusal::new("ENGINE", other.to_string()),
    }
}

fn to_value(value: impl serde::Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::new("ENGINE", error.to_string()))
}
