//! A job becomes a cluster and goes away again, through the real binary.

use std::time::{Duration, Instant};

use agentkube_lab::daemon::Infrastructure;
use agentkube_lab::machine::State;
use agentkube_tests::{Found, Plan, Scene, command, heavy, one_machine, pages, traces, wait};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

/// A cluster that stands, with all that a test may ask of it.
async fn standing(infrastructure: Infrastructure) -> (Scene, String) {
    let more = "kubeconfig-delivery = \"property\"\n".to_owned();
    let scene = Scene::start(Plan { infrastructure, more, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    scene.completed(&service).await;
    (scene, service)
}

async fn delete(scene: &Scene, service: &str) {
    scene.customer.delete(service).await.unwrap();
    scene.completed(service).await;
    // Judged once, after the job's end: nothing may be left for later.
    assert_eq!(scene.found(), Found::nothing());
    assert_eq!(scene.service(service).status, "Deleted");
    assert_eq!(scene.lab.proxmox(|pve| pve.leftovers()), Vec::<String>::new());
    let machines = scene.lab.machines().all();
    assert!(machines.is_empty(), "{machines:?}");
    let rows = scene.ask("ledger");
    assert_eq!(rows.as_array().map(Vec::len), Some(0), "{rows}");
}

fn property<'a>(scene_service: &'a lab_core::store::Service, name: &str) -> &'a Value {
    let properties = scene_service.properties.as_ref().unwrap();
    properties.get(name).unwrap_or_else(|| panic!("no property {name} in {properties:?}"))
}

/// The kubeconfigs that the control plane made, by key.
fn kubeconfigs(scene: &Scene) -> impl Fn(&str) -> String {
    let data = scene.lab.admin(|cluster| {
        let (namespace, name) = cluster.tenants().next().unwrap().0.clone();
        let secret = cluster.admin().get("", "secrets", &namespace, &format!("{name}-admin-kubeconfig")).unwrap();
        secret["data"].clone()
    });
    move |key| String::from_utf8(STANDARD.decode(data[key].as_str().unwrap()).unwrap()).unwrap()
}

/// The value after a key of a kubeconfig.
fn field(kubeconfig: &str, key: &str) -> String {
    kubeconfig.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap().trim().to_owned()
}

/// Neither seed nor token, configuration of the join or user data is left on a machine or its storage. The last command of the
/// first boot removes them, which may be a moment after the node is Ready.
async fn assert_no_traces(scene: &Scene) {
    let began = Instant::now();
    while !traces(&scene.lab).is_empty() && began.elapsed() < wait::PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(traces(&scene.lab), Vec::<String>::new());
}

async fn assert_stands(scene: &Scene, service: &str, machines: Found) {
    scene.settles(&Found { planes: 1, namespaces: 1, nodes: 3, ready: 3, ..machines }).await;
    let machines = scene.lab.machines().all();
    assert!(machines.iter().all(|machine| machine.state == State::Joined), "{machines:?}");
    assert_no_traces(scene).await;

    let record = scene.service(service);
    assert_eq!(record.status, "Started");
    assert_eq!(property(&record, "nodes").as_object().map(serde_json::Map::len), Some(3));
    let made = kubeconfigs(scene);
    let owners = property(&record, "kubeconfig").as_str().unwrap();
    assert_eq!(owners, made("admin.conf"));
    let super_admin = made("super-admin.conf");
    for key in ["client-key-data:", "client-certificate-data:"] {
        assert!(
            !record.properties.as_ref().unwrap().values().any(|v| v.to_string().contains(&field(&super_admin, key)))
        );
    }
    let endpoint = field(owners, "server:");
    assert!(endpoint.contains(property(&record, "apiEndpoint").as_str().unwrap().trim_start_matches("https://")));
}

