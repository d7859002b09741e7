//! Capabilities against a server that is looked into, without a guest.

#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/stores.rs"]
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Class, Clock, Holder, Ledger, Outcome, Random, ServiceKey};
use agentkube_manifest::Manifest;
use async_trait::async_trait;
use serde_json::{Value, json};

use self::server::{Reply, Server};
use self::stores::Stores;
use super::http::{Encoding, Part, Request, send};
use super::kube::{self, Kind, Preconditions, Target, Watches};
use crate::connections::Connections;
use crate::core::Core;
use crate::grants::{Grant, Grants};
use crate::limits::Traces;
use crate::metrics::{Metrics, NoMetrics};
use crate::permits::Permits;
use crate::services::Services;
use crate::settings::Limits;
use crate::state::{Context, State};

struct World;

#[async_trait]
impl Clock for World {
    fn now(&self) -> u64 {
        1
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Random for World {
    fn fill(&self, _: &mut [u8]) {}
}

const CANARY: &str = "canary-4711-do-not-tell";

fn context(stores: &Arc<Stores>, lab: Value, grants: Value) -> Context {
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "t", "version": "1", "description": "", "role": "node-provider", "contract": "0.1", "configSchema": true,
        "needs": {
            "http": [{ "connection": "/c", "purpose": "", "requests": [
                { "method": "GET", "path": "/{a}" }, { "method": "POST", "path": "/{a}" }] }],
            "kube": [{ "connection": "/c", "purpose": "", "raw": ["/version"], "rules": [
                { "group": "", "resources": ["secrets", "configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"] }] }]
        }
    }))
    .unwrap();
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    let mut config = json!({ "kind": "http", "addresses": ["127.0.0.0/8"] });
    config.as_object_mut().unwrap().extend(lab.as_object().unwrap().clone());
    let configs = BTreeMap::from([("lab".to_owned(), serde_json::from_value(config).unwrap())]);
    let secrets = BTreeMap::from([("key".to_owned(), serde_json::from_value(json!({ "value": CANARY })).unwrap())]);
    let connections = Connections::open(&configs, &secrets, &metrics).unwrap();
    let grants: Vec<Grant> = serde_json::from_value(grants).unwrap();
    let lab = |needs: &[_]| BTreeMap::from([("lab".to_owned(), needs.to_vec())]);
    let core = Core {
        name: "t".to_owned(),
        digest: "sha256:0".to_owned(),
        http: BTreeMap::from([("lab".to_owned(), manifest.needs.http[0].requests.clone())]),
        kube: lab(&manifest.needs.kube),
        manifest,
        config: "{}".to_owned(),
        grants: Grants::new("t", grants).unwrap(),
        services: Services {
            ledger: stores.clone(),
            reservations: stores.clone(),
            references: stores.clone(),
            clock: Arc::new(World),
            random: Arc::new(World),
            connections: Arc::new(connections),
            permits: Arc::new(Permits::default()),
            metrics,
        },
        limits: Limits::default(),
        detached: Arc::default(),
        watches: Arc::new(Watches::new(Duration::ZERO)),
    };
    let service = Some(ServiceKey { source: "s".to_owned(), service: "1".to_owned() });
    let holder = Holder { plugin: "t".to_owned(), digest: String::new(), service };
    State::new(Arc::new(core), holder, Arc::new(Traces::default())).begin().unwrap()
}

fn endpoint(server: &Server) -> Value {
    json!({ "endpoints": [{ "url": server.url() }] })
}

fn request(method: &str, path: &str) -> Request {
    Request {
        connection: "lab".to_owned(),
        endpoint: None,
        method: method.to_owned(),
        path: path.to_owned(),
        query: vec![],
        headers: vec![],
        body: vec![],
        capture: vec![],
        entry: None,
        timeout_ms: None,
    }
}

async fn entry(context: &Context, stores: &Stores) -> u64 {
    stores.intend(&context.holder, "thing", "a", "").await.unwrap().entry
}

