//! The whole lab: a control plane is ordered from Kamaji, machines of both hypervisors boot, all over the wire.

use std::future::Future;
use std::time::{Duration, Instant};

use agentkube_lab::Lab;
use agentkube_lab::customer::{Customer, shipped_types};
use agentkube_lab::daemon::Infrastructure;
use agentkube_lab::faults::{self, Weather};
use agentkube_lab::lab::{Options, PROXMOX, TOY};
use agentkube_lab::machine::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab_core::{Fault, Matching};
use lab_wire::{Random, rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

const NAMESPACE: &str = "k1-ns";
const NAME: &str = "k1";

/// A client of one server.
struct Client {
    http: reqwest::Client,
    base: String,
    authorization: String,
}

impl Client {
    fn new(lab: &Lab, base: &str, authorization: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(lab.access().ca.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
        Client { http, base: base.to_owned(), authorization }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: String) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("authorization", &self.authorization).header("content-type", content_type);
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, value) = self.send(method, path, "application/json", body.to_string()).await;
        assert!((200..300).contains(&status), "{path}: {status} {value}");
        value
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.send(Method::GET, path, "application/json", String::new()).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}

/// Looks again until there is something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn token_of(kubeconfig: &str) -> String {
    kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned()
}

/// Orders a control plane as an agent would; its endpoint comes back.
async fn order_control_plane(lab: &Lab) -> String {
    let access = &lab.access().admin;
    let admin = Client::new(lab, &access.url, format!("Bearer {}", token_of(&access.agent_kubeconfig)));
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    admin.json(Method::POST, "/api/v1/namespaces", namespace).await;
    let plane = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane",
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": {
            "dataStore": "default",
            "controlPlane": { "deployment": { "replicas": 2 }, "service": { "serviceType": "LoadBalancer" } },
            "kubernetes": { "version": "v1.35.2", "kubelet": { "cgroupfs": "systemd" } },
            "networkProfile": { "port": 6443 },
            "addons": { "coreDNS": {}, "kubeProxy": {} },
        },
    });
    let planes = format!("/apis/kamaji.clastix.io/v1alpha1/namespaces/{NAMESPACE}/tenantcontrolplanes");
    admin.json(Method::POST, &planes, plane).await;
    let path = format!("{planes}/{NAME}");
    until("the control plane", || async {
        let plane = admin.get(&path).await;
        let ready = plane["status"]["kubernetesResources"]["version"]["status"] == "Ready"
            && plane["status"]["kubeadmPhase"]["bootstrapToken"]["checksum"].is_string();
        plane["status"]["controlPlaneEndpoint"].as_str().filter(|_| ready).map(str::to_owned)
    })
    .await
}

/// A bootstrap token and a network add-on, as the host would bring them.
fn open_tenant(lab: &Lab) {
    let now = agentkube_lab::Clock::real().now();
    let encode = |text: &str| STANDARD.encode(text);
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": "bootstrap-token-abcdef", "namespace": "kube-system" },
        "data": {
            "token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
            "expiration": encode(&rfc3339(now + 600_000)),
            "usage-bootstrap-authentication": encode("true"), "usage-bootstrap-signing": encode("true"),
            "auth-extra-groups": encode("system:bootstrappers:kubeadm:default-node-token"),
        },
    });
    let network = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "net", "namespace": "kube-system" },
        "spec": {
            "selector": { "matchLabels": { "app": "net" } },
            "template": { "metadata": { "labels": { "app": "net" } }, "spec": {
                "hostNetwork": true, "containers": [{ "name": "net", "image": "net:1" }],
                "volumes": [{ "name": "cni", "hostPath": { "path": "/etc/cni/net.d" } }],
            } },
        },
    });
    let mut random = Random::new(5);
    lab.admin(|cluster| {
        let api = cluster.tenant_mut(NAMESPACE, NAME).unwrap().api_mut();
        api.put(token, now, &mut random);
        api.put(network, now, &mut random);
    });
}