// Checklist 1, 2, 5, 7, 13, 16, 23, 47, 48, 65, 66, 80, 81, 82, 90, 107, 123, 128, 135, 193, 194, 212, 214, 216, 217, 222, 223, 225.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_cluster_on_proxmox_ve_comes_and_goes() {
    let _turn = heavy().await;
    let (scene, service) = standing(Infrastructure::Proxmox).await;
    assert_stands(&scene, &service, Found { vms: 3, ..Found::nothing() }).await;
    let shapes = scene.lab.proxmox(|pve| {
        let mut shapes: Vec<(u32, u64)> =
            pve.vms().filter(|vm| !vm.template()).map(|vm| (vm.cores(), vm.memory_mib())).collect();
        shapes.sort_unstable();
        shapes
    });
    assert_eq!(shapes, [(2, 2048), (2, 4096), (2, 4096)]);
    measured(&scene, &service, &["control-plane.ready", "nodes.ready", "cpu.usage", "memory.usage"]).await;
    delete(&scene, &service).await;
}

// Checklist 2, 120, 130, 139.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_same_cluster_on_another_infrastructure_by_configuration_alone() {
    let _turn = heavy().await;
    let (scene, service) = standing(Infrastructure::Toy).await;
    assert_stands(&scene, &service, Found { toy_machines: 3, ..Found::nothing() }).await;
    measured(&scene, &service, &["control-plane.ready", "nodes.ready"]).await;
    delete(&scene, &service).await;
}

/// Measurements reach Core, each of a type that it knows, for this service.
// Checklist 4, 10, 30, 53, 56, 63, 67, 68, 69, 83, 252.
async fn measured(scene: &Scene, service: &str, wanted: &[&str]) {
    let names = wait::until("metrics in Core", || {
        let names = scene.lab.core(|core| {
            let types = &core.store().metric_types;
            let mut names: Vec<String> = core
                .metric_entries()
                .into_iter()
                .filter(|entry| entry.service == service)
                .map(|entry| types.get(&entry.metric_type).unwrap().name.clone())
                .collect();
            names.sort_unstable();
            names.dedup();
            names
        });
        wanted.iter().all(|wanted| names.iter().any(|name| name == wanted)).then_some(names)
    })
    .await;
    println!("measured: {}", names.join(", "));
}

// Checklist 9, 29, 33, 34, 76, 171, 176.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_daemon_shows_what_it_does() {
    let _turn = heavy().await;
    let (scene, service) = standing(Infrastructure::Toy).await;
    let address = scene.pages();
    assert_eq!(pages::get(&address, "/livez").0, 200);
    assert_eq!(pages::get(&address, "/readyz").0, 200);
    let page = pages::get(&address, "/metrics").1;
    let sum = |name: &str, labels: &[&str]| pages::metric(&page, name, labels);
    assert_eq!(sum("agentkube_jobs_total", &["completed"]), 1.0, "{page}");
    assert_eq!(sum("agentkube_steps_total", &["machine/create", "succeeded"]), 3.0, "{page}");
    assert!(sum("agentkube_plugin_calls_total", &["machines", "ok"]) >= 3.0, "{page}");
    assert!(sum("agentkube_requests_total", &["core"]) >= 1.0, "{page}");
    assert!(page.contains("agentkube_heartbeat_age_seconds{"), "{page}");

    let config = ["--config".into(), scene.config().as_os_str().to_owned()];
    let ask = |words: &[&str]| {
        let words = words.iter().map(|word| std::ffi::OsString::from(*word));
        command::agentkube(words.chain(config.iter().cloned())).ok()
    };
    let clusters = ask(&["clusters"]);
    assert!(clusters.contains("shop") && clusters.contains(&service), "{clusters}");
    assert!(ask(&["status"]).contains("job source core: reached"));
    let jobs: Value = serde_json::from_str(&ask(&["jobs", "-o", "json"])).unwrap();
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(1), "{jobs}");
    assert_eq!(ask(&["kubeconfig", "shop"]), kubeconfigs(&scene)("admin.conf"));

    let status = scene.lab.core(|core| core.agents()[0].status.clone());
    assert_eq!(status, "Connected");
}

