//! What the real binary takes to start, to go on, and to ask for work.

use std::time::{Duration, Instant};

use agentkube_lab::{Clock, Lab};
use agentkube_tests::{Plan, Scene, wait};

use crate::{median, millis, row};

/// Prints the rows.
pub async fn measure() {
    start_and_polls().await;
    restart().await;
}

/// Times of the polls that Core saw.
fn polls(lab: &Lab) -> Vec<u64> {
    lab.core(|core| core.log().filter(|asked| asked.path.ends_with("/jobs/pending")).map(|asked| asked.at).collect())
}

fn handshakes(scene: &Scene) -> u64 {
    scene.lab.traffic().iter().find(|(name, ..)| *name == "core").map_or(0, |(_, handshakes, _)| *handshakes)
}

async fn start_and_polls() {
    let mut scene = Scene::prepare(Plan::default()).await;
    let text = std::fs::read_to_string(scene.config()).unwrap();
    // Polls as fast as they go: what is counted are connections, not time.
    std::fs::write(scene.config(), text.replacen("poll-ms = 250", "poll-ms = 1", 1)).unwrap();
    scene.run().await;
    wait::until("the first poll", || polls(&scene.lab).last().copied()).await;

    let mut times = Vec::new();
    for _ in 0..5 {
        scene.terminate().await;
        let began = Clock::real().now();
        scene.run().await;
        let first = wait::until("a poll", || polls(&scene.lab).into_iter().find(|at| *at >= began)).await;
        times.push(Duration::from_millis(first - began));
    }
    row("start to first poll, plugins cached, p50 of 5", "≤ 150 ms", &millis(median(times)));

    scene.terminate().await;
    let (before, polled) = (handshakes(&scene), polls(&scene.lab).len());
    scene.run().await;
    wait::until("1,000 polls", || (polls(&scene.lab).len() >= polled + 1_000).then_some(())).await;
    let first = handshakes(&scene) - before;
    wait::until("2,000 polls", || (polls(&scene.lab).len() >= polled + 2_000).then_some(())).await;
    let second = handshakes(&scene) - before - first;
    row(
        "TLS handshakes per 1,000 polls",
        "≤ 2",
        &format!("{first} from the start on, heartbeats included; then {second}"),
    );
}

/// From the start of the process to the first request that a resumed step sends.
async fn restart() {
    let mut scene = Scene::start(Plan { scale: 10, ..Plan::default() }).await;
    let service = scene.order("bench").await;
    let mut times = Vec::new();
    for count in 1..=3 {
        wait::until("machines", || (scene.found().vms >= count).then_some(())).await;
        scene.kill();
        let began = Clock::real().now();
        let clock = Instant::now();
        scene.run().await;
        let at = wait::until("a resumed step", || {
            let machines = scene.lab.proxmox(|pve| pve.log().iter().map(|asked| asked.at).find(|at| *at >= began));
            let planes = scene.lab.admin(|cluster| {
                let log = cluster.admin().log().iter().filter(|asked| asked.user.ends_with(":agentkube"));
                log.map(|asked| asked.at).find(|at| *at >= began)
            });
            machines.into_iter().chain(planes).min()
        })
        .await;
        times.push(Duration::from_millis(at - began).min(clock.elapsed()));
    }
    scene.completed(&service).await;
    row("restart to first resumed step, 1 service, p50 of 3", "≤ 2 s", &millis(median(times)));
}
