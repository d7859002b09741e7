//! Schemas of Kamaji's kinds, written as an outline.
//!
//! A line is `name type [default]`; a `!` after the name makes the field required, indentation nests. Types: `object`,
//! `string`, `integer`, `boolean`, `any` (fields unknown to this lab pass), `text` (a map of strings), `int-or-string`,
//! `one(a|b)`; `[type]` is a list, `{type}` a set. The outline follows Kamaji 26.8.2-edge.

use serde_json::{Map, Value, json};

/// Outline of a TenantControlPlane's `spec`.
pub const TENANT_CONTROL_PLANE: &str = r#"
addons object
  coreDNS object
    imageRepository string
    imageTag string
  konnectivity object
    agent object {"image":"registry.k8s.io/kas-network-proxy/proxy-agent","mode":"DaemonSet"}
      extraArgs [string]
      hostNetwork boolean false
      image string "registry.k8s.io/kas-network-proxy/proxy-agent"
      mode one(DaemonSet|Deployment) "DaemonSet"
      replicas integer
      tolerations [any] [{"key":"CriticalAddonsOnly","operator":"Exists"}]
      version string
    server object {"image":"registry.k8s.io/kas-network-proxy/proxy-server","port":8132}
      extraArgs [string]
      image string "registry.k8s.io/kas-network-proxy/proxy-server"
      port! integer
      resources any
      securityContext any
      version string
  kubeProxy object
    imageRepository string
    imageTag string
controlPlane! object
  deployment object
    additionalContainers [any]
    additionalInitContainers [any]
    additionalMetadata object
      annotations text
      labels text
    additionalVolumeMounts any
    additionalVolumes [any]
    affinity any
    automountServiceAccountToken boolean
    containerSecurityContexts any
    extraArgs object
      apiServer [string]
      controllerManager [string]
      kine [string]
      scheduler [string]
    nodeSelector text
    podAdditionalMetadata object
      annotations text
      labels text
    podSecurityContext any
    probes any
    registrySettings object {"apiServerImage":"kube-apiserver","controllerManagerImage":"kube-controller-manager","registry":"registry.k8s.io","schedulerImage":"kube-scheduler"}
      apiServerImage string "kube-apiserver"
      controllerManagerImage string "kube-controller-manager"
      registry string "registry.k8s.io"
      schedulerImage string "kube-scheduler"
      tagSuffix string
    replicas integer 2
    resources any
    runtimeClassName string
    serviceAccountName string "default"
    strategy object {"rollingUpdate":{"maxSurge":"100%","maxUnavailable":0},"type":"RollingUpdate"}
      rollingUpdate object
        maxSurge int-or-string
        maxUnavailable int-or-string
      type string
    tolerations [any]
    topologySpreadConstraints [any]
  gateway object
    additionalMetadata object
      annotations text
      labels text
    hostname string
    parentRefs [any]
  ingress object
    additionalMetadata object
      annotations text
      labels text
    hostname string
    ingressClassName string
  service! object
    additionalMetadata object
      annotations text
      labels text
    additionalPorts [any]
    allocateLoadBalancerNodePorts boolean
    serviceType! one(ClusterIP|NodePort|LoadBalancer)
dataStore string
dataStoreOverrides [any]
dataStoreSchema string
dataStoreUsername string
kubernetes! object
  admissionControllers [string] ["CertificateApproval","CertificateSigning","CertificateSubjectRestriction","DefaultIngressClass","DefaultStorageClass","DefaultTolerationSeconds","LimitRanger","MutatingAdmissionWebhook","NamespaceLifecycle","PersistentVolumeClaimResize","Priority","ResourceQuota","RuntimeClass","ServiceAccount","StorageObjectInUseProtection","TaintNodesByCondition","ValidatingAdmissionWebhook"]
  kubelet! object
    cgroupfs one(systemd|cgroupfs)
    configurationJSONPatches [any]
    preferredAddressTypes {string} ["InternalIP","ExternalIP","Hostname"]
  version! string
networkProfile object
  address string
  advertiseAddress string
  allowAddressAsExternalIP boolean
  certSANs [string]
  clusterDomain string "cluster.local"
  dnsServiceIPs [string]
  loadBalancerClass string
  loadBalancerSourceRanges [string]
  podCidr string "10.244.0.0/16"
  podCidrs [string]
  port integer 6443
  serviceCidr string "10.96.0.0/16"
  serviceCidrs [string]
writePermissions object
  blockCreation boolean
  blockDeletion boolean
  blockUpdate boolean
"#;

/// Outline of a DataStore's `spec`.
pub const DATA_STORE: &str = "
basicAuth any
driver! one(etcd|MySQL|PostgreSQL|NATS)
endpoints! [string]
tlsConfig any
";

/// Outline of a KubeconfigGenerator's `spec`.
pub const KUBECONFIG_GENERATOR: &str = r#"
controlPlaneEndpointFrom string "admin.svc"
groups [any]
namespaceSelector any
tenantControlPlaneSelector any
user! any
"#;

/// An outline as a structural schema.
pub fn schema(outline: &str) -> Value {
    let lines: Vec<&str> = outline.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut at = 0;
    object(&lines, &mut at, 0)
}

fn object(lines: &[&str], at: &mut usize, indent: usize) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    while let Some(line) = lines.get(*at).filter(|line| depth(line) >= indent) {
        *at += 1;
        let mut words = line.trim().splitn(3, ' ');
        let (name, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let below = lines.get(*at).map_or(0, |next| depth(next));
        let mut part = if below > indent { object(lines, at, below) } else { of_type(kind) };
        if let Some(default) = words.next().and_then(|text| serde_json::from_str(text).ok()) {
            part["default"] = default;
        }
        if name.ends_with('!') {
            required.push(name.trim_end_matches('!'));
        }
        properties.insert(name.trim_end_matches('!').to_owned(), part);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn of_type(kind: &str) -> Value {
    if let Some(inner) = kind.strip_prefix('[') {
        return json!({"type": "array", "items": of_type(inner.trim_end_matches(']'))});
    }
    if let Some(inner) = kind.strip_prefix('{') {
        return json!({"type": "array", "items": of_type(inner.trim_end_matches('}')), "x-kubernetes-list-type": "set"});
    }
    if let Some(choices) = kind.strip_prefix("one(") {
        let choices: Vec<&str> = choices.trim_end_matches(')').split('|').collect();
        return json!({"type": "string", "enum": choices});
    }
    match kind {
        "any" => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        "text" => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "int-or-string" => json!({"x-kubernetes-int-or-string": true}),
        other => json!({"type": other}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_becomes_a_schema() {
        let schema = schema("a! object {\"b\":1}\n  b integer 1\n  c! [string]\nd one(x|y)\n");
        assert_eq!(schema["required"], json!(["a"]));
        assert_eq!(schema["properties"]["a"]["properties"]["b"], json!({"type": "integer", "default": 1}));
        assert_eq!(schema["properties"]["a"]["required"], json!(["c"]));
        assert_eq!(schema["properties"]["a"]["default"], json!({"b": 1}));
        assert_eq!(schema["properties"]["d"]["enum"], json!(["x", "y"]));
    }
}
