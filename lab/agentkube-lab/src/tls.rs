//! TLS of the lab's servers, and who is at the other end.

use std::sync::Arc;

use lab_wire::{Listener, Peer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;

/// The TLS configuration that a listener asks for. Client certificates stay optional, as on a Kubernetes API server; one
/// that is presented must verify against the listener's client CA.
pub fn server_config(listener: &Listener) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let builder = match &listener.client_ca {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| Error::Tls(format!("client CA: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(listener.key.as_bytes())
        .map_err(|error| Error::Tls(format!("key of {}: {error}", listener.address)))?;
    let mut config = builder
        .with_single_cert(certificates(&listener.certificate)?, key)
        .map_err(|error| Error::Tls(format!("certificate of {}: {error}", listener.address)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A root store of the certificates in `pem`.
pub fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| Error::Tls(format!("CA certificate: {error}")))?;
    }
    Ok(roots)
}

/// All certificates of a PEM text.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Tls(format!("certificate: {error}")))?;
    match certificates.is_empty() {
        true => Err(Error::Tls("no certificate in the PEM text".to_owned())),
        false => Ok(certificates),
    }
}

/// Name and organisations of a client certificate that was verified.
pub fn peer(certificates: Option<&[CertificateDer<'_>]>) -> Peer {
    let Some(certificate) = certificates.and_then(<[_]>::first) else { return Peer::default() };
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Peer::default() };
    let subject = certificate.subject();
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    Peer {
        common_name: subject.iter_common_name().find_map(text),
        organizations: subject.iter_organization().filter_map(text).collect(),
    }
}
