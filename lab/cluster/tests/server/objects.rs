//! Create, read, update, delete.

use serde_json::json;

use crate::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn an_update_needs_the_revision_it_is_based_on() {
    let mut world = World::new();
    let made = world.post(MAPS, json!({"metadata": {"name": "a"}, "data": {"k": "1"}}));
    assert_eq!(made.status, 201);
    let mut object = made.value();
    object["data"]["k"] = "2".into();
    let path = format!("{MAPS}/a");
    assert_eq!(world.put(&path, object.clone()).status, 200);
    let late = world.put(&path, object.clone());
    assert_eq!((late.status, late.value()["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(world.get(&path).value()["data"]["k"], "2");
    let before = world.get(&path).value();
    object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    assert_eq!(world.put(&path, object).value(), before, "an update without a change makes no revision");
}

#[test]
fn names_are_taken_generated_and_checked() {
    let mut world = World::new();
    assert_eq!(world.post(MAPS, json!({"metadata": {"name": "a"}})).status, 201);
    let twice = world.post(MAPS, json!({"metadata": {"name": "a"}}));
    assert_eq!((twice.status, twice.value()["reason"].as_str()), (409, Some("AlreadyExists")));
    let generated = world.post(MAPS, json!({"metadata": {"generateName": "x-"}})).value();
    assert_eq!(generated["metadata"]["name"].as_str().unwrap().len(), 7);
    assert_eq!(world.post(MAPS, json!({"metadata": {"name": "Bad_Name"}})).status, 422);
    assert_eq!(world.post("/api/v1/namespaces/none/configmaps", json!({"metadata": {"name": "a"}})).status, 404);
    let dry = world.post(&format!("{MAPS}?dryRun=All"), json!({"metadata": {"name": "dry"}}));
    assert_eq!((dry.status, world.get(&format!("{MAPS}/dry")).status), (201, 404));
}

#[test]
fn lists_come_in_pages() {
    let mut world = World::new();
    for i in 0..5 {
        world.post(MAPS, json!({"metadata": {"name": format!("m{i}"), "labels": {"odd": (i % 2).to_string()}}}));
    }
    let first = world.get(&format!("{MAPS}?limit=2")).value();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = world.get(&format!("{MAPS}?limit=9&continue={token}")).value();
    assert_eq!(rest["items"][0]["metadata"]["name"], "m2");
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(world.get(&format!("{MAPS}?labelSelector=odd%3D1")).value()["items"].as_array().unwrap().len(), 2);
    world.post(MAPS, json!({"metadata": {"name": "later"}}));
    world.server.compact();
    assert_eq!(world.get(&format!("{MAPS}?continue={token}")).status, 410);
}

#[test]
fn deletion_waits_for_finalizers_and_minds_preconditions() {
    let mut world = World::new();
    let path = format!("{MAPS}/a");
    let made = world.post(MAPS, json!({"metadata": {"name": "a", "finalizers": ["lab/x"]}})).value();
    let wrong = world.delete(&path, json!({"preconditions": {"uid": "other"}}));
    assert_eq!((wrong.status, wrong.value()["reason"].as_str()), (409, Some("Conflict")));
    let right = json!({"preconditions": {"uid": made["metadata"]["uid"]}});
    let marked = world.delete(&path, right).value();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(world.get(&path).status, 200);
    let more = json!({"metadata": {"finalizers": ["lab/x", "lab/y"]}});
    assert_eq!(world.patch(&path, "application/merge-patch+json", more).status, 422);
    world.patch(&path, "application/merge-patch+json", json!({"metadata": {"finalizers": []}}));
    assert_eq!(world.get(&path).status, 404);
}

#[test]
fn a_namespace_goes_after_its_content() {
    let mut world = World::new();
    world.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}}));
    let maps = "/api/v1/namespaces/n/configmaps";
    world.post(maps, json!({"metadata": {"name": "free"}}));
    world.post(maps, json!({"metadata": {"name": "held", "finalizers": ["lab/x"]}}));
    assert_eq!(world.delete("/api/v1/namespaces/n", json!({})).value()["status"]["phase"], "Terminating");
    let refused = world.post(maps, json!({"metadata": {"name": "late"}}));
    assert_eq!(
        (refused.status, refused.value()["details"]["causes"][0]["reason"].as_str()),
        (403, Some("NamespaceTerminating"))
    );
    world.wait(1000);
    assert_eq!(world.get(&format!("{maps}/free")).status, 404);
    let stuck = world.get("/api/v1/namespaces/n").value();
    assert_eq!(stuck["status"]["conditions"][0]["type"], "NamespaceFinalizersRemaining");
    world.patch(&format!("{maps}/held"), "application/merge-patch+json", json!({"metadata": {"finalizers": null}}));
    world.wait(1);
    assert_eq!(world.get("/api/v1/namespaces/n").status, 404);
}

