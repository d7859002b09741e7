//! One connection and one exchange over it.

use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use agentkube_contract::{Class, Fault, Outcome, Scope};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::config::{ConnectionLimits, Kind};
use super::credential::Credential;
use super::resolver::AddressDenied;
use super::scrub;
use crate::metrics::Metrics;

/// A named way out.
pub struct Connection {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) endpoints: Vec<Base>,
    pub(super) client: Client,
    pub(super) credential: Credential,
    pub(super) limits: ConnectionLimits,
    pub(super) super_admin: bool,
    pub(super) places: Semaphore,
    pub(super) metrics: Arc<dyn Metrics>,
}

/// One endpoint.
pub(super) struct Base {
    /// Without a slash at the end.
    pub url: Url,
    pub label: Option<String>,
    /// When no connection could be made last; tried after the others for a while.
    pub failed: Mutex<Option<Instant>>,
    /// Set when TLS asks for another name than the endpoint's own host.
    pub renamed: Option<Renamed>,
}

/// What an endpoint needs whose TLS name is not its host.
pub(super) struct Renamed {
    /// Leads that name to the endpoint's host.
    pub client: Client,
    /// `Host` of its requests.
    pub authority: HeaderValue,
    /// The endpoint as it is configured.
    pub url: Url,
}

impl Base {
    /// As it is configured.
    pub fn shown(&self) -> &Url {
        self.renamed.as_ref().map_or(&self.url, |renamed| &renamed.url)
    }

    fn host(&self) -> &str {
        self.shown().host_str().unwrap_or_default()
    }
}

/// How long an endpoint that could not be reached is tried after the others.
const SHUNNED: Duration = Duration::from_secs(30);

/// A request on its way out, after all policy.
pub(crate) struct Outgoing {
    pub endpoint: Option<String>,
    pub method: Method,
    /// Percent-encoded, below the endpoint's base.
    pub path: String,
    /// Not encoded.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub timeout: Option<Duration>,
    /// Values within the body that must not come back.
    pub hidden: Vec<Zeroizing<String>>,
    /// It takes none of the places: a heartbeat never waits for work.
    pub exempt: bool,
}

impl Outgoing {
    /// A plain GET.
    pub fn get(path: &str, query: &[(String, String)]) -> Self {
        Outgoing {
            endpoint: None,
            method: Method::GET,
            path: path.to_owned(),
            query: query.to_vec(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: None,
            hidden: Vec::new(),
            exempt: false,
        }
    }
}

/// A whole answer, scrubbed.
pub(crate) struct Incoming {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An exchange without a whole answer.
#[derive(Debug)]
pub(crate) struct Lost {
    pub fault: Fault,
    /// The status, if the answer had begun: it tells whether the request was accepted or refused, whatever the rest would have said.
    pub status: Option<u16>,
}

impl Lost {
    /// The answer had begun with this status.
    pub fn after(status: u16, fault: Fault) -> Self {
        Lost { fault, status: Some(status) }
    }
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Lost { fault, status: None }
    }
}

impl From<Lost> for Fault {
    fn from(lost: Lost) -> Self {
        lost.fault
    }
}

impl Connection {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it speaks.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the certificate that we show says that we may do everything in a Kubernetes cluster.
    pub fn is_super_admin(&self) -> bool {
        self.super_admin
    }

    /// The header that carries the credential.
    pub(crate) fn credential_header(&self) -> Option<&HeaderName> {
        self.credential.header()
    }

