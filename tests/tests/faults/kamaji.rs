//! What Kubernetes and Kamaji do to their clients.

use std::time::Duration;

use agentkube_contract::{Owner, ServiceKey};
use agentkube_lab::daemon::Infrastructure;
use agentkube_tests::report::{Ends, Row};
use agentkube_tests::{Found, Plan, Scene, one_machine, wait};
use lab_cluster::api::{Fault, FaultKind};
use lab_cluster::{AdminCluster, AdminFault, Balancer};
use lab_core::store::JobStatus;
use lab_wire::Random;
use serde_json::{Value, json};

const PLANES: &str = "/tenantcontrolplanes";
/// In the namespaces of clusters: what the preflight tries goes to `default`.
const CREATE: &str = "/namespaces/k";
const GROUP: &str = "kamaji.clastix.io";

/// Creates give up early where they cannot succeed.
const SHORT: &str = "create-ms = 3000\n";

async fn scene(more: &str) -> Scene {
    let plan = Plan { infrastructure: Infrastructure::Toy, more: more.to_owned(), ..Plan::default() };
    Scene::start(plan).await
}

/// A scene whose plugin complains early about a missing address.
async fn impatient_scene() -> Scene {
    let plan = Plan { infrastructure: Infrastructure::Toy, more: SHORT.to_owned(), ..Plan::default() };
    let mut scene = Scene::prepare(plan).await;
    let text = std::fs::read_to_string(scene.config()).unwrap();
    let (before, after) =
        (r#"config = { connection = "admin" }"#, r#"config = { connection = "admin", address-timeout-ms = 1500 }"#);
    assert!(text.contains(before));
    std::fs::write(scene.config(), text.replace(before, after)).unwrap();
    scene.run().await;
    scene
}

async fn order(scene: &Scene) -> String {
    scene.order_with("shop", one_machine()).await
}

fn now() -> u64 {
    agentkube_lab::Clock::real().now()
}

/// A create under faults that pass or can be lived with.
async fn completes(name: &'static str, at: &'static str, break_it: impl FnOnce(&mut AdminCluster)) {
    let mut row = Row::of(name, at);
    let scene = scene("").await;
    // The daemon's first look around is not to meet it.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    scene.lab.admin(break_it);
    let service = order(&scene).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let (met, always) = scene.lab.admin(|cluster| (cluster.admin().faults() == 0, at == "every request"));
    assert!(met || always, "the fault was not met as often as it was switched on");
    assert_eq!(scene.found().planes, 1, "one control plane and no more");
    scene.lab.admin(|cluster| cluster.admin_mut().mend());
    row.left_nothing(&scene, &service).await;
}

/// A create, with something done again and again until its job is over.
async fn completes_while(name: &'static str, at: &'static str, mut annoy: impl FnMut(&mut AdminCluster)) {
    let mut row = Row::of(name, at);
    let scene = scene("").await;
    let service = order(&scene).await;
    wait::until("the job to end", || {
        scene.lab.admin(&mut annoy);
        std::thread::sleep(Duration::from_millis(100));
        scene.newest_job(&service).filter(|job| !job.status.active())
    })
    .await;
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}

fn broken(method: &str, path: &str, times: u32, kind: FaultKind) -> impl FnOnce(&mut AdminCluster) {
    let fault = Fault::new(method, path, times, kind);
    move |cluster| cluster.admin_mut().fault(fault)
}

fn status(code: u16, retry_after: Option<u64>) -> FaultKind {
    FaultKind::Status { code, retry_after }
}

macro_rules! rows {
    ($($test:ident: $name:literal, $at:literal, $break_it:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            completes($name, $at, $break_it).await;
        })*
    };
}

