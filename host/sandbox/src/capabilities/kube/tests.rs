//! Kubernetes by named connection, against a server that is looked into.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::Class;
use serde_json::{Value, json};

use super::{self as kube, Kind, PatchKind, Preconditions, Target};
use crate::testing::server::{Reply, Server};
use crate::testing::stores::Stores;
use crate::testing::{CANARY, context, entry};

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
