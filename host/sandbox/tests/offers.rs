//! What a node provider exports beside its role: called when it is there, not missed when it is not, never other than the manifest says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::Endpoint;
use agentkube_sandbox::package;
use serde_json::{Value, json};
use support::server::{Reply, Server};
use support::stores::Stores;
use support::{MANIFEST, World, call, machine, pool, spike};

fn flagged(bytes: &[u8], flags: Value) -> Result<package::Inspection, agentkube_sandbox::Error> {
    let mut manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    manifest["flags"] = flags;
    package::inspect(&package::pack(bytes, &manifest.to_string())?)
}

#[tokio::test]
async fn what_is_offered_is_called() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let provider = World::new(&server, &Arc::new(Stores::default())).provider("normal").await;
    let limit = Duration::from_secs(10);
    let said = provider.bootstrap_log(&call(limit), &machine(), "vm-1").await.unwrap();
    assert_eq!(said.as_deref(), Some("kabc-a-01 as vm-1 said this"));
    let endpoint = Endpoint { server: "10.0.0.1:6443".to_owned(), ca: "CA".to_owned() };
    assert!(provider.renders_bootstrap());
    let data = provider.join_material(&call(limit), &machine(), &pool(), &endpoint).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(data).unwrap(), "kabc-a-01 of a joins 10.0.0.1:6443 by CA");
}

#[test]
fn exports_and_flags_say_the_same_or_it_is_refused() {
    let packed = spike();
    let both = flagged(&packed, json!(["bootstrap-log", "join-material", "static-address"])).unwrap();
    assert!(both.asks_for.iter().any(|line| line.contains("what happened inside a machine")), "{:?}", both.asks_for);
    for (flags, offer) in [(json!(["bootstrap-log"]), "join-material"), (json!(["join-material"]), "bootstrap-log")] {
        let error = flagged(&packed, flags).unwrap_err();
        assert_eq!(error.code(), "OFFER_MISMATCH");
        assert!(error.to_string().contains(offer) && error.to_string().contains("is exported"), "{error}");
    }
}

#[tokio::test]
async fn a_plugin_without_them_loads_as_before() {
    let plugins = std::env::var("AGENTKUBE_PLUGINS").expect("`cargo xtask test` builds the plugins and sets it");
    let bytes = std::fs::read(PathBuf::from(plugins).join("toy-cloud.wasm")).unwrap();
    let found = package::inspect(&bytes).unwrap();
    assert!(found.manifest.flags.iter().all(|flag| flag != "bootstrap-log" && flag != "join-material"));
    let server = Server::start(|_| Reply::new(200, "{}"));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let config = json!({ "connection": "lab", "image": "debian-13" });
    let provider =
        world.load(bytes.clone(), config, vec![support::grant_lab()]).await.unwrap().node_provider().unwrap();
    let limit = Duration::from_secs(10);
    assert_eq!(provider.bootstrap_log(&call(limit), &machine(), "vm-1").await, Ok(None));
    assert!(!provider.renders_bootstrap());
    // And one that says more than it is:
    let mut manifest = serde_json::to_value(&found.manifest).unwrap();
    manifest["flags"] = json!(["bootstrap-log"]);
    let boasting = package::pack(&bytes, &manifest.to_string()).unwrap();
    let error = package::inspect(&boasting).unwrap_err();
    assert!(error.code() == "OFFER_MISMATCH" && error.to_string().contains("not exported"), "{error}");
}
