//! A machine joins a tenant, as kubeadm and a kubelet do it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab_cluster::pki::ClientRequest;
use lab_cluster::tenant::jws;
use lab_wire::{Peer, Request, Response, rfc3339};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::World;

const ID: &str = "abcdef";
const SECRET: &str = "0123456789abcdef";
const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

fn add_token(world: &mut World, lives: u64) {
    let secret = json!({
        "metadata": {"name": format!("bootstrap-token-{ID}")}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": ID, "token-secret": SECRET, "expiration": rfc3339(world.now + lives),
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    });
    assert_eq!(world.tenant("a", "POST", "/api/v1/namespaces/kube-system/secrets", secret).status, 201);
}

fn ask(world: &mut World, mut request: Request) -> Response {
    request.endpoint = "tenant/t/a".to_owned();
    world.send(&request)
}

fn with_token(world: &mut World, request: Request) -> Response {
    ask(world, request.bearer(&format!("{ID}.{SECRET}")))
}

fn as_node(world: &mut World, method: &str, path: &str, body: &Value) -> Response {
    let mut request = Request::new(method, path).json(body);
    if method == "PATCH" {
        request.headers = vec![("content-type".to_owned(), "application/strategic-merge-patch+json".to_owned())];
    }
    request.peer =
        Peer { common_name: Some("system:node:n1".to_owned()), organizations: vec!["system:nodes".to_owned()] };
    ask(world, request)
}

fn csr(name: &str, group: &str) -> Value {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    assert_eq!(ClientRequest::read(&pem).unwrap().common_name, name);
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "node-csr-"},
        "spec": {"request": STANDARD.encode(pem), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                 "usages": ["digital signature", "client auth"]},
    })
}

