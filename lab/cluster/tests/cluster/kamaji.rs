//! What a control plane goes through.

use lab_wire::Server;
use serde_json::{Value, json};

use crate::{PLANES, World, plane};

#[test]
fn a_control_plane_becomes_ready_in_kamajis_order() {
    let mut world = World::new(10);
    world.admin("POST", PLANES, plane("a"));
    let mut seen: Vec<String> = Vec::new();
    let mut checksum_with = String::new();
    for _ in 0..200 {
        world.wait(20);
        let now = world.plane("a");
        let state = now["status"]["kubernetesResources"]["version"]["status"].as_str().unwrap_or("none").to_owned();
        if seen.last() != Some(&state) {
            seen.push(state.clone());
        }
        if checksum_with.is_empty() && now["status"]["kubeadmPhase"]["bootstrapToken"]["checksum"].is_string() {
            checksum_with = state;
        }
    }
    assert_eq!(seen, ["none", "NotReady", "Provisioning", "Ready"]);
    assert_eq!(checksum_with, "Ready");
    let done = world.plane("a");
    assert_eq!(done["status"]["observedGeneration"], done["metadata"]["generation"]);
    assert_eq!(done["status"]["controlPlaneEndpoint"], "127.64.1.1:6443");
    assert_eq!(done["spec"]["dataStore"], "default");
    assert_eq!(done["spec"]["dataStoreSchema"], done["metadata"]["uid"]);
    assert_eq!(done["spec"]["networkProfile"]["dnsServiceIPs"], json!(["10.96.0.10"]));
    let listeners = world.cluster.listeners();
    assert_eq!((listeners.len(), listeners[0].endpoint.as_str()), (1, "tenant/t/a"));
    let store = world.admin("GET", "/apis/kamaji.clastix.io/v1alpha1/datastores/default", Value::Null).value();
    assert_eq!(store["status"]["usedBy"], json!(["t/a"]));
    let secret = world.admin("GET", "/api/v1/namespaces/t/secrets/a-admin-kubeconfig", Value::Null).value();
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["admin.conf", "admin.svc", "super-admin.conf", "super-admin.svc"]);
}

#[test]
fn admin_conf_is_forbidden_until_its_binding_comes() {
    let mut world = World::new(10);
    world.admin("POST", PLANES, plane("a"));
    world.until("Ready", |world| world.state("a") == "Ready");
    let ask = |world: &mut World, name: &str, group: &str| {
        let mut request = lab_wire::Request::new("GET", "/api/v1/nodes");
        request.endpoint = "tenant/t/a".to_owned();
        request.peer.common_name = Some(name.to_owned());
        request.peer.organizations = vec![group.to_owned()];
        world.send(&request).status
    };
    assert_eq!(ask(&mut world, "kubernetes-super-admin", "system:masters"), 200);
    assert_eq!(ask(&mut world, "kubernetes-admin", "kubeadm:cluster-admins"), 403);
    world.wait(1000);
    assert_eq!(ask(&mut world, "kubernetes-admin", "kubeadm:cluster-admins"), 200);
}

#[test]
fn rollouts_pass_through_unknown_and_upgrades_through_upgrading() {
    let mut world = World::new(10);
    world.joinable("a");
    let path = format!("{PLANES}/a");
    world.admin("PATCH", &path, json!({"spec": {"networkProfile": {"certSANs": ["a.lab.test"]}}}));
    let lag = world.plane("a");
    assert!(lag["status"]["observedGeneration"].as_i64() < lag["metadata"]["generation"].as_i64());
    world.until("Unknown", |world| world.state("a") == "Unknown");
    world.until("Ready", |world| world.state("a") == "Ready");
    assert_eq!(world.admin("PATCH", &path, json!({"spec": {"kubernetes": {"version": "v1.35.0"}}})).status, 403);
    assert_eq!(world.admin("PATCH", &path, json!({"spec": {"kubernetes": {"version": "v1.32.0"}}})).status, 403);
    assert_eq!(world.admin("PATCH", &path, json!({"spec": {"kubernetes": {"version": "v1.34.1"}}})).status, 200);
    world.until("Upgrading", |world| world.state("a") == "Upgrading");
    assert_eq!(world.plane("a")["status"]["kubernetesResources"]["version"]["version"], "v1.33.4");
    world.until("Ready", |world| world.state("a") == "Ready");
    assert_eq!(world.plane("a")["status"]["kubernetesResources"]["version"]["version"], "v1.34.1");
    assert_eq!(world.tenant("a", "GET", "/version", Value::Null).value()["gitVersion"], "v1.34.1");
    world.cluster.flap("t", "a", world.now);
    world.until("Unknown", |world| world.state("a") == "Unknown");
    world.until("Ready", |world| world.state("a") == "Ready");
}

