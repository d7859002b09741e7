//! The lab's API servers and the clients that everybody uses.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agentkube_lab::Lab;
use agentkube_lab::lab::Options;
use agentkube_tests::command::{self, Said};
use agentkube_tests::wait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

/// A lab with a tenant cluster, and the kubeconfigs of both.
struct Clusters {
    lab: Lab,
    directory: TempDir,
    admin: PathBuf,
    tenant: PathBuf,
}

const PLANE: &str = "
apiVersion: kamaji.clastix.io/v1alpha1
kind: TenantControlPlane
metadata: {name: shop, namespace: shops}
spec:
  dataStore: default
  controlPlane: {deployment: {replicas: 2}, service: {serviceType: LoadBalancer}}
  kubernetes: {version: v1.34.1, kubelet: {cgroupfs: systemd}}
  networkProfile: {port: 6443}
  addons: {coreDNS: {}, kubeProxy: {}}
";

const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {tier: work}}
spec: {podCIDR: 10.244.0.0/24}
";

const MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: default, labels: {of: test}}
data: {greeting: hello}
";

impl Clusters {
    async fn start() -> Clusters {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { directory: Some(directory.path().to_owned()), ..Options::scaled(100) };
        let lab = Lab::start(options).await.unwrap();
        let (admin, tenant) = (directory.path().join("admin.kubeconfig"), directory.path().join("tenant.kubeconfig"));
        Clusters { lab, directory, admin, tenant }
    }

    /// Waits for the tenant's kubeconfig.
    async fn open_tenant(&self) {
        let kubeconfig = wait::until("the tenant", || {
            self.lab.admin(|cluster| {
                let plane = cluster.admin().get("kamaji.clastix.io", "tenantcontrolplanes", "shops", "shop")?;
                let ready = plane.pointer("/status/kubernetesResources/version/status")? == "Ready";
                let secret = cluster.admin().get("", "secrets", "shops", "shop-admin-kubeconfig").filter(|_| ready)?;
                STANDARD.decode(secret.pointer("/data/admin.conf")?.as_str()?).ok()
            })
        })
        .await;
        std::fs::write(&self.tenant, kubeconfig).unwrap();
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Said {
        let mut command = Command::new("kubectl");
        command.env("HOME", self.directory.path()).arg("--kubeconfig").arg(kubeconfig).args(arguments);
        command::run(&mut command)
    }

    /// `kubectl apply --server-side` of a text.
    fn apply(&self, kubeconfig: &Path, text: &str) -> String {
        let file = self.directory.path().join("object.yaml");
        std::fs::write(&file, text).unwrap();
        self.kubectl(kubeconfig, &["apply", "--server-side", "-f", file.to_str().unwrap()]).ok()
    }
}

fn has_kubectl() -> bool {
    let mut command = Command::new("kubectl");
    let found = command.args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// The lines of a table as words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

// Checklist 62, 105.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn kubectl_works_against_admin_cluster_and_tenant() {
    if !has_kubectl() {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"kubectl NOT RUN\n");
        return;
    }
    let clusters = Clusters::start().await;
    let admin = clusters.admin.clone();
    let said = clusters.kubectl(&admin, &["create", "namespace", "shops"]).ok();
    assert_eq!(said, "namespace/shops created\n");
    let said = clusters.apply(&admin, PLANE);
    assert_eq!(said, "tenantcontrolplane.kamaji.clastix.io/shop serverside-applied\n");
    clusters.open_tenant().await;

    let table = clusters.kubectl(&admin, &["get", "tcp", "--all-namespaces"]).ok();
    let table = rows(&table);
    assert_eq!(table[0][..3], ["NAMESPACE", "NAME", "VERSION"], "{table:?}");
    assert_eq!(table[1][..3], ["shops", "shop", "v1.34.1"], "{table:?}");
    let table = clusters.kubectl(&admin, &["get", "secrets", "-n", "shops"]).ok();
    assert!(table.contains("shop-admin-kubeconfig") && table.starts_with("NAME"), "{table}");

