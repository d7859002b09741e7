//! Kamaji in trouble.

use lab_cluster::{AdminFault, Balancer, KubeconfigFlaw};
use serde_json::{Value, json};

use crate::{PLANES, World, plane};

#[test]
fn without_an_address_nothing_goes_on() {
    for balancer in [Balancer::Missing, Balancer::Hostname] {
        let mut world = World::new(10);
        world.cluster.fault(AdminFault::Balancer(balancer));
        world.admin("POST", PLANES, plane("a"));
        world.wait(20_000);
        let stuck = world.plane("a");
        assert_eq!(stuck["status"]["controlPlaneEndpoint"], Value::Null);
        assert_eq!(stuck["status"]["observedGeneration"], Value::Null);
        let service = world.admin("GET", "/api/v1/namespaces/t/services/a", Value::Null).value();
        assert_eq!(
            service["status"]["loadBalancer"]["ingress"][0]["hostname"].is_string(),
            balancer == Balancer::Hostname
        );
        world.cluster.fault(AdminFault::Balancer(Balancer::Works));
        world.until("Ready", |world| world.state("a") == "Ready");
    }
    let mut world = World::new(10);
    world.cluster.fault(AdminFault::Balancer(Balancer::Late(5000)));
    world.admin("POST", PLANES, plane("a"));
    let took = world.until("an endpoint", |world| world.plane("a")["status"]["controlPlaneEndpoint"].is_string());
    assert!((5000..7000).contains(&took), "{took} ms");
}

#[test]
fn webhooks_that_are_down_fail_every_write() {
    let mut world = World::new(10);
    world.cluster.fault(AdminFault::WebhooksDown(true));
    let failed = world.admin("POST", PLANES, plane("a"));
    assert_eq!((failed.status, failed.value()["reason"].as_str()), (500, Some("InternalError")));
    assert_eq!(world.admin("POST", "/api/v1/namespaces", json!({"metadata": {"name": "u"}})).status, 201);
    world.cluster.fault(AdminFault::WebhooksDown(false));
    assert_eq!(world.admin("POST", PLANES, plane("a")).status, 201);
}

