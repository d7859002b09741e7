//! Secrets that the operator named for this plugin: by reference, never by value.

use crate::{Reference, Result, backend};

/// The reference of a named secret; a fault of class `not-found` when the operator named none so.
pub async fn lookup(name: &str) -> Result<Reference> {
    backend::secrets::lookup(name.to_owned()).await
}
