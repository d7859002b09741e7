//! Server-side apply over the wire.

use lab_wire::{Request, Response};
use serde_json::{Value, json};

use crate::World;

const PATH: &str = "/api/v1/namespaces/default/configmaps/a";

fn apply(world: &mut World, manager: &str, force: bool, mut body: Value) -> Response {
    body["apiVersion"] = "v1".into();
    body["kind"] = "ConfigMap".into();
    let path = format!("{PATH}?fieldManager={manager}&force={force}");
    let mut request = Request::new("PATCH", &path).header("content-type", "application/apply-patch+yaml");
    request.body = body.to_string().into_bytes();
    world.send(request)
}

#[test]
fn apply_creates_then_changes_then_conflicts() {
    let mut world = World::new();
    assert_eq!(apply(&mut world, "one", false, json!({"data": {"k": "1"}})).status, 201);
    let again = apply(&mut world, "one", false, json!({"data": {"k": "1"}}));
    assert_eq!(
        (again.status, again.value()["metadata"]["resourceVersion"].clone()),
        (200, world.get(PATH).value()["metadata"]["resourceVersion"].clone())
    );
    let conflict = apply(&mut world, "two", false, json!({"data": {"k": "2"}}));
    assert_eq!((conflict.status, conflict.value()["details"]["causes"][0]["field"].as_str()), (409, Some(".data.k")));
    assert_eq!(apply(&mut world, "two", true, json!({"data": {"k": "2"}})).status, 200);
    assert_eq!(
        world.get(PATH).value()["metadata"]["managedFields"].as_array().unwrap().len(),
        1,
        "one owns nothing any more"
    );
    let nameless = world.patch(PATH, "application/apply-patch+yaml", json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    assert_eq!(nameless.status, 422);
}

#[test]
fn an_apply_with_another_uid_touches_nothing() {
    let mut world = World::new();
    let gone = apply(&mut world, "one", true, json!({"metadata": {"uid": "x"}, "data": {"k": "1"}}));
    assert_eq!((gone.status, world.get(PATH).status), (409, 404));
    let made = apply(&mut world, "one", true, json!({"data": {"k": "1"}})).value();
    let other = apply(&mut world, "one", true, json!({"metadata": {"uid": "x"}, "data": {"k": "2"}}));
    assert_eq!((other.status, world.get(PATH).value()["data"]["k"].as_str()), (409, Some("1")));
    let own = json!({"metadata": {"uid": made["metadata"]["uid"]}, "data": {"k": "2"}});
    assert_eq!(apply(&mut world, "one", true, own).value()["data"]["k"], "2");
}

#[test]
fn what_was_posted_can_be_handed_to_apply() {
    let mut world = World::new();
    let path = "/api/v1/namespaces/default/configmaps?fieldManager=us";
    let made = world.post(path, json!({"metadata": {"name": "a"}, "data": {"k": "1", "old": "x"}})).value();
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Update");
    // Without the hand-over the field that is no longer applied stays: the Update entry still owns it.
    let kept = apply(&mut world, "us", false, json!({"data": {"k": "1"}})).value();
    assert_eq!(kept["data"]["old"], "x");
    let mut managed = world.get(PATH).value()["metadata"]["managedFields"].clone();
    let entries: Vec<Value> = managed
        .as_array_mut()
        .unwrap()
        .iter()
        .filter(|m| m["operation"] == "Update")
        .cloned()
        .map(|mut m| {
            m["operation"] = "Apply".into();
            m
        })
        .collect();
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]);
    assert_eq!(world.patch(&format!("{PATH}?fieldManager=us"), "application/json-patch+json", patch).status, 200);
    let mine = apply(&mut world, "us", false, json!({"data": {"k": "1"}})).value();
    assert_eq!(mine["data"], json!({"k": "1"}));
}

#[test]
fn a_plain_update_takes_ownership_of_what_it_changes() {
    let mut world = World::new();
    apply(&mut world, "one", false, json!({"data": {"k": "1", "l": "1"}}));
    let merge = "application/merge-patch+json";
    world.patch(&format!("{PATH}?fieldManager=editor"), merge, json!({"data": {"k": "2"}}));
    let conflict = apply(&mut world, "one", false, json!({"data": {"k": "1", "l": "1"}}));
    assert_eq!(conflict.status, 409);
    assert!(conflict.value()["message"].as_str().unwrap().contains("\"editor\" using v1"), "{}", conflict.value());
}
