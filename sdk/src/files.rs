//! Directories that the operator granted, read-only.

use crate::{Result, backend};

/// Names of the files in a granted directory, sorted; no subdirectories.
pub async fn list(directory: &str) -> Result<Vec<String>> {
    backend::files::list(directory.to_owned()).await
}

/// The content of one file, at most 1 MiB.
pub async fn read(directory: &str, name: &str) -> Result<Vec<u8>> {
    backend::files::read(directory.to_owned(), name.to_owned()).await
}

/// True when something in the directory changed, false after `timeout_ms`.
pub async fn wait_for_change(directory: &str, timeout_ms: u32) -> Result<bool> {
    backend::files::wait_for_change(directory.to_owned(), timeout_ms).await
}
