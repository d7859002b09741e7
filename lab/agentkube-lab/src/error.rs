//! What can go wrong in the lab itself (never what a lab server answers: that is data).

use std::io;
use std::net::SocketAddr;

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
    /// Anything else the operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}
