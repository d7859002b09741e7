//! What we show to the other side, and the name by which we ask for it.

use std::path::Path;
use std::sync::Arc;

use agentkube_contract::{Class, Outcome};
use serde_json::{Value, json};

use crate::capabilities::kube::{self, Kind, Target};
use crate::connections::{Lost, Outgoing, Pod};
use crate::settings::Limits;
use crate::state::Context;
use crate::testing::authority::Authority;
use crate::testing::server::{Reply, Server};
use crate::testing::stores::Stores;
use crate::testing::{connections, core, no_pod, state};

async fn status(lab: Value) -> Result<u16, Lost> {
    let connections = connections(lab, &no_pod()).unwrap();
    connections.get("lab").unwrap().exchange(Outgoing::get("/", &[])).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_ours_or_refuses() {
    let (servers, clients, others) = (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let server = Server::start_tls(servers.server("localhost", Some(&clients)), |_| Reply::new(200, "ok"));
    let lab = |shown: Option<(&Path, &Path)>| {
        let mut tls = json!({ "ca-file": servers.ca() });
        if let Some((certificate, key)) = shown {
            tls["client-cert-file"] = json!(certificate);
            tls["client-key-file"] = json!(key);
        }
        json!({ "endpoints": [{ "url": format!("https://localhost:{}", server.port) }], "tls": tls })
    };
    let ours = clients.client("us");
    assert_eq!(status(lab(Some((&ours.0, &ours.1)))).await.unwrap(), 200);
    let theirs = others.client("us");
    for shown in [None, Some((theirs.0.as_path(), theirs.1.as_path()))] {
        let fault = status(lab(shown)).await.unwrap_err().fault;
        assert_eq!((fault.code.as_str(), fault.class), ("CERTIFICATE_REFUSED", Class::Unauthorized), "{fault}");
        assert_eq!(fault.outcome, Outcome::NotApplied);
    }
    assert_eq!(server.asked().len(), 1, "no other request was read");

    let half = json!({ "ca-file": servers.ca(), "client-cert-file": ours.0 });
    let half = json!({ "endpoints": [{ "url": "https://localhost" }], "tls": half });
    let error = connections(half, &no_pod()).err().unwrap().to_string();
    assert!(error.contains("tls.client-cert-file and tls.client-key-file belong together"), "{error}");
    let swapped = connections(lab(Some((&ours.0, &theirs.1))), &no_pod()).err().unwrap().to_string();
    assert!(swapped.contains("client certificate"), "{swapped}");
}

#[tokio::test]
async fn a_pinned_address_is_asked_by_its_name() {
    let authority = Authority::new("servers");
    let server = Server::start_tls(authority.server("localhost", None), |_| Reply::new(200, "ok"));
    let name = format!("localhost:{}", server.port);
    // `localhost` may mean ::1 too, which is not listed: only what is listed is connected to.
    let lab = json!({
        "endpoints": [{ "url": format!("https://{name}") }], "tls": { "ca-file": authority.ca() }, "addresses": ["127.0.0.1"]
    });
    assert_eq!(status(lab).await.unwrap(), 200);
    let asked = server.asked().pop().unwrap();
    assert_eq!((asked.server_name.as_deref(), asked.header("host")), (Some("localhost"), Some(name.as_str())));
}

// As Kubernetes' `tls-server-name`: asked for in the handshake, compared with the certificate, and no matter of `Host`.
#[tokio::test]
async fn another_name_is_asked_for_where_one_is_configured() {
    let authority = Authority::new("servers");
    let server = Server::start_tls(authority.server("api.cluster.test", None), |_| Reply::new(200, "ok"));
    let other = Server::start_tls(authority.server("api.cluster.test", None), |_| Reply::new(200, "ok"));
    let tls = json!({ "ca-file": authority.ca(), "server-name": "api.cluster.test" });
    let name = format!("127.0.0.1:{}", server.port);
    let urls = [format!("https://{name}"), format!("https://localhost:{}", other.port)];
    let endpoints: Vec<Value> =
        urls.iter().zip(["a", "b"]).map(|(url, label)| json!({ "url": url, "label": label })).collect();
    let lab = json!({ "endpoints": endpoints, "tls": tls, "addresses": ["127.0.0.1"] });
    let connections = connections(lab, &no_pod()).unwrap();
    let lab = connections.get("lab").unwrap();
    for label in ["a", "b"] {
        let out = Outgoing { endpoint: Some(label.to_owned()), ..Outgoing::get("/", &[]) };
        assert_eq!(lab.exchange(out).await.unwrap().status, 200, "{label}");
    }
    let asked = server.asked().pop().unwrap();
    assert_eq!((asked.server_name.as_deref(), asked.header("host")), (Some("api.cluster.test"), Some(name.as_str())));
    let asked = other.asked().pop().unwrap();
    assert_eq!(asked.server_name.as_deref(), Some("api.cluster.test"), "each endpoint keeps its own address");
}

fn kube_context(lab: Value, pod: &Pod) -> crate::Result<Context> {
    let grants = json!([{ "connection": "lab", "kube": [{ "verbs": ["get"], "resources": ["configmaps"] }] }]);
    let core = core(&Arc::new(Stores::default()), connections(lab, pod)?, grants, Limits::default());
    Ok(state(&core).begin().unwrap())
}

/// Asks twice, with another token in the file the second time; gives what the server saw of them.
async fn tokens(context: &Context, server: &Server, token: &Path) -> Vec<String> {
    let kind = Kind { group: String::new(), version: "v1".to_owned(), plural: "configmaps".to_owned() };
    let target = Target { kind, namespace: Some("ns".to_owned()), name: "a".to_owned() };
    for value in ["first-token", "second-token-is-longer"] {
        std::fs::write(token, value).unwrap();
        kube::get(context, "lab", &target).await.unwrap();
    }
    let header = |name| move |asked: &crate::testing::server::Asked| asked.header(name).unwrap_or_default().to_owned();
    server.asked().iter().map(header("authorization")).collect()
}

#[tokio::test]
async fn a_pod_reaches_its_own_cluster_by_its_service_account() {
    let authority = Authority::new("cluster");
    let server = Server::start_tls(authority.server("127.0.0.1", None), |_| Reply::new(200, "{}"));
    let lab = json!({ "kind": "kube", "kubernetes": "in-cluster" });
    let pod = |host: &str| Pod {
        account: authority.directory.path().to_owned(),
        host: Some(host.to_owned()),
        port: Some(server.port.to_string()),
    };
    let context = kube_context(lab.clone(), &pod("127.0.0.1")).unwrap();
    let seen = tokens(&context, &server, &authority.path("token")).await;
    assert_eq!(seen, ["Bearer first-token", "Bearer second-token-is-longer"]);

    let refused = |lab: &Value, pod: &Pod| kube_context(lab.clone(), pod).err().map(|error| error.to_string());
    assert_eq!(
        refused(&json!({ "kind": "kube", "kubernetes": "in-cluster", "addresses": ["fd00::/8"] }), &pod("fd00::1")),
        None
    );
    let unlisted = refused(&lab, &pod("10.96.0.1")).unwrap();
    assert!(unlisted.contains("[connections.lab] addresses = [\"10.96.0.1\"]"), "{unlisted}");
    let outside = refused(&lab, &no_pod()).unwrap();
    assert!(outside.contains("not in a cluster: KUBERNETES_SERVICE_HOST is not set"), "{outside}");
    let bare = Pod { account: authority.path("none"), ..pod("127.0.0.1") };
    assert!(refused(&lab, &bare).unwrap().contains("CA of the service account"));
    let http = refused(&json!({ "kubernetes": "in-cluster" }), &pod("127.0.0.1")).unwrap();
    assert!(http.contains("for connections of kind `kube`"), "{http}");
}

#[tokio::test]
async fn a_server_a_token_file_and_a_ca_file_are_a_cluster() {
    let (authority, other) = (Authority::new("cluster"), Authority::new("other"));
    let server = Server::start_tls(authority.server("localhost", None), |_| Reply::new(200, "{}"));
    let token = authority.path("token");
    let lab = |ca: &Path| {
        json!({
            "kind": "kube", "endpoints": [{ "url": format!("https://localhost:{}", server.port) }],
            "tls": { "ca-file": ca }, "auth": { "kind": "bearer", "secret": { "file": token } }
        })
    };
    let seen = tokens(&kube_context(lab(&authority.ca()), &no_pod()).unwrap(), &server, &token).await;
    assert_eq!(seen, ["Bearer first-token", "Bearer second-token-is-longer"]);
    let mut stranger = lab(&other.ca());
    stranger["kind"] = json!("http");
    let fault = status(stranger).await.unwrap_err().fault;
    assert_eq!((fault.code.as_str(), fault.outcome), ("SERVER_NOT_TRUSTED", Outcome::NotApplied));
    assert_eq!(server.asked().len(), 2, "no token goes to a server that is not trusted");
}