#[tokio::test]
async fn a_captured_value_goes_out_again_and_never_comes_in() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => Reply::new(200, json!({ "id": 7, "secret": CANARY }).to_string()),
        _ => Reply::new(200, [b"you said ", asked.body.as_slice()].concat()),
    });
    let stores = Arc::new(Stores::default());
    let flow = json!([{ "connection": "lab" }, { "pass": "http", "to": ["lab"] }]);
    let context = context(&stores, endpoint(&server), flow);
    let answer = send(&context, Request { capture: vec!["/secret".into(), "/none".into()], ..request("GET", "/a") })
        .await
        .unwrap();
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(seen, json!({ "id": 7, "secret": "ref-1" }));

    let entry = entry(&context, &stores).await;
    let parts = || {
        let secret = |encoding| Part::Secret(agentkube_contract::Reference("ref-1".to_owned()), encoding);
        vec![Part::Bytes(b"{\"k\":\"".to_vec()), secret(Encoding::JsonString), Part::Bytes(b"\"}".to_vec())]
    };
    let answer = send(&context, Request { body: parts(), entry: Some(entry), ..request("POST", "/b") }).await.unwrap();
    let sent = server.asked().pop().unwrap();
    assert_eq!(String::from_utf8(sent.body).unwrap(), format!("{{\"k\":\"{CANARY}\"}}"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), "you said {\"k\":\"[secret]\"}", "an echo is scrubbed");
    assert_eq!(stores.item(entry).last_answer.unwrap().body, b"you said {\"k\":\"[secret]\"}", "in the journal too");
}

#[tokio::test]
async fn a_reference_goes_only_where_it_was_granted_to() {
    let server = Server::start(|_| Reply::new(200, json!({ "secret": CANARY }).to_string()));
    let stores = Arc::new(Stores::default());
    let context = context(&stores, endpoint(&server), json!([{ "connection": "lab" }]));
    send(&context, Request { capture: vec!["/secret".into()], ..request("GET", "/a") }).await.unwrap();
    let entry = entry(&context, &stores).await;
    let secret = Part::Secret(agentkube_contract::Reference("ref-1".to_owned()), Encoding::Raw);
    let refused = send(&context, Request { body: vec![secret], entry: Some(entry), ..request("POST", "/b") }).await;
    let fault = refused.err().unwrap();
    assert_eq!(fault.class, Class::Denied);
    assert!(
        fault.message.contains("[[plugins.t.grants]] pass = \"http\", from = [\"t\"], to = [\"lab\"]"),
        "{}",
        fault.message
    );
    assert_eq!(server.count("POST", "/b"), 0);
}

#[tokio::test]
async fn the_credential_is_added_read_again_and_never_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "first-token").unwrap();
    let server = Server::start(|asked| {
        let said = asked.header("authorization").unwrap_or_default().to_owned();
        Reply::new(401, said.clone()).header(&format!("x-echo: {said}")).header("set-cookie: a=b")
    });
    let auth =
        json!({ "kind": "header", "name": "Authorization", "template": "Token={secret}", "secret": { "file": file } });
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [{ "url": server.url() }], "auth": auth });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let answer = send(&context, request("GET", "/a")).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (401, "Said So"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), "Token=[secret]");
    assert!(answer.headers.contains(&("x-echo".to_owned(), "Token=[secret]".to_owned())));
    assert!(answer.headers.iter().all(|(name, _)| name != "set-cookie"));
    std::fs::write(&file, "second-token-is-longer").unwrap();
    send(&context, request("GET", "/a")).await.unwrap();
    assert_eq!(server.asked()[1].header("authorization"), Some("Token=second-token-is-longer"));
    let refused =
        send(&context, Request { headers: vec![("Authorization".into(), "x".into())], ..request("GET", "/a") }).await;
    assert_eq!(refused.err().unwrap().code, "HEADER_REFUSED");
}

