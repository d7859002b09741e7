//! Connections: the only ways out, opened once from the configuration.
//!
//! - [`config`]: what the configuration says.
//! - [`secret`]: secret values, read when used.
//! - `address`, `resolver`: which addresses may be reached.
//! - `tls`, `credential`, `kubeconfig`: whom we trust and what we show.
//! - `transport`: one exchange. `probe`: a first look at the other side. `scrub`: what never comes back.

pub mod address;
pub mod config;
mod credential;
mod kubeconfig;
mod probe;
mod resolver;
mod scrub;
pub mod secret;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::Resolve;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::address::Cidr;
use self::config::{ConnectionConfig, Kind, SecretSource};
use self::credential::Credential;
pub(crate) use self::kubeconfig::Pod;
pub use self::probe::{Answered, Probe};
use self::resolver::{Renamed, Resolver};
use self::secret::Secret;
use self::transport::Base;
pub use self::transport::Connection;
pub(crate) use self::transport::{Incoming, Lost, Outgoing};
use crate::metrics::Metrics;
use crate::{Error, Result};

/// All connections and named secrets of the configuration.
pub struct Connections {
    connections: BTreeMap<String, Arc<Connection>>,
    secrets: BTreeMap<String, Secret>,
}

impl Connections {
    /// Opens them: reads CA files and certificates, checks addresses that stand in URLs. No packet is sent.
    pub fn open(
        configured: &BTreeMap<String, ConnectionConfig>,
        secrets: &BTreeMap<String, SecretSource>,
        metrics: &Arc<dyn Metrics>,
    ) -> Result<Self> {
        Connections::open_in(&Pod::ours(), configured, secrets, metrics)
    }

    /// The same, in a pod that is told these things about its cluster.
    pub(crate) fn open_in(
        pod: &Pod,
        configured: &BTreeMap<String, ConnectionConfig>,
        secrets: &BTreeMap<String, SecretSource>,
        metrics: &Arc<dyn Metrics>,
    ) -> Result<Self> {
        let connections = configured
            .iter()
            .map(|(name, config)| match open(name, config, pod, metrics) {
                Ok(connection) => Ok((name.clone(), Arc::new(connection))),
                Err(message) => Err(Error::Connection { connection: name.clone(), message }),
            })
            .collect::<Result<_>>()?;
        let secrets = secrets.iter().map(|(name, source)| (name.clone(), Secret::new(source.clone()))).collect();
        Ok(Connections { connections, secrets })
    }

    /// The connection of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Connection>> {
        self.connections.get(name)
    }

    /// All connections, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// The value of a named secret as it is now; `None` when none is configured.
    pub fn secret(&self, name: &str) -> Option<Result<Zeroizing<String>>> {
        self.secrets.get(name).map(Secret::value)
    }
}

fn open(
    name: &str,
    config: &ConnectionConfig,
    pod: &Pod,
    metrics: &Arc<dyn Metrics>,
) -> std::result::Result<Connection, String> {
    let resolved = kubeconfig::resolve(config, pod)?;
    let listed = config
        .addresses
        .iter()
        .map(|text| Cidr::parse(text).ok_or_else(|| format!("addresses: `{text}` is no range such as 10.0.0.0/8")))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let resolver = Resolver { connection: name.to_owned(), listed: Arc::new(listed) };
    if resolved.endpoints.is_empty() {
        return Err("no endpoint is given: endpoints = [{ url = \"https://…\" }]".to_owned());
    }
    let handshakes = (Arc::clone(metrics), name.to_owned());
    let server_name = resolved.tls.server_name.clone();
    let super_admin = config.kind == Kind::Kube && resolved.tls.shows_super_admin();
    let tls = tls::client_config(resolved.tls, Box::new(move || handshakes.0.handshake(&handshakes.1)))?;
    let endpoints = resolved
        .endpoints
        .iter()
        .map(|endpoint| {
            let url = base(&endpoint.url, &resolver)?;
            let (label, failed) = (endpoint.label.clone(), Mutex::new(None));
            let (url, renamed) = match server_name.as_deref() {
                // An address is never sent as a server's name; it is compared with the certificate alone.
                Some(name) if name.parse::<IpAddr>().is_err() => rename(url, name, |host| {
                    client(config, tls.clone(), Renamed { resolver: resolver.clone(), host: host.to_owned() })
                })?,
                _ => (url, None),
            };
            Ok(Base { url, label, failed, renamed })
        })
        .collect::<std::result::Result<Vec<_>, String>>()?;
    let client = client(config, tls, resolver)?;
    Ok(Connection {
        name: name.to_owned(),
        kind: config.kind,
        endpoints,
        client,
        credential: Credential::new(&resolved.auth)?,
        limits: config.limits,
        super_admin,
        places: Semaphore::new(config.limits.concurrent.clamp(1, Semaphore::MAX_PERMITS)),
        metrics: Arc::clone(metrics),
    })
}

fn client(
    config: &ConnectionConfig,
    tls: rustls::ClientConfig,
    resolver: impl Resolve + 'static,
) -> std::result::Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .connect_timeout(Duration::from_millis(config.limits.connect_timeout_ms))
        .pool_idle_timeout(Duration::from_secs(90))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .user_agent(concat!("agentkube/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| e.to_string())
}

/// The endpoint under the name that TLS is to ask for: a client takes that name from the address, so the address gets it, and the
/// endpoint's own client resolves it to where the endpoint really is. `Host` stays what it was.
fn rename(
    url: Url,
    name: &str,
    client: impl FnOnce(&str) -> std::result::Result<reqwest::Client, String>,
) -> std::result::Result<(Url, Option<transport::Renamed>), String> {
    if url.scheme() != "https" {
        return Ok((url, None));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let authority = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    let authority = http::HeaderValue::from_str(&authority).map_err(|_| format!("`{authority}` is no host"))?;
    let client = client(host.trim_start_matches('[').trim_end_matches(']'))?;
    let mut named = url.clone();
    named.set_host(Some(name)).map_err(|_| format!("tls.server-name `{name}` is no host name"))?;
    Ok((named, Some(transport::Renamed { client, authority, url })))
}

/// An endpoint's address, if the connection may reach it at all.
fn base(text: &str, resolver: &Resolver) -> std::result::Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("endpoint `{text}`: {e}"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(format!("endpoint `{text}` is no https:// address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an endpoint's address must hold no credential; give it under auth".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("endpoint `{text}` must end with its path"));
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        resolver.check(address).map_err(|e| e.to_string())?;
    }
    Ok(url)
}

/// Reads a file that the configuration names.
fn read(what: &str, path: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{what} {}: {e}", path.display()))
}

/// Whether a connection speaks Kubernetes.
pub(crate) fn is_kube(connection: &Connection) -> bool {
    connection.kind() == Kind::Kube
}
