//! Secret values: read when used, so that a rotated token file takes effect, and wiped when dropped.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::config::SecretSource;
use crate::{Error, Result};

/// A secret that is read again when its file changes.
#[derive(Debug)]
pub struct Secret {
    source: SecretSource,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    /// Modification time and length of the file when it was read; `None` for what does not change.
    stamp: Option<(SystemTime, u64)>,
    value: Zeroizing<String>,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cached")
    }
}

impl Secret {
    /// A secret that comes from there. Nothing is read yet.
    pub fn new(source: SecretSource) -> Self {
        Secret { source, cached: Mutex::new(None) }
    }

    /// The value as it is now.
    pub fn value(&self) -> Result<Zeroizing<String>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match &self.source {
            SecretSource::File(path) => {
                let about = fs::metadata(path).map_err(|e| self.error(e))?;
                Some((about.modified().map_err(|e| self.error(e))?, about.len()))
            }
            _ => None,
        };
        if let Some(cached) = cached.as_ref()
            && cached.stamp == stamp
        {
            return Ok(cached.value.clone());
        }
        let value = Zeroizing::new(match &self.source {
            SecretSource::File(path) => read_secret(path).map_err(|e| self.error(e))?.trim().to_owned(),
            SecretSource::Env(name) => std::env::var(name).map_err(|e| self.error(e))?,
            SecretSource::Value(value) => value.clone(),
        });
        if value.is_empty() {
            return Err(self.error("it is empty"));
        }
        *cached = Some(Cached { stamp, value: value.clone() });
        Ok(value)
    }

    fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::Secret { what: format!("secret from {:?}", self.source), message: why.to_string() }
    }
}

/// What a secret's file holds. Nothing is waited for, nor read without end: pipes and devices are none.
pub fn read_secret(path: &Path) -> std::io::Result<String> {
    const MOST: u64 = 1 << 20;
    let about = fs::metadata(path)?;
    if !about.is_file() || about.len() > MOST {
        return Err(std::io::Error::other("it is no plain file of at most 1 MiB"));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "one\n").unwrap();
        let secret = Secret::new(SecretSource::File(path.clone()));
        assert_eq!(secret.value().unwrap().as_str(), "one");
        fs::write(&path, "second\n").unwrap();
        assert_eq!(secret.value().unwrap().as_str(), "second");
        fs::write(&path, "\n").unwrap();
        assert!(secret.value().unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn no_secret_is_printed() {
        let secret = Secret::new(SecretSource::Value("hunter2".into()));
        secret.value().unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
