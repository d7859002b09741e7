//! CA certificates, and the hash by which a joining machine knows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Error, Result};
use agentkube_contract::Class;

/// DER of each certificate in a PEM bundle.
pub(crate) fn certificates(pem: &str) -> Result<Vec<Vec<u8>>> {
    x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes())
        .map(|block| match block {
            Ok(block) if block.label == "CERTIFICATE" => Ok(block.contents),
            _ => Err(unreadable()),
        })
        .collect()
}

/// `sha256:` and the hex SHA-256 of the DER SubjectPublicKeyInfo of each certificate in the bundle, in order: what kubeadm calls
/// `caCertHashes`.
pub(crate) fn hashes(pem: &str) -> Result<Vec<String>> {
    certificates(pem)?
        .iter()
        .map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
            let digest = Sha256::digest(certificate.public_key().raw);
            Ok(format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        })
        .collect()
}

/// The PEM behind a kubeconfig's base64.
pub(crate) fn decode(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

fn unreadable() -> Error {
    Error::cluster(Class::Invalid, "CA_UNREADABLE", "the cluster's CA bundle holds something that is no certificate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{CA, CA_HASH, OTHER_CA, OTHER_CA_HASH};

    // The hashes were computed with openssl: x509 -pubkey | pkey -pubin -outform der | sha256sum.
    // Checklist 132.
    #[test]
    fn the_hash_is_that_of_the_public_key() {
        assert_eq!(hashes(CA).unwrap(), [CA_HASH]);
        assert_eq!(hashes(&format!("{CA}{OTHER_CA}")).unwrap(), [CA_HASH, OTHER_CA_HASH]);
        assert!(hashes("-----BEGIN CERTIFICATE-----\nbm9wZQ==\n-----END CERTIFICATE-----\n").is_err());
        assert!(certificates("").unwrap().is_empty());
    }
}