    /// Sizes and times.
    pub(crate) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Sends and waits for the whole answer. A fault with outcome `NotApplied` means that nothing was sent.
    pub(crate) async fn exchange(&self, out: Outgoing) -> Result<Incoming, Lost> {
        let secrets = out.hidden.clone();
        let limit = self.limits.response_bytes;
        let _place = match out.exempt {
            true => None,
            false => Some(self.place(&out).await?),
        };
        let (mut response, secrets, deadline) = self.open(out, secrets).await?;
        let status = response.status().as_u16();
        let reason = reason(&response);
        let headers = headers(&response, &secrets);
        let mut body = Vec::new();
        loop {
            let chunk = match tokio::time::timeout_at(deadline, response.chunk()).await {
                Err(_) => return Err(Lost::after(status, self.timed_out())),
                Ok(Err(error)) => return Err(Lost::after(status, self.lost(&error))),
                Ok(Ok(chunk)) => chunk,
            };
            let Some(chunk) = chunk else { break };
            if body.len() + chunk.len() > limit {
                let message = format!(
                    "the answer ({status}) is longer than {limit} bytes; [connections.{}] limits.response-bytes sets how much \
                     is taken",
                    self.name
                );
                let fault = Fault::new(Class::Exhausted, "ANSWER_TOO_LARGE", message).outcome(Outcome::Unknown);
                return Err(Lost::after(status, fault));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Incoming { status, reason, headers, body: scrub::body(body, &secrets) })
    }

    /// Sends and returns as soon as the answer begins; for watches. The time limit is that of the answer's beginning.
    pub(crate) async fn stream(&self, out: Outgoing) -> Result<Response, Fault> {
        self.open(out, Vec::new()).await.map(|(response, _, _)| response)
    }

    fn time(&self, out: &Outgoing) -> Duration {
        let most = Duration::from_millis(self.limits.timeout_ms);
        out.timeout.map_or(most, |asked| asked.min(most))
    }

    /// Waits until one of the places for exchanges is free.
    async fn place(&self, out: &Outgoing) -> Result<SemaphorePermit<'_>, Fault> {
        match tokio::time::timeout(self.time(out), self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Fault::internal("CLOSED", "the connection is closed")),
            Err(_) => Err(Fault::new(
                Class::Busy,
                "CONNECTION_BUSY",
                format!("all {} exchanges of connection `{}` are in use", self.limits.concurrent, self.name),
            )),
        }
    }

    async fn open(
        &self,
        out: Outgoing,
        mut secrets: Vec<Zeroizing<String>>,
    ) -> Result<(Response, Vec<Zeroizing<String>>, tokio::time::Instant), Fault> {
        if out.body.len() > self.limits.request_bytes {
            let limit = self.limits.request_bytes;
            return Err(Fault::new(
                Class::Exhausted,
                "REQUEST_TOO_LARGE",
                format!(
                    "the body has {} bytes; [connections.{}] limits.request-bytes allows {limit}",
                    out.body.len(),
                    self.name
                ),
            ));
        }
        let began = Instant::now();
        let deadline = tokio::time::Instant::now() + self.time(&out);
        let mut headers = out.headers.clone();
        secrets.extend(self.credential.apply(&mut headers).map_err(|e| self.no_credential(&e))?);
        if !out.body.is_empty() || !matches!(out.method, Method::GET | Method::HEAD) {
            headers.insert(http::header::CONTENT_LENGTH, out.body.len().into());
        }
        let mut last = None;
        for base in self.candidates(out.endpoint.as_deref())? {
            let request = self
                .request(base, out.method.clone(), self.url(base, &out.path, &out.query)?)
                .headers(headers.clone())
                .body(out.body.clone());
            let fault = match tokio::time::timeout_at(deadline, request.send()).await {
                Ok(Ok(response)) => {
                    *base.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.metrics.request(&self.name, response.status().as_str(), began.elapsed());
                    return Ok((response, secrets, deadline));
                }
                Ok(Err(error)) if error.is_connect() => {
                    *base.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    last = Some(self.not_connected(base, &error));
                    continue;
                }
                Ok(Err(error)) => self.lost(&error),
                Err(_) => self.timed_out(),
            };
            self.metrics.request(&self.name, &fault.code, began.elapsed());
            return Err(fault);
        }
        let fault = last.unwrap_or_else(|| Fault::internal("NO_ENDPOINT", "the connection has no endpoint"));
        self.metrics.request(&self.name, &fault.code, began.elapsed());
        Err(fault)
    }

    /// A request by the client that the endpoint needs.
    pub(super) fn request(&self, base: &Base, method: Method, url: Url) -> RequestBuilder {
        match &base.renamed {
            Some(renamed) => renamed.client.request(method, url).header(http::header::HOST, renamed.authority.clone()),
            None => self.client.request(method, url),
        }
    }

    /// The endpoints to try, those that failed lately last.
    fn candidates(&self, label: Option<&str>) -> Result<Vec<&Base>, Fault> {
        let Some(label) = label else {
            let late = |base: &&Base| {
                let failed = base.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.is_some_and(|at| at.elapsed() < SHUNNED)
            };
            let (late, well): (Vec<_>, Vec<_>) = self.endpoints.iter().partition(late);
            return Ok(well.into_iter().chain(late).collect());
        };
        match self.endpoints.iter().find(|base| base.label.as_deref() == Some(label)) {
            Some(base) => Ok(vec![base]),
            None => Err(Fault::invalid(
                "NO_SUCH_ENDPOINT",
                format!(
                    "connection `{0}` has no endpoint labelled `{label}`; add one: [[connections.{0}.endpoints]] label = \"{label}\"",
                    self.name
                ),
            )),
        }
    }

