//! One connection to a tenant's API server, and where the next one comes from when the credential was rotated.

use std::net::SocketAddr;
use std::sync::Arc;

use agentkube_contract::Millis;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::AuthInfo;

use crate::kubeconfig::Access;
use crate::{Error, Result, TenantSettings, ca};

/// One connection to a tenant's API server.
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// CA certificates, PEM.
    pub(crate) ca: String,
    /// SHA-256 of the kubeconfig that it was made from.
    pub(crate) digest: [u8; 32],
    /// When the server's name is to be resolved again; never for an address.
    pub(crate) stale: Millis,
}

/// Where sessions come from.
#[async_trait]
pub(crate) trait Sessions: Send + Sync {
    /// The session to use now.
    fn current(&self) -> Arc<Session>;
    /// The session to use after `stale` was answered with 401: `None` when the kubeconfig has not changed.
    async fn renew(&self, stale: &Session) -> Result<Option<Arc<Session>>>;
}

/// A client that talks to one address and expects the certificate of the kubeconfig's host there.
pub(crate) fn connect(access: &Access, address: SocketAddr, settings: &TenantSettings) -> Result<Client> {
    let unusable = |what: &str| Error::Kubeconfig {
        code: "KUBECONFIG_CREDENTIAL",
        message: format!("the kubeconfig's {what} cannot be used"),
    };
    let uri: http::Uri = format!("https://{address}").parse().map_err(|_| unusable("server"))?;
    let mut config = kube::Config::new(uri);
    config.connect_timeout = Some(settings.connect_timeout());
    // The limit on a whole request lies above; this one frees a connection whose peer has gone.
    config.read_timeout = Some(settings.request_timeout() * 2);
    config.root_cert = Some(ca::certificates(&access.ca)?);
    // The engine decides what is tried again, and when.
    config.default_retry = false;
    if access.host.parse::<std::net::IpAddr>().is_err() {
        config.tls_server_name = Some(access.host.clone());
        let host = http::HeaderValue::from_str(&format!("{}:{}", access.host, access.port));
        config.headers.push((http::header::HOST, host.map_err(|_| unusable("server"))?));
    }
    let mut auth =
        AuthInfo { token: access.token.as_ref().map(|token| token.as_str().to_owned().into()), ..AuthInfo::default() };
    if let Some((certificate, key)) = &access.certificate {
        for data in [certificate.as_str(), key.as_str()] {
            STANDARD.decode(data).map_err(|_| unusable("client certificate or key"))?;
        }
        auth.client_certificate_data = Some(certificate.clone());
        auth.client_key_data = Some(key.as_str().to_owned().into());
    }
    config.auth_info = auth;
    // The error may quote what it could not parse.
    Client::try_from(config).map_err(|_| unusable("credential"))
}
