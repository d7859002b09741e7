//! `cargo xtask bench`: the table of measurements. It prints what was measured and what was wished for, and judges nothing: how fast a
//! machine is, is nobody's fault.

mod clusters;
mod daemon;
mod heart;
mod process;
mod sandbox;
mod server;
mod world;

use std::time::Duration;

fn main() {
    let profile = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("AgentKube, {profile}, {cores} cores\n");
    row("what", "reach", "measured");
    row(&"-".repeat(WHAT), &"-".repeat(REACH), "--------");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        sandbox::measure().await;
        daemon::measure().await;
        heart::measure().await;
        clusters::measure().await;
    });
    not_measured(
        "200 clusters × 3 machines against the lab's bound",
        "≤ 1.15 ×",
        "the lab does not compute a lower bound from its locks",
    );
}

const WHAT: usize = 52;
const REACH: usize = 28;

/// Prints one row.
fn row(what: &str, reach: &str, measured: &str) {
    println!("{what:WHAT$} | {reach:REACH$} | {measured}");
}

/// Prints a row that has no number yet.
fn not_measured(what: &str, reach: &str, why: &str) {
    row(what, reach, &format!("not measured: {why}"));
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