    for kubeconfig in [&clusters.admin, &clusters.tenant] {
        everyday(&clusters, kubeconfig);
        watched(&clusters, kubeconfig);
    }
    // Each cluster is one of its own.
    let stranger = clusters.kubectl(&clusters.tenant, &["get", "tcp", "-n", "shops"]);
    assert!(stranger.code != 0 && stranger.complains("the server doesn't have a resource type"), "{}", stranger.err);
    assert_eq!(clusters.kubectl(&admin, &["delete", "tcp", "shop", "-n", "shops"]).ok().lines().count(), 1);
    wait::until("the tenant's end", || clusters.lab.admin(|cluster| cluster.tenants().next().is_none().then_some(())))
        .await;
}

/// The verbs of every day: get as a table, describe, apply, delete.
fn everyday(clusters: &Clusters, kubeconfig: &Path) {
    let kubectl = |arguments: &[&str]| clusters.kubectl(kubeconfig, arguments);
    assert_eq!(clusters.apply(kubeconfig, NODE), "node/node-a serverside-applied\n");
    let table = kubectl(&["get", "nodes", "-o", "wide"]).ok();
    let table = rows(&table);
    assert_eq!(table[0][..5], ["NAME", "STATUS", "ROLES", "AGE", "VERSION"], "{table:?}");
    assert!(table.iter().any(|row| row[0] == "node-a"), "{table:?}");
    let described = kubectl(&["describe", "node", "node-a"]).ok();
    for words in ["Name:               node-a", "tier=work", "10.244.0.0/24", "Non-terminated Pods:"] {
        assert!(described.contains(words), "{words} is missing in\n{described}");
    }

    assert_eq!(clusters.apply(kubeconfig, MAP), "configmap/note serverside-applied\n");
    let changed = MAP.replace("hello", "good day");
    assert_eq!(clusters.apply(kubeconfig, &changed), "configmap/note serverside-applied\n");
    let greeting = kubectl(&["get", "configmap", "note", "-o", "jsonpath={.data.greeting}"]).ok();
    assert_eq!(greeting, "good day");
    let manager = ["get", "configmap", "note", "-o", "jsonpath={.metadata.managedFields[*].manager}"];
    assert_eq!(kubectl(&manager).ok(), "kubectl");
    // Somebody else's field is a conflict.
    let file = clusters.directory.path().join("other.yaml");
    std::fs::write(&file, MAP).unwrap();
    let other = ["apply", "--server-side", "--field-manager", "other", "-f", file.to_str().unwrap()];
    let conflict = kubectl(&other);
    assert!(conflict.code != 0 && conflict.complains("conflict with \"kubectl\": .data.greeting"), "{}", conflict.err);
    let selected = kubectl(&["get", "configmap", "-l", "of=test", "-o", "name"]).ok();
    assert_eq!(selected, "configmap/note\n");

    // Newer ones also say from which namespace.
    assert!(kubectl(&["delete", "configmap", "note"]).ok().starts_with("configmap \"note\" deleted"));
    assert!(kubectl(&["delete", "node", "node-a"]).ok().starts_with("node \"node-a\" deleted"));
    let gone = kubectl(&["get", "configmap", "note"]);
    assert!(gone.code != 0 && gone.complains("(NotFound)"), "{}", gone.err);
}

