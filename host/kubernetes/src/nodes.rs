//! Nodes: as they are, until they are as a pool wants them, until they are gone.

use std::time::Duration;

use agentkube_contract::{Node, Pool};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::api::{Api, clip, segment};
use crate::wait::Wait;

const NODES: &str = "/api/v1/nodes";

/// All nodes, page by page.
pub(crate) async fn list(api: &Api) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut next = String::new();
    loop {
        let page = api.get(&format!("{NODES}?limit=500{next}")).await?;
        nodes.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().map(read));
        match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => next = format!("&continue={}", escape(token)),
            None => return Ok(nodes),
        }
    }
}

/// Waits until the node is there, gives it the pool's labels and taints, and waits until it is Ready where asked.
pub(crate) async fn settle(api: &Api, name: &str, pool: &Pool, ready: bool, within: Duration) -> Result<Node> {
    let path = format!("{NODES}/{}", segment(name)?);
    let wait = Wait::new(&*api.clock, api.settings.poll(), within);
    loop {
        let found = match api.find(&path).await {
            Ok(found) => found,
            Err(error) => {
                wait.forgive("NODE_MISSING", error).await?;
                continue;
            }
        };
        let Some(found) = found else {
            wait.again("NODE_MISSING", format!("the node {name} has not registered")).await?;
            continue;
        };
        let mut node = found;
        if let Some(patch) = wanting(&node, pool) {
            // 404 and 409: the node went, or somebody else changed it meanwhile; the next look sees it.
            node = match api.merge(&path, &patch).await {
                Ok(node) => node,
                Err(error) if error.status() == Some(404) => {
                    wait.again("NODE_MISSING", format!("the node {name} has gone")).await?;
                    continue;
                }
                Err(error) => {
                    wait.forgive("NODE_MISSING", error).await?;
                    continue;
                }
            };
        }
        let node = read(&node);
        if node.ready || !ready {
            return Ok(node);
        }
        wait.again("NODE_NOT_READY", format!("the node {name} is not Ready: {}", node.reason)).await?;
    }
}

/// Deletes the Node; a missing one is success.
pub(crate) async fn remove(api: &Api, name: &str) -> Result<()> {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    api.delete(&format!("{NODES}/{}", segment(name)?), &options).await.map(|_| ())
}

/// What the node lacks of the pool's labels and taints, as a merge patch that fails if the node has changed since. Roles and
/// other labels that a kubelet may not give itself come this way.
fn wanting(node: &Value, pool: &Pool) -> Option<Value> {
    let labels: Map<String, Value> = pool
        .labels
        .iter()
        .filter(|(key, value)| label(node, key) != Some(value.as_str()))
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let mut taints = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = taints.clone();
    for taint in &pool.taints {
        let same = |other: &Value| other["key"] == taint.key && other["effect"] == taint.effect;
        match taints.iter_mut().find(|other| same(other)) {
            Some(other) if other["value"].as_str().unwrap_or_default() == taint.value => {}
            Some(other) => other["value"] = Value::from(taint.value.as_str()),
            None => taints.push(json!({"key": taint.key, "value": taint.value, "effect": taint.effect})),
        }
    }
    if labels.is_empty() && taints == before {
        return None;
    }
    let at = |field: &str| node.get("metadata").and_then(|meta| meta.get(field)).cloned().unwrap_or_default();
    let metadata = json!({"uid": at("uid"), "resourceVersion": at("resourceVersion"), "labels": labels});
    // Without a change of ours the list stays out of the patch: others maintain taints too.
    Some(match taints == before {
        true => json!({"metadata": metadata}),
        false => json!({"metadata": metadata, "spec": {"taints": taints}}),
    })
}

fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node.get("metadata")?.get("labels")?.get(key)?.as_str()
}

