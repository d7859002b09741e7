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
    assert_eq!(
        asked.path,
        "/api/v1/namespaces/ns/configmaps/a?fieldManager=agentkube-t&fieldValidation=Strict&force=true"
    );
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

/// The server's answers, each once, and then 200 with what it was sent.
fn answering(replies: Vec<Reply>) -> Server {
    let replies = std::sync::Mutex::new(replies.into_iter());
    Server::start(move |asked| {
        let next = replies.lock().unwrap().next();
        next.unwrap_or_else(|| Reply::new(200, asked.body.clone()))
    })
}

fn held(uid: Option<&str>, version: Option<&str>) -> Preconditions {
    Preconditions { uid: uid.map(str::to_owned), resource_version: version.map(str::to_owned) }
}

#[tokio::test]
async fn patches_carry_their_preconditions_and_their_kind() {
    let server = answering(vec![]);
    let stores = Arc::new(Stores::default());
    let (lab, _) = kube_lab(&server);
    let rules = json!([{ "verbs": ["patch"], "resources": ["configmaps", "configmaps/status"] }]);
    let context = context(&stores, lab, json!([{ "connection": "lab", "kube": rules }]));
    let entry = entry(&context, &stores).await;
    let target = target("configmaps", "a");
    let data = json!({ "data": { "k": "v" } }).to_string();
    let steps = json!([{ "op": "remove", "path": "/data/k" }]).to_string();
    let same = || held(Some("u-1"), Some("7"));
    let metadata = json!({ "uid": "u-1", "resourceVersion": "7" });
    let merged = json!({ "data": { "k": "v" }, "metadata": metadata });
    let stepped = json!([
        { "op": "replace", "path": "/metadata/resourceVersion", "value": "7" },
        { "op": "replace", "path": "/metadata/uid", "value": "u-1" }, { "op": "remove", "path": "/data/k" }]);
    for (kind, patch, held, media, sent) in [
        (PatchKind::Merge, &data, same(), "application/merge-patch+json", merged.clone()),
        (PatchKind::Strategic, &data, same(), "application/strategic-merge-patch+json", merged),
        (PatchKind::Json, &steps, same(), "application/json-patch+json", stepped),
        (PatchKind::Merge, &data, held(None, None), "application/merge-patch+json", json!({ "data": { "k": "v" } })),
    ] {
        let answer = kube::patch(&context, "lab", &target, None, kind, patch, held, entry).await.unwrap();
        let asked = server.asked().pop().unwrap();
        let path = "/api/v1/namespaces/ns/configmaps/a?fieldManager=agentkube-t&fieldValidation=Strict";
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PATCH", path));
        assert_eq!(asked.header("content-type"), Some(media));
        assert_eq!(serde_json::from_slice::<Value>(&asked.body).unwrap(), sent);
        assert_eq!(answer.as_bytes(), asked.body, "the object as the server gave it");
    }
    let merge = PatchKind::Merge;
    kube::patch(&context, "lab", &target, Some("status"), merge, &data, held(None, None), entry).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.path, "/api/v1/namespaces/ns/configmaps/a/status?fieldManager=agentkube-t&fieldValidation=Strict");
    let scale = kube::patch(&context, "lab", &target, Some("scale"), merge, &data, held(None, None), entry).await;
    assert_eq!(scale.unwrap_err().code, "NOT_IN_MANIFEST");
    let wrong = kube::patch(&context, "lab", &target, None, merge, &steps, same(), entry).await;
    assert_eq!(wrong.unwrap_err().code, "BAD_PATCH");
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_is_a_conflict() {
    let conflict = || Reply::new(409, json!({ "reason": "Conflict", "message": "another uid" }).to_string());
    let invalid = |field: &str| {
        let details = json!({ "causes": [{ "field": field, "reason": "FieldValueInvalid" }] });
        Reply::new(422, json!({ "reason": "Invalid", "message": "invalid", "details": details }).to_string())
    };
    let server = answering(vec![conflict(), conflict(), invalid("metadata.uid"), invalid("data")]);
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let entry = entry(&context, &stores).await;
    let target = target("configmaps", "a");
    let fault = kube::delete(&context, "lab", &target, held(Some("u-2"), None), "Background", entry).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class), ("CONFLICT", Class::Conflict));
    assert!(fault.message.contains("another uid"), "{}", fault.message);
    let asked = server.asked().pop().unwrap();
    let options: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("DELETE", "/api/v1/namespaces/ns/configmaps/a"));
    assert_eq!(
        (&options["preconditions"], &options["propagationPolicy"]),
        (&json!({ "uid": "u-2" }), &json!("Background"))
    );
    let kept = stores.item(entry);
    assert_eq!((kept.last_answer.unwrap().status, kept.in_doubt), (409, None));
    for class in [Class::Conflict, Class::Conflict, Class::Invalid] {
        let patched =
            kube::patch(&context, "lab", &target, None, PatchKind::Merge, "{}", held(Some("u-2"), None), entry);
        assert_eq!(patched.await.unwrap_err().class, class);
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_cut_is_journalled_by_its_status() {
    let server = answering(vec![Reply::new(200, "x".repeat(100)).cut(50, 0)]);
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let entry = entry(&context, &stores).await;
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }).to_string();
    let fault = kube::apply(&context, "lab", &target("configmaps", "a"), &object, true, entry).await.unwrap_err();
    assert_eq!(fault.code, "NO_ANSWER");
    let kept = stores.item(entry);
    let answer = kept.last_answer.unwrap();
    assert_eq!((answer.status, answer.body.len(), kept.in_doubt), (200, 0, None));
}

