//! The phases that Kamaji runs inside a tenant after it is Ready: what kubeadm's `init` does on an ordinary control plane.

use lab_wire::{Millis, Random};
use serde_json::{Value, json};

use super::AdminCluster;
use super::plane::{Plane, PlaneKey};
use crate::api::ApiServer;
use crate::kubeconfig::cluster_info;

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const JOINERS: &str = "system:bootstrappers:kubeadm:default-node-token";

impl AdminCluster {
    /// Runs the phases of a plane whose time has come.
    pub(super) fn run_phases(&mut self, key: &PlaneKey, now: Millis, random: &mut Random) {
        let object = self.api.get(super::GROUP, super::PLANES, &key.0, &key.1).cloned();
        let Some(plane) = self.planes.get_mut(key) else { return };
        let Some(mut soot) = plane.soot else { return };
        let spec = object.map(|object| object["spec"].clone()).unwrap_or_default();
        let due = |at: &mut Option<Millis>| at.take_if(|at| *at <= now).is_some();
        if due(&mut soot.info) {
            information(plane, now, random);
        }
        if due(&mut soot.config) {
            configuration(plane, &spec, now, random);
        }
        if due(&mut soot.admin) {
            administrators(plane.tenant.api_mut(), now, random);
            addons(plane.tenant.api_mut(), &spec, now, random);
        }
        let mut finished = false;
        if due(&mut soot.checksum) {
            plane.tenant.watch_cluster_info();
            plane.checksum = plane.tenant.bootstrap_checksum().map(str::to_owned);
            plane.phases_done = true;
            finished = true;
        }
        plane.soot = Some(soot);
        if finished {
            self.enqueue(key, now);
        }
    }
}

/// The endpoint of a plane.
pub fn endpoint(plane: &Plane) -> String {
    plane.address.map(|address| format!("{address}:{}", plane.port)).unwrap_or_default()
}

fn information(plane: &mut Plane, now: Millis, random: &mut Random) {
    let server = format!("https://{}", endpoint(plane));
    let config = cluster_info(&server, plane.keys.authority.certificate());
    let api = plane.tenant.api_mut();
    let mut put = |object: Value| api.put(object, now, random);
    put(config_map("kube-public", "cluster-info", json!({"kubeconfig": config})));
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}]);
    let anonymous = json!([{"kind": "User", "name": "system:anonymous", "apiGroup": "rbac.authorization.k8s.io"}]);
    for object in role("kube-public", "kubeadm:bootstrap-signer-clusterinfo", rules, anonymous) {
        put(object);
    }
    put(json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "kubeadm:get-nodes"},
               "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]}));
    let signer = "system:certificates.k8s.io:certificatesigningrequests";
    for (name, role, group) in [
        ("kubeadm:get-nodes", "kubeadm:get-nodes".to_owned(), JOINERS),
        ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper".to_owned(), JOINERS),
        ("kubeadm:node-autoapprove-bootstrap", format!("{signer}:nodeclient"), JOINERS),
        ("kubeadm:node-autoapprove-certificate-rotation", format!("{signer}:selfnodeclient"), "system:nodes"),
    ] {
        put(cluster_binding(name, &role, group));
    }
}

fn configuration(plane: &mut Plane, spec: &Value, now: Millis, random: &mut Random) {
    let endpoint = endpoint(plane);
    let profile = &spec["networkProfile"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let cluster = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nclusterName: kubernetes\ncontrolPlaneEndpoint: {endpoint}\nkind: ClusterConfiguration\n\
         kubernetesVersion: {}\nnetworking:\n  dnsDomain: {}\n  podSubnet: {}\n  serviceSubnet: {}\n",
        text(&spec["kubernetes"]["version"]),
        text(&profile["clusterDomain"]),
        list(&profile["podCidrs"]),
        list(&profile["serviceCidrs"]),
    );
    let dns = profile["dnsServiceIPs"].as_array().into_iter().flatten();
    let dns: String = dns.filter_map(Value::as_str).map(|ip| format!("- {ip}\n")).collect();
    let kubelet = format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\ncgroupDriver: systemd\nclusterDNS:\n{dns}clusterDomain: {}\n\
         kind: KubeletConfiguration\nrotateCertificates: true\nstaticPodPath: /etc/kubernetes/manifests\n",
        text(&profile["clusterDomain"]),
    );
    let api = plane.tenant.api_mut();
    for (name, role_name, data) in [
        ("kubeadm-config", "kubeadm:nodes-kubeadm-config", json!({"ClusterConfiguration": cluster})),
        ("kubelet-config", "kubeadm:kubelet-config", json!({"kubelet": kubelet})),
    ] {
        api.put(config_map("kube-system", name, data), now, random);
        let rules =
            json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}]);
        let group = |name: &str| json!({"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"});
        for object in role("kube-system", role_name, rules, json!([group("system:nodes"), group(JOINERS)])) {
            api.put(object, now, random);
        }
    }
}

/// The binding that gives `admin.conf` its rights.
pub fn administrators(api: &mut ApiServer, now: Millis, random: &mut Random) {
    api.put(cluster_binding("kubeadm:cluster-admins", "cluster-admin", "kubeadm:cluster-admins"), now, random);
}

fn addons(api: &mut ApiServer, spec: &Value, now: Millis, random: &mut Random) {
    let workload = |kind: &str, name: &str, image: &str, host: bool| {
        let labels = json!({"k8s-app": name});
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "hostNetwork": host, "containers": [{"name": name, "image": image}],
            }}},
        })
    };
    if spec["addons"]["coreDNS"].is_object() {
        let mut dns = workload("Deployment", "coredns", "registry.k8s.io/coredns/coredns:v1.12.0", false);
        dns["spec"]["replicas"] = 2.into();
        api.put(dns, now, random);
    }
    if spec["addons"]["kubeProxy"].is_object() {
        let version = spec["kubernetes"]["version"].as_str().unwrap_or_default();
        let image = format!("registry.k8s.io/kube-proxy:{version}");
        api.put(workload("DaemonSet", "kube-proxy", &image, true), now, random);
    }
    let agent = &spec["addons"]["konnectivity"]["agent"];
    if let Some(mode) = agent["mode"].as_str() {
        let image = agent["image"].as_str().unwrap_or_default();
        let host = agent["hostNetwork"] == true;
        let mut object = workload(mode, "konnectivity-agent", image, host);
        if mode == "Deployment" {
            object["spec"]["replicas"] = agent["replicas"].clone();
        }
        api.put(object, now, random);
    }
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

fn role(namespace: &str, name: &str, rules: Value, subjects: Value) -> [Value; 2] {
    let metadata = json!({"name": name, "namespace": namespace});
    let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    [
        json!({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules}),
        json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects}),
    ]
}

fn cluster_binding(name: &str, role: &str, group: &str) -> Value {
    json!({
        "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}],
    })
}
