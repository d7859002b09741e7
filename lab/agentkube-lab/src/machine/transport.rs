//! How a machine reaches an API server: over real TLS in the lab, or straight into a state machine.

mod direct;
mod https;

use std::sync::Arc;

use async_trait::async_trait;
use lab_wire::{Request, Response};

use crate::ca::Identity;

pub use direct::Direct;
pub use https::Https;

/// Whom a machine wants to talk to, and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://host:port`.
    pub server: String,
    /// Which server certificates are accepted.
    pub trust: Trust,
    /// The client certificate to show, if any.
    pub identity: Option<Identity>,
}

/// Which server certificates are accepted.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Any: what kubeadm does for its first look at `cluster-info`, whose signature and CA it checks itself.
    Anything,
    /// Those that the CA (PEM) issued for the name or address asked for.
    Ca(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nobody listens there, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// The server's certificate was not accepted.
    #[error("{0}")]
    Untrusted(String),
}

/// Makes connections.
pub trait Transport: Send + Sync {
    /// A connection to an endpoint; it is opened with the first request.
    fn connect(&self, to: &Endpoint) -> Result<Arc<dyn Connection>, TransportError>;
}

/// A connection that takes one request after the other.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Sends a request and waits for the whole answer.
    async fn send(&self, request: &Request) -> Result<Response, TransportError>;
}
