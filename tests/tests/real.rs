//! The daemon against real Kubernetes API servers and the real Kamaji; `docs/real-clusters.md` says how.
//!
//! Job source and infrastructure are the lab's; its machines join the real tenant by kubeadm's TLS bootstrap.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agentkube_lab::machine::State;
use agentkube_tests::{Found, Plan, Scene, artifacts, command, heavy};
use lab_core::store::JobStatus;
use serde_json::Value;
use tempfile::TempDir;

/// What the environment must name.
const NEEDED: [&str; 5] = [
    "AGENTKUBE_ETCD",
    "AGENTKUBE_KUBE_APISERVER",
    "AGENTKUBE_KUBE_CONTROLLER_MANAGER",
    "AGENTKUBE_KAMAJI",
    "AGENTKUBE_KAMAJI_CRDS",
];
/// Real servers take real time, on a busy machine more.
const PATIENCE: Duration = Duration::from_secs(600);

/// The real servers. Dropping it ends them.
struct Real {
    script: Child,
    directory: TempDir,
}

impl Real {
    fn start() -> Real {
        let directory = tempfile::Builder::new().prefix("agentkube-real-").tempdir().unwrap();
        let script = artifacts::workspace().join("tests/real/clusters.py");
        let log = std::fs::File::create(directory.path().join("script.log")).unwrap();
        let mut python = Command::new("python3");
        python.arg(script).arg(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut real = Real { script: python.spawn().unwrap(), directory };
        let mut said = String::new();
        BufReader::new(real.script.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "{}", std::fs::read_to_string(real.path("script.log")).unwrap_or_default());
        real
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `kubectl get … -o json` says.
    fn get(&self, kubeconfig: &str, words: &[&str]) -> Value {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(self.path(kubeconfig)).arg("get").args(words).args(["-o", "json"]);
        serde_json::from_str(&command::run(&mut kubectl).ok()).unwrap()
    }

    /// Names of our namespaces.
    fn namespaces(&self) -> Vec<String> {
        let list = self.get("admin.kubeconfig", &["namespaces", "-l", "agentkube.dev/installation"]);
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // The end of its input is its sign to stop everything.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Whether everything is named; says so when not.
fn named() -> bool {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| std::env::var_os(name).is_none()).collect();
    if !missing.is_empty() {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let line = format!("real API server NOT RUN: {} not set (docs/real-clusters.md)\n", missing.join(", "));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    missing.is_empty()
}

async fn completed(scene: &Scene, service: &str) {
    let began = Instant::now();
    loop {
        if let Some(job) = scene.newest_job(service).filter(|job| !job.status.active()) {
            assert_eq!(job.status, JobStatus::Completed, "{} failed: {}", job.action, job.error);
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the newest job of {service} does not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn use_kubeconfig(scene: &Scene, kubeconfig: &Path) {
    std::fs::copy(kubeconfig, scene.directory().join("agent.kubeconfig")).unwrap();
}

// Invariant 9. Checklist 13, 62, 105, 109, 117, 125.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_cluster_comes_and_goes_on_real_servers() {
    if !named() {
        return;
    }
    let _turn = heavy().await;
    let real = tokio::task::spawn_blocking(Real::start).await.unwrap();
    let mut scene = Scene::prepare(Plan::default()).await;
    use_kubeconfig(&scene, &real.path("agent.kubeconfig"));
    scene.run().await;
    let service = scene.order("shop").await;
    completed(&scene, &service).await;

    let namespaces = real.namespaces();
    let [name] = namespaces.as_slice() else { panic!("{namespaces:?}") };
    let nodes = real.get(&format!("tenant-{name}.kubeconfig"), &["nodes"]);
    let names: Vec<&str> =
        nodes["items"].as_array().unwrap().iter().map(|node| node["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["system-01", "workers-01", "workers-02"].map(|end| format!("{name}-{end}")));
    let machines = scene.lab.machines().all();
    assert!(machines.iter().all(|machine| machine.state == State::Joined), "{machines:?}");

    // The spec is ours by server-side apply alone: nothing is left of the POST.
    let plane = real.get("admin.kubeconfig", &["tenantcontrolplane", name, "-n", name, "--show-managed-fields"]);
    let managers = plane["metadata"]["managedFields"].as_array().unwrap().iter();
    let ours = managers.filter(|entry| entry["manager"] == "agentkube-planes");
    let operations: Vec<&str> = ours.map(|entry| entry["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["Apply"], "{plane}");

    scene.customer.delete(&service).await.unwrap();
    completed(&scene, &service).await;
    assert_eq!(real.namespaces(), Vec::<String>::new());
    let planes = real.get("admin.kubeconfig", &["tenantcontrolplanes", "--all-namespaces"]);
    assert_eq!(planes["items"].as_array().map(Vec::len), Some(0), "{planes}");
    assert_eq!(scene.found(), Found::nothing());
}
