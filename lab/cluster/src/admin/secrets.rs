//! The Secrets, ConfigMap, Service and Deployment that Kamaji keeps beside a TenantControlPlane.

use lab_wire::{Millis, Random};
use serde_json::{Value, json};

use super::definitions::GROUP;
use super::plane::Plane;
use crate::api::ApiServer;
use crate::encoding::{base64, sha256_hex};
use crate::kubeconfig::{Credential, kubeconfig, with_exec};
use crate::pki::{Pair, PkiError};

/// What the admin kubeconfig Secret says, for tests of careful readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KubeconfigFlaw {
    /// Nothing wrong.
    #[default]
    None,
    /// The users run a program.
    Exec,
    /// The CA is another one.
    WrongAuthority,
}

/// Writes all Secrets of a plane whose keys are issued.
pub fn write(
    api: &mut ApiServer,
    object: &Value,
    plane: &Plane,
    endpoint: &str,
    flaw: KubeconfigFlaw,
    now: Millis,
    random: &mut Random,
) -> Result<(), PkiError> {
    let (namespace, name) = names(object);
    let keys = &plane.keys;
    let authority = &keys.authority;
    let ca = match flaw {
        KubeconfigFlaw::WrongAuthority => keys.front.certificate(),
        _ => authority.certificate(),
    };
    let port = endpoint.rsplit(':').next().unwrap_or("6443");
    let inner = format!("https://{name}.{namespace}.svc:{port}");
    let outer = format!("https://{endpoint}");
    let config = |server: &str, user: &str, pair: &Option<Pair>| match pair {
        _ if flaw == KubeconfigFlaw::Exec => with_exec(&name, server, ca),
        Some(pair) => kubeconfig(&name, server, ca, user, &Credential::Certificate(pair.clone())),
        None => String::new(),
    };
    let admin = [
        ("admin.conf", config(&outer, "kubernetes-admin", &keys.admin)),
        ("admin.svc", config(&inner, "kubernetes-admin", &keys.admin)),
        ("super-admin.conf", config(&outer, "kubernetes-super-admin", &keys.super_admin)),
        ("super-admin.svc", config(&inner, "kubernetes-super-admin", &keys.super_admin)),
    ];
    put(api, object, "admin-kubeconfig", &admin, now, random);
    let own = authority.pair();
    put(
        api,
        object,
        "ca",
        &[
            ("ca.crt", own.certificate.clone()),
            ("ca.key", own.key.clone()),
            ("tls.crt", own.certificate.clone()),
            ("tls.key", own.key.clone()),
        ],
        now,
        random,
    );
    if let Some(serving) = &keys.serving {
        let parts = [("apiserver.crt", serving.certificate.clone()), ("apiserver.key", serving.key.clone())];
        put(api, object, "api-server-certificate", &parts, now, random);
    }
    let front = keys.front.pair();
    let parts = [("front-proxy-ca.crt", front.certificate.clone()), ("front-proxy-ca.key", front.key.clone())];
    put(api, object, "front-proxy-ca-certificate", &parts, now, random);
    // The rest is written once: nobody reads it, but it has to be there and to go away.
    let once =
        |api: &mut ApiServer, suffix: &str| api.get("", "secrets", &namespace, &format!("{name}-{suffix}")).is_none();
    if once(api, "datastore-config") {
        let schema = object["spec"]["dataStoreSchema"].as_str().unwrap_or_default();
        let user = object["spec"]["dataStoreUsername"].as_str().unwrap_or_default();
        let parts = [
            ("DB_CONNECTION_STRING", "https://etcd-0.etcd.kamaji-system.svc:2379".to_owned()),
            ("DB_SCHEMA", schema.to_owned()),
            ("DB_USER", user.to_owned()),
            ("DB_PASSWORD", random.token(24)),
        ];
        put(api, object, "datastore-config", &parts, now, random);
        api.edit(("", "secrets"), (&namespace, &format!("{name}-datastore-config")), now, random, |secret| {
            secret["metadata"]["finalizers"] = json!(["finalizer.kamaji.clastix.io/datastore-secret"]);
        });
        for (suffix, user, group) in [
            ("api-server-kubelet-client-certificate", "kube-apiserver-kubelet-client", "system:masters"),
            ("datastore-certificate", user, ""),
            ("sa-certificate", "sa", ""),
        ] {
            let pair = authority.client(user, &[group], now)?;
            put(api, object, suffix, &[("tls.crt", pair.certificate), ("tls.key", pair.key)], now, random);
        }
        let pair = keys.front.client("front-proxy-client", &[], now)?;
        let parts = [("front-proxy-client.crt", pair.certificate), ("front-proxy-client.key", pair.key)];
        put(api, object, "front-proxy-client-certificate", &parts, now, random);
    }
    for (suffix, key, user) in [
        ("controller-manager-kubeconfig", "controller-manager.conf", "system:kube-controller-manager"),
        ("scheduler-kubeconfig", "scheduler.conf", "system:kube-scheduler"),
    ] {
        if once(api, suffix) {
            let pair = authority.client(user, &[], now)?;
            let config = kubeconfig(&name, &outer, authority.certificate(), user, &Credential::Certificate(pair));
            put(api, object, suffix, &[(key, config)], now, random);
        }
    }
    if object["spec"]["addons"]["konnectivity"].is_object() && once(api, "konnectivity-kubeconfig") {
        let user = "system:konnectivity-server";
        let pair = authority.client(user, &[], now)?;
        let parts = [("tls.crt", pair.certificate.clone()), ("tls.key", pair.key.clone())];
        put(api, object, "konnectivity-certificate", &parts, now, random);
        let config = kubeconfig(&name, &outer, authority.certificate(), user, &Credential::Certificate(pair));
        put(api, object, "konnectivity-kubeconfig", &[("konnectivity-server.conf", config)], now, random);
    }
    let mut map = object_of(object, "ConfigMap", "v1", &format!("{name}-kubeadmconfig"), "kubeadmconfig");
    map["data"] = json!({"config": json!({
        "kubernetesVersion": object["spec"]["kubernetes"]["version"], "controlPlaneEndpoint": endpoint,
    }).to_string()});
    api.put(map, now, random);
    Ok(())
}

