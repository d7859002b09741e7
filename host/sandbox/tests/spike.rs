//! The riskiest sentence of the design: a call that was killed after its request was sent is run again, and goes on from the task
//! that the host journalled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::State;
use support::server::{Asked, Reply, Server};
use support::stores::Stores;
use support::{World, call, machine, pool};

/// A server whose effect takes its time, and which knows what it did.
fn slow_server(effect_ms: u64) -> Server {
    let done = std::sync::atomic::AtomicBool::new(false);
    Server::start(move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/effect") => {
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            Reply::new(202, r#"{"task":"t-1"}"#).after(effect_ms)
        }
        ("GET", "/effects/kabc-a-01") if done.load(std::sync::atomic::Ordering::SeqCst) => {
            Reply::new(200, r#"{"task":"t-1"}"#)
        }
        ("GET", "/tasks/t-1") => Reply::new(200, r#"{"done":true}"#),
        _ => Reply::new(404, ""),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_call_goes_on_from_the_journalled_task() {
    let server = slow_server(400);
    let stores = Arc::new(Stores::default());
    let world = World::new(&server, &stores);
    let provider = world.provider("normal").await;

    let fault = provider.create(&call(Duration::from_millis(250)), &machine(), &pool(), None, None).await.unwrap_err();
    assert_eq!(fault.code, "PLUGIN_TIMEOUT");
    assert_eq!(server.count("POST", "/effect"), 1, "the request was sent");
    assert_eq!(stores.item(1).in_doubt.as_deref(), Some("POST /effect"), "sent, and not yet answered");

    // The store is gone; the exchange is not.
    assert_eq!(world.sandbox.drain(Duration::from_secs(5)).await, 0);
    let answer = stores.item(1).last_answer.unwrap();
    assert_eq!((answer.request.as_str(), answer.status), ("POST /effect", 202));

    let made = provider.create(&call(Duration::from_secs(10)), &machine(), &pool(), None, None).await.unwrap();
    assert_eq!(made.id, "t-1");
    assert_eq!(server.count("POST", "/effect"), 1, "nothing was sent twice");
    assert_eq!(server.count("GET", "/effects/kabc-a-01"), 0, "the answer was journalled: nobody had to ask");
    assert_eq!(stores.item(1).state, State::Live);
}

#[test]
fn a_killed_process_finds_out_before_it_sends_again() {
    let server = slow_server(60_000);
    let stores = Arc::new(Stores::default());
    let first = tokio::runtime::Runtime::new().unwrap();
    first.block_on(async {
        let world = World::new(&server, &stores);
        let provider = world.provider("normal").await;
        let (call, key, pool) = (call(Duration::from_secs(30)), machine(), pool());
        let create = provider.create(&call, &key, &pool, None, None);
        let _ = tokio::time::timeout(Duration::from_millis(500), create).await;
    });
    // Everything of the first process ends here, the exchange too.
    first.shutdown_background();
    assert_eq!(server.count("POST", "/effect"), 1);
    assert_eq!(stores.item(1).in_doubt.as_deref(), Some("POST /effect"));

    let second = tokio::runtime::Runtime::new().unwrap();
    let made = second.block_on(async {
        let world = World::new(&server, &stores);
        let provider = world.provider("normal").await;
        provider.create(&call(Duration::from_secs(30)), &machine(), &pool(), None, None).await.unwrap()
    });
    assert_eq!(made.id, "t-1");
    assert_eq!(server.count("POST", "/effect"), 1, "it asked instead of sending again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_request_whose_answer_was_cut_is_not_sent_again() {
    let server = Server::start(|asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/effect") => Reply::new(202, r#"{"task":"t-1"}"#).cut(5, 0),
        ("GET", "/effects/kabc-a-01") => Reply::new(200, r#"{"task":"t-1"}"#),
        ("GET", "/tasks/t-1") => Reply::new(200, r#"{"done":true}"#),
        _ => Reply::new(404, ""),
    });
    let stores = Arc::new(Stores::default());
    let provider = World::new(&server, &stores).provider("normal").await;
    let (call, key, pool) = (call(Duration::from_secs(30)), machine(), pool());
    let fault = provider.create(&call, &key, &pool, None, None).await.unwrap_err();
    assert_eq!(fault.code, "NO_ANSWER");
    assert_eq!(stores.item(1).last_answer.unwrap().status, 202);
    let made = provider.create(&call, &key, &pool, None, None).await.unwrap();
    assert_eq!(made.id, "t-1");
    assert_eq!(server.count("POST", "/effect"), 1);
}
