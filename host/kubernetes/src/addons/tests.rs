use std::time::Duration;

use agentkube_contract::Fault;
use serde_json::{Value, json};

use super::*;
use crate::fake::Cluster;

const WITHIN: Duration = Duration::from_secs(30);

const NETWORK: &str = "
apiVersion: toy.example/v1
kind: Range
metadata: {name: pods}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: net, namespace: net-system}
spec: {template: {}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ranges.toy.example}
---
apiVersion: v1
kind: Namespace
metadata: {name: net-system}
";

const OTHER: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: 'a'}}
";

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ranges.toy.example";
const SET: &str = "/apis/apps/v1/namespaces/net-system/daemonsets/net";

fn settings() -> (tempfile::TempDir, AddonSettings) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join(name).join("all.yaml"), text).unwrap();
        std::fs::write(directory.path().join(name).join("README.md"), "no manifest").unwrap();
    };
    at("network", NETWORK);
    at("other", OTHER);
    let text = format!(
        "[network]\npath = '{0}/network'\nphase = 'network'\n[other]\npath = '{0}/other/all.yaml'\n",
        directory.path().display()
    );
    (directory, toml::from_str(&text).unwrap())
}

fn kinds(cluster: &Cluster) {
    let resource =
        |name: &str, kind: &str, namespaced: bool| json!({"name": name, "kind": kind, "namespaced": namespaced});
    let list = |resources: Vec<Value>| json!({"resources": resources});
    cluster.put(
        "/api/v1",
        list(vec![resource("namespaces", "Namespace", false), resource("configmaps", "ConfigMap", true)]),
    );
    cluster.put(
        "/apis/apps/v1",
        list(vec![resource("daemonsets", "DaemonSet", true), resource("daemonsets/status", "DaemonSet", true)]),
    );
    cluster.put(
        "/apis/apiextensions.k8s.io/v1",
        list(vec![resource("customresourcedefinitions", "CustomResourceDefinition", false)]),
    );
    // The new kind shows up only when discovery has been asked a second time.
    cluster.after(2, "/apis/toy.example/v1", list(vec![resource("ranges", "Range", false)]));
    cluster.after(
        3,
        CRD,
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
    );
}

fn rolls_out(cluster: &Cluster) {
    let status = json!({"observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1});
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "status": status});
    cluster.after(2, SET, set);
}

fn names(names: [&str; 2]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

// Checklist 93.
#[tokio::test]
async fn definitions_come_first_the_network_before_the_rest_and_health_between() {
    let cluster = Cluster::default();
    kinds(&cluster);
    rolls_out(&cluster);
    let (_directory, settings) = settings();
    apply(&cluster.api(), &settings, &names(["other", "network"]), true, WITHIN).await.unwrap();
    let steps: Vec<String> = cluster
        .requests()
        .into_iter()
        .filter(|line| line.starts_with("PATCH") || line.contains("daemonsets/") || line.contains(CRD))
        .map(|line| line.rsplit('/').next().map(|name| format!("{} {name}", line.split(' ').next().unwrap())).unwrap())
        .collect();
    let expected = [
        "PATCH ranges.toy.example",
        "PATCH net-system",
        "GET ranges.toy.example",
        "GET ranges.toy.example",
        "GET ranges.toy.example",
        "PATCH pods",
        "PATCH net",
        "GET net",
        "GET net",
        "PATCH a",
    ];
    assert_eq!(steps, expected);
    assert!(cluster.object("/api/v1/namespaces/default/configmaps/a").is_some());
}

#[tokio::test]
async fn without_waiting_for_health_the_rest_is_applied_at_once() {
    let cluster = Cluster::default();
    kinds(&cluster);
    let (_directory, settings) = settings();
    apply(&cluster.api(), &settings, &names(["other", "network"]), false, WITHIN).await.unwrap();
    assert!(!cluster.requests().contains(&format!("GET {SET}")));
}

#[tokio::test]
async fn mistakes_are_named_before_anything_is_applied() {
    let cluster = Cluster::default();
    kinds(&cluster);
    let (directory, settings) = settings();
    let code = async |second: &str| {
        let result = apply(&cluster.api(), &settings, &names(["network", second]), true, WITHIN).await;
        Fault::from(result.unwrap_err()).code
    };
    assert_eq!(code("nothing").await, "ADDON_UNKNOWN");
    std::fs::write(directory.path().join("other/all.yaml"), "a: [").unwrap();
    assert_eq!(code("other").await, "ADDON_YAML");
    std::fs::write(directory.path().join("other/all.yaml"), "a: b").unwrap();
    assert_eq!(code("other").await, "ADDON_YAML");
    std::fs::write(directory.path().join("other/all.yaml"), "# nothing\n").unwrap();
    assert_eq!(code("other").await, "ADDON_FILES");
    assert!(cluster.requests().is_empty());
}

#[tokio::test]
async fn a_kind_that_never_comes_and_a_set_that_never_works_are_said() {
    let cluster = Cluster::default();
    let (_directory, settings) = settings();
    let names = ["network".to_owned()];
    let fault = Fault::from(apply(&cluster.api(), &settings, &names, true, WITHIN).await.unwrap_err());
    assert_eq!(fault.code, "ADDON_KIND");
    kinds(&cluster);
    let fault = Fault::from(apply(&cluster.api(), &settings, &names, true, WITHIN).await.unwrap_err());
    assert_eq!(fault.code, "ADDON_UNHEALTHY");
    assert!(fault.message.contains("DaemonSet net-system/net"));
}