#[tokio::test]
async fn not_connected_is_told_from_sent() {
    let server = Server::start(|_| Reply::new(200, "{}").after(3_000));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [
        { "url": format!("http://127.0.0.1:{closed}"), "label": "closed" }, { "url": server.url(), "label": "slow" }] });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let entry = entry(&context, &stores).await;
    let post = |label: Option<&str>| Request {
        endpoint: label.map(str::to_owned),
        entry: Some(entry),
        timeout_ms: Some(300),
        ..request("POST", "/a")
    };
    let fault = send(&context, post(Some("closed"))).await.err().unwrap();
    assert_eq!((fault.code.as_str(), fault.outcome), ("NOT_CONNECTED", Outcome::NotApplied));
    assert_eq!(stores.item(entry).in_doubt, None);
    // Without a label the next endpoint is tried, since nothing was sent to the first.
    let fault = send(&context, post(None)).await.err().unwrap();
    assert_eq!((fault.class, fault.outcome), (Class::Timeout, Outcome::Unknown));
    assert_eq!(stores.item(entry).in_doubt.as_deref(), Some("POST /a"));
    assert_eq!(server.count("POST", "/a"), 1);
    assert_eq!(send(&context, post(Some("none"))).await.err().unwrap().code, "NO_SUCH_ENDPOINT");
}

#[tokio::test]
async fn redirects_come_back_and_long_answers_do_not() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/moved" => Reply::new(302, "").header("location: http://169.254.169.254/latest"),
        _ => Reply::new(200, vec![b'x'; 3000]),
    });
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [{ "url": server.url() }], "limits": { "response-bytes": 2000 } });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    assert_eq!(send(&context, request("GET", "/moved")).await.unwrap().status, 302);
    assert_eq!(send(&context, request("GET", "/long")).await.err().unwrap().code, "ANSWER_TOO_LARGE");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_name_that_leads_to_an_unlisted_address_is_denied() {
    let server = Server::start(|_| Reply::new(200, ""));
    let stores = Arc::new(Stores::default());
    let lab =
        json!({ "addresses": ["10.0.0.0/8"], "endpoints": [{ "url": format!("http://localhost:{}", server.port) }] });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let fault = send(&context, request("GET", "/a")).await.err().unwrap();
    assert_eq!((fault.code.as_str(), fault.class), ("ADDRESS_DENIED", Class::Denied));
    assert!(fault.message.contains("[connections.lab] addresses = ["), "{}", fault.message);
    assert!(server.asked().is_empty());
}

fn target(plural: &str, name: &str) -> Target {
    let kind = Kind { group: String::new(), version: "v1".to_owned(), plural: plural.to_owned() };
    Target { kind, namespace: Some("ns".to_owned()), name: name.to_owned() }
}

fn kube_lab(server: &Server) -> (Value, Value) {
    let rules = json!([
        { "verbs": ["*"], "resources": ["configmaps"], "namespaces": ["n*"] },
        { "verbs": ["get"], "resources": ["secrets"], "names": ["*-kubeconfig"] }]);
    (json!({ "kind": "kube", "endpoints": [{ "url": server.url() }] }), json!([{ "connection": "lab", "kube": rules }]))
}