#[test]
fn a_sleeping_control_plane_keeps_its_data_and_does_not_answer() {
    let mut world = World::new(10);
    world.joinable("a");
    world.tenant("a", "POST", "/api/v1/namespaces", json!({"metadata": {"name": "mine"}}));
    let scale = format!("{PLANES}/a/scale");
    assert_eq!(world.admin("PATCH", &scale, json!({"spec": {"replicas": 0}})).status, 200);
    world.until("Sleeping", |world| world.state("a") == "Sleeping");
    assert!(world.cluster.listeners().is_empty());
    world.admin("PATCH", &scale, json!({"spec": {"replicas": 1}}));
    world.until("Ready", |world| world.state("a") == "Ready");
    assert_eq!(world.tenant("a", "GET", "/api/v1/namespaces/mine", Value::Null).status, 200);
    world.admin("PATCH", &format!("{PLANES}/a"), json!({"spec": {"writePermissions": {"blockCreation": true}}}));
    world.until("WriteLimited", |world| world.state("a") == "WriteLimited");
    assert_eq!(world.tenant("a", "POST", "/api/v1/namespaces", json!({"metadata": {"name": "no"}})).status, 403);
}

#[test]
fn what_kamaji_refuses() {
    let mut world = World::new(10);
    let mut refuse = |change: Value, status: u16, word: &str| {
        let mut wish = plane("b");
        json_merge(&mut wish, &change);
        let answer = world.admin("POST", PLANES, wish);
        let message = answer.value()["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{change}: {message}");
        assert!(message.contains(word), "{change}: {message}");
    };
    refuse(json!({"metadata": {"name": "1b"}}), 403, "RFC 1035");
    refuse(json!({"spec": {"kubernetes": {"version": "v1.37.0"}}}), 403, "greater than the supported");
    refuse(json!({"spec": {"kubernetes": {"version": "latest"}}}), 403, "parse");
    refuse(json!({"spec": {"dataStore": "none"}}), 403, "does not exist");
    refuse(json!({"spec": {"controlPlane": {"service": {"serviceType": "Other"}}}}), 422, "Unsupported value");
    refuse(json!({"spec": {"networkProfile": {"dnsServiceIPs": ["10.97.0.10"]}}}), 403, "not part of the service CIDR");
    refuse(json!({"spec": {"networkProfile": {"certSANs": ["a:6443"]}}}), 403, "port");
    refuse(json!({"spec": {"networkProfile": {"serviceCidrs": ["10.96.0.0"]}}}), 422, "CIDR");
    refuse(
        json!({"spec": {"controlPlane": {"service": {"serviceType": "ClusterIP"}}, "networkProfile": {"loadBalancerClass": "x"}}}),
        422,
        "LoadBalancerClass",
    );
    refuse(json!({"spec": {"addons": {"konnectivity": {"agent": {"mode": "Deployment"}}}}}), 422, "replicas");
    refuse(json!({"spec": {"kubernetes": null}}), 422, "kubernetes");
    world.admin("POST", PLANES, plane("b"));
    let path = format!("{PLANES}/b");
    let domain = json!({"spec": {"networkProfile": {"clusterDomain": "other.local"}}});
    assert_eq!(world.admin("PATCH", &path, domain).status, 422);
    assert_eq!(world.admin("PATCH", &path, json!({"spec": {"dataStore": null}})).status, 422);
}

#[test]
fn deletion_takes_everything_with_it() {
    let mut world = World::new(10);
    world.joinable("a");
    let path = format!("{PLANES}/a?propagationPolicy=Foreground");
    assert_eq!(world.admin("DELETE", &path, Value::Null).status, 200);
    assert_eq!(world.admin("GET", &path, Value::Null).status, 200, "finalizers hold it");
    world.until("the end", |world| world.admin("GET", PLANES, Value::Null).value()["items"] == json!([]));
    world.wait(100);
    assert!(world.cluster.listeners().is_empty());
    for kind in ["secrets", "configmaps", "services"] {
        let left = world.admin("GET", &format!("/api/v1/namespaces/t/{kind}"), Value::Null).value();
        assert_eq!(left["items"], json!([]), "{kind}");
    }
    world.admin("DELETE", "/api/v1/namespaces/t", Value::Null);
    world.wait(1000);
    assert_eq!(world.admin("GET", "/api/v1/namespaces/t", Value::Null).status, 404);
}

#[test]
fn one_lane_reconciles_one_plane_at_a_time() {
    let ready = |world: &mut World, names: &[&str]| {
        names.iter().for_each(|name| assert_eq!(world.admin("POST", PLANES, plane(name)).status, 201));
        world.until("all Ready", |world| names.iter().all(|name| world.state(name) == "Ready"))
    };
    let one = ready(&mut World::new(10), &["a"]);
    let names = ["a", "b", "c", "d", "e", "f"];
    let serial = ready(&mut World::new(10), &names);
    assert!(serial >= one + 5 * 450, "six took {serial} ms, one took {one} ms");
    let mut wide = World::new(10);
    let settings = lab_cluster::AdminSettings { max_concurrent_reconciles: 6, ..Default::default() };
    wide.cluster = lab_cluster::AdminCluster::new(settings, crate::START, &mut wide.random).unwrap();
    wide.admin("POST", "/api/v1/namespaces", json!({"metadata": {"name": "t"}}));
    let parallel = ready(&mut wide, &names);
    assert!(parallel < one + 200, "six lanes took {parallel} ms, one took {one} ms");
}

fn json_merge(target: &mut Value, change: &Value) {
    match change.as_object() {
        Some(fields) => {
            for (name, value) in fields {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(name);
                } else {
                    json_merge(&mut target[name], value);
                }
            }
        }
        None => *target = change.clone(),
    }
}
