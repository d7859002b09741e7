//! The kubelet: registers its node, renews its lease, says how it is.

use std::collections::BTreeMap;

use lab_wire::{GuestAddress, Millis, Request, rfc3339};
use serde_json::{Value, json};

use super::api::{Api, refusal};
use super::disk::Kubelet;
use super::failure::Failure;
use super::guest::Guest;
use super::transport::{Endpoint, Trust};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const LEASE_SECONDS: u64 = 40;
/// What every kubelet may set itself under `kubernetes.io` and `k8s.io` (kubelet's `--node-labels`).
const OWN_LABELS: [&str; 10] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Runs until the machine stops. `joined` is called when the node is there.
pub async fn run(kubelet: &Kubelet, guest: &Guest, joined: impl FnOnce()) -> Result<(), Failure> {
    check_labels(&kubelet.registration.labels)?;
    check_node_ip(kubelet.registration.node_ip.as_deref(), &guest.addresses())?;
    let identity = Some(kubelet.identity.clone());
    let endpoint = Endpoint { server: kubelet.server.clone(), trust: Trust::Ca(kubelet.ca.clone()), identity };
    let api = Api::new(guest.transport(), &endpoint, None)?;
    let mut troubles = Troubles::default();
    while !troubles.note(guest, register(&api, kubelet, guest).await) {
        guest.sleep(guest.timings().heartbeat / 4).await;
    }
    guest.say(format!("kubelet: node {} is registered", kubelet.registration.name));
    joined();
    let mut rhythm = Rhythm { beat: guest.now(), report_at: guest.now() };
    loop {
        troubles.note(guest, beat(&api, &kubelet.registration.name, &mut rhythm, guest).await);
        guest.sleep(guest.timings().heartbeat).await;
    }
}

/// When the kubelet last reached its server, and when it is to report next.
struct Rhythm {
    beat: Millis,
    report_at: Millis,
}

/// Renews the lease. Looks at the node when it is time to report, or when the cluster may have given it up meanwhile.
async fn beat(api: &Api, node: &str, rhythm: &mut Rhythm, guest: &Guest) -> Result<(), Failure> {
    renew_lease(api, node, guest).await?;
    let now = guest.now();
    let was_late = now > rhythm.beat + guest.scaled(guest.timings().heartbeat * 2);
    rhythm.beat = now;
    if !was_late && now < rhythm.report_at {
        return Ok(());
    }
    let path = format!("/api/v1/nodes/{node}");
    let live = api.expect(Request::new("GET", &path), &format!("error getting node {node:?}")).await?;
    let conditions = live["status"]["conditions"].as_array();
    let given_up = conditions.into_iter().flatten().any(|condition| condition["status"] == "Unknown");
    report(api, node, given_up, guest).await?;
    // A late one may have been overtaken by the cluster's verdict: it looks again with the next beat.
    let pause = if was_late { guest.timings().heartbeat } else { guest.timings().status };
    rhythm.report_at = now + guest.scaled(pause);
    Ok(())
}

/// Says a trouble once, not with every heartbeat.
#[derive(Default)]
struct Troubles(Option<Failure>);

impl Troubles {
    fn note(&mut self, guest: &Guest, result: Result<(), Failure>) -> bool {
        let failure = result.err();
        if failure != self.0
            && let Some(failure) = &failure
        {
            guest.say(format!("kubelet: {failure}"));
        }
        self.0 = failure;
        self.0.is_none()
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Failure> {
    let reserved = |label: &&String| {
        let Some((prefix, _)) = label.split_once('/') else { return false };
        let in_domain = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
        (in_domain("kubernetes.io") || in_domain("k8s.io"))
            && !["kubelet.kubernetes.io", "node.kubernetes.io"].iter().any(|own| in_domain(own))
            && !OWN_LABELS.contains(&label.as_str())
    };
    let wrong: Vec<&String> = labels.keys().filter(reserved).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => {
            let text = format!("unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: {wrong:?}");
            Err(Failure::Kubelet(text))
        }
    }
}

/// `--node-ip` must be an address of the machine.
fn check_node_ip(node_ip: Option<&str>, own: &[GuestAddress]) -> Result<(), Failure> {
    match node_ip.filter(|ip| !own.iter().any(|address| address.address == *ip)) {
        Some(ip) => Err(Failure::Kubelet(format!("node IP: {ip:?} not found in the host's network interfaces"))),
        None => Ok(()),
    }
}

async fn register(api: &Api, kubelet: &Kubelet, guest: &Guest) -> Result<(), Failure> {
    let node = node(kubelet, guest);
    let response = api.send(Request::new("POST", "/api/v1/nodes").json(&node)).await?;
    match response.status {
        200..=299 => Ok(()),
        // It registered before, or somebody else did under this name: its status becomes ours.
        409 => {
            let status = json!({ "status": node["status"] });
            patch_status(api, &kubelet.registration.name, &status).await
        }
        _ => Err(refusal(&response, "unable to register node with API server")),
    }
}

async fn patch_status(api: &Api, node: &str, patch: &Value) -> Result<(), Failure> {
    let request = Request {
        body: patch.to_string().into_bytes(),
        ..Request::new("PATCH", &format!("/api/v1/nodes/{node}/status"))
    };
    let request = request.header("content-type", "application/strategic-merge-patch+json");
    api.expect(request, &format!("error updating status of node {node:?}")).await.map(drop)
}

async fn renew_lease(api: &Api, node: &str, guest: &Guest) -> Result<(), Failure> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node, "namespace": "kube-node-lease" },
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": LEASE_SECONDS,
            // With its fraction: two renewals within a second would otherwise be the same write.
            "renewTime": rfc3339(guest.now()).replace('Z', &format!(".{:03}000Z", guest.now() % 1000)),
        },
    });
    let what = "failed to renew the lease";
    let response = api.send(Request::new("PUT", &format!("{LEASES}/{node}")).json(&lease)).await?;
    match response.status {
        200..=299 => Ok(()),
        404 => api.expect(Request::new("POST", LEASES).json(&lease), what).await.map(drop),
        _ => Err(refusal(&response, what)),
    }
}

