//! Heartbeats while guests take every core.

use std::time::Duration;

use agentkube_tests::{Plan, Scene, artifacts};

use crate::process::processor_seconds;
use crate::row;

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(15);

/// Longest time between two heartbeats that Core saw.
pub fn gap(scene: &Scene) -> Duration {
    let beats: Vec<u64> = scene.lab.core(|core| {
        let beats = core.log().filter(|asked| asked.method == "PUT" && asked.path.ends_with("/agents/me/status"));
        beats.map(|asked| asked.at).collect()
    });
    let gaps = beats.windows(2).map(|pair| pair[1] - pair[0]);
    Duration::from_millis(gaps.max().unwrap_or(0))
}

/// Prints the row: one guest more than there are cores computes for ever in its preflight.
pub async fn measure() {
    let guests = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let mut scene = Scene::prepare(Plan { more: (0..guests).map(spinning).collect(), ..Plan::default() }).await;
    let text = std::fs::read_to_string(scene.config()).unwrap();
    let named = text.replacen("[defaults]", "[defaults]\nnode-provider = \"machines\"", 1);
    std::fs::write(scene.config(), named).unwrap();
    scene.run().await;
    let before = processor_seconds(scene.pid());
    tokio::time::sleep(WATCHED).await;
    let taken = processor_seconds(scene.pid()) - before;
    row(
        &format!("heartbeat gap with {guests} spinning guests, interval 1.0 s"),
        "≤ 1.5 intervals",
        &format!("{:.2} s, the daemon taking {taken:.1} CPU s in {} s", gap(&scene).as_secs_f64(), WATCHED.as_secs()),
    );
}

fn spinning(n: usize) -> String {
    let file = artifacts::guest("spike");
    format!(
        r#"
[plugins.spinning-{n}]
file = "{}"
role = "node-provider"
config = {{ connection = "pve", mode = "spin" }}

[[plugins.spinning-{n}.grants]]
connection = "pve"
"#,
        file.display()
    )
}
