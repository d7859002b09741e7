//! Who may do what.

use lab_cluster::api::{StaticToken, User};
use lab_wire::{Request, rfc3339};
use serde_json::json;

use crate::World;

fn bootstrap_secret(expires: u64) -> serde_json::Value {
    json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "stringData": {
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": rfc3339(expires),
        "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"}})
}

#[test]
fn nobody_sees_only_health_and_version() {
    let mut world = World::new();
    for path in ["/version", "/readyz", "/livez", "/healthz"] {
        assert_eq!(world.send_as(Request::new("GET", path)).status, 200, "{path}");
    }
    for path in ["/api", "/api/v1/nodes", "/api/v1/namespaces/kube-public/configmaps/cluster-info"] {
        let refused = world.send_as(Request::new("GET", path));
        assert_eq!((refused.status, refused.value()["reason"].as_str()), (403, Some("Forbidden")), "{path}");
    }
    assert_eq!(world.send_as(Request::new("GET", "/version").bearer("wrong")).status, 401);
}

#[test]
fn a_bootstrap_token_lives_until_it_expires() {
    let mut world = World::new();
    let end = world.now + 60_000;
    assert_eq!(world.post("/api/v1/namespaces/kube-system/secrets", bootstrap_secret(end)).status, 201);
    let ask = |world: &mut World, token: &str| world.send_as(Request::new("GET", "/api").bearer(token)).status;
    assert_eq!(ask(&mut world, "abcdef.0123456789abcdef"), 200);
    assert_eq!(ask(&mut world, "abcdef.0000000000000000"), 401);
    world.now = end;
    assert_eq!(ask(&mut world, "abcdef.0123456789abcdef"), 401);
}

#[test]
fn a_verb_taken_from_a_role_is_refused() {
    let mut world = World::new();
    world.server.add_token(StaticToken { token: "t".to_owned(), user: User::new("agent", &[]), expires: None });
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let rule = |verbs| json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    world.post(roles, json!({"metadata": {"name": "agent"}, "rules": rule(json!(["create", "get"]))}));
    world.post(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
        json!({"metadata": {"name": "agent"},
        "roleRef": {"kind": "ClusterRole", "name": "agent"}, "subjects": [{"kind": "User", "name": "agent"}]}),
    );
    let create = |world: &mut World, place: &str, name: &str| {
        let body = json!({"metadata": {"name": name}});
        world.send_as(Request::new("POST", &format!("/api/v1/namespaces/{place}/configmaps")).bearer("t").json(&body))
    };
    assert_eq!(create(&mut world, "default", "a").status, 201);
    assert_eq!(create(&mut world, "kube-system", "a").status, 403, "the binding is the namespace's");
    let review =
        json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "configmaps", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = world.send_as(Request::new("POST", path).bearer("t").json(&review)).value();
    assert_eq!(asked["status"]["allowed"], true);
    world.patch(&format!("{roles}/agent"), "application/merge-patch+json", json!({"rules": rule(json!(["get"]))}));
    let refused = create(&mut world, "default", "b").value();
    assert_eq!(
        refused["message"],
        "configmaps is forbidden: User \"agent\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
}

#[test]
fn a_kubelet_writes_its_own_node_alone() {
    let mut world = World::new();
    let mut as_node = |method: &str, path: &str, body: serde_json::Value| {
        let mut request = Request::new(method, path).json(&body);
        request.peer.common_name = Some("system:node:n1".to_owned());
        request.peer.organizations = vec!["system:nodes".to_owned()];
        if method == "PATCH" {
            request.headers = vec![("content-type".to_owned(), "application/merge-patch+json".to_owned())];
        }
        world.send_as(request).status
    };
    assert_eq!(as_node("POST", "/api/v1/nodes", json!({"metadata": {"name": "n1"}})), 201);
    assert_eq!(as_node("PATCH", "/api/v1/nodes/n1/status", json!({"status": {"phase": "x"}})), 200);
    assert_eq!(as_node("PATCH", "/api/v1/nodes/n2/status", json!({})), 403);
    assert_eq!(as_node("GET", "/api/v1/nodes", json!({})), 403);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(as_node("POST", lease, json!({"metadata": {"name": "n1"}})), 201);
    assert_eq!(as_node("PUT", &format!("{lease}/n2"), json!({"metadata": {"name": "n2"}})), 403);
    assert_eq!(as_node("POST", "/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})), 403);
}
