//! Where the API servers of tenants may lie.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpStream;

use crate::{Error, Result};

/// A range of addresses, `10.0.0.0/8` or `fd00::/8`. A single address stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr {
    base: IpAddr,
    length: u8,
}

impl Cidr {
    /// Whether the address lies in the range. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (u32::from(base) ^ u32::from(address)).checked_shr(32 - u32::from(self.length)).unwrap_or(0).into()
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (u128::from(base) ^ u128::from(address)).checked_shr(128 - u32::from(self.length)).unwrap_or(0)
            }
            _ => 1,
        };
        differing == 0
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Setting(format!("`{text}` is no address range, such as 10.20.0.0/16"));
        let (address, length) = text.split_once('/').unwrap_or((text, ""));
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let length = if text.contains('/') { length.parse().map_err(|_| wrong())? } else { most };
        if length > most { Err(wrong()) } else { Ok(Cidr { base, length }) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

/// By configured plugin name: `tenant-addresses`, the ranges that the API servers of its tenants may lie in.
pub type TenantAddresses = BTreeMap<String, Vec<Cidr>>;

/// Resolves a server and gives the one address that the connection is pinned to. Every address that the name resolves to must be
/// allowed: a name with one foot outside can be turned against us at any time.
pub(crate) async fn pin(
    provider: &str,
    allowed: &[Cidr],
    host: &str,
    port: u16,
    probe: Duration,
) -> Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| Error::Transport {
                message: format!("the tenant's API server `{host}` does not resolve: {error}"),
                outcome: agentkube_contract::Outcome::NotApplied,
                timeout: false,
            })?
            .collect(),
    };
    for address in &addresses {
        if !allowed.iter().any(|range| range.contains(address.ip())) {
            let length = if address.is_ipv4() { 32 } else { 128 };
            let and = if host == address.ip().to_string() { String::new() } else { format!(" ({host})") };
            return Err(Error::Address(format!(
                "the API server {address}{and} lies outside the tenant addresses of `{provider}`; \
                 allow it with:\n[[plugins.{provider}.grants]]\ntenant-addresses = [\"{}/{length}\"]",
                address.ip().to_canonical(),
            )));
        }
    }
    match addresses.as_slice() {
        [] => Err(Error::Transport {
            message: format!("the tenant's API server `{host}` has no address"),
            outcome: agentkube_contract::Outcome::NotApplied,
            timeout: false,
        }),
        [only] => Ok(*only),
        [first, ..] => {
            for address in &addresses {
                if let Ok(Ok(_)) = tokio::time::timeout(probe, TcpStream::connect(address)).await {
                    return Ok(*address);
                }
            }
            Ok(*first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let inside = |range: &str, address: &str| range.parse::<Cidr>().unwrap().contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.0.1") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("0.0.0.0/0", "203.0.113.9") && !inside("0.0.0.0/0", "fd00::1"));
        assert!(inside("10.0.0.7", "10.0.0.7") && !inside("10.0.0.7", "10.0.0.6"));
        assert!(inside("127.0.0.0/8", "::ffff:127.0.0.1"), "an IPv4 address in IPv6 clothes");
        assert!(inside("fd00::/8", "fd12::1") && !inside("fd00::/8", "fe80::1"));
        for bad in ["10.0.0.0/33", "10.0.0/8", "", "x/8", "10.0.0.0/", "::/129"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_server_outside_is_refused_and_the_line_that_would_allow_it_is_named() {
        let allowed = ["10.0.0.0/8".parse().unwrap()];
        let probe = Duration::from_millis(10);
        assert_eq!(pin("cp", &allowed, "10.1.2.3", 6443, probe).await.unwrap().to_string(), "10.1.2.3:6443");
        let error = pin("cp", &allowed, "169.254.169.254", 443, probe).await.unwrap_err();
        assert!(matches!(&error, Error::Address(text) if text.contains("tenant-addresses = [\"169.254.169.254/32\"]")));
        assert!(matches!(pin("cp", &allowed, "localhost", 443, probe).await.unwrap_err(), Error::Address(_)));
        assert!(matches!(pin("cp", &[], "10.1.2.3", 443, probe).await.unwrap_err(), Error::Address(_)));
    }
}
