//! What is refused before anything of a plugin runs, and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use agentkube_sandbox::{Error, package};
use serde_json::{Value, json};
use support::server::{Reply, Server};
use support::stores::Stores;
use support::{MANIFEST, World, call, grant_lab, guest, machine, spike};

fn with_manifest(change: impl FnOnce(&mut Value)) -> Result<package::Inspection, Error> {
    let mut manifest: Value = serde_json::from_str(MANIFEST).unwrap();
    change(&mut manifest);
    package::inspect(&package::pack(&spike(), &manifest.to_string())?)
}

fn code(result: Result<package::Inspection, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

#[test]
fn a_component_says_what_it_is_without_running() {
    let found = package::inspect(&spike()).unwrap();
    assert_eq!((found.name.as_str(), found.role.as_str()), ("spike", "node-provider"));
    assert!(found.digest.starts_with("sha256:") && found.digest.len() == 71);
    assert!(!found.wasi && found.imports.iter().all(|import| import.starts_with("agentkube:")), "{:?}", found.imports);
    assert!(
        found.asks_for.iter().any(|line| line.contains("POST /effect (changes something)")),
        "{:?}",
        found.asks_for
    );
}

#[test]
fn what_does_not_fit_is_refused_with_a_code() {
    assert_eq!(code(package::inspect(b"hello")), "NOT_WASM");
    assert_eq!(code(package::inspect(b"\0asm\x01\0\0\0")), "CORE_MODULE");
    assert_eq!(code(package::inspect(b"\0asm\x0d\0\x01\0")), "NO_MANIFEST");
    let packed = spike();
    let twice = [packed.clone(), section("agentkube:manifest", MANIFEST)].concat();
    assert_eq!(code(package::inspect(&twice)), "MANY_MANIFESTS");
    let broken = [b"\0asm\x0d\0\x01\0".to_vec(), section("agentkube:manifest", "{")].concat();
    assert_eq!(code(package::inspect(&broken)), "BAD_MANIFEST");
    assert_eq!(code(package::inspect(&packed[..packed.len() - 1])), "MALFORMED");
    assert_eq!(code(with_manifest(|m| m["role"] = json!("job-source"))), "ROLE_MISMATCH");
    assert_eq!(code(with_manifest(|m| m["contract"] = json!("0.9"))), "UNKNOWN_CONTRACT");
    assert_eq!(code(with_manifest(|m| m["needs"]["http"] = json!([]))), "IMPORT_NOT_COVERED");
    let uncovered = with_manifest(|m| m["needs"]["capabilities"] = json!(["config", "clock", "log", "random"]));
    assert!(uncovered.unwrap_err().to_string().contains("adds \"ledger\" to needs.capabilities"));
}

#[test]
fn packing_again_replaces_the_manifest() {
    let again = package::pack(&spike(), MANIFEST).unwrap();
    assert_eq!(again, spike());
}

#[tokio::test]
async fn configuration_and_grants_are_checked_when_it_is_loaded() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let load = async |config, grants| world.load(spike(), config, grants).await.map(drop).unwrap_err();
    let error = load(json!({"connection": "lab", "count": "many"}), vec![grant_lab()]).await;
    assert!(error.to_string().contains("configuration at /count"), "{error}");
    let error = load(json!({"connection": "lab"}), vec![]).await;
    assert_eq!(error.code(), "NOT_GRANTED");
    assert!(error.to_string().contains("[[plugins.spike.grants]]\nconnection = \"lab\""), "{error}");
}

#[tokio::test]
async fn compiled_components_are_kept_where_only_we_can_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let server = Server::start(|_| Reply::new(200, "{}"));
    let mut world = World::new(&server, &Arc::new(Stores::default()));
    let settings = agentkube_sandbox::Settings { cache: Some(cache.clone()), ..Default::default() };
    world.sandbox = agentkube_sandbox::Sandbox::new(settings.clone()).unwrap();
    world.provider("normal").await;
    let files: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(&files[0])), (0o700, 0o600));
    // What was tampered with, or is no compiled component, is compiled again.
    for harm in [b"garbage".as_slice(), b""] {
        std::fs::write(&files[0], harm).unwrap();
        world.sandbox = agentkube_sandbox::Sandbox::new(settings.clone()).unwrap();
        let provider = world.provider("normal").await;
        provider.observe(&call(Duration::from_secs(10)), &machine(), "i").await.unwrap();
    }
    assert!(std::fs::metadata(&files[0]).unwrap().len() > 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_with_a_standard_library_finds_nothing_behind_it_and_runs() {
    let bytes = guest("spike-wasip2.wasm");
    let found = package::inspect(&bytes).unwrap();
    assert!(found.wasi, "{:?}", found.imports);
    let server = Server::start(|_| Reply::new(200, "{}"));
    let world = World::new(&server, &Arc::new(Stores::default()));
    let plugin = world.load(bytes, json!({"connection": "lab"}), vec![grant_lab()]).await.unwrap();
    let found = plugin.node_provider().unwrap().observe(&call(Duration::from_secs(10)), &machine(), "i").await.unwrap();
    assert_eq!(found.unwrap().id, "i");
}

fn section(name: &str, data: &str) -> Vec<u8> {
    let leb = |mut n: usize| {
        let mut out = vec![];
        while n >= 128 {
            out.push((n & 127) as u8 | 128);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    let content = [leb(name.len()), name.as_bytes().to_vec(), data.as_bytes().to_vec()].concat();
    [vec![0], leb(content.len()), content].concat()
}
