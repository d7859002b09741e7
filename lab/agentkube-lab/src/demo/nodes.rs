//! The kubeconfig in use: the command line hands it over, and the nodes are listed with nothing but what stands in it.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Client, Identity};
use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// How long the command line and the API server may take each.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node as the tenant's API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// Version of its kubelet.
    pub version: String,
    /// Its internal address.
    pub address: String,
    /// Value of the label that was asked for.
    pub label: String,
}

/// Asks the daemon for a cluster's kubeconfig, as its operator would.
pub async fn kubeconfig(binary: &Path, config: &Path, cluster: &str) -> Result<String, Error> {
    let mut command = tokio::process::Command::new(binary);
    command.args(["kubeconfig", cluster, "--config"]).arg(config).kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(output) => output?,
        Err(_) => return Err(Error::Daemon(format!("`agentkube kubeconfig {cluster}` did not end"))),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Daemon(format!("`agentkube kubeconfig {cluster}` failed ({}): {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lists the nodes over TLS: the CA and the client certificate are those of the kubeconfig.
pub async fn list(kubeconfig: &str, label: &str) -> Result<Vec<Node>, Error> {
    let access = Access::read(kubeconfig)?;
    let client = access.client()?;
    let url = format!("{}/api/v1/nodes", access.server.trim_end_matches('/'));
    let response = client.get(&url).send().await.map_err(|error| unreachable(&error))?;
    let status = response.status();
    let body = response.text().await.map_err(|error| unreachable(&error))?;
    if !status.is_success() {
        return Err(Error::Daemon(format!("GET {url}: {status} {body}")));
    }
    let list: Value = serde_json::from_str(&body).map_err(|error| Error::Daemon(format!("GET {url}: {error}")))?;
    let mut nodes: Vec<Node> = items(&list).map(|node| read(node, label)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

fn unreachable(error: &reqwest::Error) -> Error {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::Daemon(format!("the cluster's API server: {error}{cause}"))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items").and_then(Value::as_array).into_iter().flatten()
}

fn read(node: &Value, label: &str) -> Node {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let all = |pointer: &str| node.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let has = |value: &Value, key: &str, wanted: &str| value.get(key).is_some_and(|found| found == wanted);
    Node {
        name: text(node.pointer("/metadata/name")),
        ready: all("/status/conditions").any(|c| has(c, "type", "Ready") && has(c, "status", "True")),
        version: text(node.pointer("/status/nodeInfo/kubeletVersion")),
        address: text(all("/status/addresses").find(|a| has(a, "type", "InternalIP")).and_then(|a| a.get("address"))),
        label: text(node.pointer("/metadata/labels").and_then(|labels| labels.get(label))),
    }
}

/// What a client takes from a kubeconfig of one cluster and one user.
struct Access {
    server: String,
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

impl Access {
    fn read(kubeconfig: &str) -> Result<Access, Error> {
        let wrong = |why: &dyn std::fmt::Display| Error::Daemon(format!("the kubeconfig: {why}"));
        let parsed: Kubeconfig = serde_saphyr::from_str(kubeconfig).map_err(|error| wrong(&error))?;
        let (Some(NamedCluster { cluster }), Some(NamedUser { user })) =
            (parsed.clusters.into_iter().next(), parsed.users.into_iter().next())
        else {
            return Err(wrong(&"it has no cluster or no user"));
        };
        let decode = |text: &str| STANDARD.decode(text.trim()).map_err(|error| wrong(&error));
        Ok(Access {
            server: cluster.server,
            ca: decode(&cluster.certificate_authority_data)?,
            certificate: decode(&user.client_certificate_data)?,
            key: decode(&user.client_key_data)?,
        })
    }

    fn client(&self) -> Result<Client, Error> {
        let unusable = |error: reqwest::Error| Error::Tls(format!("kubeconfig: {error}"));
        let pem = [self.certificate.as_slice(), b"\n", &self.key].concat();
        Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .tls_certs_only(Certificate::from_pem_bundle(&self.ca).map_err(unusable)?)
            .identity(Identity::from_pem(&pem).map_err(unusable)?)
            .build()
            .map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_read_as_it_is_shown() {
        let node = json!({
            "metadata": { "name": "k1-workers-01", "labels": { "tier": "app" } },
            "status": {
                "conditions": [{ "type": "MemoryPressure", "status": "False" }, { "type": "Ready", "status": "True" }],
                "addresses": [{ "type": "Hostname", "address": "h" }, { "type": "InternalIP", "address": "10.0.0.7" }],
                "nodeInfo": { "kubeletVersion": "v1.35.2" },
            },
        });
        let found = read(&node, "tier");
        let wanted = Node {
            name: "k1-workers-01".into(),
            ready: true,
            version: "v1.35.2".into(),
            address: "10.0.0.7".into(),
            label: "app".into(),
        };
        assert_eq!(found, wanted);
        assert!(
            !read(&json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }), "tier").ready
        );
    }

    #[test]
    fn a_kubeconfig_without_a_client_certificate_is_refused() {
        let text = "clusters:\n- cluster: {server: 'https://a', certificate-authority-data: YQ==}\nusers:\n- user: {token: x}\n";
        assert!(Access::read(text).is_err());
        let text = text.replace("token: x", "client-certificate-data: Yg==, client-key-data: Yw==");
        let access = Access::read(&text).unwrap();
        assert_eq!(
            (access.server.as_str(), access.ca, access.certificate),
            ("https://a", b"a".to_vec(), b"b".to_vec())
        );
    }
}
