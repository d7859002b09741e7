//! What a machine needs to join, read from where the machine itself will read it: `kube-public/cluster-info`, signed for its token.

use std::time::Duration;

use agentkube_contract::{Class, JoinInfo, JoinToken};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::Value;

use crate::api::Api;
use crate::wait::Wait;
use crate::{Error, Result, ca};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// What kubeadm reads next; since 1.24 neither name carries a version.
const CONFIGURATION: [(&str, &str); 2] = [
    ("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", "ClusterConfiguration"),
    ("/api/v1/namespaces/kube-system/configmaps/kubelet-config", "kubelet"),
];

/// Waits until a machine with this token could join.
pub(crate) async fn info(api: &Api, trusted_ca: &str, token: &JoinToken, within: Duration) -> Result<JoinInfo> {
    const CODE: &str = "JOIN_INFO";
    let settle = api.settings.signature_settle_ms;
    let wait = Wait::new(&*api.clock, api.settings.poll().min(Duration::from_millis(settle.max(1))), within);
    let trusted = ca::hashes(trusted_ca)?;
    let mut since = None;
    loop {
        match look(api, &trusted, token).await {
            Ok(Look::Joinable(info)) => {
                let now = api.clock.now();
                if now.saturating_sub(*since.get_or_insert(now)) >= settle {
                    return Ok(*info);
                }
                wait.again(CODE, "the signature of cluster-info has not stood long enough").await?;
            }
            Ok(Look::NotYet(why)) => {
                since = None;
                wait.again(CODE, why).await?;
            }
            Err(error) => {
                since = None;
                wait.forgive(CODE, error).await?;
            }
        }
    }
}

enum Look {
    Joinable(Box<JoinInfo>),
    NotYet(String),
}

async fn look(api: &Api, trusted: &[String], token: &JoinToken) -> Result<Look> {
    let not_yet = |why: &str| Ok(Look::NotYet(why.to_owned()));
    let Some(cluster_info) = api.find(CLUSTER_INFO).await? else {
        return not_yet("kube-public/cluster-info is not there");
    };
    let data = |key: &str| cluster_info.get("data")?.get(key)?.as_str();
    let Some(kubeconfig) = data("kubeconfig") else { return not_yet("cluster-info holds no kubeconfig") };
    let Some(signature) = data(&format!("jws-kubeconfig-{}", token.id)) else {
        return not_yet("cluster-info is not signed for the token");
    };
    if !signed(signature, kubeconfig, token) {
        return not_yet("the signature of cluster-info does not fit the token");
    }
    let Some((server, ca)) = published(kubeconfig) else {
        return not_yet("the kubeconfig in cluster-info holds no server and CA");
    };
    let ca_hashes = ca::hashes(&ca)?;
    if !ca_hashes.iter().any(|hash| trusted.contains(hash)) {
        return Err(Error::cluster(
            Class::Conflict,
            "CLUSTER_INFO_CA",
            "cluster-info names another CA than the cluster's own kubeconfig",
        ));
    }
    for (path, key) in CONFIGURATION {
        let object = api.find(path).await?;
        let text = object.as_ref().and_then(|object| object.get("data")?.get(key)?.as_str()).unwrap_or_default();
        if !serde_saphyr::from_str::<Value>(text).is_ok_and(|value| value.is_object()) {
            let name = path.rsplit('/').next().unwrap_or(path);
            return not_yet(&format!("kube-system/{name} is not there"));
        }
    }
    let version = version(api).await?;
    Ok(Look::Joinable(Box::new(JoinInfo { server, ca_hashes, ca, version, token: token.clone() })))
}

/// Version that serves, without what a distribution appends: `v1.35.2`.
pub(crate) async fn version(api: &Api) -> Result<String> {
    let answer = api.get("/version").await?;
    let full = answer.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
    let core = full.split(['+', '-']).next().unwrap_or_default();
    agentkube_contract::cluster::minor(core)?;
    Ok(core.to_owned())
}

/// Whether a detached HS256 signature over the kubeconfig was made with the token's secret half, for its public half: JWS compact
/// serialization with an empty middle, as the bootstrap signer writes it.
fn signed(signature: &str, kubeconfig: &str, token: &JoinToken) -> bool {
    let mut parts = signature.split('.');
    let (Some(header), Some(""), Some(tag), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let said: Value =
        URL_SAFE_NO_PAD.decode(header).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let field = |name: &str| said.get(name).and_then(Value::as_str);
    if field("alg") != Some("HS256") || field("kid") != Some(&token.id) {
        return false;
    }
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(kubeconfig));
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
    URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| hmac::verify(&key, signed.as_bytes(), &tag).is_ok())
}

