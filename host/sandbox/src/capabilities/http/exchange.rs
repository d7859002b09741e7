//! The exchange itself. One with an effect belongs to the host: journalled before it leaves and when its answer came, whether or
//! not the call that asked is still there.

use std::future::Future;
use std::sync::Arc;

use agentkube_contract::{Answer, EntryId, Fault, Holder, Outcome};
use http::Method;

use super::capture::{self, Origin};
use crate::connections::{Connection, Incoming, Lost, Outgoing};
use crate::core::Core;
use crate::state::Context;

/// Runs the exchange in the way that its effect demands.
pub(super) async fn run(
    context: &Context,
    connection: Arc<Connection>,
    out: Outgoing,
    pointers: Vec<String>,
    entry: Option<EntryId>,
) -> Result<Incoming, Fault> {
    let line = format!("{} {}", out.method, out.path);
    let reads = matches!(out.method, Method::GET | Method::HEAD);
    let (core, holder) = (Arc::clone(&context.core), Arc::clone(&context.holder));
    let exchange = {
        let (core, holder) = (Arc::clone(&core), Arc::clone(&holder));
        async move {
            let (path, query) = (out.path.clone(), out.query.clone());
            let mut answer = connection.exchange(out).await?;
            let origin = Origin { connection: connection.name(), path: &path, query: &query };
            let references = core.services.references.as_ref();
            let body = std::mem::take(&mut answer.body);
            let captured = capture::replace(references, &holder, origin, &pointers, answer.status, body).await;
            answer.body = captured.map_err(|fault| Lost::after(answer.status, fault))?;
            Ok(answer)
        }
    };
    match entry {
        Some(entry) => journalled(core, holder, entry, line, exchange).await,
        // Without an entry nothing is journalled, but what has an effect is not torn off half way either.
        None if !reads => context.core.detached.run(async { exchange.await.map_err(Fault::from) }).await,
        None => exchange.await.map_err(Fault::from),
    }
}

/// What the journal keeps of an answer.
pub(crate) trait Journalled {
    /// HTTP status.
    fn status(&self) -> u16;
    /// The body, of which the beginning is kept.
    fn body(&self) -> &[u8];
}

impl Journalled for Incoming {
    fn status(&self) -> u16 {
        self.status
    }

    fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Runs an exchange that names a ledger entry to its end, whatever becomes of the call: `sent` before it leaves, then `answered`,
/// or `unsent` when no connection could be made. An answer that came without its end is kept with its status and an empty body.
/// Without any answer the entry stays in doubt; so it does when a POST was accepted and what it made was not told any more: who
/// took that for settled would find no id in the answer, and make it twice.
pub(crate) async fn journalled<T: Journalled + Send + 'static>(
    core: Arc<Core>,
    holder: Arc<Holder>,
    entry: EntryId,
    line: String,
    exchange: impl Future<Output = Result<T, Lost>> + Send + 'static,
) -> Result<T, Fault> {
    let detached = Arc::clone(&core.detached);
    detached
        .run(async move {
            let (ledger, clock) = (&core.services.ledger, &core.services.clock);
            ledger.sent(&holder, entry, &line).await?;
            let (status, body, result) = match exchange.await {
                Ok(answer) => {
                    let body = answer.body();
                    (answer.status(), body.get(..Answer::LIMIT).unwrap_or(body).to_vec(), Ok(answer))
                }
                Err(Lost { fault, status: Some(status) }) => (status, Vec::new(), Err(fault)),
                Err(Lost { fault, status: None }) => {
                    if fault.outcome == Outcome::NotApplied {
                        ledger.unsent(&holder, entry, &line).await?;
                    }
                    return Err(fault);
                }
            };
            let untold = result.is_err() && (200..300).contains(&status) && line.starts_with("POST ");
            let kept = Answer { request: line.clone(), status, body, at: clock.now() };
            ledger.answered(&holder, entry, kept).await.map_err(|fault| fault.outcome(Outcome::Unknown))?;
            if untold {
                ledger.sent(&holder, entry, &line).await.map_err(|fault| fault.outcome(Outcome::Unknown))?;
            }
            result
        })
        .await
}
