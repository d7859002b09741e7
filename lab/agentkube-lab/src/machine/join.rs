//! `kubeadm join` of a worker: discovery, the cluster's configuration, version rules, the kubelet's certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab_wire::{Millis, Request};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::discovery::{self, Cluster};
use super::disk::Kubelet;
use super::failure::Failure;
use super::guest::Guest;
use super::join_config::Join;
use super::transport::{Endpoint, Trust};
use crate::ca::Identity;

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// How many minors a kubelet may be behind its API server (Kubernetes version skew policy, since 1.28).
const OLDEST_MINOR: u32 = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterConfiguration {
    kubernetes_version: String,
}

/// Joins; what the kubelet needs afterwards comes back.
pub async fn run(join: &Join, guest: &Guest) -> Result<Kubelet, Failure> {
    guest.say(format!("[discovery] trying to connect to {}", join.endpoint));
    let cluster = discover(join, guest).await?;
    guest.say(format!("[discovery] the cluster at {} is the right one", cluster.server));
    let endpoint = Endpoint { server: cluster.server.clone(), trust: Trust::Ca(cluster.ca.clone()), identity: None };
    let token = format!("{}.{}", join.token.0, join.token.1);
    let api = Api::new(guest.transport(), &endpoint, Some(token))?;
    let control_plane = control_plane_version(&api).await?;
    let kubelet = &join.registration.version;
    check_skew(kubelet, &control_plane)?;
    read_kubelet_config(&api).await?;
    refuse_ready_twin(&api, &join.registration.name).await?;
    guest.say(format!("[kubelet-start] kubelet {kubelet}, control plane {control_plane}"));
    let identity = certificate(&api, &join.registration.name, guest).await?;
    Ok(Kubelet { server: cluster.server, ca: cluster.ca, identity, registration: join.registration.clone() })
}

/// Tries until it succeeds, fails for good, or the time is over.
async fn discover(join: &Join, guest: &Guest) -> Result<Cluster, Failure> {
    let deadline = guest.now() + guest.scaled(join.discovery_timeout);
    let mut last = None;
    loop {
        let failure = match discovery::try_once(join, guest.transport()).await {
            Ok(cluster) => return Ok(cluster),
            Err(failure) => failure,
        };
        if discovery::is_final(&failure) || guest.now() >= deadline {
            return Err(failure);
        }
        if last.as_ref() != Some(&failure) {
            guest.say(format!("[discovery] {failure}, will try again"));
            last = Some(failure);
        }
        guest.sleep(guest.timings().discovery_pause).await;
    }
}

async fn config_map(api: &Api, name: &str, key: &str) -> Result<String, Failure> {
    let path = format!("/api/v1/namespaces/kube-system/configmaps/{name}");
    let what = format!("failed to get config map {name:?}");
    let body = api.expect(Request::new("GET", &path), &what).await?;
    let text = body["data"][key].as_str().map(str::to_owned);
    text.ok_or(Failure::Refused { what, status: 200, message: format!("it has no {key:?}") })
}

async fn control_plane_version(api: &Api) -> Result<String, Failure> {
    let text = config_map(api, "kubeadm-config", "ClusterConfiguration").await?;
    let parsed: Result<ClusterConfiguration, _> = serde_saphyr::from_str(&text);
    parsed.map(|configuration| configuration.kubernetes_version).map_err(|error| Failure::Refused {
        what: "failed to decode ClusterConfiguration".to_owned(),
        status: 200,
        message: error.to_string(),
    })
}

/// Its content is for a kubelet that the lab does not run, but it must be there and readable.
async fn read_kubelet_config(api: &Api) -> Result<(), Failure> {
    config_map(api, "kubelet-config", "kubelet").await.map(drop)
}

/// A kubelet is never newer than its API server, and at most three minors older.
fn check_skew(kubelet: &str, control_plane: &str) -> Result<(), Failure> {
    let skew = |direction| Failure::VersionSkew {
        direction,
        kubelet: kubelet.to_owned(),
        control_plane: control_plane.to_owned(),
    };
    let (Some(own), Some(theirs)) = (minor(kubelet), minor(control_plane)) else { return Err(skew("other")) };
    if own > theirs {
        return Err(skew("higher"));
    }
    if own.0 < theirs.0 || own.1 + OLDEST_MINOR < theirs.1 {
        return Err(skew("lower"));
    }
    Ok(())
}

/// Major and minor of `v1.35.2`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// kubeadm refuses to take the name of a node that is Ready.
async fn refuse_ready_twin(api: &Api, name: &str) -> Result<(), Failure> {
    let response = api.send(Request::new("GET", &format!("/api/v1/nodes/{name}"))).await?;
    match response.status {
        200 if is_ready(&response.value()) => Err(Failure::NodeExists(name.to_owned())),
        200 | 404 => Ok(()),
        _ => Err(super::api::refusal(&response, &format!("cannot get Node {name:?}"))),
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The TLS bootstrap: a certificate for the node, asked for with the token and approved by the cluster.
async fn certificate(api: &Api, node: &str, guest: &Guest) -> Result<Identity, Failure> {
    let (request, key) = signing_request(node).map_err(|error| Failure::Certificate(error.to_string()))?;
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "generateName": "csr-" },
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    let created =
        api.expect(Request::new("POST", CSRS).json(&body), "cannot create certificate signing request").await?;
    let name = created["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let deadline = guest.now() + guest.scaled(guest.timings().tls_bootstrap);
    loop {
        let path = format!("{CSRS}/{name}");
        let csr = api.expect(Request::new("GET", &path), "cannot read certificate signing request").await?;
        let conditions = csr["status"]["conditions"].as_array();
        let refused =
            conditions.into_iter().flatten().find(|entry| entry["type"] == "Denied" || entry["type"] == "Failed");
        if let Some(refused) = refused {
            return Err(Failure::Certificate(format!("certificate signing request {name} was refused: {refused}")));
        }
        if let Some(text) = csr["status"]["certificate"].as_str() {
            let pem = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let certificate = pem.ok_or_else(|| Failure::Certificate(format!("{name} has no PEM certificate")))?;
            return Ok(Identity { certificate, key });
        }
        if guest.now() >= deadline {
            return Err(Failure::Certificate("timed out waiting for the condition".to_owned()));
        }
        guest.sleep(poll(guest)).await;
    }
}

fn poll(guest: &Guest) -> Millis {
    guest.timings().certificate_pause
}

/// PEM of the request and of the key.
fn signing_request(node: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    Ok((params.serialize_request(&key)?.pem()?, key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_skew_policy() {
        for (kubelet, control_plane, fine) in [
            ("v1.35.2", "v1.35.0", true),
            ("v1.35.0", "v1.35.4", true),
            ("v1.32.9", "v1.35.0", true),
            ("v1.31.9", "v1.35.0", false),
            ("v1.36.0", "v1.35.9", false),
            ("latest", "v1.35.9", false),
        ] {
            assert_eq!(check_skew(kubelet, control_plane).is_ok(), fine, "{kubelet} {control_plane}");
        }
    }
}