rows! {
    an_address_that_comes_late_is_waited_for:
        "load balancer: address late", "Service status", |c| c.fault(AdminFault::Balancer(Balancer::Late(3000)));
    a_control_plane_that_flaps_is_waited_for:
        "status: Ready, Unknown, Ready", "TenantControlPlane status", |c| c.fault(AdminFault::Flaps(2));
    not_ready_is_what_a_new_control_plane_shows:
        "status: NotReady first", "TenantControlPlane status", |c| c.fault(AdminFault::SlowPods(3000));
    the_administrators_binding_may_come_late:
        "admin.conf: 403", "tenant API server", |c| c.fault(AdminFault::AdminForbidden(3000));
    machines_wait_for_the_bootstrap_checksum:
        "bootstrap checksum: late", "TenantControlPlane status", |c| c.fault(AdminFault::ChecksumLate(3000));
    machines_wait_for_the_signature_of_cluster_info:
        "cluster-info: no JWS", "tenant kube-public/cluster-info", |c| c.fault(AdminFault::SignaturesLate(6000));
    too_many_requests_are_asked_again_when_allowed:
        "429 with Retry-After", "POST namespaces", broken("POST", "/namespaces", 2, status(429, Some(1)));
    a_server_that_fails_is_asked_again:
        "503", "any request about TenantControlPlanes", broken("", PLANES, 4, status(503, None));
    a_server_error_to_a_create_is_looked_into:
        "500 to a create", "POST tenantcontrolplanes", broken("POST", CREATE, 2, status(500, None));
    a_create_whose_answer_is_lost_is_found:
        "create: answer lost", "POST tenantcontrolplanes", broken("POST", CREATE, 1, FaultKind::DropReply);
    a_namespace_whose_answer_is_lost_is_found:
        "namespace: answer lost", "POST namespaces", broken("POST", "/namespaces", 1, FaultKind::DropReply);
    an_apply_whose_answer_is_lost_is_repeated:
        "apply: answer lost", "PATCH tenantcontrolplanes", broken("PATCH", PLANES, 1, FaultKind::DropReply);
    a_request_that_never_arrived_is_sent_again:
        "connection closed", "any request about TenantControlPlanes", broken("", PLANES, 3, FaultKind::DropRequest);
    a_conflict_is_looked_into:
        "409 conflict", "PATCH tenantcontrolplanes", broken("PATCH", PLANES, 1, FaultKind::Conflict);
    a_slow_server_is_waited_for:
        "slow API server", "every request", broken("", "/", u32::MAX, FaultKind::Delay(300));
    bookmarks_are_no_changes:
        "watch: bookmarks", "WATCH tenantcontrolplanes", |c| c.admin_mut().set_bookmarks(50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_closed_is_opened_again() {
    completes_while("watch: closed", "WATCH tenantcontrolplanes", |cluster| cluster.admin_mut().end_watches()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_lost_its_place_reads_the_list_again() {
    completes_while("watch: 410 Gone", "WATCH tenantcontrolplanes", |cluster| {
        cluster.admin_mut().compact();
        cluster.admin_mut().expire_watches();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_without_an_address_fails_with_the_cure() {
    for (name, balancer, code, words) in [
        ("load balancer: no address", Balancer::Missing, "NO_LOAD_BALANCER_ADDRESS", "has its pool a free address"),
        ("load balancer: host name", Balancer::Hostname, "LOAD_BALANCER_HOSTNAME", "balancer.lab.test"),
    ] {
        let mut row = Row::of(name, "Service status");
        let scene = impatient_scene().await;
        scene.lab.admin(|cluster| cluster.fault(AdminFault::Balancer(balancer)));
        let service = order(&scene).await;
        row.seen(&scene, &service, Ends::Failed(code)).await;
        let error = scene.newest_job(&service).unwrap().error;
        assert!(error.contains(words), "{error}");
        row.left_nothing(&scene, &service).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_are_down_are_waited_for_and_named() {
    let mut row = Row::of("webhook: down for a while", "POST tenantcontrolplanes");
    let scene = scene(SHORT).await;
    let service = order(&scene).await;
    scene.lab.admin(|cluster| cluster.fault(AdminFault::WebhooksDown(true)));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    scene.lab.admin(|cluster| cluster.fault(AdminFault::WebhooksDown(false)));
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;

    let mut row = Row::of("webhook: down", "POST tenantcontrolplanes");
    let service = order(&scene).await;
    scene.lab.admin(|cluster| cluster.fault(AdminFault::WebhooksDown(true)));
    row.seen(&scene, &service, Ends::Failed("WEBHOOK_UNAVAILABLE")).await;
    scene.lab.admin(|cluster| cluster.fault(AdminFault::WebhooksDown(false)));
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_without_room_fails_the_job() {
    let mut row = Row::of("quota exceeded", "POST tenantcontrolplanes");
    let scene = scene(SHORT).await;
    let service = order(&scene).await;
    scene.lab.admin(|cluster| {
        cluster.admin_mut().fault(Fault::new("POST", CREATE, u32::MAX, FaultKind::Quota));
    });
    row.seen(&scene, &service, Ends::Failed("QUOTA_EXCEEDED")).await;
    scene.lab.admin(|cluster| cluster.admin_mut().mend());
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_is_missing_is_named_in_the_text() {
    let mut row = Row::of("role without a verb", "ClusterRole of the agent");
    let scene = scene(SHORT).await;
    let service = order(&scene).await;
    scene.lab.admin(|cluster| cluster.withdraw("agentkube", (GROUP, "tenantcontrolplanes"), "patch", now()));
    row.seen(&scene, &service, Ends::Failed("FORBIDDEN")).await;
    let error = scene.newest_job(&service).unwrap().error;
    assert!(error.contains("cannot patch resource \"tenantcontrolplanes\""), "{error}");
    scene.lab.admin(|cluster| cluster.bestow("agentkube", (GROUP, "tenantcontrolplanes"), "patch", now()));
    row.left_nothing(&scene, &service).await;
}

/// A cluster that stands is deleted under a fault that holds the deletion until it is told in the log with these words.
async fn held(
    name: &'static str,
    at: &'static str,
    hold: impl Fn(&mut AdminCluster, bool),
    code: &str,
    words: &[&str],
) {
    let mut row = Row::of(name, at);
    let scene = scene("control-plane-ms = 5000\n").await;
    let service = order(&scene).await;
    scene.completed(&service).await;
    scene.lab.admin(|cluster| hold(cluster, true));
    scene.customer.delete(&service).await.unwrap();
    let line = wait::until("the log to say what holds the deletion", || {
        scene.log().lines().find(|line| line.contains(code)).map(str::to_owned)
    })
    .await;
    assert!(words.iter().all(|word| line.contains(word)), "{line}");
    assert!(scene.newest_job(&service).unwrap().status != JobStatus::Completed);
    row.also(format!("the log says {code}"));
    scene.lab.admin(|cluster| hold(cluster, false));
    row.seen(&scene, &service, Ends::Completed).await;
    row.nothing(&scene);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_hangs_is_told_with_its_finalizers() {
    let hold = |cluster: &mut AdminCluster, on: bool| cluster.fault(AdminFault::DeletionStuck(on));
    let words = ["finalizer.kamaji.clastix.io"];
    held("deletion: stuck", "TenantControlPlane finalizers", hold, "DELETION_STUCK", &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_without_its_data_store_says_so() {
    let hold = |cluster: &mut AdminCluster, on: bool| cluster.fault(AdminFault::StoreReady(!on));
    let words = ["DataStore default is not ready"];
    held("deletion: DataStore not ready", "DataStore status", hold, "DELETION_STUCK", &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_somebody_paused_says_so() {
    let hold = |cluster: &mut AdminCluster, on: bool| cluster.fault(AdminFault::Paused(on));
    let words = ["remove the annotation kamaji.clastix.io/paused"];
    held("deletion: paused", "TenantControlPlane annotations", hold, "DELETION_STUCK", &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_hangs_is_told() {
    let hold = |cluster: &mut AdminCluster, on: bool| cluster.fault(AdminFault::NamespacesStuck(on));
    held("namespace: stuck terminating", "DELETE namespaces", hold, "DELETION_STUCK", &["namespaces k"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_whose_answer_is_lost_is_looked_into() {
    let mut row = Row::of("delete: answer lost", "DELETE tenantcontrolplanes, namespaces");
    let scene = scene("").await;
    let service = order(&scene).await;
    scene.completed(&service).await;
    scene.lab.admin(broken("DELETE", "/namespaces", 3, FaultKind::DropReply));
    scene.customer.delete(&service).await.unwrap();
    row.seen(&scene, &service, Ends::Completed).await;
    row.nothing(&scene);
}

/// Something that is done once to a control plane as soon as it serves, while its machines are being made.
async fn changed_under_way(name: &'static str, change: impl Fn(&mut AdminCluster, &str, &str)) {
    let mut row = Row::of(name, "while machines join");
    let scene = scene("").await;
    let service = order(&scene).await;
    let (namespace, plane) = wait::until("a kubeconfig", || {
        scene.lab.admin(|cluster| {
            let (namespace, name) = cluster.tenants().next()?.0.clone();
            let secret = format!("{name}-admin-kubeconfig");
            cluster.admin().get("", "secrets", &namespace, &secret)?;
            Some((namespace, name))
        })
    })
    .await;
    scene.lab.admin(|cluster| change(cluster, &namespace, &plane));
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_is_renewed_is_read_again() {
    changed_under_way("kubeconfig: rotated", |cluster, namespace, name| {
        cluster.rotate_kubeconfig(namespace, name, now());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_is_replaced_is_read_again() {
    changed_under_way("CA: rotated", |cluster, namespace, name| {
        cluster.rotate_authority(namespace, name, now()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_control_plane_with_our_name_is_left_alone() {
    let mut row = Row::of("foreign TenantControlPlane", "object with our name");
    let plan = Plan { infrastructure: Infrastructure::Toy, ..Plan::default() };
    let mut scene = Scene::prepare(plan).await;
    let service = order(&scene).await;
    let key = ServiceKey { source: "core".to_owned(), service: service.clone() };
    let name = Owner::new("lab", &key, "").cluster;
    let theirs = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane",
        "metadata": { "name": name, "namespace": name, "annotations": { "owner": "somebody else" } },
        "spec": {
            "dataStore": "default", "dataStoreSchema": "theirs", "dataStoreUsername": "theirs",
            "networkProfile": { "port": 6443 }, "kubernetes": { "version": "v1.33.4", "kubelet": {} },
            "controlPlane": { "deployment": { "replicas": 1 }, "service": { "serviceType": "LoadBalancer" } },
        },
    });
    let object = |cluster: &AdminCluster| -> Value {
        let found = cluster.admin().get(GROUP, "tenantcontrolplanes", &name, &name).unwrap();
        json!([found["metadata"]["uid"], found["metadata"]["deletionTimestamp"], found["spec"]["kubernetes"]])
    };
    let before = scene.lab.admin(|cluster| {
        let mut random = Random::new(7);
        let place = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        cluster.admin_mut().put(place, now(), &mut random);
        cluster.admin_mut().put(theirs, now(), &mut random);
        object(cluster)
    });
    scene.run().await;
    row.seen(&scene, &service, Ends::Failed("FOREIGN_CONTROL_PLANE")).await;
    assert_eq!(scene.lab.admin(|cluster| object(cluster)), before, "theirs is as it was");
    scene.lab.admin(|cluster| {
        cluster.admin_mut().discard(GROUP, "tenantcontrolplanes", &name, &name, now());
    });
    // Its controller takes its time to let go of it, and never does when the namespace goes first.
    scene.settles(&Found::nothing()).await;
    scene.lab.admin(|cluster| cluster.admin_mut().discard("", "namespaces", "", &name, now()));
    row.left_nothing(&scene, &service).await;
}
