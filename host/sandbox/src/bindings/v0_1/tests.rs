//! Imports as a guest reaches them, with the store of a call and no guest in it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use wasmtime::Store;
use wasmtime::component::HasSelf;

use super::capability::{log, permits, random};
use crate::core::Core;
use crate::settings::{Limits, Settings};
use crate::state::State;
use crate::testing::stores::Stores;
use crate::testing::{connections, core, no_pod, state};

fn plugin(limits: Limits) -> Arc<Core> {
    let lab = json!({ "endpoints": [{ "url": "http://127.0.0.1:1" }] });
    core(&Arc::new(Stores::default()), connections(lab, &no_pod()).unwrap(), json!([]), limits)
}

/// The store of one call.
fn store(core: &Arc<Core>) -> Store<State> {
    Store::new(&crate::engine::build(&Settings::default()).unwrap(), state(core))
}

/// One call that takes a permit, and then waits for so long.
async fn holding(mut store: Store<State>, name: &'static str, then: Duration) -> Store<State> {
    let took = store.run_concurrent(async |accessor| {
        let names = vec![name.to_owned()];
        let took = <HasSelf<State> as permits::HostWithStore<State>>::take(accessor, names).await;
        tokio::time::sleep(then).await;
        took
    });
    took.await.unwrap().unwrap().unwrap();
    store
}

#[tokio::test]
async fn the_second_of_two_calls_waits_for_a_permit_until_the_first_is_killed() {
    let core = plugin(Limits::default());
    let hour = Duration::from_secs(3600);
    let first = tokio::spawn(holding(store(&core), "template", hour));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = tokio::spawn(holding(store(&core), "template", Duration::ZERO));
    let other = holding(store(&core), "other", Duration::ZERO);
    tokio::time::timeout(Duration::from_secs(5), other).await.expect("another name is free");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "it waits");
    // What ends a call drops its store, and nothing else gives the permit back.
    first.abort();
    let second = tokio::time::timeout(Duration::from_secs(5), second).await.expect("given back").unwrap();
    let third = tokio::spawn(holding(store(&core), "template", Duration::ZERO));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!third.is_finished(), "a call keeps its permit until it ends");
    drop(second);
    tokio::time::timeout(Duration::from_secs(5), third).await.expect("given back").unwrap();
}

#[tokio::test]
async fn a_permit_is_given_back_before_the_call_ends() {
    let core = plugin(Limits::default());
    let mut first = holding(store(&core), "template", Duration::ZERO).await;
    permits::Host::release(first.data_mut(), 99).unwrap();
    let again =
        tokio::time::timeout(Duration::from_millis(100), holding(store(&core), "template", Duration::ZERO)).await;
    assert!(again.is_err(), "another number is another permit");
    permits::Host::release(first.data_mut(), 1).unwrap();
    let again = holding(store(&core), "template", Duration::ZERO);
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("given back");
}

#[tokio::test]
async fn too_many_names_are_refused_and_not_a_trap() {
    let mut store = store(&plugin(Limits::default()));
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let took = store.run_concurrent(async |accessor| {
        <HasSelf<State> as permits::HostWithStore<State>>::take(accessor, names).await
    });
    assert_eq!(took.await.unwrap().unwrap().unwrap_err().code, "TOO_MANY_NAMES");
}

#[test]
fn randomness_is_the_hosts_and_comes_in_pieces() {
    let mut state = state(&plugin(Limits::default()));
    assert_eq!(random::Host::bytes(&mut state, 3).unwrap(), [7, 7, 7]);
    for n in [65_536, 65_537, u32::MAX] {
        assert_eq!(random::Host::bytes(&mut state, n).unwrap().len(), 65_536);
    }
}

/// What was logged, as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_call_logs_so_many_bytes_and_its_plugin_is_named() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let mut state = state(&plugin(Limits { log_bytes: 100, ..Limits::default() }));
    tracing::subscriber::with_default(subscriber, || {
        // 7 and 13 bytes for each: the sixth no longer fits.
        for n in 0..20 {
            let fields = vec![("number".to_owned(), format!("value-{n}"))];
            log::Host::event(&mut state, log::Level::Info, format!("event{n:02}"), fields).unwrap();
        }
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("plugin=\"t\"") && text.contains("value-0") && text.contains("event04"), "{text}");
    assert!(!text.contains("event05") && !text.contains("event19"), "{text}");
    assert_eq!(text.matches("logged more than 100 bytes").count(), 1, "{text}");
    assert_eq!(state.traces.limit(), Some("log"));
}
