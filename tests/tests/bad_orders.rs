//! Orders that cannot be carried out: each ends in one clear message with stable codes, nothing is left, and the daemon goes on.

use agentkube_lab::daemon::Infrastructure;
use agentkube_tests::{Found, Plan, Scene, one_machine, wait};
use lab_core::store::JobStatus;
use reqwest::Method;
use serde_json::{Value, json};

async fn scene() -> Scene {
    Scene::start(Plan { infrastructure: Infrastructure::Toy, ..Plan::default() }).await
}

/// The text that the newest job of the service fails with.
async fn failure(scene: &Scene, service: &str) -> String {
    let job = wait::until("the job", || scene.newest_job(service).filter(|job| !job.status.active())).await;
    assert_eq!(job.status, JobStatus::Failed, "{} did not fail", job.action);
    job.error
}

fn with(changes: Value) -> Value {
    let mut order = one_machine();
    for (name, value) in changes.as_object().unwrap() {
        order[name] = value.clone();
    }
    order
}

fn pool(changes: Value) -> Value {
    let mut pool = json!({"count": 1, "cores": 2, "memory": "2Gi"});
    for (name, value) in changes.as_object().unwrap() {
        pool[name] = value.clone();
    }
    with(json!({"nodePools": {"w": pool}}))
}

// Checklist 146, 180.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_is_refused_with_its_path_and_code() {
    let scene = scene().await;
    let address = |cidr: &str| json!({"networks": [{"network": "lan", "address": {"cidr": cidr}}]});
    let lines: Vec<(&str, Value, &[&str])> = vec![
        (
            "version",
            with(json!({"kubernetesVersion": "v1.030.2"})),
            &["kubernetesVersion: VERSION: Kubernetes version `v1.030.2`"],
        ),
        (
            "old version",
            with(json!({"kubernetesVersion": "v1.2.0"})),
            &["kubernetesVersion: VERSION_TOO_OLD: v1.2.0 is too old; v1.30 is the oldest that"],
        ),
        (
            "pod range",
            with(json!({"podCidr": "10.244.0.0/30"})),
            &["podCidr: CIDR_SIZE: 10.244.0.0/30 cannot be divided: each node gets a /24"],
        ),
        (
            "service range",
            with(json!({"serviceCidr": "10.96.0.0/30"})),
            &["serviceCidr: CIDR_SIZE: 10.96.0.0/30 has no size that Kubernetes takes"],
        ),
        (
            "10,000 machines",
            pool(json!({"count": 10_000})),
            &["nodePools.w.count: POOL_SIZE: is 10000; a whole number from 0 to 1000"],
        ),
        ("count is a text", pool(json!({"count": "3"})), &["nodePools.w.count: BAD_TYPE: is \"3\""]),
        (
            "pod and service",
            with(json!({"podCidr": "10.96.0.0/12"})),
            &["podCidr: CIDR_OVERLAP: 10.96.0.0/12 overlaps the service range 10.96.0.0/16"],
        ),
        (
            "pod and node",
            pool(address("10.244.1.5/24")),
            &["nodePools.w.networks[0].address.cidr: CIDR_OVERLAP: 10.244.1.5/24 overlaps the pod range"],
        ),
        (
            "service and node",
            pool(address("10.96.1.5/24")),
            &["nodePools.w.networks[0].address.cidr: CIDR_OVERLAP: 10.96.1.5/24 overlaps the service range"],
        ),
        (
            "dual-stack order",
            with(json!({"podCidr": "fd00::/56,10.244.0.0/16"})),
            &["podCidr: CIDR_FAMILIES: is fd00::/56, 10.244.0.0/16; give one range, or one IPv4 and then one IPv6"],
        ),
        (
            "pool name of 300",
            with(json!({"nodePools": {"w".repeat(300): {"count": 1, "size": "s1"}}})),
            &["nodePools[\"wwww", "www…\"]: POOL_NAME: "],
        ),
        (
            "provider",
            pool(json!({"provider": "nowhere"})),
            &["nodePools.w.provider: UNKNOWN_PROVIDER: no provider `nowhere` of that role"],
        ),
        (
            "settings",
            pool(json!({"settings": {"colour": "red"}})),
            &["nodePools.w.settings: SETTINGS: settings for `machines`"],
        ),
        (
            "all at once",
            json!({"kubernetesVersion": "v1.030.2", "podCidr": "10.96.0.0/12", "nodePools": {
                "W": {"count": 1, "size": "s1", "labels": {"a b": ""}, "settings": {"colour": "red"}},
                "w": {"count": 10_000, "size": "s9", "settings": {"colour": "red"}, "lables": {},
                    "taints": [{"key": "a b", "effect": "Never"}]}}}),
            &[
                "kubernetesVersion: VERSION: ",
                "podCidr: CIDR_OVERLAP: ",
                "nodePools.W: POOL_NAME: ",
                "nodePools.W.labels[\"a b\"]: LABEL: ",
                "nodePools.W.settings: SETTINGS: ",
                "nodePools.w.count: POOL_SIZE: ",
                "nodePools.w.size: UNKNOWN_SIZE: ",
                "nodePools.w.settings: SETTINGS: ",
                "nodePools.w.lables: UNKNOWN_KEY: ",
                "nodePools.w.taints[0].key: TAINT: ",
                "nodePools.w.taints[0].effect: TAINT_EFFECT: ",
            ],
        ),
    ];
    let mut services = Vec::new();
    for (name, order, told) in lines {
        let service = scene.order_with(name, order).await;
        services.push((name, service, told));
    }
    for (name, service, told) in &services {
        println!("{name}");
        let error = failure(&scene, service).await;
        assert!(error.starts_with("BAD_PROPERTIES: "), "{name}: {error}");
        for told in *told {
            assert!(error.contains(told), "{name}: {told}\n{error}");
        }
        assert!(error.len() <= 8192 && !error.contains('\0'), "{name}: {}", error.len());
        assert_eq!(scene.service(service).status, "CreateFailed", "{name}");
    }
    assert_eq!(scene.found(), Found::nothing());
    // Refused jobs are not lost to who looks at the daemon alone.
    let jobs = scene.ask("jobs");
    let log = scene.log();
    for (name, service, told) in &services {
        let refused = jobs["refused"].as_array().unwrap().iter().find(|job| job["key"]["service"] == service.as_str());
        let fault = &refused.unwrap_or_else(|| panic!("{name}: {jobs}"))["fault"];
        assert_eq!(fault["code"], "BAD_PROPERTIES", "{name}");
        assert!(told.iter().all(|told| fault["message"].as_str().unwrap().contains(told)), "{name}: {fault}");
        let warned = |line: &&str| line.contains("WARN") && line.contains(service.as_str());
        assert!(log.lines().find(warned).is_some_and(|line| line.contains("BAD_PROPERTIES")), "{name}: {log}");
    }
    alive(&scene).await;
}

