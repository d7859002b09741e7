//! From a wanted cluster to the object.

use agentkube_sdk::cluster::Cluster;
use agentkube_sdk::prelude::*;
use serde_json::{Value, json};

use crate::config::{Config, Settings};
use crate::mark;

/// Kamaji's default admission controllers, and NodeRestriction: with it a worker can change nothing but itself.
const ADMISSION: [&str; 18] = [
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "NodeRestriction",
    "PersistentVolumeClaimResize",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionWebhook",
];

/// The whole TenantControlPlane.
pub fn object(config: &Config, owner: &Owner, wanted: &Cluster) -> Result<Value> {
    let settings = config.settings_of(wanted)?;
    let mut spec = spec(config, &settings, wanted);
    merge(&mut spec, &config.overrides);
    merge(&mut spec, &settings.overrides);
    Ok(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": mark::metadata(owner, Some(&config.namespace_of(owner)), &owner.cluster),
        "spec": spec,
    }))
}

fn spec(config: &Config, settings: &Settings, wanted: &Cluster) -> Value {
    let mut addons = json!({ "coreDNS": {}, "kubeProxy": {} });
    if settings.konnectivity.unwrap_or(config.konnectivity) {
        merge(
            &mut addons,
            &json!({ "konnectivity": { "server": { "port": 8132 }, "agent": { "mode": "DaemonSet" } } }),
        );
    }
    let mut spec = json!({
        "controlPlane": {
            "deployment": { "replicas": if wanted.powered { wanted.control_plane.replicas } else { 0 } },
            "service": { "serviceType": settings.service_type.unwrap_or(config.service_type) },
        },
        "kubernetes": {
            "version": wanted.version,
            "kubelet": { "preferredAddressTypes": ["InternalIP", "ExternalIP", "Hostname"] },
            "admissionControllers": ADMISSION,
        },
        "networkProfile": {
            "port": config.port,
            "certSANs": wanted.control_plane.cert_sans,
            "clusterDomain": wanted.network.domain,
            "serviceCidrs": wanted.network.service_cidrs,
            "podCidrs": wanted.network.pod_cidrs,
        },
        "addons": addons,
    });
    if let Some(store) = settings.data_store.as_ref().or(config.data_store.as_ref()) {
        merge(&mut spec, &json!({ "dataStore": store }));
    }
    spec
}

/// RFC 7386, but that a `null` patch as a whole changes nothing.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(_) => merge(target.entry(key.clone()).or_insert_with(|| json!({})), value),
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Checklist 86, 89, 92, 115, 197-200, 207-211: every field of the CRD can be reached.
    #[test]
    fn overrides_reach_every_field_and_can_take_one_away() {
        let mut spec = json!({ "addons": { "coreDNS": {}, "kubeProxy": {} }, "networkProfile": { "port": 6443 } });
        merge(&mut spec, &json!({ "addons": { "kubeProxy": null }, "networkProfile": { "certSANs": ["a.example"] } }));
        merge(&mut spec, &Value::Null);
        let want =
            json!({ "addons": { "coreDNS": {} }, "networkProfile": { "port": 6443, "certSANs": ["a.example"] } });
        assert_eq!(spec, want);
    }
}
