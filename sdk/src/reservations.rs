//! Numbers and addresses from configured ranges, each handed to one ledger entry.

pub use crate::bindings::host::agentkube::host::reservations::Stock;
use crate::{Entry, Result, backend};

/// The value reserved for this entry; a second call gives the same one. It is released when the entry is gone.
/// A fault of class `exhausted` when the range is used up.
pub async fn take(range: &str, entry: Entry) -> Result<String> {
    backend::reservations::take(range.to_owned(), entry).await
}

/// What the range holds; nothing is taken from it.
pub async fn look(range: &str) -> Result<Stock> {
    backend::reservations::look(range.to_owned()).await
}

/// The value turned out to be in use by somebody else: it is burnt, and the next [`take`] gives another.
pub async fn reject(range: &str, entry: Entry, value: &str) -> Result<()> {
    backend::reservations::reject(range.to_owned(), entry, value.to_owned()).await
}