    /// The address of a request: exactly the base and the path, whatever a parser would like to make of it.
    pub(super) fn url(&self, base: &Base, path: &str, query: &[(String, String)]) -> Result<Url, Fault> {
        let mut url = base.url.clone();
        let whole = format!("{}{path}", base.url.path().trim_end_matches('/'));
        url.set_path(&whole);
        if url.path() != whole {
            return Err(Fault::invalid("BAD_PATH", "the path is not in the form in which it would be sent"));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    pub(super) fn not_connected(&self, base: &Base, error: &reqwest::Error) -> Fault {
        if let Some(denied) = find::<AddressDenied>(error) {
            self.metrics.denial("", "address");
            return Fault::new(Class::Denied, "ADDRESS_DENIED", denied.to_string());
        }
        let host = base.host();
        let mistrust = match tls_error(error) {
            // Our own verifier's words, which the library would introduce as an unexpected error.
            Some(rustls::Error::General(why)) => Some(why.clone()),
            Some(rustls::Error::InvalidCertificate(_)) => Some(root(error)),
            _ => None,
        };
        if let Some(why) = mistrust {
            let message = format!("connection `{}`: {host} is not who it should be: {why}", self.name);
            return Fault::new(Class::Unavailable, "SERVER_NOT_TRUSTED", message).scope(Scope::Provider);
        }
        let what = if error.is_timeout() { "within the time for connecting".to_owned() } else { root(error) };
        Fault::new(
            Class::Unavailable,
            "NOT_CONNECTED",
            format!("connection `{}`: no connection to {host}: {what}", self.name),
        )
        .scope(Scope::Provider)
    }

    pub(super) fn lost(&self, error: &reqwest::Error) -> Fault {
        if let Some(alert) = refused_certificate(error) {
            let message = format!("connection `{}`: the server refused our certificate: {alert:?}", self.name);
            return Fault::new(Class::Unauthorized, "CERTIFICATE_REFUSED", message).scope(Scope::Provider);
        }
        Fault::new(
            Class::Unavailable,
            "NO_ANSWER",
            format!("connection `{}`: the request was sent and no whole answer came: {}", self.name, root(error)),
        )
        .outcome(Outcome::Unknown)
    }

    pub(super) fn timed_out(&self) -> Fault {
        Fault::new(
            Class::Timeout,
            "ANSWER_TIMEOUT",
            format!(
                "connection `{0}`: the request was sent and no whole answer came in time; [connections.{0}] limits.timeout-ms, {1}, \
                 is the most that is waited",
                self.name, self.limits.timeout_ms
            ),
        )
        .outcome(Outcome::Unknown)
    }

    fn no_credential(&self, why: &str) -> Fault {
        let message = format!("the credential of connection `{}` cannot be read: {why}", self.name);
        Fault::new(Class::Unauthorized, "NO_CREDENTIAL", message).scope(Scope::Provider)
    }
}

/// Headers that carry credentials or cookies; they stay here.
const KEPT_BACK: [&str; 6] = [
    "set-cookie",
    "authorization",
    "www-authenticate",
    "proxy-authenticate",
    "proxy-authorization",
    "authentication-info",
];

fn headers(response: &Response, secrets: &[Zeroizing<String>]) -> Vec<(String, String)> {
    response
        .headers()
        .iter()
        .filter(|(name, _)| !KEPT_BACK.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), scrub::text(value, secrets))
        })
        .collect()
}

fn reason(response: &Response) -> String {
    match response.extensions().get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}

/// The alert by which the server refused our certificate, or that there is none. With TLS 1.3 it comes when the request has left
/// already; the server ends the connection without having read it.
fn refused_certificate(error: &reqwest::Error) -> Option<rustls::AlertDescription> {
    use rustls::AlertDescription as Alert;
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
        .then_some(*alert),
        _ => None,
    }
}

/// What TLS said, wrapped in an error of the socket.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    // The source of an error of the socket is that of the error in it, which would be passed over.
    let inner = |error: &&'e (dyn std::error::Error + 'static)| match error.downcast_ref::<std::io::Error>() {
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
        None => error.source(),
    };
    std::iter::successors(Some(error), inner).find_map(|error| error.downcast_ref())
}

/// The first error of a type within a chain of causes.
fn find<'e, T: std::error::Error + 'static>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e T> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The last cause, which says most.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    if find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
        return "the server closed the connection".to_owned();
    }
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}
