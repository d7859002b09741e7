//! The JoinConfiguration that kubeadm reads on the machine.

use agentkube_contract::{BootstrapRequest, Class};
use serde_json::{Map, Value, json};

use super::network::node_ip;
use super::settings::BootstrapSettings;
use crate::{Error, Result, yaml};

/// A JoinConfiguration as a YAML document. v1beta4 came with 1.31:
/// https://kubernetes.io/blog/2024/08/23/kubernetes-1-31-kubeadm-v1beta4/.
pub(crate) fn join_configuration(request: &BootstrapRequest<'_>, settings: &BootstrapSettings) -> Result<String> {
    let listed = agentkube_contract::cluster::minor(&request.join.version)? >= 31;
    let mut arguments: Vec<(String, String)> =
        settings.kubelet_arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut tell = |name: &str, value: String| {
        arguments.retain(|(other, _)| other != name);
        arguments.push((name.to_owned(), value));
    };
    let labels = own_labels(request)?;
    if !labels.is_empty() {
        tell("node-labels", labels);
    }
    if let Some(address) = node_ip(request.pool)? {
        tell("node-ip", address.to_string());
    }
    if let Some(id) = request.provider_id {
        tell("provider-id", id.to_owned());
    }
    let arguments: Value = if listed {
        arguments.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    } else {
        arguments.into_iter().map(|(name, value)| (name, Value::from(value))).collect::<Map<_, _>>().into()
    };
    let mut registration = json!({
        "name": request.key.name,
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": arguments,
    });
    let mut also = |field: &str, value: Value| {
        if let Some(fields) = registration.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    };
    if !request.pool.taints.is_empty() {
        let taint =
            |taint: &agentkube_contract::Taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect});
        also("taints", request.pool.taints.iter().map(taint).collect());
    }
    if !settings.ignore_preflight_errors.is_empty() {
        also("ignorePreflightErrors", json!(settings.ignore_preflight_errors));
    }
    let token = &request.join.token;
    Ok(yaml::document(&json!({
        "apiVersion": if listed { "kubeadm.k8s.io/v1beta4" } else { "kubeadm.k8s.io/v1beta3" },
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": request.join.server,
                "token": format!("{}.{}", token.id, token.secret),
                "caCertHashes": request.join.ca_hashes,
            },
        },
        "nodeRegistration": registration,
    })))
}

/// Labels that the kubelet gives itself when it registers. The others are set through the API, once the node is there.
fn own_labels(request: &BootstrapRequest<'_>) -> Result<String> {
    let mut own = Vec::new();
    for (key, value) in &request.pool.labels {
        if !wellformed_key(key) || !(value.is_empty() || wellformed_name(value)) {
            let shown = agentkube_contract::cluster::clip(&format!("{key}={value}"));
            return Err(Error::cluster(
                Class::Invalid,
                "NODE_LABEL",
                format!("pool `{}`: `{shown}` is no label that a node can carry", request.pool.name),
            ));
        }
        if kubelet_may(key) {
            own.push(format!("{key}={value}"));
        }
    }
    Ok(own.join(","))
}

/// Whether a kubelet may give itself this label: in Kubernetes' own domains only some, or the kubelet does not start. See
/// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction.
fn kubelet_may(key: &str) -> bool {
    const SINGLE: [&str; 11] = [
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    let within = |domain: &str, parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
    };
    match key.split_once('/') {
        None => true,
        Some((domain, _)) if !within(domain, "kubernetes.io") && !within(domain, "k8s.io") => true,
        Some((domain, _)) => {
            within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io") || SINGLE.contains(&key)
        }
    }
}

fn wellformed_key(key: &str) -> bool {
    match key.split_once('/') {
        None => wellformed_name(key),
        Some((domain, name)) => wellformed_name(name) && wellformed_domain(domain),
    }
}

fn wellformed_domain(domain: &str) -> bool {
    (1..=253).contains(&domain.len())
        && domain.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn wellformed_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_gives_itself_what_it_may() {
        for key in ["team", "example.org/team", "node.kubernetes.io/pool", "topology.kubernetes.io/zone", "notk8s.io/x"]
        {
            assert!(kubelet_may(key), "{key}");
        }
        for key in
            ["node-role.kubernetes.io/worker", "kubernetes.io/x", "a.k8s.io/x", "node-restriction.kubernetes.io/a"]
        {
            assert!(!kubelet_may(key), "{key}");
        }
    }

    #[test]
    fn labels_that_no_node_can_carry_are_recognized() {
        for key in ["", "a b", "a,b", "a=b", "-a", "a/b/c", "/a", "A.b/c", "a/", &"a".repeat(64)] {
            assert!(!wellformed_key(key), "{key}");
        }
        assert!(wellformed_key("a") && wellformed_key("example.org/A_b.c-d"));
    }
}
