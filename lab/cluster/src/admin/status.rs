//! The status of a TenantControlPlane.

use lab_wire::{Millis, rfc3339};
use serde_json::{Value, json};

use super::plane::Plane;
use crate::encoding::sha256_hex;

/// The state of the control plane: first match wins, as in Kamaji's Deployment resource (26.8.2-edge).
pub fn state(spec: &Value, plane: &Plane, installed: &str) -> &'static str {
    let pods = &plane.pods;
    let limits = &spec["writePermissions"];
    let limited = ["blockCreation", "blockUpdate", "blockDeletion"].iter().any(|field| limits[*field] == true);
    if spec["controlPlane"]["deployment"]["replicas"] == 0 {
        "Sleeping"
    } else if pods.ready == 0 {
        "NotReady"
    } else if limited {
        "WriteLimited"
    } else if pods.is_rolled_out() {
        "Ready"
    } else if !installed.is_empty() && spec["kubernetes"]["version"] != installed {
        "Upgrading"
    } else if installed.is_empty() {
        "Provisioning"
    } else {
        "Unknown"
    }
}

/// Writes what a successful reconcile of a set-up plane leaves in the status.
pub fn write(object: &mut Value, plane: &Plane, endpoint: &str, now: Millis) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].clone();
    let spec = object["spec"].clone();
    let old = object["status"].clone();
    let installed = old["kubernetesResources"]["version"]["version"].as_str().unwrap_or_default().to_owned();
    let state = state(&spec, plane, &installed);
    let installed = match state {
        "Ready" | "Sleeping" => spec["kubernetes"]["version"].as_str().unwrap_or_default().to_owned(),
        _ => installed,
    };
    let stamp = rfc3339(now);
    // A checksum keeps its time until it changes.
    let sealed = |at: &Value, secret: &str, content: &str| {
        let checksum: String = sha256_hex(content).chars().take(32).collect();
        let since = if at["checksum"] == checksum.as_str() { at["lastUpdate"].clone() } else { stamp.clone().into() };
        json!({"secretName": format!("{name}-{secret}"), "checksum": checksum, "lastUpdate": since})
    };
    let pem = |pair: &Option<crate::pki::Pair>| pair.as_ref().map(|p| p.certificate.clone()).unwrap_or_default();
    let (admin, super_admin, serving) =
        (pem(&plane.keys.admin), pem(&plane.keys.super_admin), pem(&plane.keys.serving));
    let (ca, front) = (plane.keys.authority.certificate(), plane.keys.front.certificate());
    let (configs, certificates) = (&old["kubeconfig"], &old["certificates"]);
    let mut status = old.clone();
    status["controlPlaneEndpoint"] = endpoint.into();
    status["kubeconfig"] = json!({
        "admin": sealed(&configs["admin"], "admin-kubeconfig", &format!("{endpoint}{admin}{super_admin}{ca}")),
        "controllerManager": sealed(&configs["controllerManager"], "controller-manager-kubeconfig", &format!("cm{endpoint}{ca}")),
        "scheduler": sealed(&configs["scheduler"], "scheduler-kubeconfig", &format!("s{endpoint}{ca}")),
    });
    status["certificates"] = json!({
        "ca": sealed(&certificates["ca"], "ca", ca),
        "apiServer": sealed(&certificates["apiServer"], "api-server-certificate", &serving),
        "apiServerKubeletClient": sealed(&certificates["apiServerKubeletClient"], "api-server-kubelet-client-certificate", ca),
        "frontProxyCA": sealed(&certificates["frontProxyCA"], "front-proxy-ca-certificate", front),
        "frontProxyClient": sealed(&certificates["frontProxyClient"], "front-proxy-client-certificate", front),
        "sa": sealed(&certificates["sa"], "sa-certificate", ca),
    });
    let config: String = sha256_hex(format!("{endpoint}{}", spec["kubernetes"])).chars().take(32).collect();
    if old["kubeadmconfig"]["checksum"] != config.as_str() {
        status["kubeadmconfig"] =
            json!({"configmapName": format!("{name}-kubeadmconfig"), "checksum": config, "lastUpdate": stamp});
    }
    status["storage"] = json!({
        "driver": "etcd", "dataStoreName": spec["dataStore"],
        "config": {"secretName": format!("{name}-datastore-config"), "checksum": config},
        "setup": {"schema": spec["dataStoreSchema"], "user": spec["dataStoreUsername"], "checksum": config},
        "certificate": sealed(&old["storage"]["certificate"], "datastore-certificate", ca),
    });
    let mut deployment = plane.pods.status();
    deployment["name"] = name.clone().into();
    deployment["namespace"] = namespace.clone();
    deployment["selector"] = format!("kamaji.clastix.io/name={name}").into();
    deployment["lastUpdate"] = match old["kubernetesResources"]["deployment"].get("lastUpdate") {
        Some(then) if same_counts(&old["kubernetesResources"]["deployment"], &deployment) => then.clone(),
        _ => stamp.clone().into(),
    };
    let host = endpoint.rsplit_once(':').map(|(host, _)| host).unwrap_or_default();
    let balanced = spec["controlPlane"]["service"]["serviceType"] == "LoadBalancer";
    let ingress = if balanced { json!({"ingress": [{"ip": host}]}) } else { json!({}) };
    status["kubernetesResources"] = json!({
        "version": {"status": state, "version": installed},
        "deployment": deployment,
        "service": {"name": name, "namespace": namespace, "port": spec["networkProfile"]["port"], "loadBalancer": ingress},
    });
    for addon in ["coreDNS", "kubeProxy", "konnectivity"] {
        let enabled = spec["addons"][addon].is_object() && plane.phases_done;
        status["addons"][addon]["enabled"] = enabled.into();
    }
    if let Some(checksum) = plane.tenant.bootstrap_checksum().filter(|_| plane.phases_done) {
        let at = &old["kubeadmPhase"]["bootstrapToken"];
        let since = if at["checksum"] == checksum { at["lastUpdate"].clone() } else { stamp.into() };
        status["kubeadmPhase"] = json!({"bootstrapToken": {"checksum": checksum, "lastUpdate": since}});
    }
    object["status"] = status;
}

fn same_counts(old: &Value, new: &Value) -> bool {
    let counts = ["replicas", "readyReplicas", "updatedReplicas", "unavailableReplicas", "availableReplicas"];
    counts.iter().all(|field| old[*field] == new[*field])
}