/// Planted secrets stay where they belong.
// Checklist 11, 12, 97.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_secret_is_written_down() {
    let _turn = heavy().await;
    let more = "kubeconfig-delivery = \"property\"\n".to_owned();
    let scene = Scene::start(Plan { more, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    // Tokens come and go while machines join.
    let mut tokens: Vec<String> = Vec::new();
    wait::until("the create to end", || {
        scene.lab.admin(|cluster| {
            let now = agentkube_lab::Clock::real().now();
            for (_, plane) in cluster.tenants() {
                tokens.extend(plane.tenant.live_tokens(now).into_iter().map(|token| token.secret));
            }
        });
        scene.newest_job(&service).filter(|job| !job.status.active())
    })
    .await;
    scene.completed(&service).await;
    tokens.dedup();
    assert!(!tokens.is_empty(), "no join token was seen");

    let made = kubeconfigs(&scene);
    let access = scene.lab.access();
    let mut planted = vec![
        ("the agent's token", scene.registration.agent_token.clone()),
        ("the hypervisor's secret", access.proxmox.secret.clone()),
        ("the admin cluster's token", field(&access.admin.agent_kubeconfig, "token:")),
    ];
    planted.extend(tokens.into_iter().map(|token| ("a join token", token)));
    for key in ["admin.conf", "super-admin.conf"] {
        let encoded = field(&made(key), "client-key-data:");
        let pem = String::from_utf8(STANDARD.decode(&encoded).unwrap()).unwrap();
        let middle = pem.lines().nth(1).unwrap().to_owned();
        planted.extend([("a kubeconfig's key", encoded), ("a kubeconfig's key, decoded", middle)]);
    }

    let address = scene.pages();
    let mut looked: Vec<(String, Vec<u8>)> = vec![
        ("the log".to_owned(), scene.log().into_bytes()),
        ("/metrics".to_owned(), pages::get(&address, "/metrics").1.into_bytes()),
    ];
    looked.extend(
        ["status", "jobs", "clusters", "ledger"].map(|q| (q.to_owned(), scene.ask(q).to_string().into_bytes())),
    );
    for entry in std::fs::read_dir(scene.directory().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("journal") {
            looked.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    assert!(looked.iter().any(|(place, bytes)| place.contains("journal") && bytes.len() > 1000), "no journal was read");
    for (place, bytes) in &looked {
        for (what, secret) in &planted {
            assert!(secret.len() >= 16, "{what} is too short to look for");
            for form in [secret.clone(), STANDARD.encode(secret)] {
                assert!(!holds(bytes, form.as_bytes()), "{place} holds {what}");
            }
        }
    }
    // The search itself can find something.
    let journal = looked.iter().find(|(place, _)| place.ends_with("journal.db") || place.ends_with("-wal")).unwrap();
    assert!(
        looked.iter().any(|(place, bytes)| place.contains("journal") && holds(bytes, service.as_bytes())),
        "{}",
        journal.0
    );
}

// Checklist 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn core_sets_what_the_configuration_leaves_open() {
    let mut scene = Scene::prepare(Plan::default()).await;
    let text = std::fs::read_to_string(scene.config()).unwrap();
    std::fs::write(scene.config(), text.replacen("poll-ms = 250\n", "", 1)).unwrap();
    let agent = scene.lab.core(|core| core.agents().first().map(|agent| agent.meta.id.clone())).unwrap();
    let wanted = json!({ "pollSeconds": 1, "heartbeatSeconds": 30, "defaultPodCidr": "10.99.0.0/16" });
    let (path, change) = (format!("/agents/{agent}"), json!({ "configuration": wanted }));
    scene.customer.call(Method::PATCH, &path, Some(&change)).await.unwrap();
    scene.run().await;
    let log =
        wait::until("what Core set", || Some(scene.log()).filter(|log| log.contains("set by the job source"))).await;
    assert!(log.contains(r#""key":"poll-ms","ms":1000"#), "{log}");
    assert!(!log.contains(r#""key":"heartbeat-ms""#), "the configuration sets that one: {log}");

    let service = scene.order_with("shop", one_machine()).await;
    scene.completed(&service).await;
    let network = scene.lab.admin(|cluster| {
        let planes = cluster.admin().objects("kamaji.clastix.io", "tenantcontrolplanes", None);
        planes.first().map(|plane| plane.pointer("/spec/networkProfile/podCidrs").cloned())
    });
    assert_eq!(network, Some(Some(json!(["10.99.0.0/16"]))));
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
