//! What a call of a plugin costs, in this process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentkube_contract::NodeProvider;
use agentkube_sandbox::{Grant, Grants, Limits};

use crate::process::memory;
use crate::world::{World, call, machine};
use crate::{median, micros, millis, not_measured, row, server};

/// Small enough for a pool of a thousand.
fn limits() -> Limits {
    Limits { memory: 16 << 20, concurrent: 2000, ..Limits::default() }
}

/// Prints the rows.
pub async fn measure() {
    let quick = server::start(Duration::ZERO);
    let plain = World::new(&quick, false, limits());
    let pooled = World::new(&quick, true, limits());
    let not = fresh(&plain.provider("normal").await).await;
    let from_pool = fresh(&pooled.provider("normal").await).await;
    row(
        "plugin call, fresh instance, p50 of 2,000",
        "≤ 40 µs pooled, ≤ 60 µs not",
        &format!("{} pooled, {} not", micros(from_pool), micros(not)),
    );
    not_measured("plugin call, warm", "≤ 2 µs", "every call gets a fresh instance");
    row("policy check on a host call, the last of 10 grants", "≤ 1 µs", &micros(policy()));
    // Before anything leaves memory behind that was used and is free again.
    in_flight(&plain).await;
    fan_out().await;
    runaway(&plain).await;
}

/// Time of a call that asks the host for nothing.
async fn fresh(provider: &Arc<dyn NodeProvider>) -> Duration {
    let (key, mut times) = (machine(), Vec::new());
    for _ in 0..2_000 {
        let call = call(Duration::from_secs(60));
        let began = Instant::now();
        provider.observe(&call, &key, "i-1").await.unwrap();
        times.push(began.elapsed());
    }
    median(times)
}

/// What the operator granted, asked about one request: the last of ten rules fits.
fn policy() -> Duration {
    let rules = (0..10)
        .map(|n| serde_json::json!({ "methods": ["GET", "POST"], "path": format!("/api2/json/{n}/{{id}}/config") }));
    let rules: Vec<serde_json::Value> = rules.collect();
    let grant: Grant = serde_json::from_value(serde_json::json!({ "connection": "pve", "requests": rules })).unwrap();
    let grants = Grants::new("machines", vec![grant]).unwrap();
    // In batches, so that one that was interrupted does not count.
    const BATCH: u32 = 100;
    let batch = |_| {
        let began = Instant::now();
        for _ in 0..BATCH {
            black_box(grants.request(black_box("pve"), black_box("GET"), black_box("/api2/json/9/104/config")))
                .unwrap();
        }
        began.elapsed() / BATCH
    };
    median((0..500).map(batch).collect())
}

/// One call that waits for a thousand answers at once.
async fn fan_out() {
    let slow = server::start(Duration::from_millis(50));
    let world = World::new(&slow, false, limits());
    let provider = world.provider("fan-out").await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let call = call(Duration::from_secs(60));
        let began = Instant::now();
        let found = provider.observe(&call, &machine(), "i-1").await.unwrap().unwrap();
        times.push(began.elapsed());
        assert_eq!(found.more, [("done".to_owned(), "1000".to_owned())]);
    }
    let first = times[0];
    let rest = median(times.split_off(1));
    let measured = format!(
        "{}; {} with its 1,000 connections still to make; {} by the HTTP client alone, without sandbox",
        millis(rest),
        millis(first),
        millis(client_alone(&slow).await)
    );
    row("one call awaiting 1,000 host calls of 50 ms", "≤ 60 ms", &measured);
}

/// The same thousand requests by the HTTP client that the sandbox uses, over connections that are there.
async fn client_alone(server: &str) -> Duration {
    // Asked for by the builder, although nothing here is encrypted; somebody else may have chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut times = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let asked = (0..1_000).map(|n| client.get(format!("{server}/tasks/{n}")).send());
        let answers =
            futures::future::join_all(asked.map(async |answer| answer.await.unwrap().bytes().await.unwrap())).await;
        times.push(began.elapsed());
        assert_eq!(answers.len(), 1_000);
    }
    median(times.split_off(1))
}

/// How long after its deadline a guest that computes for ever is gone.
async fn runaway(world: &World) {
    let provider = world.provider("spin").await;
    let mut over = Vec::new();
    for _ in 0..7 {
        let call = call(Duration::from_millis(300));
        let stopped = provider.observe(&call, &machine(), "i-1").await;
        assert_eq!(stopped.unwrap_err().code, "PLUGIN_TIMEOUT");
        over.push(Duration::from_millis(agentkube_lab::Clock::real().now().saturating_sub(call.deadline)));
    }
    let longest = over.iter().max().copied().unwrap_or_default();
    let measured = format!("{} after it; longest of 7: {}", millis(median(over)), millis(longest));
    row("runaway guest stopped, after its deadline", "≤ 20 ms", &measured);
}

/// What a thousand calls that wait take in memory.
async fn in_flight(world: &World) {
    let provider = world.provider("hang").await;
    let idle = memory();
    let calls = (0..1_000).map(|_| {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move { provider.observe(&call(Duration::from_secs(6)), &machine(), "i-1").await.is_err() })
    });
    let calls: Vec<_> = calls.collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let busy = memory();
    for call in calls {
        assert!(call.await.unwrap(), "the guest was to hang");
    }
    let mib = busy.saturating_sub(idle) as f64 / f64::from(1 << 20);
    row("memory for 1,000 calls in flight, above idle", "≤ 64 MiB", &format!("{mib:.1} MiB"));
}