#[test]
fn what_an_owner_owned_goes_with_it() {
    let mut world = World::new();
    let owner = world.post(MAPS, json!({"metadata": {"name": "owner"}})).value();
    let reference =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    world.post(MAPS, json!({"metadata": {"name": "child", "ownerReferences": reference}}));
    world.delete(&format!("{MAPS}/owner?propagationPolicy=Orphan"), json!({}));
    assert_eq!(world.get(&format!("{MAPS}/owner")).status, 404);
    assert_eq!(world.get(&format!("{MAPS}/child")).status, 200);
    let owner = world.post(MAPS, json!({"metadata": {"name": "owner"}})).value();
    let reference =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    world.patch(
        &format!("{MAPS}/child"),
        "application/merge-patch+json",
        json!({"metadata": {"ownerReferences": reference}}),
    );
    world.delete(&format!("{MAPS}/owner"), json!({"propagationPolicy": "Background"}));
    assert_eq!(world.get(&format!("{MAPS}/child")).status, 404);
}

#[test]
fn status_and_spec_are_written_apart() {
    let mut world = World::new();
    let sets = "/apis/apps/v1/namespaces/default/deployments";
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}});
    let made = world.post(sets, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec, "status": {"replicas": 9}})).value();
    assert_eq!((made["metadata"]["generation"].as_i64(), made["status"].get("replicas")), (Some(1), None));
    let path = format!("{sets}/d");
    let both = json!({"spec": {"replicas": 3}, "status": {"replicas": 5}});
    let merge = "application/merge-patch+json";
    let status = world.patch(&format!("{path}/status"), merge, both.clone()).value();
    assert_eq!((status["spec"]["replicas"].as_i64(), status["status"]["replicas"].as_i64()), (Some(1), Some(5)));
    assert_eq!(status["metadata"]["generation"], 1);
    let main = world.patch(&path, merge, json!({"spec": {"replicas": 3}, "status": {"replicas": 7}})).value();
    assert_eq!((main["spec"]["replicas"].as_i64(), main["status"]["replicas"].as_i64()), (Some(3), Some(5)));
    assert_eq!(main["metadata"]["generation"], 2);
    let scale = world.patch(&format!("{path}/scale"), merge, json!({"spec": {"replicas": 0}})).value();
    assert_eq!((scale["kind"].as_str(), scale["spec"]["replicas"].as_i64()), (Some("Scale"), Some(0)));
    assert_eq!(world.get(&path).value()["spec"]["replicas"], 0);
}

#[test]
fn tables_are_what_kubectl_asks_for() {
    let mut world = World::new();
    world.post(
        "/api/v1/nodes",
        json!({"metadata": {"name": "n1"}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.33.1"}}}),
    );
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    world.wait(65_000);
    let table = world.send(lab_wire::Request::new("GET", "/api/v1/nodes").header("accept", accept)).value();
    assert_eq!(table["kind"], "Table");
    assert_eq!(
        table["rows"][0]["cells"].as_array().unwrap()[..5],
        json!(["n1", "Ready", "<none>", "65s", "v1.33.1"]).as_array().unwrap()[..]
    );
    let core = lab_wire::Request::new("GET", "/api")
        .header("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");
    assert_eq!(world.send(core).value()["kind"], "APIGroupDiscoveryList");
    assert_eq!(world.get("/apis/apps/v1").value()["resources"][0]["name"], "deployments");
}

#[test]
fn custom_kinds_are_served_pruned_and_defaulted() {
    let mut world = World::new();
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}}}, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "hats.lab.test"},
        "spec": {"group": "lab.test", "scope": "Namespaced", "names": {"plural": "hats", "kind": "Hat"},
                 "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
                               "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]}]}});
    assert_eq!(world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).status, 201);
    let hats = "/apis/lab.test/v1/namespaces/default/hats";
    let hat = |spec| json!({"apiVersion": "lab.test/v1", "kind": "Hat", "metadata": {"name": "h"}, "spec": spec});
    assert_eq!(world.post(hats, hat(json!({"size": 0}))).status, 422);
    assert_eq!(world.post(hats, hat(json!({"size": "x"}))).status, 422);
    let strict = world.post(&format!("{hats}?fieldValidation=Strict"), hat(json!({"size": 1, "extra": 1})));
    // Word for word as Kubernetes 1.34 says it.
    let said = "Hat in version \"v1\" cannot be handled as a Hat: strict decoding error: unknown field \"spec.extra\"";
    assert_eq!((strict.status, strict.value()["message"].as_str()), (400, Some(said)));
    let made = world.post(hats, hat(json!({"size": 1, "extra": 1}))).value();
    assert_eq!(made["spec"], json!({"size": 1, "color": "red"}));
    let table = lab_wire::Request::new("GET", hats).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    assert_eq!(world.send(table).value()["rows"][0]["cells"], json!(["h", 1]));
    let strategic = world.patch(&format!("{hats}/h"), "application/strategic-merge-patch+json", json!({}));
    assert_eq!(strategic.status, 415);
    world.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hats.lab.test", json!({}));
    assert_eq!(world.get(hats).status, 404);
}
