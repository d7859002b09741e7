//! Numbers and addresses out of granted ranges.

use agentkube_contract::{EntryId, Fault};

use crate::state::Context;

/// Longest value, in bytes.
const VALUE: usize = 256;

/// The value that is reserved for the entry.
pub(crate) async fn take(context: &Context, range: &str, entry: EntryId) -> Result<String, Fault> {
    let core = &context.core;
    core.grants.range(range).map_err(|fault| core.denied("reservations", fault))?;
    core.services.reservations.take(&context.holder, range, entry).await
}

/// Burns a value that is in use by somebody else.
pub(crate) async fn reject(context: &Context, range: &str, entry: EntryId, value: &str) -> Result<(), Fault> {
    let core = &context.core;
    core.grants.range(range).map_err(|fault| core.denied("reservations", fault))?;
    if value.len() > VALUE {
        return Err(Fault::invalid("TOO_LONG", format!("no value of a range is longer than {VALUE} bytes")));
    }
    core.services.reservations.reject(&context.holder, range, entry, value).await
}