#[tokio::test]
async fn the_data_of_a_secret_is_a_reference_and_secrets_are_not_written() {
    let server = Server::start(|_| {
        let annotations = json!({ "kubectl.kubernetes.io/last-applied-configuration": CANARY });
        let metadata = json!({ "name": "a-kubeconfig", "namespace": "ns", "annotations": annotations });
        Reply::new(
            200,
            json!({ "metadata": metadata, "data": { "admin.conf": CANARY }, "stringData": { "x": CANARY } })
                .to_string(),
        )
    });
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let seen = kube::get(&context, "lab", &target("secrets", "a-kubeconfig")).await.unwrap();
    assert!(!seen.contains(CANARY) && seen.contains(r#""admin.conf":"ref-1""#), "{seen}");
    let other = kube::get(&context, "lab", &target("secrets", "other")).await.unwrap_err();
    assert!(other.message.contains("names = [\"other\"]"), "{}", other.message);
    let kind = target("secrets", "").kind;
    assert_eq!(
        kube::list(&context, "lab", &kind, Some("ns"), "", 0, None).await.err().unwrap().code,
        "KUBE_NOT_GRANTED"
    );
    let written = kube::create(&context, "lab", &target("secrets", "a-kubeconfig"), "{}", 1).await;
    assert_eq!(written.unwrap_err().code, "SECRETS_NOT_WRITABLE");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn changes_are_journalled_and_speak_the_language_of_the_api() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "DELETE" => Reply::new(404, json!({ "reason": "NotFound" }).to_string()),
        "POST" => Reply::new(409, json!({ "reason": "AlreadyExists", "message": "it exists" }).to_string()),
        _ => Reply::new(200, asked.body.clone()),
    });
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let entry = entry(&context, &stores).await;
    let target = target("configmaps", "a");
    let object =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": "ns" } }).to_string();
    kube::apply(&context, "lab", &target, &object, true, entry).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.path, "/api/v1/namespaces/ns/configmaps/a?fieldManager=agentkube-t&force=true");
    assert_eq!(asked.header("content-type"), Some("application/apply-patch+yaml"));
    assert_eq!(stores.item(entry).last_answer.unwrap().request, "PATCH /api/v1/namespaces/ns/configmaps/a");
    let fault = kube::create(&context, "lab", &target, &object, entry).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class), ("ALREADY_EXISTS", Class::Conflict));
    let held = Preconditions { uid: Some("u-1".to_owned()), resource_version: None };
    kube::delete(&context, "lab", &target, held, "Foreground", entry).await.unwrap();
    let options: Value = serde_json::from_slice(&server.asked().pop().unwrap().body).unwrap();
    assert_eq!(options["preconditions"], json!({ "uid": "u-1" }));
    let missing = kube::apply(&context, "lab", &target, &object, true, 99).await.unwrap_err();
    assert_eq!(missing.code, "NO_SUCH_ENTRY", "nothing is sent without a row");
    assert_eq!(server.asked().len(), 3);
    assert_eq!(kube::raw_get(&context, "lab", "/metrics").await.unwrap_err().code, "NOT_IN_MANIFEST");
    assert_eq!(kube::raw_get(&context, "lab", "/version").await.unwrap().0, 200);
}

#[tokio::test]
async fn waiters_share_one_watch_which_closes_when_nobody_waits() {
    let object = |version: &str| json!({ "metadata": { "name": "a", "namespace": "ns", "resourceVersion": version } });
    let server = Server::start(move |asked| {
        if asked.path.contains("watch=true") {
            let event = |version| format!("{}\n", json!({ "type": "MODIFIED", "object": object(version) }));
            let first = asked.path.contains("resourceVersion=5&");
            return if first { Reply::new(200, event("6")).after(200) } else { Reply::new(200, "").after(2_000) };
        }
        let list = json!({ "metadata": { "resourceVersion": "5" }, "items": [object("5")] });
        Reply::new(200, list.to_string())
    });
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let target = target("configmaps", "a");
    let wait = |known| kube::wait_for(&context, "lab", &target, known, 5_000);
    let (now, one, two) = tokio::join!(wait(None), wait(Some("5")), wait(Some("5")));
    assert!(now.unwrap().object.unwrap().contains(r#""resourceVersion":"5""#));
    for waited in [one, two] {
        let waited = waited.unwrap();
        assert!(!waited.timed_out && waited.object.unwrap().contains(r#""resourceVersion":"6""#));
    }
    let lists = server.asked().iter().filter(|asked| !asked.path.contains("watch=true")).count();
    assert_eq!(lists, 1);
    let none = kube::wait_for(&context, "lab", &target, Some("6"), 50).await.unwrap();
    assert!(none.timed_out);
    for _ in 0..80 {
        if context.core.watches.count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the watch stayed open");
}
