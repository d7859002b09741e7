//! What becomes of guests that do not behave, and of those that do a lot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentkube_contract::{Class, Fault, Instance, Outcome};
use serde_json::json;
use support::server::{Reply, Server};
use support::stores::Stores;
use support::{World, call, grant_lab, machine, spike};

async fn observe(mode: &str, within: Duration) -> (Result<Option<Instance>, Fault>, World, Server) {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let provider = world.provider(mode).await;
    let result = provider.observe(&call(within), &machine(), "i-1").await;
    (result, world, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spinning_guest_is_stopped_at_its_deadline_and_disturbs_nobody() {
    let began = Instant::now();
    let (result, world, _server) = observe("spin", Duration::from_millis(1500)).await;
    let fault = result.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class, fault.outcome), ("PLUGIN_TIMEOUT", Class::Timeout, Outcome::Unknown));
    assert!(fault.message.contains("plugin `spike`: observe"), "{}", fault.message);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(world.counts.calls.lock().unwrap()[0].1, "PLUGIN_TIMEOUT");
    let normal = world.provider("normal").await;
    normal.observe(&call(Duration::from_secs(10)), &machine(), "i-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_guest_is_stopped_too() {
    let (result, ..) = observe("hang", Duration::from_millis(300)).await;
    assert_eq!(result.unwrap_err().code, "PLUGIN_TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_limit_is_named() {
    let (result, world, _server) = observe("memory", Duration::from_secs(20)).await;
    let fault = result.unwrap_err();
    assert_eq!(fault.code, "PLUGIN_MEMORY");
    assert!(fault.message.contains("more memory than its limit"), "{}", fault.message);
    assert_eq!(world.counts.calls.lock().unwrap()[0].2.as_deref(), Some("memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_of_a_panic_arrives() {
    let (result, ..) = observe("panic", Duration::from_secs(10)).await;
    let fault = result.unwrap_err();
    assert_eq!(fault.code, "PLUGIN_TRAP");
    assert!(fault.message.contains("the configuration says so"), "{}", fault.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_without_an_entry_is_refused_before_it_is_sent() {
    let (result, world, server) = observe("effect-without-entry", Duration::from_secs(10)).await;
    let fault = result.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class), ("NO_LEDGER_ENTRY", Class::Denied));
    assert!(server.asked().is_empty());
    assert_eq!(*world.counts.denials.lock().unwrap(), ["http"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_path_is_denied_with_the_lines_that_would_allow_it() {
    let (result, _, server) = observe("undeclared-path", Duration::from_secs(10)).await;
    let fault = result.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class), ("NOT_IN_MANIFEST", Class::Denied));
    for line in [r#"{ "method": "GET", "path": "/undeclared" }"#, "[[plugins.spike.grants]]\nconnection = \"lab\""] {
        assert!(fault.message.contains(line), "{}", fault.message);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_of_one_call_wait_together() {
    let server = Server::start(|_| Reply::new(200, "{}").after(50));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let provider = world.provider("fan-out").await;
    let began = Instant::now();
    let found = provider.observe(&call(Duration::from_secs(30)), &machine(), "i-1").await.unwrap().unwrap();
    assert_eq!(found.more, [("done".to_owned(), "1000".to_owned())]);
    // One after the other they would take 50 s.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_is_cut_and_harmless() {
    let (result, world, _server) = observe("log-flood", Duration::from_secs(10)).await;
    result.unwrap();
    assert_eq!(world.counts.calls.lock().unwrap()[0].2.as_deref(), Some("log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_plugin_beyond_its_limit_wait() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let plugin = world.load(spike(), json!({"connection": "lab"}), vec![grant_lab()]).await.unwrap();
    let provider = plugin.node_provider().unwrap();
    let calls = (0..200).map(|_| {
        let provider = provider.clone();
        tokio::spawn(async move { provider.observe(&call(Duration::from_secs(30)), &machine(), "i").await.is_ok() })
    });
    for done in calls.collect::<Vec<_>>() {
        assert!(done.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_from_a_pool_behave_the_same() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let mut world = World::new(&server, &Arc::new(Stores::default()));
    let limits = agentkube_sandbox::Limits { memory: 16 << 20, ..Default::default() };
    // Fewer places in the pool than calls at once: more wait, none fails.
    let settings = agentkube_sandbox::Settings { pooling: true, pool_size: 8, limits, ..Default::default() };
    world.sandbox = agentkube_sandbox::Sandbox::new(settings).unwrap();
    let provider = world.provider("normal").await;
    let (call, key) = (call(Duration::from_secs(30)), machine());
    let calls = (0..32).map(|_| provider.observe(&call, &key, "i"));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
    let fault = world.provider("memory").await.observe(&call, &key, "i").await.unwrap_err();
    assert_eq!(fault.code, "PLUGIN_MEMORY");
}
