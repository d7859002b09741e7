//! Token-based discovery as kubeadm does it: `cluster-info` read without trust, its signature checked with the secret of the
//! token, its CA with the pins, and read again with that CA.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lab_wire::Request;
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::api::Api;
use super::failure::Failure;
use super::join_config::Join;
use super::transport::{Endpoint, Transport, TransportError, Trust};
use crate::tls;

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// What discovery found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `https://host:port` from the kubeconfig in `cluster-info`: everything after discovery goes there.
    pub server: String,
    /// The cluster's CA, PEM.
    pub ca: String,
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
struct ClusterEntry {
    server: String,
    #[serde(rename = "certificate-authority-data", default)]
    ca: String,
}

/// One try. [`is_final`] says whether another one makes sense.
pub async fn try_once(join: &Join, transport: &dyn Transport) -> Result<Cluster, Failure> {
    let server = format!("https://{}", join.endpoint);
    let kubeconfig = fetch(join, transport, &server, Trust::Anything).await?;
    let cluster = cluster(&kubeconfig)?;
    if !join.skip_ca_verification || !join.ca_hashes.is_empty() {
        let pins = pins(&cluster.ca)?;
        if !pins.iter().any(|pin| join.ca_hashes.iter().any(|hash| hash.eq_ignore_ascii_case(pin))) {
            return Err(Failure::NotPinned(pins.join(", ")));
        }
    }
    // Again, this time over a connection that the CA vouches for.
    let again = fetch(join, transport, &server, Trust::Ca(cluster.ca.clone())).await?;
    if again != kubeconfig {
        return Err(Failure::NoClusterInfo("the second kubeconfig differs from the first".to_owned()));
    }
    Ok(cluster)
}

/// Whether a failure of discovery stays whatever one waits for.
pub fn is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::BadSignature | Failure::NotPinned(_) | Failure::Untrusted(_))
}

/// The kubeconfig in `cluster-info`, its signature checked.
async fn fetch(join: &Join, transport: &dyn Transport, server: &str, trust: Trust) -> Result<String, Failure> {
    let endpoint = Endpoint { server: server.to_owned(), trust, identity: None };
    let failed = |error: TransportError| match error {
        TransportError::Untrusted(reason) => Failure::Untrusted(reason),
        TransportError::Unreachable(reason) => Failure::Unreachable { endpoint: join.endpoint.clone(), reason },
    };
    let api = Api::new(transport, &endpoint, None).map_err(failed)?;
    let response = api.send(Request::new("GET", CLUSTER_INFO)).await.map_err(failed)?;
    let body = response.value();
    if response.status != 200 {
        let message = body["message"].as_str().unwrap_or_default();
        return Err(Failure::NoClusterInfo(format!("{} {message}", response.status)));
    }
    let text = |key: &str| body["data"][key].as_str().map(str::to_owned);
    let kubeconfig = text("kubeconfig").ok_or_else(|| Failure::NoClusterInfo("it has no kubeconfig".to_owned()))?;
    let (id, secret) = &join.token;
    let signature = text(&format!("jws-kubeconfig-{id}")).ok_or_else(|| Failure::NoSignature(id.clone()))?;
    match is_signed(&kubeconfig, &signature, id, secret) {
        true => Ok(kubeconfig),
        false => Err(Failure::BadSignature),
    }
}

/// A JWS with detached content (RFC 7515, appendix F): HS256, the token's id as key id, its secret as key.
fn is_signed(content: &str, signature: &str, id: &str, secret: &str) -> bool {
    let Some((header, mac)) = signature.split_once("..") else { return false };
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let Some(fields) = decoded(header).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
        return false;
    };
    let Some(mac) = decoded(mac) else { return false };
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    fields["alg"] == "HS256" && fields["kid"] == id && hmac::verify(&key, signed.as_bytes(), &mac).is_ok()
}

fn cluster(kubeconfig: &str) -> Result<Cluster, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::NoClusterInfo(format!("its kubeconfig is invalid: {error}"));
    let parsed: Kubeconfig = serde_saphyr::from_str(kubeconfig).map_err(|error| wrong(&error))?;
    let entry = parsed.clusters.into_iter().next().ok_or_else(|| wrong(&"no cluster in it"))?.cluster;
    let ca = STANDARD.decode(entry.ca.trim()).map_err(|error| wrong(&error))?;
    let ca = String::from_utf8(ca).map_err(|error| wrong(&error))?;
    Ok(Cluster { server: entry.server, ca })
}

/// `sha256:` and the hash of the public key (SubjectPublicKeyInfo, DER) of each certificate.
fn pins(ca: &str) -> Result<Vec<String>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::NoClusterInfo(format!("its CA is invalid: {error}"));
    let mut pins = Vec::new();
    for der in tls::certificates(ca).map_err(|error| wrong(&error))? {
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| wrong(&error))?;
        let hash = digest::digest(&digest::SHA256, certificate.public_key().raw);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        pins.push(format!("sha256:{hex}"));
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_content_its_id_and_its_secret_only() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"abcdef"}"#);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let mac = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode("content")).as_bytes());
        let signature = format!("{header}..{}", URL_SAFE_NO_PAD.encode(mac));
        assert!(is_signed("content", &signature, "abcdef", "0123456789abcdef"));
        assert!(!is_signed("other", &signature, "abcdef", "0123456789abcdef"));
        assert!(!is_signed("content", &signature, "fedcba", "0123456789abcdef"));
        assert!(!is_signed("content", &signature, "abcdef", "fedcba9876543210"));
        assert!(!is_signed("content", "garbage", "abcdef", "0123456789abcdef"));
    }
}
