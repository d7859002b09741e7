//! The roles and bindings that every cluster is born with.

use serde_json::{Value, json};

const API: &str = "rbac.authorization.k8s.io/v1";

/// ClusterRoles and ClusterRoleBindings of a fresh cluster, reduced to those that this server's users meet.
pub fn bootstrap() -> Vec<Value> {
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let documents = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let csr = "certificates.k8s.io";
    vec![
        role(
            "cluster-admin",
            json!([
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                {"nonResourceURLs": ["*"], "verbs": ["*"]},
            ]),
        ),
        role("system:discovery", json!([{"nonResourceURLs": documents, "verbs": ["get"]}])),
        role("system:public-info-viewer", json!([{"nonResourceURLs": health, "verbs": ["get"]}])),
        role(
            "system:basic-user",
            json!([
                {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]},
                {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
            ]),
        ),
        role(
            "view",
            json!([{
                "apiGroups": ["", "apps", "batch", "networking.k8s.io", "policy"],
                "resources": ["configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "services", "serviceaccounts",
                              "namespaces", "daemonsets", "deployments", "replicasets", "statefulsets", "jobs", "cronjobs",
                              "ingresses", "networkpolicies", "poddisruptionbudgets"],
                "verbs": ["get", "list", "watch"],
            }]),
        ),
        role(
            "system:node-bootstrapper",
            json!([
                {"apiGroups": [csr], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch"]},
            ]),
        ),
        role(
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            json!([
                {"apiGroups": [csr], "resources": ["certificatesigningrequests/nodeclient"], "verbs": ["create"]},
            ]),
        ),
        role(
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            json!([
                {"apiGroups": [csr], "resources": ["certificatesigningrequests/selfnodeclient"], "verbs": ["create"]},
            ]),
        ),
        binding("cluster-admin", "cluster-admin", &["system:masters"]),
        binding("system:discovery", "system:discovery", &["system:authenticated"]),
        binding("system:basic-user", "system:basic-user", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ]
}

/// A ClusterRole.
pub fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

/// A ClusterRoleBinding for groups.
pub fn binding(name: &str, role: &str, groups: &[&str]) -> Value {
    let subject = |group: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group});
    json!({
        "apiVersion": API, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": groups.iter().map(subject).collect::<Vec<_>>(),
    })
}
