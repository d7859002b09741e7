//! Watches, and requests that go wrong on purpose.

use lab_cluster::api::{Fault, FaultKind};
use lab_wire::{Answer, Request, Server, StreamId};
use serde_json::{Value, json};

use crate::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn watch(world: &mut World, query: &str) -> (StreamId, Vec<Value>) {
    let mut request = Request::new("GET", &format!("{MAPS}?watch=true&{query}"));
    request.peer.common_name = Some("root".to_owned());
    request.peer.organizations = vec!["system:masters".to_owned()];
    match world.server.exchange(&request, world.now, &mut world.random) {
        Answer::Stream(id, response) => (id, events(&response.body)),
        other => panic!("no stream: {other:?}"),
    }
}

fn events(bytes: &[u8]) -> Vec<Value> {
    bytes
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn a_watch_sees_what_changes_in_its_selection() {
    let mut world = World::new();
    world.post(MAPS, json!({"metadata": {"name": "a", "labels": {"in": "1"}}}));
    let (id, first) = watch(&mut world, "labelSelector=in%3D1");
    assert_eq!(kinds(&first), ["ADDED"]);
    let merge = "application/merge-patch+json";
    world.patch(&format!("{MAPS}/a"), merge, json!({"data": {"k": "1"}}));
    world.patch(&format!("{MAPS}/a"), merge, json!({"metadata": {"labels": {"in": "2"}}}));
    world.post(MAPS, json!({"metadata": {"name": "other"}}));
    world.post("/api/v1/namespaces/kube-system/configmaps", json!({"metadata": {"name": "b", "labels": {"in": "1"}}}));
    assert_eq!(kinds(&events(&world.server.drain(id).unwrap())), ["MODIFIED", "DELETED"]);
    assert_eq!(world.server.drain(id), Some(Vec::new()));
}

#[test]
fn a_watch_from_before_the_history_is_told_so() {
    let mut world = World::new();
    let old = world.post(MAPS, json!({"metadata": {"name": "a"}})).value()["metadata"]["resourceVersion"].clone();
    for i in 0..60 {
        world.post(MAPS, json!({"metadata": {"name": format!("m{i}")}}));
    }
    let (id, events) = watch(&mut world, &format!("resourceVersion={}", old.as_str().unwrap()));
    assert_eq!((events[0]["type"].as_str(), events[0]["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
    assert_eq!(world.server.drain(id), None);
}

#[test]
fn bookmarks_come_and_watches_end() {
    let mut world = World::new();
    let query = "allowWatchBookmarks=true&timeoutSeconds=90&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let (id, first) = watch(&mut world, query);
    assert_eq!(first.last().unwrap()["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    world.wait(60_000);
    assert_eq!(kinds(&events(&world.server.drain(id).unwrap())), ["BOOKMARK"]);
    world.wait(30_000);
    assert_eq!(world.server.drain(id), None);
}

#[test]
fn faults_break_the_requests_they_name() {
    let mut world = World::new();
    world.server.fault(Fault::new("POST", "configmaps", 1, FaultKind::DropReply));
    world.server.fault(Fault::new("GET", "configmaps", 1, FaultKind::Status { code: 429, retry_after: Some(1) }));
    let mut request = Request::new("POST", MAPS).json(&json!({"metadata": {"name": "a"}}));
    request.peer.common_name = Some("root".to_owned());
    request.peer.organizations = vec!["system:masters".to_owned()];
    assert!(matches!(world.server.exchange(&request, world.now, &mut world.random), Answer::Drop));
    let busy = world.get(&format!("{MAPS}/a"));
    assert_eq!((busy.status, busy.headers.iter().any(|(n, v)| n == "retry-after" && v == "1")), (429, true));
    assert_eq!(world.get(&format!("{MAPS}/a")).status, 200, "the effect of the lost reply is there");
    let statuses: Vec<u16> = world.server.log().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [201, 429, 200]);
}
