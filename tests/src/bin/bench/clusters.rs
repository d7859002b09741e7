//! Five clusters with three machines each, as we make them, and one job and one machine at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agentkube_tests::{Plan, Scene};
use lab_core::store::JobStatus;

use crate::heart::gap;
use crate::process::processor_seconds;
use crate::row;

const CLUSTERS: usize = 5;
const MACHINES: usize = 3;
const SCALE: u64 = 20;

/// What one round took.
struct Round {
    time: Duration,
    cpu: f64,
    /// Requests to Proxmox VE by method.
    requests: BTreeMap<String, usize>,
    /// Longest time between two heartbeats.
    gap: Duration,
}

/// Prints the rows.
pub async fn measure() {
    let ours = round("").await;
    let baseline = round("services = 1\nsteps = 1\nper-provider = 1\n").await;
    let seconds = |round: &Round| format!("{:.1} s ({:.1} CPU s)", round.time.as_secs_f64(), round.cpu);
    let ratio = baseline.time.as_secs_f64() / ours.time.as_secs_f64();
    row(
        &format!("{CLUSTERS} clusters × {MACHINES} machines, lab at 1:{SCALE}"),
        "",
        &format!("{}; one job and one machine at a time: {}; {ratio:.1} ×", seconds(&ours), seconds(&baseline)),
    );
    let machines = (CLUSTERS * MACHINES) as f64;
    let total: usize = ours.requests.values().sum();
    let kinds = ours.requests.iter().map(|(method, count)| format!("{method} {:.1}", *count as f64 / machines));
    let kinds: Vec<String> = kinds.collect();
    row(
        "requests to Proxmox VE per machine made and joined",
        "written down",
        &format!("{:.1} ({})", total as f64 / machines, kinds.join(", ")),
    );
    row(
        "heartbeat gap under that load, interval 1.0 s",
        "≤ 1.5 intervals",
        &format!("{:.2} s", ours.gap.as_secs_f64()),
    );
}

async fn round(more: &str) -> Round {
    let scene = Scene::start(Plan { scale: SCALE, more: more.to_owned(), ..Plan::default() }).await;
    let (before, began) = (processor_seconds(scene.pid()), Instant::now());
    for n in 0..CLUSTERS {
        scene.order(&format!("bench-{n}")).await;
    }
    loop {
        let jobs: Vec<(JobStatus, String)> =
            scene.lab.core(|core| core.jobs().iter().map(|job| (job.status, job.error.clone())).collect());
        if let Some((_, error)) = jobs.iter().find(|(status, _)| *status == JobStatus::Failed) {
            panic!("a create failed: {error}");
        }
        if jobs.iter().all(|(status, _)| *status == JobStatus::Completed) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(900), "the creates take too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let time = began.elapsed();
    assert_eq!(scene.found().ready, CLUSTERS * MACHINES);
    let mut requests = BTreeMap::new();
    scene.lab.proxmox(|pve| {
        for asked in pve.log() {
            *requests.entry(asked.method.clone()).or_default() += 1;
        }
    });
    let cpu = processor_seconds(scene.pid()) - before;
    Round { time, cpu, requests, gap: gap(&scene) }
}