/// `get --watch` shows what comes, changes and goes.
fn watched(clusters: &Clusters, kubeconfig: &Path) {
    let shown = clusters.directory.path().join("watched");
    let file = std::fs::File::create(&shown).unwrap();
    let mut watch = Command::new("kubectl")
        .env("HOME", clusters.directory.path())
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["get", "configmap", "--watch", "--output-watch-events", "-l", "of=test"])
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait = |words: &[&str]| {
        let began = std::time::Instant::now();
        loop {
            let text = std::fs::read_to_string(&shown).unwrap();
            if rows(&text).iter().any(|row| row.starts_with(words)) {
                return;
            }
            assert!(began.elapsed() < wait::PATIENCE, "{words:?} never came: {text}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    // The watch stands once something that comes is seen.
    clusters.apply(kubeconfig, MAP);
    wait(&["ADDED", "note", "1"]);
    clusters.apply(kubeconfig, &MAP.replace("data: {", "data: {more: x, "));
    wait(&["MODIFIED", "note", "2"]);
    clusters.kubectl(kubeconfig, &["delete", "configmap", "note"]).ok();
    wait(&["DELETED", "note", "2"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// The interpreter that can import the client, if there is one.
fn python() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("AGENTKUBE_PYTHON") {
        return Some(given.into());
    }
    let mut command = Command::new("python3");
    let found = command.args(["-c", "import kubernetes"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then(|| "python3".into())
}

/// Every verb with Python's client; ends with `done`.
const SCRIPT: &str = r#"
import sys
from kubernetes import client, config, watch

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
place, labels = "default", {"of": "python"}

def config_map(data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py", labels=labels), data=data)

made = core.create_namespaced_config_map(place, config_map({"a": "1"}))
assert made.metadata.uid and made.metadata.creation_timestamp, made
version = core.list_namespaced_config_map(place, label_selector="of=python").metadata.resource_version
assert core.read_namespaced_config_map("py", place).data == {"a": "1"}
patched = core.patch_namespaced_config_map("py", place, {"data": {"b": "2"}})
assert patched.data == {"a": "1", "b": "2"}, patched
patched.data["a"] = "3"
assert core.replace_namespaced_config_map("py", place, patched).data["a"] == "3"
try:
    core.replace_namespaced_config_map("py", place, patched)
    raise SystemExit("an old version was accepted")
except client.ApiException as error:
    assert error.status == 409, error
try:
    core.create_namespaced_config_map(place, config_map({}))
    raise SystemExit("it was made twice")
except client.ApiException as error:
    assert error.status == 409, error
listed = core.list_namespaced_config_map(place, label_selector="of=python")
assert [item.metadata.name for item in listed.items] == ["py"], listed
assert "default" in [item.metadata.name for item in core.list_namespace().items]
core.delete_namespaced_config_map("py", place)
try:
    core.read_namespaced_config_map("py", place)
    raise SystemExit("it is still there")
except client.ApiException as error:
    assert error.status == 404, error
seen = []
stream = watch.Watch().stream(
    core.list_namespaced_config_map, place, label_selector="of=python", resource_version=version, timeout_seconds=30)
for event in stream:
    seen.append(event["type"])
    if event["type"] == "DELETED":
        break
assert seen == ["MODIFIED", "MODIFIED", "DELETED"], seen
assert client.VersionApi().get_code().git_version.startswith("v1.")
print("done")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pythons_client_works_against_admin_cluster_and_tenant() {
    let Some(python) = python() else {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"python client NOT RUN\n");
        return;
    };
    let clusters = Clusters::start().await;
    clusters.lab.admin(|cluster| {
        let mut random = lab_wire::Random::new(1);
        let now = agentkube_lab::Clock::real().now();
        let namespace = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shops" } });
        cluster.admin_mut().put(namespace, now, &mut random);
    });
    create_plane_with_python(&clusters, &python);
    clusters.open_tenant().await;
    for kubeconfig in [&clusters.admin, &clusters.tenant] {
        assert_eq!(run_python(&clusters, &python, SCRIPT, kubeconfig).ok(), "done\n");
    }
}

fn create_plane_with_python(clusters: &Clusters, python: &Path) {
    let script = r#"
import sys
from kubernetes import client, config

config.load_kube_config(sys.argv[1])
spec = {
    "dataStore": "default",
    "controlPlane": {"deployment": {"replicas": 2}, "service": {"serviceType": "LoadBalancer"}},
    "kubernetes": {"version": "v1.34.1", "kubelet": {"cgroupfs": "systemd"}},
    "networkProfile": {"port": 6443},
    "addons": {"coreDNS": {}, "kubeProxy": {}},
}
plane = {"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": {"name": "shop"}, "spec": spec}
client.CustomObjectsApi().create_namespaced_custom_object("kamaji.clastix.io", "v1alpha1", "shops", "tenantcontrolplanes", plane)
print("made")
"#;
    assert_eq!(run_python(clusters, python, script, &clusters.admin).ok(), "made\n");
}

fn run_python(clusters: &Clusters, python: &Path, script: &str, kubeconfig: &Path) -> Said {
    let file = clusters.directory.path().join("script.py");
    std::fs::File::create(&file).unwrap().write_all(script.as_bytes()).unwrap();
    command::run(Command::new(python).arg(file).arg(kubeconfig).env_remove("HTTPS_PROXY"))
}
