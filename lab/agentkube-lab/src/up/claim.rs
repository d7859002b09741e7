//! A directory that belongs to one lab as long as that runs.
//!
//! Everything that a lab knows is in its memory and ends with it: clusters, orders, the CA, tokens. So a lab that is started in the
//! directory of an earlier one is another lab, and a daemon that worked for the earlier one must not go on with it: what stands in that
//! daemon's journal is nowhere any more.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::Error;

/// A directory that no other lab takes until this is dropped.
#[derive(Debug)]
pub struct Claim {
    /// Whether a lab ran here before.
    pub again: bool,
    _lock: File,
}

impl Claim {
    /// Takes a directory, and makes it if need be. What a daemon of an earlier lab left in it is in the way, unless it shall go.
    pub fn take(directory: &Path, fresh: bool) -> Result<Claim, Error> {
        let failed = |source: io::Error| Error::File { path: directory.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut options = File::options();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(directory.join("lab.lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = "another lab runs in it; stop that one, or choose another with --dir";
                return Err(Error::in_use(directory, who));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let again = directory.join("lab.json").exists();
        let data = directory.join("data");
        if data.exists() {
            if UnixStream::connect(data.join("agentkube.sock")).is_ok() {
                let who = "the daemon of an earlier lab still runs on it; stop that one, or choose another with --dir";
                return Err(Error::in_use(directory, who));
            }
            if !(again && fresh) {
                return Err(Error::used(directory, again));
            }
            fs::remove_dir_all(&data).map_err(failed)?;
        }
        Ok(Claim { again, _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refused(directory: &Path, fresh: bool) -> String {
        Claim::take(directory, fresh).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_belongs_to_one_lab_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("lab");
        let first = Claim::take(&directory, false).unwrap();
        assert!(!first.again);
        let text = refused(&directory, true);
        assert!(text.starts_with("LAB_DIR_IN_USE: ") && text.contains("--dir"), "{text}");
        drop(first);
        fs::write(directory.join("lab.json"), "{}").unwrap();
        assert!(Claim::take(&directory, false).unwrap().again);
    }

    #[test]
    fn what_an_earlier_daemon_knows_goes_only_when_it_is_said() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("journal.db"), "clusters of yesterday").unwrap();
        let text = refused(place.path(), true);
        assert!(text.starts_with("LAB_DIR_USED: ") && !text.contains("--fresh"), "not of a lab: {text}");
        fs::write(place.path().join("lab.json"), "{}").unwrap();
        let text = refused(place.path(), false);
        assert!(text.starts_with("LAB_DIR_USED: ") && text.contains("--fresh"), "{text}");
        assert!(data.join("journal.db").exists());

        let daemon = UnixListener::bind(data.join("agentkube.sock")).unwrap();
        let text = refused(place.path(), true);
        assert!(text.starts_with("LAB_DIR_IN_USE: ") && text.contains("daemon"), "{text}");
        drop(daemon);
        Claim::take(place.path(), true).unwrap();
        assert!(!data.exists());
    }
}
