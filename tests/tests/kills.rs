//! The real binary is killed in the middle of its work, and goes on.

use std::time::{Duration, Instant};

use agentkube_lab::daemon::Infrastructure;
use agentkube_lab::faults::{self, Weather};
use agentkube_tests::{Found, Plan, Scene, heavy, seed};
use lab_core::store::JobStatus;
use lab_wire::Random;

/// What a create takes in these labs, about; the moments are drawn from it.
const EXPECTED: Duration = Duration::from_secs(6);

fn moment(random: &mut Random) -> Duration {
    Duration::from_millis(random.below(EXPECTED.as_millis() as u64))
}

/// What must be there after a create, however often it was killed.
async fn assert_whole(scene: &Scene, service: &str) {
    scene.settles(&Found { vms: 3, planes: 1, namespaces: 1, nodes: 3, ready: 3, ..Found::nothing() }).await;
    let jobs: Vec<(String, JobStatus)> =
        scene.lab.core(|core| core.jobs().iter().map(|job| (job.action.clone(), job.status)).collect());
    assert_eq!(jobs, [("create".to_owned(), JobStatus::Completed)]);
    assert_eq!(scene.service(service).status, "Started");
}

async fn delete(scene: &Scene, service: &str) {
    scene.customer.delete(service).await.unwrap();
    scene.completed(service).await;
    assert_eq!(scene.found(), Found::nothing());
    assert_eq!(scene.lab.proxmox(|pve| pve.leftovers()), Vec::<String>::new());
}

// Checklist 137, 149, 247.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_create_that_is_killed_five_times_is_as_if_it_never_was() {
    let _turn = heavy().await;
    let seed = seed();
    let mut random = Random::new(seed);
    let mut moments: Vec<Duration> = (0..5).map(|_| moment(&mut random)).collect();
    moments.sort_unstable();
    let mut scene = Scene::start(Plan { seed, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    // Time counts while the daemon runs.
    let mut lived = Duration::ZERO;
    for at in moments {
        let began = Instant::now();
        tokio::time::sleep(at.saturating_sub(lived)).await;
        lived += began.elapsed();
        let job = scene.newest_job(&service).unwrap();
        println!("killed after {} ms of work: job {}, {:?}", lived.as_millis(), job.status.as_str(), scene.found());
        scene.kill();
        scene.run().await;
    }
    scene.completed(&service).await;
    assert_whole(&scene, &service).await;
    delete(&scene, &service).await;
}

// Checklist 150.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_delete_that_is_killed_leaves_nothing() {
    let _turn = heavy().await;
    let seed = seed();
    let mut random = Random::new(seed);
    let mut scene = Scene::start(Plan { seed, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    scene.completed(&service).await;
    scene.customer.delete(&service).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(random.below(1_500))).await;
        println!("killed: {:?}", scene.found());
        scene.kill();
        scene.run().await;
    }
    scene.completed(&service).await;
    assert_eq!(scene.found(), Found::nothing());
    assert_eq!(scene.lab.proxmox(|pve| pve.leftovers()), Vec::<String>::new());
}

/// A kill at a seeded moment, and the next life. Gives whether the service's newest job was under way.
async fn kill_after(scene: &mut Scene, service: &str, wait: Duration) -> bool {
    tokio::time::sleep(wait).await;
    let at_work = scene.newest_job(service).is_some_and(|job| job.status.active());
    scene.kill();
    scene.run().await;
    at_work
}

// Checklist 137, 149, 150, 247.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn kills_under_faults_end_as_if_nothing_had_been() {
    const ROUNDS: usize = 5;
    let _turn = heavy().await;
    let seed = seed();
    let mut random = Random::new(seed);
    let mut scene = Scene::start(Plan { seed, scale: 20, ..Plan::default() }).await;
    let weather =
        Weather::start(scene.lab.servers(), faults::chosen(faults::FLAKY, Infrastructure::Proxmox).unwrap(), seed);
    let (mut in_creates, mut in_deletes) = (0, 0);
    for round in 0..ROUNDS {
        let began = Instant::now();
        let service = scene.order(&format!("shop-{round}")).await;
        for _ in 0..5 {
            let wait = Duration::from_millis(random.below(1_000));
            in_creates += usize::from(kill_after(&mut scene, &service, wait).await);
        }
        scene.completed(&service).await;
        scene.settles(&Found { vms: 3, planes: 1, namespaces: 1, nodes: 3, ready: 3, ..Found::nothing() }).await;
        assert_eq!(scene.service(&service).status, "Started");
        let stood = began.elapsed();
        scene.customer.delete(&service).await.unwrap();
        for _ in 0..2 {
            let wait = Duration::from_millis(random.below(700));
            in_deletes += usize::from(kill_after(&mut scene, &service, wait).await);
        }
        scene.completed(&service).await;
        scene.settles(&Found::nothing()).await;
        assert_eq!(scene.lab.proxmox(|pve| pve.leftovers()), Vec::<String>::new());
        println!("round {round}: stood after {} ms, gone after {} ms", stood.as_millis(), began.elapsed().as_millis());
        let jobs: Vec<(String, JobStatus)> = scene.lab.core(|core| {
            let own = core.jobs().into_iter().filter(|job| job.service == service);
            own.map(|job| (job.action.clone(), job.status)).collect()
        });
        assert_eq!(
            jobs,
            [("create", JobStatus::Completed), ("delete", JobStatus::Completed)].map(|(a, s)| (a.to_owned(), s))
        );
    }
    weather.clear();
    println!("25 kills, {in_creates} of them in a create; 10, {in_deletes} of them in a delete");
    assert!(
        in_creates >= 15 && in_deletes >= 4,
        "the kills come too late to show anything: {in_creates}, {in_deletes}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn sigterm_ends_it_within_ten_seconds_whatever_runs() {
    let _turn = heavy().await;
    let seed = seed();
    let mut random = Random::new(seed);
    let mut scene = Scene::start(Plan { seed, ..Plan::default() }).await;
    let service = scene.order("shop").await;
    for _ in 0..3 {
        tokio::time::sleep(moment(&mut random) / 2).await;
        let found = scene.found();
        let took = scene.terminate().await;
        println!("SIGTERM took {} ms with {found:?}", took.as_millis());
        assert!(took < Duration::from_secs(10), "{took:?}");
        scene.run().await;
    }
    scene.completed(&service).await;
    assert_whole(&scene, &service).await;
}
