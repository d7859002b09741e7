//! Named semaphores, with what one call may ask of them.

use agentkube_contract::Fault;
use tokio::sync::OwnedSemaphorePermit;

use crate::state::Context;

/// Most semaphores at once.
const MOST: usize = 32;
/// Longest name, in bytes.
const NAME: usize = 256;

/// One place in each; waits until all are free.
pub(crate) async fn take(context: &Context, names: &[String]) -> Result<Vec<OwnedSemaphorePermit>, Fault> {
    if names.len() > MOST || names.iter().any(|name| name.len() > NAME) {
        let message = format!("at most {MOST} names of at most {NAME} bytes are taken at once");
        return Err(Fault::invalid("TOO_MANY_NAMES", message));
    }
    context.core.services.permits.take(names).await
}
