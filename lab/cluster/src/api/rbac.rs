//! Authorization: RBAC over the stored roles, and the node authorizer in a simple form.

use serde_json::Value;

use super::failure::{Failure, qualified};
use super::kind::Resource;
use super::store::Store;
use super::user::User;

const GROUP: &str = "rbac.authorization.k8s.io";

/// What a request wants to do.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// `get`, `list`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// Plural name, with the subresource after a slash.
    pub resource: String,
    /// Namespace, empty for cluster scope.
    pub namespace: String,
    /// Name, empty when the request is about many or a new object.
    pub name: String,
    /// Path of a request that is about no resource.
    pub path: Option<String>,
}

/// Whether the user may.
pub fn allowed(store: &Store, user: &User, wanted: &Attributes) -> bool {
    user.is_in("system:masters") || node_may(user, wanted) || rbac_allows(store, user, wanted)
}

/// The refusal in the words of a real API server.
pub fn refusal(user: &User, wanted: &Attributes) -> Failure {
    let Attributes { verb, group, resource, namespace, name, path } = wanted;
    let who = &user.name;
    if let Some(path) = path {
        return Failure::forbidden(format!("forbidden: User \"{who}\" cannot {verb} path \"{path}\""));
    }
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let plural = resource.split('/').next().unwrap_or_default();
    let subject = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
    let what = qualified(group, plural);
    Failure::forbidden(format!(
        "{what}{subject} is forbidden: User \"{who}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
    ))
    .about(group, plural, name)
}

fn rbac_allows(store: &Store, user: &User, wanted: &Attributes) -> bool {
    let cluster = store.list(&Resource::new(GROUP, "clusterrolebindings"), None);
    let by_cluster = cluster
        .filter(|(_, binding)| names(binding, user, ""))
        .any(|(_, binding)| role(store, &binding["roleRef"], "").is_some_and(|role| grants(role, wanted)));
    if by_cluster || wanted.namespace.is_empty() || wanted.path.is_some() {
        return by_cluster;
    }
    let namespace = wanted.namespace.as_str();
    store
        .list(&Resource::new(GROUP, "rolebindings"), Some(namespace))
        .filter(|(_, binding)| names(binding, user, namespace))
        .any(|(_, binding)| role(store, &binding["roleRef"], namespace).is_some_and(|role| grants(role, wanted)))
}

fn names(binding: &Value, user: &User, namespace: &str) -> bool {
    binding["subjects"].as_array().is_some_and(|subjects| {
        subjects.iter().any(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str().unwrap_or_default() {
                "User" => user.name == name,
                "Group" => user.is_in(name),
                "ServiceAccount" => {
                    let place = subject["namespace"].as_str().unwrap_or(namespace);
                    user.name == format!("system:serviceaccount:{place}:{name}")
                }
                _ => false,
            }
        })
    })
}

fn role<'a>(store: &'a Store, reference: &Value, namespace: &str) -> Option<&'a Value> {
    let name = reference["name"].as_str()?;
    let object = match reference["kind"].as_str()? {
        "ClusterRole" => store.get(&Resource::new(GROUP, "clusterroles"), "", name)?,
        "Role" => store.get(&Resource::new(GROUP, "roles"), namespace, name)?,
        _ => return None,
    };
    Some(object)
}

fn grants(role: &Value, wanted: &Attributes) -> bool {
    role["rules"].as_array().is_some_and(|rules| rules.iter().any(|rule| rule_grants(rule, wanted)))
}

fn rule_grants(rule: &Value, wanted: &Attributes) -> bool {
    let has = |field: &str, value: &str| {
        rule[field].as_array().is_some_and(|list| list.iter().any(|item| item == "*" || item == value))
    };
    if !has("verbs", &wanted.verb) {
        return false;
    }
    if let Some(path) = &wanted.path {
        return rule["nonResourceURLs"].as_array().is_some_and(|urls| {
            urls.iter().filter_map(Value::as_str).any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == url,
            })
        });
    }
    let any_parent = wanted.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    let resource = has("resources", &wanted.resource) || any_parent.is_some_and(|any| has("resources", &any));
    let named = match rule["resourceNames"].as_array() {
        Some(names) if !names.is_empty() => names.iter().any(|name| name.as_str() == Some(&wanted.name)),
        _ => true,
    };
    resource && named && has("apiGroups", &wanted.group)
}

/// What a kubelet may do: read what it needs, write its own Node, Lease, pods' status, and ask for certificates.
fn node_may(user: &User, wanted: &Attributes) -> bool {
    let Some(node) = user.name.strip_prefix("system:node:").filter(|_| user.is_in("system:nodes")) else {
        return false;
    };
    if wanted.path.is_some() {
        return false;
    }
    let reads = ["get", "list", "watch"].contains(&wanted.verb.as_str());
    match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("", "nodes" | "nodes/status") => {
            wanted.verb == "create"
                || (wanted.name == node && ["get", "list", "watch", "update", "patch"].contains(&wanted.verb.as_str()))
        }
        ("coordination.k8s.io", "leases") => {
            wanted.namespace == "kube-node-lease" && (wanted.verb == "create" || wanted.name == node)
        }
        ("certificates.k8s.io", "certificatesigningrequests") => reads || wanted.verb == "create",
        ("certificates.k8s.io", "certificatesigningrequests/selfnodeclient") => wanted.verb == "create",
        ("", "pods/status") => ["update", "patch"].contains(&wanted.verb.as_str()),
        ("", "events") => ["create", "patch", "update"].contains(&wanted.verb.as_str()),
        ("", "pods") => reads || ["create", "delete"].contains(&wanted.verb.as_str()),
        ("", "services" | "configmaps" | "secrets" | "persistentvolumeclaims" | "persistentvolumes" | "endpoints") => {
            reads
        }
        ("storage.k8s.io", "csinodes") => true,
        ("storage.k8s.io", "csidrivers" | "volumeattachments") | ("node.k8s.io", "runtimeclasses") => reads,
        _ => false,
    }
}
