//! A sandbox with the test guest and a connection to a server of ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Call, Clock, MachineKey, NodeProvider, Owner, Random, ServiceKey};
use agentkube_engine::{Journal, Options};
use agentkube_sandbox::connections::config::ConnectionConfig;
use agentkube_sandbox::{
    Connections, Grant, Grants, Limits, Metrics, NoMetrics, Permits, Plugin, Sandbox, Services, Settings,
};
use agentkube_tests::artifacts;
use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;

struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> u64 {
        agentkube_lab::Clock::real().now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

struct Noise;

impl Random for Noise {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The sandbox and what it stands on.
pub struct World {
    sandbox: Arc<Sandbox>,
    services: Services,
    _directory: TempDir,
}

impl World {
    /// A sandbox whose plugins may talk to this server.
    pub fn new(server: &str, pooling: bool, limits: Limits) -> World {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let options = Options::new("bench", Arc::clone(&clock));
        let journal = Journal::open(&directory.path().join("journal.db"), options).unwrap();
        let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
        let connection: ConnectionConfig = serde_json::from_value(json!({
            "kind": "http", "addresses": ["127.0.0.1"], "limits": { "concurrent": 2000 }, "endpoints": [{ "url": server }],
        }))
        .unwrap();
        let connections = BTreeMap::from([("lab".to_owned(), connection)]);
        let services = Services {
            ledger: Arc::new(journal.clone()),
            reservations: Arc::new(journal.clone()),
            references: Arc::new(journal),
            clock,
            random: Arc::new(Noise),
            connections: Arc::new(Connections::open(&connections, &BTreeMap::new(), &metrics).unwrap()),
            permits: Arc::new(Permits::default()),
            metrics,
        };
        let sandbox = Sandbox::new(Settings { pooling, limits, ..Settings::default() }).unwrap();
        World { sandbox, services, _directory: directory }
    }

    /// The guest in one of its modes.
    pub async fn provider(&self, mode: &str) -> Arc<dyn NodeProvider> {
        let path = artifacts::guest("spike");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let grant = Grant { connection: Some("lab".to_owned()), ..Grant::default() };
        let grants = Grants::new("spike", vec![grant]).unwrap();
        let config = json!({ "connection": "lab", "mode": mode });
        let plugin = Plugin::load(&self.sandbox, "spike", bytes, &config, grants, self.services.clone()).await.unwrap();
        plugin.node_provider().unwrap()
    }
}

/// A call that must end within this time.
pub fn call(within: Duration) -> Call {
    let key = ServiceKey { source: "core".to_owned(), service: "s-1".to_owned() };
    let deadline = WallClock.now() + within.as_millis() as u64;
    Call { owner: Owner::new("bench", &key, "bench"), deadline, attempt: 1 }
}

/// Some machine.
pub fn machine() -> MachineKey {
    MachineKey::new("kbench", "a", 1)
}
