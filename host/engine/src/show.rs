//! What the engine shows of itself: to the command line, the admin socket, health checks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use agentkube_contract::{Class, Cluster, Fault, Millis, ServiceKey};
use serde::Serialize;
use tokio::sync::Notify;

use crate::Result;
use crate::engine::{Engine, Shared};
use crate::journal::{Counts, Intent, LedgerRow, RefusedJob, ServiceRecord, StepRecord};
use crate::plan::{Action, Known, Plan};

/// What one source's loops leave for others to see.
#[derive(Default)]
pub(crate) struct SourceState {
    disabled: AtomicBool,
    held: AtomicBool,
    failures: AtomicU32,
    reached: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// A result waits for delivery.
    pub(crate) outbox: Notify,
    /// The hold is over: what waits in the queue can be taken at once.
    pub(crate) released: Notify,
}

impl SourceState {
    pub(crate) fn new(held: bool) -> Self {
        SourceState { held: AtomicBool::new(held), ..SourceState::default() }
    }

    pub(crate) fn disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Relaxed);
    }

    pub(crate) fn held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn set_held(&self, held: bool) {
        if self.held.swap(held, Ordering::Relaxed) && !held {
            self.released.notify_one();
        }
    }

    pub(crate) fn reached(&self, at: Millis) {
        self.failures.store(0, Ordering::Relaxed);
        self.reached.store(at, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn failed(&self, fault: &Fault) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.to_string());
    }

    fn show(&self) -> SourceHealth {
        let reached = self.reached.load(Ordering::Relaxed);
        SourceHealth {
            disabled: self.disabled(),
            held: self.held(),
            failures: self.failures.load(Ordering::Relaxed),
            reached: (reached > 0).then_some(reached),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// How one source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceHealth {
    /// An administrator switched us off there.
    pub disabled: bool,
    /// No new job is taken for now, because work is not possible.
    pub held: bool,
    /// Polls that failed since the last that did not.
    pub failures: u32,
    /// When a poll last succeeded.
    pub reached: Option<Millis>,
    /// Why the last failed.
    pub trouble: Option<String>,
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// It is ending.
    pub stopping: bool,
    /// Why the journal cannot be read or written, when it cannot.
    pub journal: Option<Fault>,
    /// Each source.
    pub sources: BTreeMap<String, SourceHealth>,
}

impl Health {
    /// Whether work is possible: the journal works, and no source has failed three times in a row.
    pub fn ok(&self) -> bool {
        !self.stopping && self.journal.is_none() && self.sources.values().all(|source| source.failures < 3)
    }
}

/// All that there is to see.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Millis,
    /// All services.
    pub services: Vec<ServiceRecord>,
    /// The newest intents, newest first.
    pub intents: Vec<Intent>,
    /// Steps of the intents that are not over, by intent.
    pub steps: BTreeMap<u64, Vec<StepRecord>>,
    /// The newest jobs that became no intent, newest first.
    pub refused: Vec<RefusedJob>,
    /// Counts of ledger rows, jobs and results.
    pub counts: Counts,
    /// How the engine is.
    pub health: Health,
}

/// Intents, and refused jobs, that a snapshot shows.
const INTENTS: u32 = 200;

impl Engine {
    /// How the engine is.
    pub fn health(&self) -> Health {
        let trouble = self.shared.world.journal.trouble();
        Health {
            stopping: self.shared.is_stopping(),
            journal: trouble.map(Fault::from),
            sources: self.shared.sources.iter().map(|(name, state)| (name.clone(), state.show())).collect(),
        }
    }

    /// All that there is to see.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let journal = &self.shared.world.journal;
        let intents = journal.intents(INTENTS)?;
        let steps = intents
            .iter()
            .filter(|intent| intent.ended.is_none())
            .map(|intent| Ok((intent.id, journal.steps(intent.id)?)))
            .collect::<Result<_>>()?;
        Ok(Snapshot {
            at: self.shared.world.clock.now(),
            services: journal.services()?,
            intents,
            steps,
            refused: journal.refused(INTENTS)?,
            counts: journal.counts()?,
            health: self.health(),
        })
    }

    /// Everything that we own or mean to own.
    pub fn ledger_live(&self) -> Result<Vec<LedgerRow>> {
        self.shared.world.journal.ledger_live()
    }

    /// What a job of a source would do now.
    pub async fn plan_job(&self, source: &str, job: &str) -> Result<Plan> {
        let world = &self.shared.world;
        let from = world
            .sources
            .get(source)
            .ok_or_else(|| Fault::invalid("UNKNOWN_SOURCE", format!("no job source `{source}` is configured")))?;
        let job = from.job_by_id(job).await?.ok_or_else(|| {
            Fault::new(Class::NotFound, "UNKNOWN_JOB", format!("source `{source}` knows no job `{job}`"))
        })?;
        if let Some(problem) = &job.problem {
            return Err(problem.clone().into());
        }
        let key = ServiceKey { source: source.to_owned(), service: job.service.clone() };
        let action = Action::parse(&job.action);
        if !action.supported() {
            return Err(crate::service::unsupported(&job.action).into());
        }
        let wanted = match action {
            Action::Create => Some(crate::intake::wanted(world, &key, &job)?),
            _ => None,
        };
        self.plan(action, &key, &job.service_name, wanted.as_ref())
    }

    /// What a description would lead to for a service, now; nothing is written.
    pub fn plan(&self, action: Action, key: &ServiceKey, name: &str, wanted: Option<&Cluster>) -> Result<Plan> {
        let world = &self.shared.world;
        let owner = self.shared.owner(key, name);
        let known = Known::from_rows(&world.journal.engine_rows(key)?)?;
        match (action, wanted) {
            (Action::Create, Some(wanted)) => {
                let providers = world.providers();
                let mut mistakes = wanted.mistakes();
                mistakes.extend(providers.mistakes(wanted));
                agentkube_contract::mistake::refuse(&mistakes)?;
                let wanted = providers.resolve(wanted)?;
                Ok(Plan::create(&owner, &wanted, &known, &providers, &self.shared.token_id()))
            }
            (Action::Delete, _) => Ok(Plan::delete(&owner, &known)),
            (Action::Create, None) => {
                Err(Fault::invalid("NO_DESCRIPTION", "the job says nothing of the cluster that is wanted").into())
            }
            (other, _) => Err(crate::service::unsupported(other.text()).into()),
        }
    }
}

impl Shared {
    /// A fresh public half of a join token: 6 of a-z and 0-9, as kubeadm wants it.
    pub(crate) fn token_id(&self) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..6)
            .filter_map(|_| {
                let index = usize::try_from(self.world.random.below(LETTERS.len() as u64)).unwrap_or(0);
                LETTERS.get(index).map(|letter| char::from(*letter))
            })
            .collect()
    }
}
