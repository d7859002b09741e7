//! A machine that boots and does not join: what whoever ordered the cluster is told, and that nothing stays.

use agentkube_lab::machine::State;
use agentkube_tests::{Found, Plan, Scene, heavy, wait};
use lab_core::store::JobStatus;
use lab_pve::Fault;

/// A kubelet newer than the control plane on every machine, and little time for the node.
const WRONG_VERSION: &str = r#"node-ms = 6000

[bootstrap]
join-attempts = 2
join-pause-seconds = 5

[[bootstrap.files]]
path = "/etc/image-versions"
content = "KUBERNETES_VERSION=v1.36.0\n"
"#;

/// The text of a create that failed.
async fn failed(scene: &Scene, service: &str) -> String {
    let job = wait::until("the job to end", || scene.newest_job(service).filter(|job| !job.status.active())).await;
    assert_eq!(job.status, JobStatus::Failed);
    job.error
}

fn assert_presentable(text: &str) {
    assert!(text.starts_with("NODE_MISSING: step machine/"), "{text}");
    assert!(text.contains("has not registered; the end of its first-boot log:\n"), "{text}");
    assert!(text.len() < 4096 && !text.contains('\0'), "{} bytes", text.len());
    let in_token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let token = text
        .split(|c| !in_token(c))
        .find(|word| word.split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16));
    assert_eq!(token, None, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_ordered_it_sees_why_a_machine_did_not_join() {
    let _turn = heavy().await;
    let scene = Scene::start(Plan { more: WRONG_VERSION.to_owned(), scale: 20, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    let text = failed(&scene, &service).await;
    assert_presentable(&text);
    assert!(text.contains("the kubelet version is higher than the control plane version supports"), "{text}");
    scene.settles(&Found::nothing()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_machine_that_cannot_be_asked_fails_with_what_is_known() {
    let _turn = heavy().await;
    let scene = Scene::start(Plan { more: WRONG_VERSION.to_owned(), scale: 20, ..Plan::default() }).await;
    scene.lab.proxmox(|pve| pve.fault(Fault::AgentSilent(None, true)));
    let service = scene.order("shop").await;
    let text = failed(&scene, &service).await;
    assert_presentable(&text);
    assert!(text.contains("(it cannot be read: AGENT_SILENT"), "{text}");
    scene.settles(&Found::nothing()).await;
}

// Checklist 99.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn after_the_join_nothing_of_ours_is_on_a_machine_or_its_storage() {
    let _turn = heavy().await;
    let scene = Scene::start(Plan::default()).await;
    let service = scene.order("shop").await;
    // While they boot, it is there: otherwise its absence would prove nothing.
    wait::until("first-boot data on a machine", || (scene.found().files > 0).then_some(())).await;
    scene.completed(&service).await;
    let machines = scene.lab.machines().all();
    assert_eq!(machines.len(), 3);
    for machine in &machines {
        assert_eq!(machine.state, State::Joined, "{}", machine.console_text());
        assert_eq!(machine.leftovers(), Vec::<String>::new(), "{}", machine.name);
    }
    let drives = scene.lab.proxmox(|pve| {
        let ours = pve.vms().filter(|vm| !vm.template());
        let values = ours.flat_map(|vm| vm.config.values()).filter(|value| value.contains("media=cdrom"));
        values.cloned().collect::<Vec<_>>()
    });
    assert!(drives.iter().all(|drive| drive.starts_with("none")), "{drives:?}");
    let found = scene.found();
    assert_eq!((found.seeds, found.files, found.tokens), (0, 0, 0));
}
