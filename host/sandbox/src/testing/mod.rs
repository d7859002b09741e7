//! What unit tests stand on: one connection, `lab`, to a server that is looked into, and the state of a call without a guest.

pub(crate) mod authority;
#[path = "../../tests/support/server.rs"]
pub(crate) mod server;
#[path = "../../tests/support/stores.rs"]
pub(crate) mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Clock, Holder, Ledger, Random, ServiceKey};
use agentkube_manifest::Manifest;
use async_trait::async_trait;
use serde_json::{Value, json};

use self::server::Server;
use self::stores::Stores;
use crate::capabilities::kube::Watches;
use crate::connections::{Connections, Pod};
use crate::core::Core;
use crate::grants::{Grant, Grants};
use crate::limits::Traces;
use crate::metrics::{Metrics, NoMetrics};
use crate::permits::Permits;
use crate::services::Services;
use crate::settings::Limits;
use crate::state::{Context, State};

/// Time as it is, and no randomness at all.
struct World;

#[async_trait]
impl Clock for World {
    fn now(&self) -> u64 {
        1
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The value of the secret `key`.
pub(crate) const CANARY: &str = "canary-4711-do-not-tell";

/// No pod.
pub(crate) fn no_pod() -> Pod {
    Pod { account: "/nonexistent".into(), host: None, port: None }
}

/// Connections of which one, `lab`, may reach this machine, and a secret `key`.
pub(crate) fn connections(lab: Value, pod: &Pod) -> crate::Result<Connections> {
    let metrics: Arc<dyn Metrics> = Arc::new(NoMetrics);
    let mut config = json!({ "kind": "http", "addresses": ["127.0.0.0/8"] });
    config.as_object_mut().unwrap().extend(lab.as_object().unwrap().clone());
    let configs = BTreeMap::from([("lab".to_owned(), serde_json::from_value(config).unwrap())]);
    let secrets = BTreeMap::from([("key".to_owned(), serde_json::from_value(json!({ "value": CANARY })).unwrap())]);
    Connections::open_in(pod, &configs, &secrets, &metrics)
}

/// What the calls of a plugin `t` share.
pub(crate) fn core(stores: &Arc<Stores>, connections: Connections, grants: Value, limits: Limits) -> Arc<Core> {
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "t", "version": "1", "description": "", "role": "node-provider", "contract": "0.1", "configSchema": true,
        "needs": {
            "http": [{ "connection": "/c", "purpose": "", "requests": [
                { "method": "GET", "path": "/{a}" }, { "method": "POST", "path": "/{a}" }] }],
            "kube": [{ "connection": "/c", "purpose": "", "raw": ["/version"], "rules": [
                { "group": "", "resources": ["secrets", "configmaps", "configmaps/status"],
                  "verbs": ["get", "list", "watch", "create", "patch", "delete"] }] }]
        }
    }))
    .unwrap();
    let grants: Vec<Grant> = serde_json::from_value(grants).unwrap();
    Arc::new(Core {
        name: "t".to_owned(),
        digest: "sha256:0".to_owned(),
        http: BTreeMap::from([("lab".to_owned(), manifest.needs.http[0].requests.clone())]),
        kube: BTreeMap::from([("lab".to_owned(), manifest.needs.kube.clone())]),
        manifest,
        config: "{}".to_owned(),
        grants: Grants::new("t", grants).unwrap(),
        services: Services {
            ledger: stores.clone(),
            reservations: stores.clone(),
            references: stores.clone(),
            clock: Arc::new(World),
            random: Arc::new(World),
            connections: Arc::new(connections),
            permits: Arc::new(Permits::default()),
            metrics: Arc::new(NoMetrics),
        },
        limits,
        detached: Arc::default(),
        watches: Arc::new(Watches::new(Duration::ZERO)),
    })
}

/// The state of one call that shares this.
pub(crate) fn state(core: &Arc<Core>) -> State {
    let service = Some(ServiceKey { source: "s".to_owned(), service: "1".to_owned() });
    let holder = Holder { plugin: "t".to_owned(), digest: String::new(), service };
    State::new(Arc::clone(core), holder, Arc::new(Traces::default()))
}

/// What a host call of a plugin with this connection and these grants works with.
pub(crate) fn context(stores: &Arc<Stores>, lab: Value, grants: Value) -> Context {
    state(&core(stores, connections(lab, &no_pod()).unwrap(), grants, Limits::default())).begin().unwrap()
}

/// A connection to the server.
pub(crate) fn endpoint(server: &Server) -> Value {
    json!({ "endpoints": [{ "url": server.url() }] })
}

/// A ledger entry to name.
pub(crate) async fn entry(context: &Context, stores: &Stores) -> u64 {
    stores.intend(&context.holder, "thing", "a", "").await.unwrap().entry
}
