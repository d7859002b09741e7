//! Where the journal's file lies, and whether it still lies there.
//!
//! A file that was deleted or replaced while it is open goes on taking writes, and all of them are gone with the process: whoever
//! acknowledges them would make machines that the next start knows nothing of.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A path, and the file that was opened under it.
#[derive(Clone)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// The file that lies there now.
    pub(super) fn of(path: &Path) -> Result<Place> {
        Ok(Place { path: path.to_owned(), file: identity(&path.metadata()?) })
    }

    /// Fails while another file lies there, or none.
    pub(super) fn check(&self) -> Result<()> {
        match self.path.metadata() {
            Ok(found) if identity(&found) == self.file => Ok(()),
            _ => Err(Error::Gone(self.path.clone())),
        }
    }
}

/// Device and inode.
fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
