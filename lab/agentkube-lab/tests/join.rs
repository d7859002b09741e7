//! Machines join a tenant cluster over real TLS, or are refused, each wrong thing in its own way.

mod tenant;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentkube_lab::Clock;
use agentkube_lab::machine::transport::Direct;
use agentkube_lab::machine::{Failure, Machine, Machines, Options, Reporter, State, Timings};
use lab_wire::{Boot, GuestReport, MachineEvent, Media};
use serde_json::json;
use tenant::{Cluster, SECRET, TOKEN_ID};

/// The discovery timeout of five minutes takes 600 ms.
const SCALE: u64 = 500;

struct Setup {
    cluster: Cluster,
    machines: Machines,
    reports: Arc<Mutex<Vec<GuestReport>>>,
    reporter: Reporter,
}

async fn setup() -> Setup {
    let options = Options { timings: Timings::faster(SCALE), ..Options::default() };
    let reports: Arc<Mutex<Vec<GuestReport>>> = Arc::default();
    let sink = Arc::clone(&reports);
    Setup {
        cluster: Cluster::start(SCALE).await,
        machines: Machines::new(options, Clock::real()),
        reports,
        reporter: Arc::new(move |_, report| sink.lock().unwrap().push(report)),
    }
}

/// What decides whether a machine joins.
struct Wish {
    endpoint: String,
    token: String,
    ca_hash: String,
    version: &'static str,
}

