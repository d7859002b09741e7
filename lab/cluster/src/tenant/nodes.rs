//! Nodes: leases, readiness, taints.

use std::collections::BTreeMap;

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use super::Pace;
use crate::api::{Admission, ApiServer, Failure, Kind, Resource, Store};

const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                          message:Network plugin returns error: cni plugin not initialized";

/// Whether a network add-on is installed: a DaemonSet that mounts `/etc/cni/net.d` from the host.
pub fn has_network(store: &Store) -> bool {
    store.list(&Resource::new("apps", "daemonsets"), None).any(|(_, set)| {
        let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().into_iter().flatten();
        let mut paths = volumes.filter_map(|volume| volume["hostPath"]["path"].as_str());
        paths.any(|path| path.trim_end_matches('/') == "/etc/cni/net.d")
    })
}

/// What a kubelet cannot claim: that a node is Ready before it has a network.
pub struct Kubelets;

impl Admission for Kubelets {
    fn mutate(&self, kind: &Kind, object: &mut Value, live: Option<&Value>, store: &Store) -> Result<(), Failure> {
        let was_ready = live.is_some_and(|live| ready(live)["status"] == "True");
        if kind.plural != "nodes" || was_ready || ready(object)["status"] != "True" || has_network(store) {
            return Ok(());
        }
        if let Some(condition) = condition(object) {
            condition["status"] = "False".into();
            condition["reason"] = "KubeletNotReady".into();
            condition["message"] = NO_NETWORK.into();
        }
        Ok(())
    }

    fn validate(&self, _: &Kind, _: &Value, _: Option<&Value>, _: &Store) -> Result<(), Failure> {
        Ok(())
    }
}

/// The node lifecycle controller.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Per node: last revision of its lease (or of itself), and when it was first seen.
    leases: BTreeMap<String, (String, Millis)>,
    /// Nodes that wait for their network, and until when.
    waiting: BTreeMap<String, Millis>,
}

impl Nodes {
    /// When something is due.
    pub fn timer(&self, pace: &Pace) -> Option<Millis> {
        let stale = self.leases.values().map(|(_, seen)| seen + pace.lease).min();
        [stale, self.waiting.values().copied().min()].into_iter().flatten().min()
    }

    pub fn run(&mut self, api: &mut ApiServer, pace: &Pace, now: Millis, random: &mut Random) {
        let nodes = api.objects("", "nodes", None);
        let name_of = |node: &Value| node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.leases.retain(|name, _| nodes.iter().any(|node| name_of(node) == *name));
        self.waiting.retain(|name, _| nodes.iter().any(|node| name_of(node) == *name));
        let network = has_network(api.store());
        for node in nodes {
            let name = name_of(&node);
            let mut changed = (*node).clone();
            if self.is_stale(api, &name, pace, now) {
                mark_unknown(&mut changed, now);
            } else {
                self.connect(&name, &mut changed, network, pace, now);
            }
            follow_taints(&mut changed);
            if changed != *node {
                api.put(changed, now, random);
            }
        }
    }

    /// A lease counts from when its change was seen: the clocks of nodes are not trusted.
    fn is_stale(&mut self, api: &ApiServer, name: &str, pace: &Pace, now: Millis) -> bool {
        let lease = api.get("coordination.k8s.io", "leases", "kube-node-lease", name);
        let revision = lease.and_then(|l| l["metadata"]["resourceVersion"].as_str()).unwrap_or("none").to_owned();
        let entry = self.leases.entry(name.to_owned()).or_insert_with(|| (revision.clone(), now));
        if entry.0 != revision {
            *entry = (revision, now);
        }
        let stale = now >= entry.1 + pace.lease;
        if stale {
            // Said once; the next renewal is a new revision.
            entry.1 = Millis::MAX / 2;
        }
        stale || entry.1 == Millis::MAX / 2
    }

    fn connect(&mut self, name: &str, node: &mut Value, network: bool, pace: &Pace, now: Millis) {
        let condition_now = ready(node).clone();
        let waits = condition_now["status"] == "False"
            && condition_now["message"].as_str().is_some_and(|m| m.contains("cni plugin not initialized"));
        if !waits || !network {
            self.waiting.remove(name);
            return;
        }
        if *self.waiting.entry(name.to_owned()).or_insert(now + pace.network) > now {
            return;
        }
        self.waiting.remove(name);
        if let Some(condition) = condition(node) {
            condition["status"] = "True".into();
            condition["reason"] = "KubeletReady".into();
            condition["message"] = "kubelet is posting ready status".into();
            condition["lastTransitionTime"] = rfc3339(now).into();
            condition["lastHeartbeatTime"] = rfc3339(now).into();
        }
    }
}

fn ready(node: &Value) -> &Value {
    static NONE: Value = Value::Null;
    let conditions = node["status"]["conditions"].as_array();
    conditions.and_then(|list| list.iter().find(|c| c["type"] == "Ready")).unwrap_or(&NONE)
}

fn condition(node: &mut Value) -> Option<&mut Value> {
    node["status"]["conditions"].as_array_mut()?.iter_mut().find(|c| c["type"] == "Ready")
}

fn mark_unknown(node: &mut Value, now: Millis) {
    if !node["status"]["conditions"].is_array() {
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    }
    for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if condition["status"] != "Unknown" {
            condition["status"] = "Unknown".into();
            condition["reason"] = "NodeStatusUnknown".into();
            condition["message"] = "Kubelet stopped posting node status.".into();
            condition["lastTransitionTime"] = rfc3339(now).into();
        }
    }
}

/// Taints that tell workloads of a node that is not ready.
fn follow_taints(node: &mut Value) {
    const NOT_READY: &str = "node.kubernetes.io/not-ready";
    const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
    let wanted = match ready(node)["status"].as_str() {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    };
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let ours = |taint: &Value| taint["key"] == NOT_READY || taint["key"] == UNREACHABLE;
    let stands = taints
        .iter()
        .filter(|taint| ours(taint))
        .all(|taint| Some(taint["key"].as_str().unwrap_or_default()) == wanted);
    if stands && taints.iter().any(ours) == wanted.is_some() {
        return;
    }
    taints.retain(|taint| !ours(taint));
    taints.extend(wanted.map(|key| json!({"key": key, "effect": "NoSchedule"})));
    if taints.is_empty() {
        if let Some(spec) = node["spec"].as_object_mut() {
            spec.remove("taints");
        }
    } else {
        node["spec"]["taints"] = taints.into();
    }
}
