//! The API server double itself.

use super::*;
use crate::kube::Propagation;
use crate::{kube, ledger};

fn planes() -> Resource {
    Resource::new("example.org", "v1", "planes")
}

#[test]
fn objects_live_die_and_keep_their_uid() {
    let world = World::new();
    world.run(async {
        let admin = kube::connection("admin");
        let target = planes().target(Some("ns"), "a");
        let entry = ledger::intend("plane", "a", "").await.unwrap().entry;
        let object = json!({ "metadata": { "labels": { "x": "1" }, "finalizers": ["f"] }, "spec": { "n": 1 } });
        let made: Value = admin.create(&target, &object, entry).await.unwrap();
        let again = admin.create::<Value>(&target, &object, entry).await.unwrap_err();
        assert_eq!(again.code, "ALREADY_EXISTS");

        let applied = admin.apply(&target, &json!({ "spec": { "m": 2 } }), false, entry).await.unwrap();
        assert_eq!((&applied["spec"]["n"], &applied["metadata"]["generation"]), (&json!(1), &json!(2)));
        let other = json!({ "metadata": { "uid": "another" } });
        assert_eq!(admin.apply(&target, &other, false, entry).await.unwrap_err().code, "PRECONDITION");

        let listed: Vec<Value> = admin.list(&planes(), ListOptions::new(Some("ns")).labels("x=1")).await.unwrap();
        assert_eq!(listed.len(), 1);
        let uid = made["metadata"]["uid"].as_str().unwrap();
        let wrong = admin.delete(&target, Preconditions::uid("another"), Propagation::Foreground, entry).await;
        assert_eq!(wrong.unwrap_err().code, "PRECONDITION");
        admin.delete(&target, Preconditions::uid(uid), Propagation::Foreground, entry).await.unwrap();
        assert!(admin.get::<Value>(&target).await.unwrap().is_some(), "the finalizer holds it");
        let free = json!([{ "op": "remove", "path": "/metadata/finalizers" }]);
        admin.patch(&target, PatchKind::Json, &free, Preconditions::none(), entry).await.unwrap();
        assert!(admin.get::<Value>(&target).await.unwrap().is_none());
    });
}

#[test]
fn a_wait_ends_with_a_change_or_in_time() {
    let world = World::new();
    let target = planes().target(Some("ns"), "a");
    world.put_object("admin", &target, json!({}));
    let later = target.clone();
    world.after(5_000, move |world| {
        world.change_object("admin", &later, |object| object["status"] = json!("Ready"));
    });
    world.run(async {
        let admin = kube::connection("admin");
        let first = admin.wait_for::<Value>(&target, None, 1_000).await.unwrap();
        let known = version(first.object.as_ref().unwrap()).to_owned();
        assert!(admin.wait_for::<Value>(&target, Some(&known), 1_000).await.unwrap().timed_out);
        let changed = admin.wait_for::<Value>(&target, Some(&known), 60_000).await.unwrap();
        assert_eq!(changed.object.unwrap()["status"], "Ready");
    });
}

#[test]
fn values_of_secrets_are_references() {
    let world = World::new();
    let target = Resource::core("v1", "secrets").target(Some("ns"), "kc");
    world.put_object("admin", &target, json!({ "data": { "conf": base64(b"top secret!") } }));
    world.run(async {
        let secret: Value = kube::connection("admin").get(&target).await.unwrap().unwrap();
        let reference = secret["data"]["conf"].as_str().unwrap();
        assert_eq!(world.value(reference).as_deref(), Some("top secret!"));
    });
}

#[test]
fn what_a_role_leaves_out_is_known_before_and_refused_then() {
    let world = World::new();
    world.forbid("admin", &planes(), "create");
    world.run(async {
        let admin = kube::connection("admin");
        assert!(admin.may("get", &planes(), None).await.unwrap());
        assert!(!admin.may("create", &planes(), Some("ns")).await.unwrap());
        let target = planes().target(Some("ns"), "a");
        assert_eq!(admin.rehearse::<Value>(&target, &json!({})).await.unwrap_err().code, "FORBIDDEN");
        let other = Resource::new("", "v1", "configmaps").target(Some("ns"), "a");
        assert_eq!(admin.rehearse::<Value>(&other, &json!({ "data": {} })).await.unwrap(), json!({ "data": {} }));
        assert!(admin.get::<Value>(&other).await.unwrap().is_none(), "nothing was stored");
    });
}

#[test]
fn a_page_ends_where_the_next_begins() {
    let world = World::new();
    let names: BTreeSet<String> = (0..5).map(|n| format!("p{n}")).collect();
    for name in &names {
        world.put_object("admin", &planes().target(Some("ns"), name), json!({}));
    }
    let options = ListOptions { limit: 2, ..ListOptions::new(None) };
    let listed: Vec<Value> = world.run(async { kube::connection("admin").list(&planes(), options).await.unwrap() });
    let listed: BTreeSet<String> =
        listed.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, names);
}
