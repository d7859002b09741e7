//! Real TLS.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lab_wire::{Request, Response};

use super::{Connection, Endpoint, Transport, TransportError, Trust};

/// The longest that a machine waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Connections over HTTPS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Https;

struct Client {
    client: reqwest::Client,
    server: String,
}

impl Transport for Https {
    fn connect(&self, to: &Endpoint) -> Result<Arc<dyn Connection>, TransportError> {
        // Fails when somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |error: reqwest::Error| TransportError::Untrusted(error.to_string());
        let mut builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(1);
        builder = match &to.trust {
            Trust::Anything => builder.tls_danger_accept_invalid_certs(true),
            Trust::Ca(pem) => {
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?)
            }
        };
        if let Some(identity) = &to.identity {
            let pem = format!("{}\n{}", identity.certificate, identity.key);
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).map_err(unusable)?);
        }
        let client = builder.build().map_err(unusable)?;
        Ok(Arc::new(Client { client, server: to.server.trim_end_matches('/').to_owned() }))
    }
}

#[async_trait]
impl Connection for Client {
    async fn send(&self, request: &Request) -> Result<Response, TransportError> {
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|error| TransportError::Unreachable(error.to_string()))?;
        let mut builder = self.client.request(method, url(&self.server, request));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let answer = builder.body(request.body.clone()).send().await.map_err(failed)?;
        let mut response = Response::empty(answer.status().as_u16());
        for (name, value) in answer.headers() {
            response.headers.push((name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
        response.body = answer.bytes().await.map_err(failed)?.to_vec();
        Ok(response)
    }
}

fn url(server: &str, request: &Request) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let question = if pairs.is_empty() { "" } else { "?" };
    format!("{server}{}{question}{}", request.path, pairs.join("&"))
}

/// The innermost cause says what happened; a refused certificate is told from a dead server by it.
fn failed(error: reqwest::Error) -> TransportError {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    match text.contains("certificate") {
        true => TransportError::Untrusted(text),
        false => TransportError::Unreachable(text),
    }
}
