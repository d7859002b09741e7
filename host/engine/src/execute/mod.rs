//! Runs a plan: steps side by side where the graph allows, each journalled before and after, each tried again as its fault
//! says. Dropping a run stops it at once; what it had begun is found again by the next.

mod bootstrap;
mod health;
mod machine;
mod node;
mod perform;
mod recover;
mod retry;
mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use agentkube_contract::{Call, Cluster, Fault, JoinInfo, Owner, Tenant};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Result;
use crate::engine::Shared;
use crate::event::Kind;
use crate::journal::{Finished, Intent};
use crate::plan::{Plan, Step, Work};

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    Failed { step: String, fault: Fault },
}

/// One run of one plan.
pub(crate) struct Run<'a> {
    shared: &'a Shared,
    intent: &'a Intent,
    owner: Owner,
    wanted: Option<&'a Cluster>,
    plan: Plan,
    /// Steps are tried until they succeed: deletes and undos.
    forever: bool,
    outputs: Mutex<Finished>,
    /// The open tenant and how to join it, for this run alone: neither a connection nor a token's secret is stored.
    tenant: tokio::sync::Mutex<Option<Arc<dyn Tenant>>>,
    join: tokio::sync::Mutex<Option<JoinInfo>>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(shared: &'a Shared, intent: &'a Intent, mut plan: Plan, forever: bool) -> Result<Self> {
        let outputs = shared.world.journal.finished_steps(intent.id)?;
        plan.mark_done(|id| outputs.contains_key(id));
        Ok(Run {
            shared,
            intent,
            owner: shared.owner(&intent.key, &intent.display_name),
            wanted: intent.wanted.as_ref(),
            plan,
            forever,
            outputs: Mutex::new(outputs),
            tenant: tokio::sync::Mutex::new(None),
            join: tokio::sync::Mutex::new(None),
        })
    }

    /// Runs what is not done. The first step that fails for good ends the run; its siblings are dropped where they stand.
    pub(crate) async fn run(&self) -> Result<Verdict> {
        let mut waits_for: HashMap<&str, usize> = HashMap::new();
        let mut frees: HashMap<&str, Vec<&Step>> = HashMap::new();
        let done: HashMap<&str, bool> = self.plan.steps.iter().map(|step| (step.id.as_str(), step.done)).collect();
        let mut running = FuturesUnordered::new();
        for step in self.plan.steps.iter().filter(|step| !step.done) {
            let open = step.after.iter().filter(|id| done.get(id.as_str()) == Some(&false));
            let mut count = 0;
            for id in open {
                frees.entry(id.as_str()).or_default().push(step);
                count += 1;
            }
            waits_for.insert(&step.id, count);
            if count == 0 {
                running.push(self.carry(step));
            }
        }
        while let Some((step, outcome)) = running.next().await {
            if let Err(fault) = outcome? {
                return Ok(Verdict::Failed { step: step.id.clone(), fault });
            }
            for next in frees.remove(step.id.as_str()).unwrap_or_default() {
                if let Some(count) = waits_for.get_mut(next.id.as_str()) {
                    *count -= 1;
                    if *count == 0 {
                        running.push(self.carry(next));
                    }
                }
            }
        }
        Ok(Verdict::Done)
    }

    async fn carry<'s>(&'s self, step: &'s Step) -> (&'s Step, Result<std::result::Result<(), Fault>>) {
        (step, self.until_over(step).await)
    }

    /// One last try to revoke the join token of a plan that did not get that far.
    pub(crate) async fn revoke_anyway(&self) {
        let token = self.plan.steps.iter().find(|step| matches!(step.work, Work::RevokeToken(_)));
        let Some(step) = token else { return };
        if step.done || self.output::<Value>("tenant/join-token").is_none() {
            return;
        }
        let _ = self.one_try(step, std::time::Duration::from_secs(10)).await;
    }

    /// The output of a step that is over.
    fn output<T: DeserializeOwned>(&self, step: &str) -> Option<T> {
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.get(step).and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// The output of a step that this one comes after.
    fn expect_output<T: DeserializeOwned>(&self, step: &str) -> std::result::Result<T, Fault> {
        self.output(step)
            .ok_or_else(|| Fault::internal("STEP_OUTPUT", format!("step `{step}` has left no output that can be read")))
    }

    fn keep_output(&self, step: &str, value: Value) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).insert(step.to_owned(), value);
    }

    fn wanted(&self) -> std::result::Result<&'a Cluster, Fault> {
        self.wanted.ok_or_else(|| Fault::internal("NO_DESCRIPTION", "the intent has no description of the cluster"))
    }

    fn call(&self, attempt: u32, limit: std::time::Duration) -> Call {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.shared.world.clock.now().saturating_add(limit);
        Call { owner: self.owner.clone(), deadline, attempt }
    }

    fn event(&self, step: &str, kind: Kind, duration: Option<u64>, message: String) {
        self.shared.event(Some(self.intent), step, kind, duration, message);
    }
}

/// A step's output as it is journalled.
fn json<T: Serialize>(value: &T) -> std::result::Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::internal("STEP_OUTPUT", error.to_string()))
}