/// The daemon still makes clusters.
async fn alive(scene: &Scene) {
    let service = scene.order_with("after", one_machine()).await;
    scene.completed(&service).await;
    scene.customer.delete(&service).await.unwrap();
    scene.completed(&service).await;
    assert_eq!(scene.found(), Found::nothing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_core_itself_refuses_never_comes_here() {
    let scene = scene().await;
    for (order, told) in [
        (with(json!({"kubernetesVersion": "1.30"})), "kubernetesVersion"),
        (with(json!({"kubernetesVersion": "v1.30"})), "kubernetesVersion"),
        (json!({}), "required"),
        (with(json!({"controlPlane": {"settings": {"x": "a\u{0}b"}}})), "SQLSTATE"),
    ] {
        let refused = scene.customer.order(&scene.registration, "odd", order).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(scene.lab.core(|core| core.jobs().is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_mebibytes_are_refused_and_others_are_served() {
    let scene = scene().await;
    let large = pool(json!({"settings": {"x": "y".repeat(5 << 20)}}));
    let service = scene.order_with("large", large).await;
    let error = failure(&scene, &service).await;
    assert!(error.starts_with("ORDER_TOO_LARGE: the service's properties are larger than 1024 KiB"), "{error}");
    alive(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_machines_and_a_name_of_300_characters_are_fine() {
    let scene = scene().await;
    let service = scene.order_with(&"ä".repeat(300), pool(json!({"count": 0}))).await;
    scene.completed(&service).await;
    assert_eq!((scene.found().planes, scene.found().toy_machines), (1, 0));
    scene.customer.delete(&service).await.unwrap();
    scene.completed(&service).await;
    assert_eq!(scene.found(), Found::nothing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_that_are_not_carried_out_are_told_so() {
    let scene = scene().await;
    let service = scene.order_with("shop", one_machine()).await;
    scene.completed(&service).await;
    for action in ["stop", "upgrade"] {
        scene.customer.call(Method::POST, &format!("/services/{service}/{action}"), None).await.unwrap();
        let job =
            wait::until(action, || scene.newest_job(&service).filter(|j| j.action == action && !j.status.active()));
        let error = job.await.error;
        assert!(error.starts_with(&format!("UNSUPPORTED: action `{action}` is not supported")), "{error}");
        assert_eq!(scene.service(&service).status, "Started", "{action}");
    }
}
