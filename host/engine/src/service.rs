//! The one writer of a service: carries out its newest intent, and drops what that supersedes.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Completion, Fault, ServiceKey, Settlement};
use tokio::sync::watch;

use crate::engine::Shared;
use crate::event::Kind;
use crate::execute::{Run, Verdict};
use crate::journal::{Intent, IntentState, ServicePhase};
use crate::plan::{Action, Known, Plan};
use crate::settings::OnFailure;
use crate::{Error, Result, status};

/// Between two tries when the journal itself refuses.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);

/// Serves one service until the engine stops.
pub(crate) async fn serve(shared: Arc<Shared>, key: ServiceKey, mut newest: watch::Receiver<u64>) {
    loop {
        newest.mark_unchanged();
        let outcome = match shared.world.journal.open_intent(&key) {
            Ok(Some(intent)) => {
                tokio::select! {
                    biased;
                    () = shared.stopped() => return,
                    // Drops the running plan with its calls. What they did is found by the next plan.
                    _ = newest.wait_for(|newest| *newest > intent.id) => {
                        shared.event(Some(&intent), "", Kind::Superseded, None, "a newer job took over".to_owned());
                        continue;
                    }
                    outcome = carry_out(&shared, &intent) => outcome,
                }
            }
            Ok(None) => {
                tokio::select! {
                    () = shared.stopped() => return,
                    changed = newest.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                }
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) | Err(Error::Superseded) => {}
            Err(error) => {
                shared.tell(Some(key.clone()), 0, "", Kind::Warning, None, error.to_string());
                shared.world.clock.sleep(JOURNAL_PAUSE).await;
            }
        }
    }
}

/// Brings an intent to its end, or to its undo.
async fn carry_out(shared: &Shared, intent: &Intent) -> Result<()> {
    match (intent.action, intent.state) {
        (_, IntentState::Undoing) => {
            remove(shared, intent).await?;
            let fault = intent.fault.clone().unwrap_or_else(|| Fault::internal("UNDONE", "the create failed"));
            fail(shared, intent, fault, ServicePhase::Gone).await
        }
        (Action::Create, _) => create(shared, intent).await,
        (Action::Delete, _) => {
            remove(shared, intent).await?;
            let told = status::succeeded(shared, intent, deleted(shared, intent)?)?;
            end(shared, intent, told, ServicePhase::Gone).await
        }
        // The intake refuses them; a journal of a newer version may hold one.
        (action, _) => {
            let fault = unsupported(action.text());
            fail(shared, intent, fault, ServicePhase::Failed).await
        }
    }
}

/// What a job with an action that is not carried out here is told.
pub(crate) fn unsupported(action: &str) -> Fault {
    Fault::new(
        agentkube_contract::Class::Unsupported,
        "UNSUPPORTED",
        format!("action `{}` is not supported; create and delete are", agentkube_contract::cluster::clip(action)),
    )
}

async fn create(shared: &Shared, intent: &Intent) -> Result<()> {
    let journal = &shared.world.journal;
    let known = Known::from_rows(&journal.engine_rows(&intent.key)?)?;
    let Some(wanted) = &intent.wanted else {
        let fault = Fault::invalid("NO_DESCRIPTION", "the job says nothing of the cluster that is wanted");
        return fail(shared, intent, fault, ServicePhase::Failed).await;
    };
    let owner = shared.owner(&intent.key, &intent.display_name);
    let plan = Plan::create(&owner, wanted, &known, &shared.world.providers(), &shared.token_id());
    let run = Run::new(shared, intent, plan, false)?;
    let fault = match run.run().await? {
        Verdict::Done => match run.result() {
            Ok(completion) => {
                end(shared, intent, status::succeeded(shared, intent, completion)?, ServicePhase::Ready).await?;
                shared.measure_now.notify_one();
                return Ok(());
            }
            Err(fault) => fault,
        },
        Verdict::Failed { step, fault } => Fault { message: format!("step {step}: {}", fault.message), ..fault },
    };
    run.revoke_anyway().await;
    match shared.settings.on_failure {
        OnFailure::Keep => fail(shared, intent, fault, ServicePhase::Failed).await,
        OnFailure::Undo => {
            shared.event(Some(intent), "", Kind::Undoing, None, fault.to_string());
            // The next turn of the loop finds the intent in this state and removes what the ledger holds.
            journal.undo(intent, fault).await
        }
    }
}

/// Removes everything that exists or may exist, however often that takes.
async fn remove(shared: &Shared, intent: &Intent) -> Result<()> {
    let owner = shared.owner(&intent.key, &intent.display_name);
    let rows = || -> Result<Known> { Ok(Known::from_rows(&shared.world.journal.engine_rows(&intent.key)?)?) };
    let mut known = rows()?;
    if known.is_empty() && intent.action == Action::Delete && intent.generation == 1 {
        // The source knows a service of which this journal has never heard.
        Run::new(shared, intent, Plan::recover(&owner), true)?.run().await?;
        known = rows()?;
    }
    Run::new(shared, intent, Plan::delete(&owner, &known), true)?.run().await?;
    Ok(())
}

/// The status record of a service that is gone.
fn deleted(shared: &Shared, intent: &Intent) -> Result<Completion> {
    let left: Vec<String> = shared
        .world
        .journal
        .ledger_live()?
        .into_iter()
        .filter(|row| row.service.as_ref() == Some(&intent.key))
        .map(|row| format!("{} {} of {}", row.kind, row.name, row.plugin))
        .collect();
    if !left.is_empty() {
        // The providers said that all is gone: only their own bookkeeping differs.
        let message = format!("all is deleted, and plugins left rows in the ledger: {}", left.join(", "));
        shared.event(Some(intent), "", Kind::Warning, None, message);
    }
    Ok(Completion {
        instance_id: shared.instance_id(&intent.key),
        endpoint: None,
        ca: None,
        kubeconfig: None,
        version: None,
        phase: "Deleted".to_owned(),
        conditions: Vec::new(),
        pools: Vec::new(),
        nodes: Vec::new(),
        observed_generation: intent.generation,
        more: Vec::new(),
    })
}

async fn fail(shared: &Shared, intent: &Intent, fault: Fault, phase: ServicePhase) -> Result<()> {
    let word = if phase == ServicePhase::Gone { "Undone" } else { "Failed" };
    end(shared, intent, status::failed(shared, intent, fault, word)?, phase).await
}

async fn end(shared: &Shared, intent: &Intent, settlement: Settlement, phase: ServicePhase) -> Result<()> {
    let (kind, message) = match &settlement {
        Settlement::Completed(completion) => (Kind::Completed, completion.phase.clone()),
        Settlement::Failed(failure) => (Kind::GaveUp, failure.fault.to_string()),
    };
    shared.world.journal.finish(intent, settlement, phase).await?;
    let took = shared.world.clock.now().saturating_sub(intent.began);
    shared.event(Some(intent), "", kind, Some(took), message);
    shared.outbox_changed(&intent.key.source);
    Ok(())
}
