//! Connections against real handshakes on loopback.

mod identity;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use agentkube_contract::Outcome;
use ring::digest::{SHA256, digest};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Connections, Lost, Outgoing};
use crate::metrics::Metrics;

#[derive(Default)]
struct Handshakes(AtomicUsize);

impl Metrics for Handshakes {
    fn handshake(&self, _: &str) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server with a certificate for `lab.test`; gives its port, the certificate as PEM, and its fingerprint.
async fn serve() -> (u16, String, String) {
    let made = rcgen::generate_simple_self_signed(["lab.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    // Its clock is an hour ahead.
                    let date = SystemTime::now() + Duration::from_secs(3600);
                    let date = httpdate::fmt_http_date(date);
                    let answer = format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let hex = digest(&SHA256, made.cert.der()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    (port, made.cert.pem(), hex)
}

fn open(port: u16, tls: Value, metrics: Arc<dyn Metrics>) -> Connections {
    let config = json!({
        "kind": "http", "addresses": ["127.0.0.1"], "tls": tls, "endpoints": [{ "url": format!("https://127.0.0.1:{port}") }]
    });
    let configs = BTreeMap::from([("lab".to_owned(), serde_json::from_value(config).unwrap())]);
    Connections::open(&configs, &BTreeMap::new(), &metrics).unwrap()
}

// Checklist 79.
#[tokio::test]
async fn a_server_is_trusted_by_authority_and_name_or_by_fingerprint() {
    let (port, pem, fingerprint) = serve().await;
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    for (tls, trusted) in [
        (json!({ "ca-file": ca, "server-name": "lab.test" }), true),
        (json!({ "ca-file": ca }), false),
        (json!({ "ca-file": ca, "server-name": "other.test" }), false),
        (json!({ "fingerprint": fingerprint }), true),
        (json!({ "fingerprint": "00".repeat(32) }), false),
    ] {
        let handshakes = Arc::new(Handshakes::default());
        let connections = open(port, tls.clone(), handshakes.clone());
        let lab = connections.get("lab").unwrap();
        for _ in 0..3 {
            match lab.exchange(Outgoing::get("/", &[])).await {
                Ok(answer) => assert!(trusted && answer.body == b"ok", "{tls}"),
                Err(Lost { fault, .. }) => {
                    assert_eq!((trusted, fault.outcome), (false, Outcome::NotApplied), "{tls}: {fault}");
                    assert_eq!(fault.code, "SERVER_NOT_TRUSTED", "{fault}");
                }
            }
        }
        let handshakes = handshakes.0.load(Ordering::SeqCst);
        assert_eq!(handshakes, if trusted { 1 } else { 3 }, "a connection is kept: {tls}");
    }
}

#[tokio::test]
async fn a_probe_says_who_answers_and_what_time_it_is_there() {
    let (port, _, fingerprint) = serve().await;
    let metrics: Arc<dyn Metrics> = Arc::new(Handshakes::default());
    let connections = open(port, json!({ "fingerprint": fingerprint }), Arc::clone(&metrics));
    let probes = connections.get("lab").unwrap().probe().await;
    let [probe] = probes.as_slice() else { panic!("{probes:?}") };
    assert_eq!(probe.endpoint, format!("https://127.0.0.1:{port}"));
    let answered = probe.answer.as_ref().unwrap();
    assert_eq!(answered.status, 200);
    assert!(answered.ahead_ms.is_some_and(|ahead| ahead > 3_000_000), "{answered:?}");

    let other = open(port, json!({ "fingerprint": "00".repeat(32) }), Arc::clone(&metrics));
    let fault = other.get("lab").unwrap().probe().await.remove(0).answer.unwrap_err();
    assert_eq!(fault.code, "SERVER_NOT_TRUSTED");
    assert!(fault.message.contains(&fingerprint), "the one that was found is named: {fault}");
    let nobody = open(1, json!({ "fingerprint": "00".repeat(32) }), metrics);
    assert_eq!(nobody.get("lab").unwrap().probe().await.remove(0).answer.unwrap_err().code, "NOT_CONNECTED");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_name() {
    let metrics: Arc<dyn Metrics> = Arc::new(Handshakes::default());
    let refused = |config: Value| {
        let configs = BTreeMap::from([("lab".to_owned(), serde_json::from_value(config).unwrap())]);
        Connections::open(&configs, &BTreeMap::new(), &metrics).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let fingerprint = "00".repeat(32);
    let with =
        |url: &str| json!({ "kind": "http", "endpoints": [{ "url": url }], "tls": { "fingerprint": fingerprint } });
    assert!(refused(with("https://10.0.0.1/api")).contains("[connections.lab] addresses = [\"10.0.0.1\"]"));
    assert!(refused(with("https://[::1]/")).contains("not public"));
    assert!(refused(with("https://a:b@example.com")).contains("credential"));
    assert!(refused(with("ftp://example.com")).contains("no https"));
    assert!(refused(json!({ "kind": "http" })).contains("no endpoint"));
    assert_eq!(refused(with("https://example.com/api")), "");
}

#[test]
fn a_kubeconfig_that_runs_programs_or_trusts_blindly_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    let metrics: Arc<dyn Metrics> = Arc::new(Handshakes::default());
    let opened = |cluster: Value, user: Value| {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "k", "cluster": cluster }], "users": [{ "name": "u", "user": user }],
            "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }]
        });
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let config = json!({
            "kind": "kube", "addresses": ["10.0.0.0/8"], "tls": { "fingerprint": "00".repeat(32) },
            "kubernetes": { "kubeconfig": { "file": file } }
        });
        let configs = BTreeMap::from([("lab".to_owned(), serde_json::from_value(config).unwrap())]);
        Connections::open(&configs, &BTreeMap::new(), &metrics).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let server = json!({ "server": "https://10.0.0.1:6443" });
    assert_eq!(opened(server.clone(), json!({ "token": "t" })), "");
    let exec = json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "sh" } });
    assert!(opened(server, exec).contains("exec"));
    let blind = json!({ "server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true });
    assert!(opened(blind, json!({})).contains("insecure-skip-tls-verify"));
}
