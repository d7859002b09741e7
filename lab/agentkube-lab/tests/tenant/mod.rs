//! One tenant cluster behind TLS, set up as kubeadm's phases leave it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentkube_lab::{Clock, Shell};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab_cluster::kubeconfig::cluster_info;
use lab_cluster::pki::Authority;
use lab_cluster::tenant::{Pace, Tenant};
use lab_wire::{Answer, Listener, Millis, Random, Request, Server};
use serde_json::{Value, json};

pub const TOKEN_ID: &str = "abcdef";
pub const SECRET: &str = "0123456789abcdef";
const BOOTSTRAPPERS: &str = "system:bootstrappers:kubeadm:default-node-token";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

pub struct Inner {
    pub tenant: Tenant,
    authority: Authority,
    /// Where it would listen, for clients that come without sockets.
    listener: Listener,
}

impl Server for Inner {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.tenant.handle(request, now, random)
    }

    fn tick(&mut self, now: Millis, random: &mut Random) {
        self.tenant.tick(&self.authority, now, random);
    }

    fn next_timer(&self) -> Option<Millis> {
        self.tenant.next_timer()
    }

    fn listeners(&self) -> Vec<Listener> {
        vec![self.listener.clone()]
    }
}

pub struct Cluster {
    shell: Shell<Inner>,
    hash: String,
    address: SocketAddr,
}

/// A tenant that wants to be reached at `address`, with the token that everybody uses.
pub fn tenant(address: SocketAddr, scale: u64) -> (Inner, String) {
    let mut random = Random::new(7);
    let now = Clock::real().now();
    let authority = Authority::new("kubernetes", now).unwrap();
    let pair = authority.server("kube-apiserver", &[address.ip().to_string()], now).unwrap();
    let (hash, ca) = (authority.hash(), authority.certificate().to_owned());
    // A lease may be late by more than a scaled kubelet would allow: the tests share two cores.
    let pace = Pace { lease: 1500, ..Pace::scaled(scale) };
    let mut tenant = Tenant::new("v1.35.2", pace, 1, now, &mut random);
    let objects = phases(&format!("https://{address}"), &ca).into_iter().chain([token(json!({}))]);
    objects.for_each(|object| tenant.api_mut().put(object, now, &mut random));
    let listener = Listener {
        endpoint: "tenant".into(),
        address,
        certificate: pair.certificate,
        key: pair.key,
        client_ca: Some(ca),
    };
    (Inner { tenant, authority, listener }, hash)
}

/// The token's Secret with these fields more, or instead.
fn token(more: Value) -> Value {
    let mut data = json!({
        "token-id": STANDARD.encode(TOKEN_ID), "token-secret": STANDARD.encode(SECRET),
        "usage-bootstrap-authentication": "dHJ1ZQ==", "usage-bootstrap-signing": "dHJ1ZQ==",
        "auth-extra-groups": STANDARD.encode(BOOTSTRAPPERS),
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| data[key] = value.clone());
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "data": data,
        "metadata": { "name": format!("bootstrap-token-{TOKEN_ID}"), "namespace": "kube-system" },
    })
}

/// A port that is free: the listeners of a server name theirs.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Cluster {
    pub async fn start(scale: u64) -> Self {
        let address = free_address();
        let (inner, hash) = tenant(address, scale);
        let shell = Shell::start(inner, Vec::new(), Clock::real(), 8).await.unwrap();
        Cluster { shell, hash, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn ca_hash(&self) -> String {
        self.hash.clone()
    }

    fn put(&self, objects: Vec<Value>) {
        let (now, mut random) = (Clock::real().now(), Random::new(9));
        self.shell.with(|inner| {
            objects.into_iter().for_each(|object| inner.tenant.api_mut().put(object, now, &mut random));
            inner.tick(now, &mut random);
        });
    }

    /// Writes the token's Secret with these fields more, or instead.
    pub fn token(&self, more: Value) {
        self.put(vec![token(more)]);
    }

    pub fn expire(&self) {
        self.token(json!({ "expiration": STANDARD.encode("2020-01-01T00:00:00Z") }));
    }

    pub fn revoke(&self) {
        let name = format!("bootstrap-token-{TOKEN_ID}");
        let now = Clock::real().now();
        self.shell.with(|inner| inner.tenant.api_mut().discard("", "secrets", "kube-system", &name, now));
    }

    pub fn add_network(&self) {
        let labels = json!({ "app": "net" });
        self.put(vec![json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "net", "namespace": "kube-system" },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": {
                    "hostNetwork": true,
                    "containers": [{ "name": "net", "image": "net:1" }],
                    "volumes": [{ "name": "cni", "hostPath": { "path": "/etc/cni/net.d" } }],
                } },
            },
        })]);
    }

    pub fn node(&self, name: &str) -> Option<Value> {
        self.shell.with(|inner| inner.tenant.api().get("", "nodes", "", name).map(|node| (**node).clone()))
    }

    pub fn ready(&self, name: &str) -> String {
        let node = self.node(name).unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        ready.and_then(|condition| condition["status"].as_str()).unwrap_or("none").to_owned()
    }

    pub async fn becomes(&self, name: &str, status: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.ready(name) != status {
            assert!(Instant::now() < deadline, "{name} is {}, not {status}", self.ready(name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What kubeadm's phases write.
fn phases(server: &str, ca: &str) -> Vec<Value> {
    let config_map = |namespace: &str, name: &str, key: &str, text: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": { key: text } });
    let group = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name });
    let role = |namespace: &str, name: &str, maps: &[&str]| {
        let rules =
            json!([{ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": maps, "verbs": ["get"] }]);
        json!({ "apiVersion": RBAC, "kind": "Role", "metadata": { "name": name, "namespace": namespace }, "rules": rules })
    };
    let bind = |namespace: Option<&str>, name: &str, kind: &str, role: &str, subject: Value| {
        let mut metadata = json!({ "name": name });
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        let of = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
        json!({
            "apiVersion": RBAC, "kind": of, "metadata": metadata, "subjects": [subject],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
        })
    };
    let anonymous = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:anonymous" });
    let nodeclient = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    vec![
        config_map("kube-public", "cluster-info", "kubeconfig", &cluster_info(server, ca)),
        config_map(
            "kube-system",
            "kubeadm-config",
            "ClusterConfiguration",
            "kind: ClusterConfiguration\nkubernetesVersion: v1.35.2\n",
        ),
        config_map("kube-system", "kubelet-config", "kubelet", "kind: KubeletConfiguration\n"),
        role("kube-public", "kubeadm:bootstrap-signer-clusterinfo", &["cluster-info"]),
        bind(Some("kube-public"), "clusterinfo", "Role", "kubeadm:bootstrap-signer-clusterinfo", anonymous),
        role("kube-system", "kubeadm:nodes", &["kubeadm-config", "kubelet-config"]),
        bind(Some("kube-system"), "nodes", "Role", "kubeadm:nodes", group(BOOTSTRAPPERS)),
        json!({ "apiVersion": RBAC, "kind": "ClusterRole", "metadata": { "name": "kubeadm:get-nodes" },
                "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get"] }] }),
        bind(None, "kubeadm:get-nodes", "ClusterRole", "kubeadm:get-nodes", group(BOOTSTRAPPERS)),
        bind(None, "kubeadm:kubelet-bootstrap", "ClusterRole", "system:node-bootstrapper", group(BOOTSTRAPPERS)),
        bind(None, "kubeadm:node-autoapprove-bootstrap", "ClusterRole", nodeclient, group(BOOTSTRAPPERS)),
    ]
}
