//! What can go wrong in the lab itself (never what a lab server answers: that is data).

use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Why the lab could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The wanted address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate, a key or a CA could not be read.
    #[error("unusable TLS material: {0}")]
    Tls(String),
    /// A certificate could not be made.
    #[error("cannot issue a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The admin cluster could not issue a certificate.
    #[error("admin cluster: {0}")]
    AdminCluster(#[from] lab_cluster::pki::PkiError),
    /// A file of the lab's directory could not be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon, or what was asked of a system through its API, did not do what it should.
    #[error("{0}")]
    Daemon(String),
    /// Faults were named that are not known.
    #[error("{0}")]
    Faults(String),
    /// A lab's directory cannot be taken: `LAB_DIR_IN_USE` or `LAB_DIR_USED`, and what to do.
    #[error("{0}")]
    Directory(String),
    /// Core refused a request, or could not be reached.
    #[error("{text}")]
    Core {
        /// What was asked, and what came of it.
        text: String,
        /// Whether the same request may be sent again.
        again: bool,
        /// Seconds that Core wants to be left alone for first.
        wait: Option<u64>,
    },
    /// Anything else the operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    pub(crate) fn in_use(directory: &Path, who: &str) -> Self {
        Error::Directory(format!("LAB_DIR_IN_USE: {}: {who}", directory.display()))
    }

    /// There is a daemon's data directory: that of a lab's daemon, or some other.
    pub(crate) fn used(directory: &Path, by_a_lab: bool) -> Self {
        let data = directory.join("data").display().to_string();
        Error::Directory(match by_a_lab {
            true => format!(
                "LAB_DIR_USED: {data} is what the daemon of an earlier lab knows, and all of it ended with that lab; start with --fresh, \
                 which removes it, or choose another directory with --dir"
            ),
            false => format!("LAB_DIR_USED: {data} is not of a lab; choose another directory with --dir"),
        })
    }
}