/// Writes the Service.
pub fn service(api: &mut ApiServer, object: &Value, ingress: Option<Value>, now: Millis, random: &mut Random) {
    let (_, name) = names(object);
    let spec = &object["spec"];
    let mut service = object_of(object, "Service", "v1", &name, "service");
    let port = &spec["networkProfile"]["port"];
    service["spec"] = json!({
        "type": spec["controlPlane"]["service"]["serviceType"], "selector": {"kamaji.clastix.io/name": name},
        "ports": [{"name": "kube-apiserver", "port": port, "targetPort": port, "protocol": "TCP"}],
    });
    service["status"] = match ingress {
        Some(ingress) => json!({"loadBalancer": {"ingress": [ingress]}}),
        None => json!({"loadBalancer": {}}),
    };
    api.put(service, now, random);
}

/// Writes the Deployment.
pub fn deployment(api: &mut ApiServer, object: &Value, plane: &Plane, now: Millis, random: &mut Random) {
    let (_, name) = names(object);
    let mut deployment = object_of(object, "Deployment", "apps/v1", &name, "deployment");
    let labels = json!({"kamaji.clastix.io/name": name});
    let spec = &object["spec"];
    let registry = &spec["controlPlane"]["deployment"]["registrySettings"];
    let image = |field: &str| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{}/{}:{}", text(&registry["registry"]), text(&registry[field]), text(&spec["kubernetes"]["version"]))
    };
    deployment["spec"] = json!({
        "replicas": spec["controlPlane"]["deployment"]["replicas"], "selector": {"matchLabels": labels},
        "strategy": spec["controlPlane"]["deployment"]["strategy"],
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [
            {"name": "kube-apiserver", "image": image("apiServerImage")},
            {"name": "kube-controller-manager", "image": image("controllerManagerImage")},
            {"name": "kube-scheduler", "image": image("schedulerImage")},
        ]}},
    });
    deployment["status"] = plane.pods.status();
    api.put(deployment, now, random);
}

fn names(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn object_of(owner: &Value, kind: &str, version: &str, name: &str, component: &str) -> Value {
    let metadata = &owner["metadata"];
    json!({
        "apiVersion": version, "kind": kind,
        "metadata": {
            "name": name, "namespace": metadata["namespace"],
            "labels": {
                "kamaji.clastix.io/name": metadata["name"], "kamaji.clastix.io/component": component,
                "kamaji.clastix.io/project": "kamaji",
            },
            "ownerReferences": [{
                "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "TenantControlPlane", "name": metadata["name"],
                "uid": metadata["uid"], "controller": true, "blockOwnerDeletion": true,
            }],
        },
    })
}

fn put(api: &mut ApiServer, owner: &Value, suffix: &str, parts: &[(&str, String)], now: Millis, random: &mut Random) {
    let (namespace, name) = names(owner);
    let name = format!("{name}-{suffix}");
    let mut secret = object_of(owner, "Secret", "v1", &name, suffix);
    let lifecycle = if suffix.ends_with("kubeconfig") { "kubeconfig" } else { "x509" };
    secret["metadata"]["labels"]["kamaji.clastix.io/certificate_lifecycle_controller"] = lifecycle.into();
    secret["type"] = "Opaque".into();
    let content: String = parts.iter().map(|(_, text)| text.as_str()).collect();
    secret["metadata"]["annotations"]["kamaji.clastix.io/checksum"] =
        sha256_hex(content).chars().take(32).collect::<String>().into();
    for (key, text) in parts {
        secret["data"][*key] = base64(text).into();
    }
    if let Some(live) = api.get("", "secrets", &namespace, &name) {
        if let Some(kept) = live["metadata"].get("finalizers") {
            secret["metadata"]["finalizers"] = kept.clone();
        }
        if let Some(done) = live["metadata"]["annotations"].get("certs.kamaji.clastix.io/rotate") {
            secret["metadata"]["annotations"]["certs.kamaji.clastix.io/rotate"] = done.clone();
        }
    }
    api.put(secret, now, random);
}