fn read(node: &Value) -> Node {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |pointer: &str| node.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let field = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let condition = list("/status/conditions").find(|condition| field(condition, "type") == "Ready");
    let ready = condition.is_some_and(|condition| field(condition, "status") == "True");
    let reason = match condition {
        _ if ready => String::new(),
        Some(condition) => format!("{}: {}", field(condition, "reason"), clip(&field(condition, "message"), 200)),
        None => "it has reported no condition".to_owned(),
    };
    let address = list("/status/addresses").find(|address| field(address, "type") == "InternalIP");
    Node {
        name: text("/metadata/name"),
        ready,
        reason,
        version: text("/status/nodeInfo/kubeletVersion"),
        address: address.map(|address| field(address, "address")).unwrap_or_default(),
        provider_id: Some(text("/spec/providerID")).filter(|id| !id.is_empty()),
    }
}

/// A query value: everything but unreserved characters percent-encoded.
fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Cluster, node, pool};
    use agentkube_contract::{Fault, Taint};

    const PATH: &str = "/api/v1/nodes/kabc-w-00";
    const WITHIN: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_node_is_waited_for_labelled_tainted_and_ready() {
        let cluster = Cluster::default();
        cluster.put(PATH, node("kabc-w-00", false));
        cluster.once(1, "GET", PATH, 404, json!({}));
        cluster.after(5, PATH, node("kabc-w-00", true));
        let mut pool = pool();
        pool.labels = vec![("node-role.kubernetes.io/worker".into(), String::new()), ("a".into(), "b".into())];
        pool.taints = vec![Taint { key: "gpu".into(), value: "yes".into(), effect: "NoSchedule".into() }];
        let ready = settle(&cluster.api(), "kabc-w-00", &pool, true, WITHIN).await.unwrap();
        assert!(ready.ready && ready.reason.is_empty());
        assert_eq!((ready.version.as_str(), ready.address.as_str()), ("v1.35.2", "10.9.0.5"));
        let object = cluster.object(PATH).unwrap();
        assert_eq!(object["metadata"]["labels"], json!({"node-role.kubernetes.io/worker": "", "a": "b"}));
        let keys: Vec<_> =
            object["spec"]["taints"].as_array().unwrap().iter().map(|taint| taint["key"].clone()).collect();
        assert_eq!(keys, ["node.kubernetes.io/not-ready", "gpu"], "what others put there stays");
    }

    #[tokio::test]
    async fn a_node_that_has_everything_is_not_written_to() {
        let cluster = Cluster::default();
        cluster.put(PATH, node("kabc-w-00", true));
        settle(&cluster.api(), "kabc-w-00", &pool(), true, WITHIN).await.unwrap();
        assert_eq!(cluster.requests(), [format!("GET {PATH}")]);
    }

    #[tokio::test]
    async fn what_is_waited_for_in_vain_is_said() {
        let cluster = Cluster::default();
        let ask = async || Fault::from(settle(&cluster.api(), "kabc-w-00", &pool(), true, WITHIN).await.unwrap_err());
        assert_eq!(ask().await.code, "NODE_MISSING");
        cluster.put(PATH, node("kabc-w-00", false));
        let fault = ask().await;
        assert_eq!(fault.code, "NODE_NOT_READY");
        assert!(fault.message.contains("KubeletNotReady: cni plugin not initialized"));
        assert!(settle(&cluster.api(), "kabc-w-00", &pool(), false, WITHIN).await.is_ok());
    }

    #[tokio::test]
    async fn removal_and_pages() {
        let cluster = Cluster::default();
        cluster.put(PATH, node("kabc-w-00", true));
        let api = cluster.api();
        remove(&api, "kabc-w-00").await.unwrap();
        remove(&api, "kabc-w-00").await.unwrap();
        assert!(remove(&api, "../secrets").await.is_err());
        let page = |name: &str, next: &str| json!({"items": [node(name, true)], "metadata": {"continue": next}});
        cluster.once(1, "GET", NODES, 200, page("a", "x/+="));
        cluster.once(2, "GET", NODES, 200, page("b", ""));
        let names: Vec<_> = list(&api).await.unwrap().into_iter().map(|node| node.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