fn node_status(world: &mut World) -> (String, String) {
    let node = world.tenant("a", "GET", "/api/v1/nodes/n1", Value::Null).value();
    let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

fn network() -> Value {
    let labels = json!({"app": "net"});
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "net"}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {
            "hostNetwork": true, "containers": [{"name": "net", "image": "net"}],
            "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}]}}}})
}

/// Waits for the signature and checks it as kubeadm does: by computing it.
fn discover(world: &mut World) {
    let signed = |world: &mut World| {
        let info = ask(world, Request::new("GET", INFO));
        assert_eq!(info.status, 200, "anyone may read it");
        let info = info.value();
        let found = info["data"][format!("jws-kubeconfig-{ID}")].as_str().map(str::to_owned);
        found.is_some_and(|found| found == jws::detached(info["data"]["kubeconfig"].as_str().unwrap(), ID, SECRET))
    };
    world.until("a signature", signed);
}

#[test]
fn a_machine_joins_and_is_ready_once_there_is_a_network() {
    let mut world = World::new(10);
    world.joinable("a");
    add_token(&mut world, 600_000);
    discover(&mut world);
    for path in ["kubeadm-config", "kubelet-config"] {
        let config = Request::new("GET", &format!("/api/v1/namespaces/kube-system/configmaps/{path}"));
        assert_eq!(with_token(&mut world, config).status, 200, "{path}");
    }
    assert_eq!(with_token(&mut world, Request::new("GET", "/api/v1/nodes/n1")).status, 404, "kubeadm looks for a twin");
    let made = with_token(&mut world, Request::new("POST", CSRS).json(&csr("system:node:n1", "system:nodes"))).value();
    assert_eq!(made["spec"]["username"], format!("system:bootstrap:{ID}"));
    let path = format!("{CSRS}/{}", made["metadata"]["name"].as_str().unwrap());
    world.until("a certificate", |world| {
        with_token(world, Request::new("GET", &path)).value()["status"]["certificate"].is_string()
    });
    let certificate = with_token(&mut world, Request::new("GET", &path)).value()["status"]["certificate"].clone();
    let pem = STANDARD.decode(certificate.as_str().unwrap()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    assert_eq!(pem.parse_x509().unwrap().subject().to_string(), "O=system:nodes, CN=system:node:n1");

    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
    let node = json!({"metadata": {"name": "n1"}, "status": {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.33.4"}}});
    assert_eq!(as_node(&mut world, "POST", "/api/v1/nodes", &node).status, 201);
    let lease = json!({"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": rfc3339(world.now)}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(as_node(&mut world, "POST", leases, &lease).status, 201);
    assert_eq!(node_status(&mut world), ("False".to_owned(), "KubeletNotReady".to_owned()));
    assert_eq!(
        as_node(&mut world, "PATCH", "/api/v1/nodes/n1/status", &json!({"status": {"conditions": [ready]}})).status,
        200
    );
    assert_eq!(node_status(&mut world).0, "False", "no kubelet is ready without a network");

    assert_eq!(world.tenant("a", "POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", network()).status, 201);
    assert_eq!(node_status(&mut world).0, "False");
    world.until("a Ready node", |world| node_status(world).0 == "True");
    let dns = world.tenant("a", "GET", "/apis/apps/v1/namespaces/kube-system/deployments/coredns", Value::Null).value();
    assert_eq!(dns["status"]["availableReplicas"], 2);
    let sets = world.tenant("a", "GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/net", Value::Null).value();
    assert_eq!(
        (sets["status"]["desiredNumberScheduled"].as_u64(), sets["status"]["numberReady"].as_u64()),
        (Some(1), Some(1))
    );

    world.wait(5000);
    assert_eq!(node_status(&mut world), ("Unknown".to_owned(), "NodeStatusUnknown".to_owned()), "its lease is stale");
    let renewed = json!({"spec": {"renewTime": rfc3339(world.now)}});
    assert_eq!(as_node(&mut world, "PATCH", &format!("{leases}/n1"), &renewed).status, 200);
    as_node(&mut world, "PATCH", "/api/v1/nodes/n1/status", &json!({"status": {"conditions": [ready]}}));
    assert_eq!(node_status(&mut world).0, "True");
}

#[test]
fn tokens_that_are_wrong_or_over_join_nothing() {
    let mut world = World::new(10);
    world.joinable("a");
    add_token(&mut world, 3000);
    let ask_with = |world: &mut World, token: &str| {
        let body = csr("system:node:n1", "system:nodes");
        ask(world, Request::new("POST", CSRS).bearer(token).json(&body)).status
    };
    assert_eq!(ask_with(&mut world, "abcdef.wrongwrongwrong0"), 401);
    assert_eq!(ask_with(&mut world, "abcdef.0123456789abcdef"), 201);
    discover(&mut world);
    assert_eq!(world.cluster.live_tokens(world.now).len(), 1);
    world.wait(3000);
    assert_eq!(ask_with(&mut world, "abcdef.0123456789abcdef"), 401);
    assert!(world.cluster.live_tokens(world.now).is_empty());
    let secret = world.tenant("a", "GET", "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef", Value::Null);
    assert_eq!(secret.status, 404, "the token cleaner took it");
    world.until("the signature's end", |world| {
        ask(world, Request::new("GET", INFO)).value()["data"].as_object().unwrap().len() == 1
    });
}

#[test]
fn certificates_are_for_nodes_alone() {
    let mut world = World::new(10);
    world.joinable("a");
    add_token(&mut world, 600_000);
    for (name, group) in [("system:node:n1", "system:masters"), ("root", "system:nodes")] {
        let made = with_token(&mut world, Request::new("POST", CSRS).json(&csr(name, group))).value();
        let path = format!("{CSRS}/{}", made["metadata"]["name"].as_str().unwrap());
        world.wait(5000);
        let left = with_token(&mut world, Request::new("GET", &path)).value();
        assert_eq!(left["status"], json!({}), "{name} of {group} stays pending");
    }
}

#[test]
fn signatures_go_away_for_a_while_and_settle() {
    let mut world = World::new(10);
    world.joinable("a");
    let mut losses = 0;
    for round in 0..20 {
        if round > 0 {
            world.tenant(
                "a",
                "DELETE",
                &format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{ID}"),
                Value::Null,
            );
            world.wait(5000);
        }
        add_token(&mut world, 600_000);
        discover(&mut world);
        let mut held = 0;
        while held < 50 {
            world.wait(20);
            let info = ask(&mut world, Request::new("GET", INFO)).value();
            if info["data"].as_object().unwrap().len() == 2 {
                held += 1;
            } else {
                losses += 1;
                held = 0;
            }
        }
    }
    assert!(losses > 0, "Kamaji never rewrote cluster-info");
    world.cluster.withhold_signatures("t", "a", 2000, world.now, &mut world.random);
    world.wait(1900);
    assert_eq!(ask(&mut world, Request::new("GET", INFO)).value()["data"].as_object().unwrap().len(), 1);
    discover(&mut world);
}