fn boot(wish: &Wish) -> Boot {
    let user_data = format!(
        "#cloud-config
hostname: node-a
write_files:
- path: /etc/agentkube/versions
  content: |
    KUBERNETES_VERSION={}
- path: /etc/kubernetes/join.yaml
  permissions: '0600'
  content: |
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: JoinConfiguration
    discovery:
      bootstrapToken:
        apiServerEndpoint: {}
        token: {}
        caCertHashes: [{}]
    nodeRegistration:
      taints: [{{key: dedicated, value: x, effect: NoSchedule}}]
      kubeletExtraArgs:
      - {{name: node-labels, value: pool=a}}
      - {{name: provider-id, value: 'toy://m-1'}}
runcmd:
- . /etc/agentkube/versions
- [sh, -c, 'n=0; until kubeadm join --config /etc/kubernetes/join.yaml; do n=$((n+1)); [ \"$n\" -lt 2 ] || exit 1; sleep 5; done']
- [sh, -c, 'rm -rf /etc/kubernetes/join.yaml /var/lib/cloud/instance/scripts; rm -f /var/lib/cloud/instances/*/*.txt*
    /var/lib/cloud/instances/*/obj.pkl /run/cloud-init/*.json; touch /etc/cloud/cloud-init.disabled']
",
        wish.version, wish.endpoint, wish.token, wish.ca_hash
    );
    Boot {
        id: "m-1".into(),
        name: "node-a".into(),
        macs: vec!["02:00:00:01:02:03".into()],
        cores: 2,
        memory_mib: 4096,
        media: vec![Media::Metadata { user_data: user_data.into_bytes(), hostname: "from-metadata".into() }],
    }
}

impl Setup {
    fn wish(&self) -> Wish {
        Wish {
            endpoint: self.cluster.address().to_string(),
            token: format!("{TOKEN_ID}.{SECRET}"),
            ca_hash: self.cluster.ca_hash(),
            version: "v1.35.2",
        }
    }

    fn start(&self, wish: &Wish) {
        self.machines.event("toy", MachineEvent::Started(boot(wish)), &self.reporter);
    }

    async fn reaches(&self, wanted: impl Fn(&State) -> bool) -> Machine {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let machine = self.machines.get("toy", "m-1").unwrap();
            if wanted(&machine.state) {
                return machine;
            }
            assert!(Instant::now() < deadline, "{:?}\n{}", machine.state, machine.console_text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn fails(&self, wish: &Wish) -> Failure {
        self.start(wish);
        let machine = self.reaches(|state| matches!(state, State::Failed { .. } | State::Joined)).await;
        let State::Failed { failure } = machine.state.clone() else { panic!("joined\n{}", machine.console_text()) };
        assert!(machine.console_text().contains(&failure.to_string()), "{}", machine.console_text());
        assert!(!machine.console_text().contains(SECRET), "{}", machine.console_text());
        assert_eq!(self.cluster.node("node-a"), None);
        assert_eq!(copies(&machine), Vec::<String>::new());
        failure
    }
}

/// Files with the secret half of the token: the last command removes them, whether the machine joined or not.
fn copies(machine: &Machine) -> Vec<String> {
    let holds = |content: &[u8]| String::from_utf8_lossy(content).contains(SECRET);
    let files = machine.disk.files.iter().filter(|(_, file)| holds(&file.content));
    files.map(|(path, _)| path.to_owned()).collect()
}

#[tokio::test]
async fn what_is_right_joins_and_becomes_ready_with_its_network() {
    let setup = setup().await;
    setup.start(&setup.wish());
    let machine = setup.reaches(|state| matches!(state, State::Joined | State::Failed { .. })).await;
    assert_eq!(machine.state, State::Joined, "{}", machine.console_text());
    let report = setup.reports.lock().unwrap().last().cloned().unwrap();
    assert_eq!((report.agent, report.hostname.as_str()), (true, "node-a"));
    assert_eq!(report.addresses[1].address, machine.addresses[0].address);

    let node = setup.cluster.node("node-a").unwrap();
    assert_eq!(node["metadata"]["labels"]["pool"], "a");
    assert_eq!(node["spec"]["providerID"], "toy://m-1");
    assert_eq!(node["spec"]["taints"][0]["key"], "dedicated");
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.35.2");
    assert_eq!(node["status"]["addresses"][0]["address"], machine.addresses[0].address.as_str());
    assert_eq!(setup.cluster.ready("node-a"), "False");
    setup.cluster.add_network();
    setup.cluster.becomes("node-a", "True").await;

    assert_eq!(copies(&machine), Vec::<String>::new());
}

#[tokio::test]
async fn a_node_is_given_up_when_its_machine_stops_and_comes_back_with_it() {
    let setup = setup().await;
    setup.cluster.add_network();
    let wish = setup.wish();
    setup.start(&wish);
    setup.reaches(|state| *state == State::Joined).await;
    setup.cluster.becomes("node-a", "True").await;
    setup.machines.event("toy", MachineEvent::Stopped { id: "m-1".into() }, &setup.reporter);
    setup.cluster.becomes("node-a", "Unknown").await;
    // The token is gone and cloud-init is switched off: the machine has all that it needs, and does not join again.
    setup.cluster.revoke();
    setup.start(&wish);
    setup.reaches(|state| *state == State::Joined).await;
    setup.cluster.becomes("node-a", "True").await;
    setup.machines.event("toy", MachineEvent::Destroyed { id: "m-1".into() }, &setup.reporter);
    assert!(setup.machines.all().is_empty());
    setup.cluster.becomes("node-a", "Unknown").await;
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let setup = setup().await;
    let wish = Wish { token: format!("{TOKEN_ID}.0000000000000000"), ..setup.wish() };
    assert_eq!(setup.fails(&wish).await, Failure::BadSignature);
}

#[tokio::test]
async fn an_unknown_token_is_refused_after_discovery_gave_up() {
    let setup = setup().await;
    let wish = Wish { token: format!("zzzzzz.{SECRET}"), ..setup.wish() };
    assert_eq!(setup.fails(&wish).await, Failure::NoSignature("zzzzzz".into()));
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let setup = setup().await;
    setup.cluster.expire();
    assert_eq!(setup.fails(&setup.wish()).await, Failure::NoSignature(TOKEN_ID.into()));
}

#[tokio::test]
async fn a_token_that_signs_but_may_not_authenticate_is_refused() {
    let setup = setup().await;
    setup.cluster.token(json!({ "usage-bootstrap-authentication": "ZmFsc2U=" }));
    assert!(matches!(setup.fails(&setup.wish()).await, Failure::Unauthorized { .. }));
}

#[tokio::test]
async fn a_wrong_ca_hash_is_refused() {
    let setup = setup().await;
    let wish = Wish { ca_hash: format!("sha256:{}", "0".repeat(64)), ..setup.wish() };
    assert_eq!(setup.fails(&wish).await, Failure::NotPinned(setup.cluster.ca_hash()));
}

#[tokio::test]
async fn a_kubelet_newer_than_the_control_plane_is_refused() {
    let setup = setup().await;
    let wish = Wish { version: "v1.36.0", ..setup.wish() };
    assert!(matches!(setup.fails(&wish).await, Failure::VersionSkew { direction: "higher", .. }));
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_given_up() {
    let setup = setup().await;
    let wish = Wish { endpoint: "127.0.0.1:1".into(), ..setup.wish() };
    assert!(matches!(setup.fails(&wish).await, Failure::Unreachable { .. }));
}

#[tokio::test]
async fn a_machine_joins_without_sockets_too() {
    let address = "127.99.0.1:6443".parse().unwrap();
    let (inner, ca_hash) = tenant::tenant(address, SCALE);
    let server = Arc::new(Mutex::new(inner));
    let transport = Arc::new(Direct::new(Arc::clone(&server), Clock::real(), 3));
    let options = Options { timings: Timings::faster(SCALE), transport, ..Options::default() };
    let machines = Machines::new(options, Clock::real());
    let wish =
        Wish { endpoint: address.to_string(), token: format!("{TOKEN_ID}.{SECRET}"), ca_hash, version: "v1.34.0" };
    let reporter: Reporter = Arc::new(|_, _| {});
    machines.event("toy", MachineEvent::Started(boot(&wish)), &reporter);
    let deadline = Instant::now() + Duration::from_secs(20);
    while machines.get("toy", "m-1").unwrap().state != State::Joined {
        assert!(Instant::now() < deadline, "{}", machines.get("toy", "m-1").unwrap().console_text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let nodes = server.lock().unwrap().tenant.api().objects("", "nodes", None);
    assert_eq!(nodes[0]["status"]["nodeInfo"]["kubeletVersion"], "v1.34.0");
}
