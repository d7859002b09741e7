//! Kamaji's CustomResourceDefinitions.

use serde_json::{Value, json};

use super::outline;

/// API group of Kamaji.
pub const GROUP: &str = "kamaji.clastix.io";
/// Plural of TenantControlPlane.
pub const PLANES: &str = "tenantcontrolplanes";
/// Plural of DataStore.
pub const STORES: &str = "datastores";

/// The definitions of TenantControlPlane, DataStore and KubeconfigGenerator.
pub fn definitions() -> Vec<Value> {
    let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let age = || column("Age", "date", ".metadata.creationTimestamp");
    let mut plane = definition("TenantControlPlane", PLANES, &["tcp"], "Namespaced", outline::TENANT_CONTROL_PLANE);
    let version = &mut plane["spec"]["versions"][0];
    version["subresources"]["scale"] = json!({
        "specReplicasPath": ".spec.controlPlane.deployment.replicas",
        "statusReplicasPath": ".status.kubernetesResources.deployment.replicas",
        "labelSelectorPath": ".status.kubernetesResources.deployment.selector",
    });
    version["additionalPrinterColumns"] = json!([
        column("Version", "string", ".spec.kubernetes.version"),
        column("Installed Version", "string", ".status.kubernetesResources.version.version"),
        column("Status", "string", ".status.kubernetesResources.version.status"),
        column("Control-Plane endpoint", "string", ".status.controlPlaneEndpoint"),
        column("Kubeconfig", "string", ".status.kubeconfig.admin.secretName"),
        column("Datastore", "string", ".status.storage.dataStoreName"),
        age(),
    ]);
    let mut store = definition("DataStore", STORES, &[], "Cluster", outline::DATA_STORE);
    store["spec"]["versions"][0]["additionalPrinterColumns"] =
        json!([column("Driver", "string", ".spec.driver"), column("Ready", "boolean", ".status.ready"), age()]);
    let mut generator =
        definition("KubeconfigGenerator", "kubeconfiggenerators", &["kc"], "Cluster", outline::KUBECONFIG_GENERATOR);
    generator["spec"]["versions"][0]["additionalPrinterColumns"] = json!([age()]);
    vec![plane, store, generator]
}

fn definition(kind: &str, plural: &str, short: &[&str], scope: &str, outline: &str) -> Value {
    let schema = json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": outline::schema(outline),
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": scope, "conversion": {"strategy": "None"},
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(),
                "shortNames": short, "categories": ["kamaji"],
            },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}
