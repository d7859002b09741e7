//! Straight into a state machine, without sockets but with the same checks of certificates: for tests and simulations.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lab_wire::{Answer, Listener, Peer, Random, Request, Response, Server};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::{Connection, Endpoint, Transport, TransportError, Trust};
use crate::{Clock, tls};

/// Reaches the addresses that a server wants to be reached at ([`Server::listeners`]).
pub struct Direct<S> {
    server: Arc<Mutex<S>>,
    random: Arc<Mutex<Random>>,
    clock: Clock,
}

impl<S> Direct<S> {
    /// A way to `server`, whose randomness is seeded with `seed`.
    pub fn new(server: Arc<Mutex<S>>, clock: Clock, seed: u64) -> Self {
        Direct { server, random: Arc::new(Mutex::new(Random::new(seed))), clock }
    }
}

struct Line<S> {
    server: Arc<Mutex<S>>,
    random: Arc<Mutex<Random>>,
    clock: Clock,
    to: Endpoint,
}

impl<S: Server + 'static> Transport for Direct<S> {
    fn connect(&self, to: &Endpoint) -> Result<Arc<dyn Connection>, TransportError> {
        let (server, random) = (Arc::clone(&self.server), Arc::clone(&self.random));
        Ok(Arc::new(Line { server, random, clock: self.clock.clone(), to: to.clone() }))
    }
}

#[async_trait]
impl<S: Server> Connection for Line<S> {
    async fn send(&self, request: &Request) -> Result<Response, TransportError> {
        let answer = {
            let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
            let address = self.to.server.trim_start_matches("https://");
            let listener = server.listeners().into_iter().find(|listener| listener.address.to_string() == address);
            let listener = listener.ok_or_else(|| TransportError::Unreachable("connection refused".to_owned()))?;
            let mut request = request.clone();
            request.peer = shake_hands(&self.to, &listener).map_err(TransportError::Untrusted)?;
            request.endpoint = listener.endpoint;
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            server.tick(now, &mut random);
            let answer = server.exchange(&request, now, &mut random);
            server.tick(now, &mut random);
            answer
        };
        match answer {
            Answer::Now(response) => Ok(response),
            Answer::At(time, response) => {
                self.clock.sleep_until(time).await;
                Ok(response)
            }
            Answer::Stream(id, response) => {
                self.server.lock().unwrap_or_else(PoisonError::into_inner).close(id);
                Ok(response)
            }
            Answer::Drop => Err(TransportError::Unreachable("the connection was closed".to_owned())),
        }
    }
}

/// What a TLS handshake would have checked on both sides.
fn shake_hands(to: &Endpoint, listener: &Listener) -> Result<Peer, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    if let Trust::Ca(pem) = &to.trust {
        let roots = tls::roots(pem).map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| error.to_string())?;
        let chain = tls::certificates(&listener.certificate).map_err(|error| error.to_string())?;
        let (leaf, rest) = chain.split_first().ok_or("the server has no certificate")?;
        let name = ServerName::from(listener.address.ip());
        verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::now()).map_err(|error| error.to_string())?;
    }
    let (Some(identity), Some(ca)) = (&to.identity, &listener.client_ca) else { return Ok(Peer::default()) };
    let roots = tls::roots(ca).map_err(|error| error.to_string())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    let chain = tls::certificates(&identity.certificate).map_err(|error| error.to_string())?;
    let (leaf, rest) = chain.split_first().ok_or("the client has no certificate")?;
    verifier.verify_client_cert(leaf, rest, UnixTime::now()).map_err(|error| error.to_string())?;
    Ok(tls::peer(Some(&chain)))
}
