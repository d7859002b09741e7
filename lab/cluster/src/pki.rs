//! Certificate authorities and what they issue.

use std::net::IpAddr;
use std::time::Duration;

use lab_wire::{Millis, rfc3339};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::encoding::sha256_hex;

const DAY: Duration = Duration::from_secs(86_400);

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("certificate: {0}")]
pub struct PkiError(#[from] rcgen::Error);

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Private key (PKCS #8).
    pub key: String,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pair: Pair,
    hash: String,
}

impl Authority {
    /// A new authority, valid for ten years.
    pub fn new(name: &str, now: Millis) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = params(name, &[], now, 3650);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names = dns(name).into_iter().collect();
        let certificate = params.self_signed(&key)?;
        let hash = X509Certificate::from_der(certificate.der())
            .map(|(_, parsed)| sha256_hex(parsed.tbs_certificate.subject_pki.raw))
            .unwrap_or_default();
        let pair = Pair { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok(Authority { issuer: Issuer::new(params, key), pair, hash })
    }

    /// Certificate and key of the authority itself.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.pair.certificate
    }

    /// What `kubeadm join` pins: `sha256:` and the hash of the public key (SubjectPublicKeyInfo).
    pub fn hash(&self) -> String {
        format!("sha256:{}", self.hash)
    }

    /// A client certificate, valid for a year: the name is the user, the organisations are its groups.
    pub fn client(&self, name: &str, organizations: &[&str], now: Millis) -> Result<Pair, PkiError> {
        let mut params = params(name, organizations, now, 365);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A serving certificate for names and addresses, valid for a year.
    pub fn server(&self, name: &str, alternatives: &[String], now: Millis) -> Result<Pair, PkiError> {
        let mut params = params(name, &[], now, 365);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = alternatives
            .iter()
            .filter_map(|text| text.parse::<IpAddr>().map(SanType::IpAddress).ok().or_else(|| dns(text)))
            .collect();
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Pair, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Signs a request for a client certificate as it is, for a year.
    pub fn sign(&self, request: &ClientRequest, now: Millis) -> Result<String, PkiError> {
        let names: Vec<&str> = request.organizations.iter().map(String::as_str).collect();
        let mut parsed = CertificateSigningRequestParams::from_pem(&request.pem)?;
        parsed.params = params(&request.common_name, &names, now, 365);
        parsed.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parsed.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        parsed.params.use_authority_key_identifier_extension = true;
        Ok(parsed.signed_by(&self.issuer)?.pem())
    }
}

/// A certificate signing request whose signature was verified.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// Common name it asks for.
    pub common_name: String,
    /// Organisations it asks for.
    pub organizations: Vec<String>,
    /// Whether it asks for names or addresses too.
    pub has_alternatives: bool,
    pem: String,
}

impl ClientRequest {
    /// Reads a PEM request.
    pub fn read(pem: &str) -> Result<Self, PkiError> {
        let parsed = CertificateSigningRequestParams::from_pem(pem)?;
        let mut common_name = String::new();
        let mut organizations = Vec::new();
        for (kind, value) in parsed.params.distinguished_name.iter() {
            match kind {
                DnType::CommonName => common_name = text(value),
                DnType::OrganizationName => organizations.push(text(value)),
                _ => {}
            }
        }
        let has_alternatives = !parsed.params.subject_alt_names.is_empty();
        Ok(ClientRequest { common_name, organizations, has_alternatives, pem: pem.to_owned() })
    }
}

fn text(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.as_str().to_owned(),
        DnValue::Ia5String(text) => text.as_str().to_owned(),
        _ => String::new(),
    }
}

fn dns(name: &str) -> Option<SanType> {
    name.try_into().map(SanType::DnsName).ok()
}

fn params(name: &str, organizations: &[&str], now: Millis, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    // One organisation only: rcgen keeps one value per attribute, and no identity here needs more.
    for organization in organizations {
        subject.push(DnType::OrganizationName, *organization);
    }
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let date = rfc3339(now);
    let part = |range: std::ops::Range<usize>| date.get(range).and_then(|t| t.parse::<u32>().ok()).unwrap_or(1);
    let today = rcgen::date_time_ymd(part(0..4) as i32, part(5..7) as u8, part(8..10) as u8);
    params.not_before = today - DAY;
    params.not_after = today + DAY * days;
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    #[test]
    fn a_request_is_signed_with_its_own_subject() {
        let authority = Authority::new("kubernetes", NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = params("system:node:n1", &["system:nodes"], NOW, 1).serialize_request(&key).unwrap().pem().unwrap();
        let request = ClientRequest::read(&csr).unwrap();
        assert_eq!(request.common_name, "system:node:n1");
        assert_eq!(request.organizations, ["system:nodes"]);
        let signed = authority.sign(&request, NOW).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        assert_eq!(parsed.subject().to_string(), "O=system:nodes, CN=system:node:n1");
        assert_eq!(parsed.issuer().to_string(), "CN=kubernetes");
        assert!(
            ClientRequest::read("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")
                .is_err()
        );
    }

    #[test]
    fn the_hash_is_that_of_the_public_key() {
        let authority = Authority::new("kubernetes", NOW).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(authority.certificate().as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        assert_eq!(authority.hash(), format!("sha256:{}", sha256_hex(parsed.public_key().raw)));
        assert_ne!(authority.hash(), Authority::new("kubernetes", NOW).unwrap().hash());
    }
}
