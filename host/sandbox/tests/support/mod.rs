//! What the tests stand on: a guest, a server that is looked into, and stores in memory that outlive a sandbox.

#![allow(dead_code, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod server;
pub mod stores;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentkube_contract::{Call, Clock, MachineKey, NodeProvider, Owner, Pool, Random, ServiceKey, Shape};
use agentkube_sandbox::connections::config::ConnectionConfig;
use agentkube_sandbox::{
    Connections, Error, Grant, Grants, Limits, Metrics, Permits, Plugin, Sandbox, Services, Settings, package,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use self::server::Server;
use self::stores::Stores;

/// The manifest that belongs to the guest.
pub const MANIFEST: &str = include_str!("../../../../tests/guests/spike/manifest.json");

/// A built guest, packed.
pub fn guest(name: &str) -> Vec<u8> {
    let directory = std::env::var("AGENTKUBE_GUESTS").unwrap_or_else(|_| {
        panic!("AGENTKUBE_GUESTS is not set: it names the directory of the built guests; `cargo xtask test` builds them and sets it")
    });
    let path = PathBuf::from(directory).join(name);
    let bytes =
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; `cargo xtask test` builds it", path.display()));
    package::pack(&bytes, MANIFEST).unwrap()
}

pub fn spike() -> Vec<u8> {
    guest("spike.wasm")
}

pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub struct Counting;

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Counts what it is told.
#[derive(Default)]
pub struct Counts {
    pub denials: Mutex<Vec<String>>,
    pub calls: Mutex<Vec<(String, String, Option<String>)>>,
    pub handshakes: Mutex<usize>,
}

impl Metrics for Counts {
    fn call(&self, _: &str, export: &str, outcome: &str, limit: Option<&str>, _: Duration) {
        self.calls.lock().unwrap().push((export.to_owned(), outcome.to_owned(), limit.map(str::to_owned)));
    }

    fn handshake(&self, _: &str) {
        *self.handshakes.lock().unwrap() += 1;
    }

    fn denial(&self, _: &str, what: &str) {
        self.denials.lock().unwrap().push(what.to_owned());
    }
}

/// One sandbox with one connection, `lab`, to a server.
pub struct World {
    pub sandbox: Arc<Sandbox>,
    pub services: Services,
    pub counts: Arc<Counts>,
    pub stores: Arc<Stores>,
}

impl World {
    pub fn new(server: &Server, stores: &Arc<Stores>) -> Self {
        World::with(connection(json!({ "endpoints": [{ "url": server.url() }] })), stores)
    }

    pub fn with(lab: ConnectionConfig, stores: &Arc<Stores>) -> Self {
        let counts = Arc::new(Counts::default());
        let metrics: Arc<dyn Metrics> = counts.clone();
        let connections =
            Connections::open(&BTreeMap::from([("lab".to_owned(), lab)]), &BTreeMap::new(), &metrics).unwrap();
        let services = Services {
            ledger: stores.clone(),
            reservations: stores.clone(),
            references: stores.clone(),
            clock: Arc::new(WallClock),
            random: Arc::new(Counting),
            connections: Arc::new(connections),
            permits: Arc::new(Permits::default()),
            metrics,
        };
        let limits = Limits { memory: 16 << 20, log_bytes: 64 << 10, ..Limits::default() };
        let sandbox = Sandbox::new(Settings { limits, ..Settings::default() }).unwrap();
        World { sandbox, services, counts, stores: stores.clone() }
    }

    pub async fn load(&self, bytes: Vec<u8>, config: Value, grants: Vec<Grant>) -> Result<Arc<Plugin>, Error> {
        let grants = Grants::new("spike", grants).unwrap();
        Plugin::load(&self.sandbox, "spike", bytes, &config, grants, self.services.clone()).await
    }

    /// The guest in one of its modes.
    pub async fn provider(&self, mode: &str) -> Arc<dyn NodeProvider> {
        let config = json!({ "connection": "lab", "mode": mode });
        self.load(spike(), config, vec![grant_lab()]).await.unwrap().node_provider().unwrap()
    }
}

/// A connection that may reach this machine.
pub fn connection(more: Value) -> ConnectionConfig {
    let mut config = json!({ "kind": "http", "addresses": ["127.0.0.1"], "limits": { "concurrent": 2000 } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

pub fn grant_lab() -> Grant {
    Grant { connection: Some("lab".to_owned()), ..Grant::default() }
}

pub fn call(within: Duration) -> Call {
    let key = ServiceKey { source: "core".to_owned(), service: "s-1".to_owned() };
    let deadline = WallClock.now() + within.as_millis() as u64;
    Call { owner: Owner::new("dc1", &key, "shop"), deadline, attempt: 1 }
}

pub fn machine() -> MachineKey {
    MachineKey::new("kabc", "a", 1)
}

pub fn pool() -> Pool {
    Pool {
        name: "a".to_owned(),
        provider: None,
        count: 1,
        shape: Shape { cores: 1, memory_mib: 512, disk_gib: None, image: None, networks: vec![] },
        labels: vec![],
        taints: vec![],
        settings: "{}".to_owned(),
    }
}