#[tokio::test]
async fn raw_paths_are_those_of_the_manifest_and_any_status_is_an_answer() {
    let server = answering(vec![Reply::new(503, "not yet")]);
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab.clone(), grants);
    assert_eq!(kube::raw_get(&context, "lab", "/version").await.unwrap(), (503, "not yet".to_owned()));
    for path in ["/version/", "/version?x", "/api/v1/secrets", "/readyz", "version", ""] {
        let fault = kube::raw_get(&context, "lab", path).await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.class), ("NOT_IN_MANIFEST", Class::Denied), "{path}");
    }
    let bare = crate::testing::context(&stores, lab, json!([]));
    let fault = kube::raw_get(&bare, "lab", "/version").await.unwrap_err();
    assert_eq!(fault.code, "CONNECTION_NOT_GRANTED");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = Server::start(|asked| {
        let (name, next) = if asked.path.contains("continue=") { ("b", "") } else { ("a", "a/b=?&") };
        let list = json!({ "metadata": { "continue": next }, "items": [{ "metadata": { "name": name } }] });
        Reply::new(200, list.to_string())
    });
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let kind = target("configmaps", "").kind;
    let page = async |limit, next| kube::list(&context, "lab", &kind, Some("ns"), "app=x,y!=z", limit, next).await;
    let first = page(1, None).await.unwrap();
    assert_eq!(
        (first.items.as_slice(), first.next.as_deref()),
        ([r#"{"metadata":{"name":"a"}}"#.to_owned()].as_slice(), Some("a/b=?&"))
    );
    let second = page(100_000, first.next).await.unwrap();
    assert_eq!((second.items.as_slice(), second.next), ([r#"{"metadata":{"name":"b"}}"#.to_owned()].as_slice(), None));
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    let (path, labels) = ("/api/v1/namespaces/ns/configmaps", "labelSelector=app%3Dx%2Cy%21%3Dz");
    assert_eq!(paths[0], format!("{path}?limit=1&{labels}"));
    assert_eq!(paths[1], format!("{path}?limit=500&{labels}&continue=a%2Fb%3D%3F%26"));
    let everywhere = kube::list(&context, "lab", &kind, None, "", 0, None).await.err().unwrap();
    assert_eq!(everywhere.code, "KUBE_NOT_GRANTED", "namespaces n* are granted, not all");
}

#[tokio::test]
async fn questions_have_no_effect_and_need_no_row() {
    let server = Server::start(|asked| match asked.path.contains("selfsubjectaccessreviews") {
        true => Reply::new(201, json!({ "status": { "allowed": false } }).to_string()),
        false => Reply::new(201, asked.body.clone()),
    });
    let stores = Arc::new(Stores::default());
    let (lab, grants) = kube_lab(&server);
    let context = context(&stores, lab, grants);
    let target = target("configmaps", "a");
    assert!(!kube::may(&context, "lab", "create", &target.kind, Some("ns")).await.unwrap());
    let review: Value = serde_json::from_slice(&server.asked().pop().unwrap().body).unwrap();
    let wanted = &review["spec"]["resourceAttributes"];
    assert_eq!((&wanted["verb"], &wanted["namespace"]), (&json!("create"), &json!("ns")));
    assert_eq!(review["metadata"], Value::Null, "a review takes no metadata");

    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }).to_string();
    kube::rehearse(&context, "lab", &target, &object).await.unwrap();
    let path = server.asked().pop().unwrap().path;
    assert_eq!(path, "/api/v1/namespaces/ns/configmaps?fieldManager=agentkube-t&fieldValidation=Strict&dryRun=All");

    let other = Kind { plural: "widgets".to_owned(), ..target.kind.clone() };
    assert_eq!(kube::may(&context, "lab", "create", &other, None).await.unwrap_err().code, "NOT_IN_MANIFEST");
    let elsewhere = Target { namespace: Some("other".to_owned()), ..target };
    assert_eq!(kube::rehearse(&context, "lab", &elsewhere, &object).await.unwrap_err().code, "KUBE_NOT_GRANTED");
    assert_eq!(server.asked().len(), 2);
}
