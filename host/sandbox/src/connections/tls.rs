//! TLS of one connection: who is trusted, what we show.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// What is trusted and shown, already read.
#[derive(Default)]
pub(crate) struct Material {
    /// PEM of the only trusted authorities; `None`: the system's.
    pub ca: Option<Vec<u8>>,
    /// SHA-256 of the only trusted certificate.
    pub fingerprint: Option<String>,
    /// PEM of our certificate and of its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the certificate must carry.
    pub server_name: Option<String>,
}

/// The group that Kubernetes' API servers let do everything before they look at roles, see
/// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles.
const SUPER_ADMINS: &[u8] = b"system:masters";

impl Material {
    /// Whether our certificate is of the group of super-admins. A group is an organisation of the subject, whose text stands in the
    /// certificate as it is; nothing else of a client's certificate would hold just these words.
    pub fn shows_super_admin(&self) -> bool {
        let chain = self.client.as_ref().and_then(|(chain, _)| certificates(chain).ok());
        let ours = chain.as_ref().and_then(|chain| chain.first());
        ours.is_some_and(|ours| ours.windows(SUPER_ADMINS.len()).any(|window| window == SUPER_ADMINS))
    }
}

/// The client's side of TLS. `on_handshake` is called for each full handshake; sessions are not resumed, so that each new
/// connection is verified and counted.
pub(crate) fn client_config(
    material: Material,
    on_handshake: Box<dyn Fn() + Send + Sync>,
) -> std::result::Result<ClientConfig, String> {
    let crypto = Arc::new(provider::default_provider());
    let trust = match &material.fingerprint {
        Some(text) => Trust::Fingerprint(parse_fingerprint(text)?),
        None => Trust::Authorities(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(material.ca.as_deref())?), Arc::clone(&crypto))
                .build()
                .map_err(|e| format!("the CA certificates cannot be used: {e}"))?,
        ),
    };
    let server_name = match material.server_name {
        Some(name) => {
            Some(ServerName::try_from(name.clone()).map_err(|_| format!("tls.server-name `{name}` is no host name"))?)
        }
        None => None,
    };
    let verifier = Arc::new(Verifier { trust, server_name, crypto: Arc::clone(&crypto), on_handshake });
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match material.client {
        Some((certificate, key)) => {
            let chain = certificates(&certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("the client key cannot be read: {e}"))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| format!("client certificate: {e}"))?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(pem: &[u8]) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| format!("a certificate cannot be read: {e}"))?;
    if found.is_empty() { Err("no certificate is in the file".to_owned()) } else { Ok(found) }
}

fn roots(ca: Option<&[u8]>) -> std::result::Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in certificates(pem)? {
                store.add(certificate).map_err(|e| format!("a CA certificate cannot be used: {e}"))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err("the system has no CA certificates; give tls.ca-file or tls.fingerprint".to_owned());
            }
        }
    }
    Ok(store)
}

fn parse_fingerprint(text: &str) -> std::result::Result<[u8; 32], String> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(bytes) if digits.len() == 64 => Ok(bytes),
        _ => Err("tls.fingerprint is not a SHA-256 in hex (64 digits)".to_owned()),
    }
}

#[derive(Debug)]
enum Trust {
    Authorities(Arc<WebPkiServerVerifier>),
    Fingerprint([u8; 32]),
}

struct Verifier {
    trust: Trust,
    /// Checked instead of the name in the URL.
    server_name: Option<ServerName<'static>>,
    crypto: Arc<CryptoProvider>,
    on_handshake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        (self.on_handshake)();
        match &self.trust {
            Trust::Fingerprint(wanted) => {
                let found = digest(&SHA256, end_entity);
                if found.as_ref() == wanted {
                    return Ok(ServerCertVerified::assertion());
                }
                let found: String = found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                Err(rustls::Error::General(format!(
                    "its certificate has the fingerprint {found}, not the configured one"
                )))
            }
            Trust::Authorities(verifier) => {
                let name = self.server_name.as_ref().unwrap_or(server_name);
                verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(parse_fingerprint(&plain).unwrap(), [0xab; 32]);
        assert_eq!(parse_fingerprint(&colons).unwrap(), [0xab; 32]);
        for bad in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(parse_fingerprint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_of_the_super_admins_is_seen() {
        let shows = |groups: &[&str]| {
            let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
            groups.iter().for_each(|group| params.distinguished_name.push(rcgen::DnType::OrganizationName, *group));
            params.distinguished_name.push(rcgen::DnType::CommonName, "kubernetes-admin");
            let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            let client = Some((certificate.pem().into_bytes(), Vec::new()));
            Material { client, ..Material::default() }.shows_super_admin()
        };
        assert!(shows(&["system:masters"]));
        // What kubeadm writes into admin.conf since 1.29 is bound by a role.
        assert!(!shows(&["kubeadm:cluster-admins"]) && !shows(&[]));
        assert!(!Material::default().shows_super_admin());
    }
}