#[test]
fn a_namespace_deleted_first_wedges_its_control_plane() {
    let mut world = World::new(10);
    world.joinable("a");
    world.admin("DELETE", "/api/v1/namespaces/t", Value::Null);
    world.wait(30_000);
    let stuck = world.plane("a");
    assert!(stuck["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(stuck["metadata"]["finalizers"].as_array().unwrap().len(), 2);
    let namespace = world.admin("GET", "/api/v1/namespaces/t", Value::Null).value();
    assert_eq!(namespace["status"]["phase"], "Terminating");
}

#[test]
fn deletion_waits_for_the_data_store_and_a_pause() {
    let mut world = World::new(10);
    world.joinable("a");
    let path = format!("{PLANES}/a");
    world.cluster.fault(AdminFault::DeletionStuck(true));
    world.admin("DELETE", &path, Value::Null);
    world.wait(10_000);
    assert_eq!(world.admin("GET", &path, Value::Null).status, 200);
    world.cluster.fault(AdminFault::DeletionStuck(false));
    world.admin("PATCH", &path, json!({"metadata": {"annotations": {"kamaji.clastix.io/paused": ""}}}));
    world.wait(10_000);
    assert_eq!(world.admin("GET", &path, Value::Null).status, 200);
    world.admin("PATCH", &path, json!({"metadata": {"annotations": {"kamaji.clastix.io/paused": null}}}));
    world.wait(2000);
    assert_eq!(world.admin("GET", &path, Value::Null).status, 404);
}

#[test]
fn kubeconfigs_rotate_and_go_wrong() {
    let mut world = World::new(10);
    world.joinable("a");
    let secret = "/api/v1/namespaces/t/secrets/a-admin-kubeconfig";
    let checksum = |world: &mut World| world.plane("a")["status"]["kubeconfig"]["admin"]["checksum"].clone();
    let before = (checksum(&mut world), world.admin("GET", secret, Value::Null).value()["data"].clone());
    world.admin("PATCH", secret, json!({"metadata": {"annotations": {"certs.kamaji.clastix.io/rotate": ""}}}));
    world.wait(200);
    assert_ne!((checksum(&mut world), world.admin("GET", secret, Value::Null).value()["data"].clone()), before);
    let mark =
        &world.admin("GET", secret, Value::Null).value()["metadata"]["annotations"]["certs.kamaji.clastix.io/rotate"];
    assert!(mark.as_str().unwrap().ends_with('Z'), "{mark}");
    let rotated = world.admin("GET", secret, Value::Null).value()["data"].clone();
    world.admin("DELETE", secret, Value::Null);
    world.wait(200);
    assert_ne!(world.admin("GET", secret, Value::Null).value()["data"], rotated);
    world.cluster.fault(AdminFault::Kubeconfig(KubeconfigFlaw::Exec));
    world.cluster.rotate_kubeconfig("t", "a", world.now);
    world.wait(200);
    let data = world.admin("GET", secret, Value::Null).value()["data"]["super-admin.conf"].clone();
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.decode(data.as_str().unwrap()).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("exec:"));
    let hash = world.cluster.ca_hash("t", "a");
    world.cluster.rotate_authority("t", "a", world.now).unwrap();
    world.wait(1000);
    assert_ne!(world.cluster.ca_hash("t", "a"), hash);
}

#[test]
fn an_agent_without_a_verb_is_refused() {
    let mut world = World::new(10);
    let rule =
        json!([{"apiGroups": ["kamaji.clastix.io"], "resources": ["tenantcontrolplanes"], "verbs": ["get", "create"]}]);
    let credential = world.cluster.service_account("agent", rule, world.now, &mut world.random);
    let lab_cluster::Credential::Token(token) = credential else { panic!("no token") };
    let mut ask = |method: &str, path: &str, body: Value| {
        let mut request = lab_wire::Request::new(method, path).bearer(&token);
        if !body.is_null() {
            request = request.json(&body);
        }
        world.send(&request).status
    };
    assert_eq!(ask("POST", PLANES, plane("a")), 201);
    assert_eq!(ask("GET", &format!("{PLANES}/a"), Value::Null), 200);
    assert_eq!(ask("DELETE", &format!("{PLANES}/a"), Value::Null), 403);
    assert_eq!(ask("GET", "/api/v1/namespaces/t/secrets", Value::Null), 403);
}

#[test]
fn pods_flap_or_are_slow_and_phases_come_late() {
    let mut world = World::new(10);
    world.cluster.fault(AdminFault::SlowPods(5000));
    world.admin("POST", PLANES, plane("a"));
    world.until("NotReady", |world| world.state("a") == "NotReady");
    world.wait(3000);
    assert_eq!(world.state("a"), "NotReady");
    world.cluster.fault(AdminFault::Flaps(1));
    world.cluster.fault(AdminFault::ChecksumLate(4000));
    world.cluster.fault(AdminFault::SignaturesLate(1000));
    world.until("Ready", |world| world.state("a") == "Ready");
    world.until("Unknown", |world| world.state("a") == "Unknown");
    world.until("Ready again", |world| world.state("a") == "Ready");
    world.wait(3000);
    assert_eq!(world.plane("a")["status"]["kubeadmPhase"], Value::Null, "Ready is not joinable");
    world.until("the checksum", |world| world.plane("a")["status"]["kubeadmPhase"].is_object());
}

#[test]
fn namespaces_stay_and_stores_fail_as_long_as_they_are_told_to() {
    let mut world = World::new(10);
    world.cluster.fault(AdminFault::NamespacesStuck(true));
    world.admin("POST", "/api/v1/namespaces", json!({"metadata": {"name": "u"}}));
    world.admin("DELETE", "/api/v1/namespaces/u", Value::Null);
    world.wait(10_000);
    let namespace = world.admin("GET", "/api/v1/namespaces/u", Value::Null).value();
    assert_eq!(namespace["status"]["phase"], "Terminating");
    world.cluster.fault(AdminFault::NamespacesStuck(false));
    world.wait(1000);
    assert_eq!(world.admin("GET", "/api/v1/namespaces/u", Value::Null).status, 404);
    let store = |world: &mut World| {
        let path = "/apis/kamaji.clastix.io/v1alpha1/datastores/default";
        world.admin("GET", path, Value::Null).value()["status"]["ready"].clone()
    };
    world.cluster.fault(AdminFault::StoreReady(false));
    assert_eq!(store(&mut world), false);
    world.cluster.fault(AdminFault::StoreReady(true));
    assert_eq!(store(&mut world), true);
}

#[test]
fn single_requests_meet_quotas_and_conflicts() {
    use lab_cluster::api::{Fault, FaultKind};
    let mut world = World::new(10);
    world.cluster.admin_mut().fault(Fault::new("POST", PLANES, 1, FaultKind::Quota));
    let refused = world.admin("POST", PLANES, plane("a"));
    let message = refused.value()["message"].as_str().unwrap().to_owned();
    assert!(refused.status == 403 && message.contains("\"a\" is forbidden: exceeded quota"), "{message}");
    world.joinable("a");
    world.cluster.admin_mut().fault(Fault::new("PATCH", "/a", 1, FaultKind::Conflict));
    let path = format!("{PLANES}/a");
    let conflict = world.admin("PATCH", &path, json!({"metadata": {"labels": {"x": "y"}}}));
    assert_eq!((conflict.status, conflict.value()["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(world.cluster.admin().faults(), 0);
}

#[test]
fn one_verb_is_taken_and_given_back() {
    let mut world = World::new(10);
    let rules = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "delete"]}]);
    let credential = world.cluster.service_account("agent", rules, world.now, &mut world.random);
    let lab_cluster::Credential::Token(token) = credential else { panic!("no token") };
    let ask = |world: &mut World, method: &str| {
        world.send(&lab_wire::Request::new(method, "/api/v1/namespaces/t").bearer(&token)).status
    };
    world.cluster.withdraw("agent", ("", "namespaces"), "delete", world.now);
    assert_eq!((ask(&mut world, "GET"), ask(&mut world, "DELETE")), (200, 403));
    world.cluster.bestow("agent", ("", "namespaces"), "delete", world.now);
    assert_eq!(ask(&mut world, "DELETE"), 200);
}
