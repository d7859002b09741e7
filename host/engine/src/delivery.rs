//! Results to their source, until it has taken them or says that it is too late.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Settled, Settlement};
use futures::StreamExt;

use crate::Result;
use crate::engine::Shared;
use crate::event::Kind;
use crate::journal::OutboxRow;

/// Results that are delivered side by side.
const DELIVERIES: usize = 8;
/// A look even when nothing was announced.
const IDLE: Duration = Duration::from_secs(60);

/// Delivers for one source until the engine stops.
pub(crate) async fn deliver(shared: Arc<Shared>, source: String) {
    let Some(state) = shared.sources.get(&source) else { return };
    loop {
        let next = match round(&shared, &source).await {
            Ok(next) => next,
            Err(error) => {
                shared.tell(None, 0, "", Kind::Warning, None, format!("{source}: {error}"));
                None
            }
        };
        let now = shared.world.clock.now();
        let wait = next.map_or(IDLE, |next| Duration::from_millis(next.saturating_sub(now))).min(IDLE);
        tokio::select! {
            () = state.outbox.notified() => {}
            () = shared.world.clock.sleep(wait) => {}
        }
    }
}

/// Delivers what is due; gives when the next is.
async fn round(shared: &Shared, source: &str) -> Result<Option<u64>> {
    let now = shared.world.clock.now();
    let due = shared.world.journal.outbox(source)?.into_iter().filter(|row| row.next <= now);
    let outcomes: Vec<Result<()>> = futures::stream::iter(due.map(|row| async move { settle(shared, &row).await }))
        .buffer_unordered(DELIVERIES)
        .collect()
        .await;
    outcomes.into_iter().collect::<Result<()>>()?;
    Ok(shared.world.journal.outbox(source)?.first().map(|row| row.next))
}

async fn settle(shared: &Shared, row: &OutboxRow) -> Result<()> {
    let Some(source) = shared.world.sources.get(&row.key.source) else { return Ok(()) };
    let word = match &row.settlement {
        Settlement::Completed(_) => "completed",
        Settlement::Failed(_) => "failed",
    };
    match source.settle(&row.job, &row.key.service, &row.settlement).await {
        Ok(answer) => {
            shared.world.journal.settled(row, answer).await?;
            let (kind, text) = match answer {
                Settled::Accepted => (Kind::Settled, format!("job {} {word}", row.job)),
                // The source gave up earlier; the cluster and its record stay for the next job to take over.
                Settled::Late => (Kind::Late, format!("job {} {word}, and the source had given it up before", row.job)),
            };
            shared.tell(Some(row.key.clone()), 0, "", kind, None, text);
        }
        Err(fault) => {
            let world = &shared.world;
            let wait = shared.settings.retry.wait(row.attempts + 1, &fault, world.random.as_ref());
            let next = world.clock.now().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let text = format!("job {} cannot be settled: {fault}; again in {:.1} s", row.job, wait.as_secs_f64());
            shared.tell(Some(row.key.clone()), 0, "", Kind::SourceTrouble, None, text);
            world.journal.unsettled(row, fault, next).await?;
        }
    }
    Ok(())
}

/// One last try for everything that waits.
pub(crate) async fn flush(shared: &Shared) {
    for source in shared.world.sources.keys() {
        for row in shared.world.journal.outbox(source).unwrap_or_default() {
            if let Err(error) = settle(shared, &row).await {
                shared.tell(Some(row.key.clone()), 0, "", Kind::Warning, None, error.to_string());
            }
        }
    }
}
