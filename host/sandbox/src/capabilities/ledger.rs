//! The ledger, with the sizes that a plugin may fill.

use agentkube_contract::{EntryId, Fault, Item};

use crate::state::Context;

/// Longest kind, in bytes.
const KIND: usize = 64;
/// Longest name and external id.
const NAME: usize = 512;
/// Longest detail.
const DETAIL: usize = 16 << 10;
/// Longest note.
const NOTE: usize = 64 << 10;

pub(crate) async fn intend(context: &Context, kind: &str, name: &str, detail: &str) -> Result<Item, Fault> {
    fits("kind", kind.len(), KIND)?;
    fits("name", name.len(), NAME)?;
    fits("detail", detail.len(), DETAIL)?;
    context.core.services.ledger.intend(&context.holder, kind, name, detail).await
}

pub(crate) async fn note(context: &Context, entry: EntryId, note: Vec<u8>) -> Result<(), Fault> {
    fits("note", note.len(), NOTE)?;
    context.core.services.ledger.note(&context.holder, entry, note).await
}

pub(crate) async fn created(context: &Context, entry: EntryId, id: &str) -> Result<(), Fault> {
    fits("external id", id.len(), NAME)?;
    context.core.services.ledger.created(&context.holder, entry, id).await
}

fn fits(what: &str, length: usize, most: usize) -> Result<(), Fault> {
    if length <= most {
        return Ok(());
    }
    Err(Fault::invalid("TOO_LONG", format!("{what} has {length} bytes; at most {most} are kept")))
}
