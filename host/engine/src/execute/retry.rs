//! One step until it is over: limits, journal, deadline, and what its faults mean for another try.

use std::time::Duration;

use agentkube_contract::{Class, Fault, Outcome};
use serde_json::Value;

use super::Run;
use super::node::never_joined;
use crate::Result;
use crate::event::Kind;
use crate::journal::StepEnd;
use crate::plan::{Step, Work};

/// A call that does not end by its deadline is dropped this much later.
const GRACE: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Tries the step until it succeeds or has failed for good. The outer error is the journal's.
    pub(super) async fn until_over(&self, step: &Step) -> Result<std::result::Result<(), Fault>> {
        let world = &self.shared.world;
        loop {
            let fault = match self.one_try(step, self.limit(&step.work)).await? {
                Ok(()) => return Ok(Ok(())),
                Err(fault) => fault,
            };
            let failures = world.journal.failures(self.intent.id, &step.id)?;
            let last = !self.forever && self.is_last(&step.work, &fault, failures);
            if last {
                let fault = self.explained(&step.work, fault).await;
                self.event(&step.id, Kind::Failed, None, fault.to_string());
                return Ok(Err(fault));
            }
            let retry = &self.shared.settings.retry;
            let wait = if fault.retryable() {
                retry.wait(failures, &fault, world.random.as_ref())
            } else {
                // Somebody has to mend something before this can succeed.
                retry.cap
            };
            if self.forever && (failures >= retry.tell_after || !fault.retryable()) {
                let told = self.intent.fault.clone().unwrap_or_else(|| fault.clone());
                let told = crate::status::failed(self.shared, self.intent, told, "Deleting")?;
                world.journal.report(self.intent, told).await?;
                self.shared.outbox_changed(&self.intent.key.source);
            }
            self.event(&step.id, Kind::Retrying, None, format!("{fault}; again in {:.1} s", wait.as_secs_f64()));
            world.clock.sleep(wait).await;
        }
    }

    fn is_last(&self, work: &Work, fault: &Fault, failures: u32) -> bool {
        if never_joined(work, fault) {
            return true;
        }
        let create = u64::try_from(self.shared.settings.times.create.as_millis()).unwrap_or(u64::MAX);
        let late = self.shared.world.clock.now().saturating_sub(self.intent.began) > create;
        // After a long absence of the daemon the time is up at once; a few tries it gets all the same.
        let retry = &self.shared.settings.retry;
        let attempts = match fault.class {
            Class::Exhausted => retry.unlikely.min(retry.attempts),
            _ => retry.attempts,
        };
        !fault.retryable() || failures >= attempts || (late && failures >= 3)
    }

    /// One try, journalled before and after.
    pub(super) async fn one_try(&self, step: &Step, limit: Duration) -> Result<std::result::Result<(), Fault>> {
        let world = &self.shared.world;
        let _permits = self.shared.permits(step.provider.as_deref()).await?;
        let row = self.row(&step.work);
        let early = row.clone().filter(|_| !cfg!(feature = "sabotage-intent"));
        let attempt = world.journal.start_step(self.intent, &step.id, early).await?;
        let began = world.clock.now();
        self.event(&step.id, Kind::Started, None, String::new());
        let outcome = tokio::select! {
            biased;
            outcome = self.perform(step, attempt, limit) => outcome,
            () = world.clock.sleep(limit + GRACE) => Err(Fault::new(
                Class::Timeout,
                "STEP_DEADLINE",
                format!("step `{}` did not end within {} s", step.id, limit.as_secs()),
            )
            .outcome(Outcome::Unknown)),
        };
        if cfg!(feature = "sabotage-intent")
            && let Some(row) = row
        {
            world.journal.declare(&self.intent.key, row).await?;
        }
        let took = world.clock.now().saturating_sub(began);
        match outcome {
            Ok(done) => {
                let end = StepEnd::Done(done.output.clone());
                world.journal.end_step(self.intent, &step.id, attempt, end, done.changes).await?;
                self.keep_output(&step.id, done.output);
                self.event(&step.id, Kind::Succeeded, Some(took), String::new());
                Ok(Ok(()))
            }
            Err(fault) => {
                if fault.class == Class::Unauthorized {
                    // The kubeconfig may have been renewed: open the tenant anew.
                    *self.tenant.lock().await = None;
                    *self.join.lock().await = None;
                }
                let end = StepEnd::Failed(fault.clone());
                world.journal.end_step(self.intent, &step.id, attempt, end, Vec::new()).await?;
                Ok(Err(fault))
            }
        }
    }

    /// How long one try may take.
    fn limit(&self, work: &Work) -> Duration {
        let times = &self.shared.settings.times;
        match work {
            Work::ClaimControlPlane
            | Work::JoinToken(_)
            | Work::RevokeToken(_)
            | Work::RemoveNode(_)
            | Work::Health => times.short,
            Work::ControlPlaneJoinable
            | Work::ControlPlaneReady
            | Work::OpenTenant
            | Work::DeleteControlPlane(_)
            | Work::RecoverLedger => times.control_plane,
            Work::CreateMachine(_) | Work::BootMachine(_) | Work::FinishMachine(_) | Work::DeleteMachine(_) => {
                times.machine
            }
            Work::AwaitNode(_) => times.node,
            Work::ApplyAddons | Work::AddonsHealthy => times.addons,
        }
    }
}

/// What a step's success leaves.
pub(super) struct Done {
    /// Journalled, and given to later steps.
    pub output: Value,
    /// What it means for the ledger.
    pub changes: Vec<crate::journal::RowChange>,
}