fn user_data(lab: &Lab, endpoint: &str) -> String {
    let hash = lab.admin(|cluster| cluster.ca_hash(NAMESPACE, NAME)).unwrap();
    format!(
        "#cloud-config
write_files:
- {{path: /etc/agentkube/versions, content: 'KUBERNETES_VERSION=v1.35.2'}}
runcmd:
- [kubeadm, join, '{endpoint}', --token, abcdef.0123456789abcdef, --discovery-token-ca-cert-hash, '{hash}']
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_of_the_toy_cloud_becomes_a_ready_node() {
    let lab = Lab::start(Options::scaled(100)).await.unwrap();
    let endpoint = order_control_plane(&lab).await;
    open_tenant(&lab);
    let toy = Client::new(&lab, &lab.access().toy.url, format!("Bearer {}", lab.access().toy.token));
    let order = json!({ "name": "node-a", "cores": 2, "memory_mib": 2048, "image": "ubuntu-24.04",
                        "user_data": STANDARD.encode(user_data(&lab, &endpoint)) });
    let operation = toy.json(Method::POST, "/v1/machines", order).await;
    let id = operation["machine"].as_str().unwrap().to_owned();
    let path = format!("/v1/machines/{id}");
    until("the machine", || async { (toy.get(&path).await["state"] == "stopped").then_some(()) }).await;
    toy.json(Method::POST, &format!("{path}/start"), json!({})).await;
    until("the node", || async {
        let machine = lab.machines().get(TOY, &id);
        if let Some(State::Failed { failure }) = machine.map(|machine| machine.state) {
            panic!("{failure}");
        }
        lab.admin(|cluster| {
            let node = cluster.tenant(NAMESPACE, NAME)?.api().get("", "nodes", "", "node-a")?;
            let conditions = node["status"]["conditions"].as_array()?;
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(())
        })
    })
    .await;
    assert_eq!(toy.get(&path).await["hostname"], "node-a");
    toy.json(Method::DELETE, &path, json!({})).await;
    until("its end", || async { lab.machines().all().is_empty().then_some(()) }).await;
    let address = lab.access().toy.url.trim_start_matches("https://").to_owned();
    lab.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_of_proxmox_ve_reads_the_cloud_init_drive() {
    let lab = Lab::start(Options::scaled(100)).await.unwrap();
    let endpoint = &lab.access().proxmox.endpoints[0];
    assert_eq!((endpoint.label.as_str(), lab.access().proxmox.endpoints.len()), ("pve1", 2));
    let token = format!("PVEAPIToken={}={}", lab_pve::ROOT_TOKEN, lab_pve::ROOT_TOKEN_SECRET);
    let proxmox = Client::new(&lab, &endpoint.url, token);
    let form = "application/x-www-form-urlencoded";
    let task = async |path: &str, body: &str| {
        let path = format!("/api2/json/nodes/pve1{path}");
        let (status, value) = proxmox.send(Method::POST, &path, form, body.to_owned()).await;
        assert_eq!(status, 200, "{path}: {value}");
        let upid = value["data"].as_str().unwrap().replace(':', "%3A");
        let path = format!("/api2/json/nodes/pve1/tasks/{upid}/status");
        until("the task", || async {
            let (_, value) = proxmox.send(Method::GET, &path, form, String::new()).await;
            (value["data"]["status"] == "stopped").then(|| value["data"]["exitstatus"].clone())
        })
        .await
    };
    assert_eq!(task("/qemu/9000/clone", "newid=101&name=node-b&full=0").await, "OK");
    assert_eq!(task("/qemu/101/status/start", "").await, "OK");
    let machine = until("the machine", || async {
        lab.machines().all().into_iter().find(|machine| machine.state == State::Running)
    })
    .await;
    assert_eq!((machine.hypervisor.as_str(), machine.name.as_str()), (PROXMOX, "node-b"));
    assert_eq!(machine.disk.hostname, "node-b");
    assert!(machine.console_text().contains("first boot of instance"), "{}", machine.console_text());
    let report = until("the guest agent", || async {
        let path = "/api2/json/nodes/pve1/qemu/101/agent/network-get-interfaces";
        let (status, value) = proxmox.send(Method::GET, path, form, String::new()).await;
        (status == 200).then_some(value)
    })
    .await;
    assert!(report.to_string().contains(&machine.addresses[0].address), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_has_patience_with_core_and_orders_nothing_twice() {
    let lab = Lab::start(Options::scaled(100)).await.unwrap();
    let (service_type, agent_type) = shipped_types().unwrap();
    let customer = Customer::new(lab.access()).unwrap();
    let registration = customer.register(&service_type, &agent_type).await.unwrap();
    let wanted = || json!({"kubernetesVersion": "v1.35.2", "nodePools": {"a": {"count": 1}}});
    let on = |method: &str, path: &str| Matching::new(method, &format!("/api/v1{path}"));
    let fault = |fault| lab.core(|core| core.fault(fault));

    fault(Fault::Answer { matching: on("POST", "/services"), times: 2, status: 503, retry_after: Some(1) });
    let began = Instant::now();
    let service = customer.order(&registration, "shop", wanted()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2), "Core said how long");
    fault(Fault::DropReply { matching: on("GET", "/jobs"), times: 2 });
    fault(Fault::panic(on("GET", "/jobs"), 1));
    assert_eq!(customer.job(&service, "create").await.unwrap().unwrap()["status"], "Pending");

    fault(Fault::DropReply { matching: on("POST", "/services"), times: 1 });
    let doubt = customer.order(&registration, "other", wanted()).await.unwrap_err().to_string();
    assert!(doubt.contains("POST /services: Core does not answer"), "{doubt}");
    assert_eq!(lab.core(|core| core.services().len()), 2, "it arrived, and was not sent again");
    fault(Fault::refusal(on("GET", "/services/"), 3, 403, "no"));
    assert!(customer.service(&service).await.unwrap_err().to_string().contains("403"));
    assert_eq!(lab.core(|core| core.log().filter(|logged| logged.status == Some(403)).count()), 1, "a no is a no");
}

/// Faults by name are for people: whoever mends what one broke must not be struck by it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_expires_once() {
    let lab = Lab::start(Options::scaled(1000)).await.unwrap();
    let (service_type, agent_type) = shipped_types().unwrap();
    let customer = Customer::new(lab.access()).unwrap();
    let registration = customer.register(&service_type, &agent_type).await.unwrap();
    let token = |name: &str| {
        lab.core(|core| core.store().tokens.iter().find(|token| token.name == name).map(|token| token.expires)).unwrap()
    };
    let chosen = faults::chosen("core-token-expired", Infrastructure::Proxmox).unwrap();
    let _weather = Weather::start(lab.servers(), chosen, 1);
    until("the end of the token", || async { (token("agentkube") == 0).then_some(()) }).await;
    let second =
        json!({"name": "second", "role": "agent", "scopeId": registration.agent, "expireAt": "2099-01-01T00:00:00Z"});
    customer.call(Method::POST, "/tokens", Some(&second)).await.unwrap();
    // The pauses of this lab are eight milliseconds at most.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(token("second") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_gets_through_all_that_passes_at_core() {
    let lab = Lab::start(Options::scaled(20)).await.unwrap();
    let (service_type, agent_type) = shipped_types().unwrap();
    let customer = Customer::new(lab.access()).unwrap();
    let registration = customer.register(&service_type, &agent_type).await.unwrap();
    let wanted = json!({"kubernetesVersion": "v1.35.2", "nodePools": {"a": {"count": 1}}});
    let service = customer.order(&registration, "shop", wanted).await.unwrap();
    let of_core: Vec<&str> =
        faults::all().filter(|fault| fault.passes && fault.name.starts_with("core-")).map(|fault| fault.name).collect();
    let chosen = faults::chosen(&of_core.join(","), Infrastructure::Proxmox).unwrap();
    let weather = Weather::start(lab.servers(), chosen, 3);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert!(customer.job(&service, "create").await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    weather.clear();
    let troubled = lab.core(|core| core.log().filter(|logged| logged.status != Some(200) && !logged.answered).count());
    assert!(troubled > 0, "no fault was met");
}
