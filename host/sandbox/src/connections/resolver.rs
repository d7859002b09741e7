//! Resolves once, keeps what the connection may reach, and connects to exactly that: what a name means cannot change between
//! the check and the connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Cidr, allowed};

/// The resolver of one connection.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// Name of the connection, for the message.
    pub connection: String,
    /// Ranges that are not public and may yet be reached.
    pub listed: Arc<Vec<Cidr>>,
}

/// A name leads only to addresses that the connection may not reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} leads to {address}, which is not public; allow it with: [connections.{connection}] addresses = [\"{address}\"]"
)]
pub(crate) struct AddressDenied {
    connection: String,
    host: String,
    address: IpAddr,
}

impl Resolver {
    /// Checks an endpoint whose host is an address already; such hosts are never resolved.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressDenied> {
        if allowed(address, &self.listed) { Ok(()) } else { Err(self.denied(&address.to_string(), address)) }
    }

    /// The addresses of a host that the connection may reach.
    async fn lead(&self, host: &str) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
        let fit: Vec<SocketAddr> = found.iter().copied().filter(|a| allowed(a.ip(), &self.listed)).collect();
        match found.first() {
            Some(first) if fit.is_empty() => Err(self.denied(host, first.ip()).into()),
            _ => Ok(Box::new(fit.into_iter())),
        }
    }

    fn denied(&self, host: &str, address: IpAddr) -> AddressDenied {
        AddressDenied { connection: self.connection.clone(), host: host.to_owned(), address }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move { resolver.lead(name.as_str()).await })
    }
}

/// Leads whatever name is asked for to one host: for endpoints that TLS asks for by another name.
#[derive(Clone)]
pub(super) struct Renamed {
    pub resolver: Resolver,
    /// A name, or an address without brackets.
    pub host: String,
}

impl Resolve for Renamed {
    fn resolve(&self, _: Name) -> Resolving {
        let renamed = self.clone();
        Box::pin(async move { renamed.resolver.lead(&renamed.host).await })
    }
}
