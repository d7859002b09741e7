//! A heartbeat never waits for work.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentkube_contract::Health;
use agentkube_sandbox::{Limits, Sandbox, Settings, package};
use serde_json::{Value, json};
use support::server::{Reply, Server};
use support::stores::Stores;
use support::{World, connection, grant_lab};

/// The packed plugin that is a job source, whichever it is, and a configuration that names `lab` wherever it asks for a connection.
fn job_source() -> (Vec<u8>, Value) {
    let directory = std::env::var("AGENTKUBE_PLUGINS").unwrap_or_else(|_| {
        panic!("AGENTKUBE_PLUGINS is not set: it names the directory of the packed plugins; `cargo xtask test` sets it")
    });
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        let Ok(found) = package::inspect(&bytes) else { continue };
        if found.role == "job-source" {
            let names = found.manifest.needs.http.iter().map(|need| need.connection.trim_start_matches('/').to_owned());
            return (bytes, names.map(|name| (name, json!("lab"))).collect());
        }
    }
    panic!("none of the plugins is a job source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_returns_while_every_place_is_taken() {
    let stuck = Arc::new(AtomicBool::new(true));
    let answer = stuck.clone();
    let server = Server::start(move |_| {
        let reply = Reply::new(200, json!({ "id": "a", "name": "a", "status": "Connected" }).to_string());
        if answer.load(Ordering::SeqCst) { reply.after(60_000) } else { reply }
    });
    let limits = json!({ "concurrent": 2 });
    let lab = connection(json!({ "endpoints": [{ "url": server.url() }], "limits": limits }));
    let mut world = World::with(lab, &Arc::new(Stores::default()));
    let limits = Limits { concurrent: 2, ..Limits::default() };
    world.sandbox = Sandbox::new(Settings { pooling: true, pool_size: 2, limits, ..Settings::default() }).unwrap();
    let (bytes, config) = job_source();
    let source = world.load(bytes, config, vec![grant_lab()]).await.unwrap().job_source().unwrap();

    let calls = (0..6).map(|_| {
        let source = source.clone();
        tokio::spawn(async move { source.pending().await })
    });
    let calls: Vec<_> = calls.collect();
    while server.asked().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stuck.store(false, Ordering::SeqCst);
    // Everything else waits: the calls of the plugin, the places of its connection and of the pool are taken.
    assert!(tokio::time::timeout(Duration::from_millis(500), source.identify()).await.is_err());
    assert_eq!(server.asked().len(), 2);
    for _ in 0..5 {
        let began = Instant::now();
        assert!(!source.heartbeat(Health::Connected).await.unwrap().disabled);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    assert!(server.asked().len() >= 7, "each was sent");
    assert!(calls.iter().all(|call| !call.is_finished()), "the places are still taken");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}