/// `host:port` and CA of the one cluster in the published kubeconfig.
fn published(kubeconfig: &str) -> Option<(String, String)> {
    let document: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    let cluster = document.get("clusters")?.as_array()?.first()?.get("cluster")?;
    let uri: http::Uri = cluster.get("server")?.as_str()?.parse().ok()?;
    if uri.scheme_str() != Some("https") {
        return None;
    }
    let server = format!("{}:{}", uri.host()?, uri.port_u16().unwrap_or(443));
    Some((server, ca::decode(cluster.get("certificate-authority-data")?.as_str()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{CA, CA_HASH, Cluster, OTHER_CA, cluster_info, config_maps};
    use agentkube_contract::Fault;

    fn token(secret: &str) -> JoinToken {
        JoinToken { id: "abc123".into(), secret: secret.into(), expires: 0 }
    }

    // Made with openssl: printf '%s.%s' HEADER BASE64URL(TEXT) | openssl dgst -sha256 -hmac 0123456789abcdef -binary.
    const TEXT: &str = "apiVersion: v1\nkind: Config\n";
    const JWS: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiYzEyMyJ9..qTvWXImTCcLAxj6nw53xOmdsSzLP1_zffoBVin_NQD4";

    #[test]
    fn a_signature_is_good_for_its_text_and_token_alone() {
        let good = token("0123456789abcdef");
        assert!(signed(JWS, TEXT, &good));
        assert!(!signed(JWS, &TEXT.replace("v1", "v2"), &good));
        assert!(!signed(JWS, TEXT, &token("0123456789abcdeg")));
        let other = JoinToken { id: "abc124".into(), ..good.clone() };
        assert!(!signed(JWS, TEXT, &other));
        assert!(!signed(&JWS.replace("..", "."), TEXT, &good));
        assert!(!signed("", TEXT, &good));
        // alg none, and a signature that is not detached.
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"abc123"}"#);
        assert!(!signed(&format!("{none}.."), TEXT, &good));
        assert!(!signed(&JWS.replace("..", &format!(".{}.", URL_SAFE_NO_PAD.encode(TEXT))), TEXT, &good));
    }

    #[tokio::test]
    async fn a_cluster_is_joinable_once_the_signature_stands() {
        let cluster = Cluster::default();
        config_maps(&cluster);
        cluster_info(&cluster, "https://10.0.0.1:6443", CA, &token("0123456789abcdef"));
        let api = cluster.api();
        let before = api.clock.now();
        let info = info(&api, CA, &token("0123456789abcdef"), Duration::from_secs(30)).await.unwrap();
        assert!(api.clock.now() - before >= 2_000, "seen twice");
        assert_eq!(cluster.requests().iter().filter(|line| line.contains("cluster-info")).count(), 3);
        assert_eq!((info.server.as_str(), info.version.as_str()), ("10.0.0.1:6443", "v1.35.2"));
        assert_eq!(info.ca_hashes, [CA_HASH]);
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let good = token("0123456789abcdef");
        let cluster = Cluster::default();
        let ask = async || Fault::from(info(&cluster.api(), CA, &good, Duration::from_secs(5)).await.unwrap_err());
        assert!(ask().await.message.contains("cluster-info is not there"));
        cluster_info(&cluster, "https://10.0.0.1:6443", CA, &token("another secret.."));
        let fault = ask().await;
        assert_eq!(fault.code, "JOIN_INFO");
        assert!(fault.message.contains("does not fit the token"));
        cluster_info(&cluster, "https://10.0.0.1:6443", CA, &good);
        assert!(ask().await.message.contains("kubeadm-config"));
        config_maps(&cluster);
        cluster_info(&cluster, "https://10.0.0.1:6443", OTHER_CA, &good);
        assert_eq!(ask().await.code, "CLUSTER_INFO_CA");
    }

    #[tokio::test]
    async fn a_signature_that_comes_and_goes_is_waited_out() {
        let good = token("0123456789abcdef");
        let cluster = Cluster::default();
        config_maps(&cluster);
        cluster_info(&cluster, "https://10.0.0.1:6443", CA, &good);
        // The second look finds it wiped; the time starts again.
        cluster.once(2, "GET", CLUSTER_INFO, 200, serde_json::json!({"data": {"kubeconfig": "x"}}));
        info(&cluster.api(), CA, &good, Duration::from_secs(30)).await.unwrap();
        assert_eq!(cluster.requests().iter().filter(|line| line.contains("cluster-info")).count(), 5);
    }
}