/// The status that a kubelet repeats: how it is, and when it last looked. Whether the node is Ready hangs on its network, which
/// somebody else brings: it is only said again after the cluster had given the node up.
async fn report(api: &Api, node: &str, given_up: bool, guest: &Guest) -> Result<(), Failure> {
    let mut conditions = pressures(guest.now());
    if given_up {
        conditions.push(condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", guest.now()));
    } else {
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            condition.remove("lastTransitionTime");
        }
    }
    patch_status(api, node, &json!({ "status": { "conditions": conditions } })).await
}

fn pressures(now: Millis) -> Vec<Value> {
    [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    .map(|(kind, reason, message)| condition(kind, "False", reason, message, now))
    .to_vec()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: Millis) -> Value {
    let time = rfc3339(now);
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": time, "lastTransitionTime": time,
    })
}

fn node(kubelet: &Kubelet, guest: &Guest) -> Value {
    let registration = &kubelet.registration;
    let name = &registration.name;
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
    });
    for (key, value) in &registration.labels {
        labels[key] = value.as_str().into();
    }
    let mut taints: Vec<Value> = registration.taints.iter().map(|taint| json!(taint)).collect();
    taints.push(json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }));
    let mut spec = json!({ "taints": taints });
    if let Some(id) = &registration.provider_id {
        spec["providerID"] = id.as_str().into();
    }
    let boot = guest.boot();
    let room = json!({
        "cpu": boot.cores.to_string(), "memory": format!("{}Ki", boot.memory_mib * 1024),
        "ephemeral-storage": "20Gi", "pods": "110",
    });
    let mut conditions = pressures(guest.now());
    let unready = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                   message:Network plugin returns error: cni plugin not initialized";
    conditions.push(condition("Ready", "False", "KubeletNotReady", unready, guest.now()));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": spec,
        "status": {
            "addresses": addresses(registration.node_ip.as_deref(), &guest.addresses(), name),
            "allocatable": room,
            "capacity": room,
            "conditions": conditions,
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": boot.id,
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.8.0-lab",
                "kubeProxyVersion": registration.version,
                "kubeletVersion": registration.version,
                "machineID": boot.id,
                "operatingSystem": "linux",
                "osImage": "Lab Linux",
                "systemUUID": boot.id,
            },
        },
    })
}

/// `--node-ip` if it is one of the machine's own, otherwise the first address.
fn addresses(node_ip: Option<&str>, own: &[GuestAddress], name: &str) -> Vec<Value> {
    let address = node_ip.or_else(|| own.first().map(|address| address.address.as_str()));
    let mut addresses: Vec<Value> =
        address.into_iter().map(|address| json!({ "type": "InternalIP", "address": address })).collect();
    addresses.push(json!({ "type": "Hostname", "address": name }));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_labels_stop_the_kubelet() {
        let check = |label: &str| check_labels(&BTreeMap::from([(label.to_owned(), String::new())])).is_ok();
        assert!(check("pool") && check("example.org/pool") && check("topology.kubernetes.io/zone"));
        assert!(check("node.kubernetes.io/pool") && check("x.node.kubernetes.io/pool"));
        assert!(!check("node-role.kubernetes.io/worker") && !check("kubernetes.io/role") && !check("x.k8s.io/y"));
    }
}
