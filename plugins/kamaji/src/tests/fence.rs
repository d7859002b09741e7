//! Taking over the fields of an object that others change at the same time.

use super::*;

/// A claimed object whose fields still belong to our POST, as an API server keeps them.
fn posted() -> (World, Kamaji) {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    world.change_object("admin", &object_target(), |object| {
        object["metadata"]["managedFields"] = json!([{ "manager": "agentkube-kamaji", "operation": "Update" }]);
    });
    (world, provider)
}

fn three() -> Cluster {
    let control_plane = ControlPlaneWish { replicas: 3, ..wanted().control_plane };
    Cluster { control_plane, ..wanted() }
}

/// Whose the fields are, and how many replicas are wanted.
fn stands(world: &World) -> (Value, Value) {
    let object = world.object("admin", &object_target()).unwrap();
    let replicas = object["spec"]["controlPlane"]["deployment"]["replicas"].clone();
    (object["metadata"]["managedFields"][0]["operation"].clone(), replicas)
}

// Invariant 9.
#[test]
fn an_object_that_changes_is_read_again_and_its_fields_are_taken_over() {
    let (world, provider) = posted();
    let before = world.writes().len();
    world.change_before_patches("admin", &object_target(), 3, |_| {});
    world.run(provider.ensure(world.a_call(), three(), Stage::Claimed)).unwrap();
    assert_eq!(stands(&world), (json!("Apply"), json!(3)));
    let verbs: Vec<String> =
        world.writes().split_off(before).iter().map(|w| w.split(' ').next().unwrap().into()).collect();
    assert_eq!(verbs, ["patch", "apply"], "those that were overtaken changed nothing");
}

#[test]
fn an_object_that_changes_too_fast_is_not_applied_to() {
    let (world, provider) = posted();
    let before = world.writes();
    world.change_before_patches("admin", &object_target(), 4, |_| {});
    let fault = world.run(provider.ensure(world.a_call(), three(), Stage::Claimed)).unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str(), fault.scope),
        (Class::Busy, "CONTROL_PLANE_CHANGING", Scope::Machine)
    );
    assert_eq!(stands(&world), (json!("Update"), json!(2)), "an apply now would leave the fields to the POST, too");
    assert_eq!(world.writes(), before);
    // The engine tries again.
    world.run(provider.ensure(world.a_call(), three(), Stage::Claimed)).unwrap();
    assert_eq!(stands(&world), (json!("Apply"), json!(3)));
}

#[test]
fn an_object_that_is_as_wanted_needs_no_taking_over() {
    let (world, provider) = posted();
    world.change_before_patches("admin", &object_target(), 100, |_| {});
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    assert_eq!(stands(&world), (json!("Update"), json!(2)));
}

#[test]
fn an_object_that_becomes_anothers_meanwhile_is_left_alone() {
    let (world, provider) = posted();
    let theirs = Owner { installation: "other".into(), ..world.a_call().owner };
    let marks = mark::metadata(&theirs, Some(NAME), NAME);
    world.change_before_patches("admin", &object_target(), 1, move |object| {
        object["metadata"]["labels"] = marks["labels"].clone();
        object["metadata"]["annotations"] = marks["annotations"].clone();
    });
    let fault = world.run(provider.ensure(world.a_call(), three(), Stage::Claimed)).unwrap_err();
    assert_eq!(fault.code, "FOREIGN_CONTROL_PLANE");
    assert_eq!(stands(&world).1, json!(2));
}
