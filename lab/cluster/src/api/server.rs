//! The server: what it holds, and its face as a [`lab_wire::Server`].

use std::collections::{BTreeMap, BTreeSet};

use lab_wire::{Answer, Millis, Random, Request, Server, StreamId};
use serde_json::Value;

use super::builtin;
use super::failure::Failure;
use super::fault::Fault;
use super::kind::Kind;
use super::log::LogEntry;
use super::registry::Registry;
use super::store::Store;
use super::user::StaticToken;
use super::watch::Watch;

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `gitVersion` of `/version`, such as `v1.33.4`.
    pub version: String,
    /// Whether bootstrap tokens authenticate.
    pub bootstrap_tokens: bool,
    /// How many changes watches can look back.
    pub history: usize,
    /// How long the content of a deleted namespace takes to go away, ms.
    pub namespace_drain: Millis,
    /// How often a watch that asked for bookmarks gets one, ms.
    pub bookmark_every: Millis,
    /// First number of the streams of this server; several servers behind one shell must not share numbers.
    pub first_stream: StreamId,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            version: "v1.33.4".to_owned(),
            bootstrap_tokens: false,
            history: 2_000,
            namespace_drain: 500,
            bookmark_every: 60_000,
            first_stream: 1,
        }
    }
}

/// Verbs that a webhook refuses to everybody but `system:masters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteBlock {
    /// Refuse creations.
    pub creation: bool,
    /// Refuse updates and patches.
    pub update: bool,
    /// Refuse deletions.
    pub deletion: bool,
}

/// What a cluster adds to the server's own rules: webhooks and CEL rules of its custom kinds.
pub trait Admission: Send {
    /// Changes an object before it is validated. `live` is `None` on creation.
    fn mutate(&self, kind: &Kind, object: &mut Value, live: Option<&Value>, store: &Store) -> Result<(), Failure>;

    /// Refuses an object.
    fn validate(&self, kind: &Kind, object: &Value, live: Option<&Value>, store: &Store) -> Result<(), Failure>;
}

/// A Kubernetes API server.
pub struct ApiServer {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) tokens: Vec<StaticToken>,
    pub(super) admission: Option<Box<dyn Admission>>,
    pub(super) block: WriteBlock,
    pub(super) watches: BTreeMap<StreamId, Watch>,
    pub(super) next_stream: StreamId,
    pub(super) log: Vec<LogEntry>,
    pub(super) faults: Vec<Fault>,
    /// Revision up to which the garbage collector has looked.
    pub(super) collected: u64,
    /// Namespaces under deletion and when their content goes.
    pub(super) draining: BTreeMap<String, Millis>,
    /// Revision at which the remaining content of each was last seen: nothing to do before the next change.
    pub(super) drained_at: BTreeMap<String, u64>,
    /// Revision up to which namespaces have their service account.
    pub(super) equipped: u64,
    /// Whether namespaces under deletion keep their content.
    pub(super) namespaces_held: bool,
    /// uids of objects that are gone and whose dependents are to go.
    pub(super) orphaned: BTreeSet<String>,
}

impl ApiServer {
    /// A server with the built-in kinds, the system namespaces and the bootstrap roles.
    pub fn new(settings: Settings, now: Millis, random: &mut Random) -> Self {
        let mut server = ApiServer {
            store: Store::new(settings.history),
            registry: Registry::new(builtin::kinds()),
            tokens: Vec::new(),
            admission: None,
            block: WriteBlock::default(),
            watches: BTreeMap::new(),
            next_stream: settings.first_stream,
            log: Vec::new(),
            faults: Vec::new(),
            collected: 0,
            draining: BTreeMap::new(),
            drained_at: BTreeMap::new(),
            equipped: 0,
            namespaces_held: false,
            orphaned: BTreeSet::new(),
            settings,
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            server.put(namespace, now, random);
        }
        for object in super::roles::bootstrap() {
            server.put(object, now, random);
        }
        server
    }

    /// Puts webhooks in front of the server.
    pub fn set_admission(&mut self, admission: Box<dyn Admission>) {
        self.admission = Some(admission);
    }

    /// Sets which writes are refused.
    pub fn set_write_block(&mut self, block: WriteBlock) {
        self.block = block;
    }

    /// Sets `gitVersion`.
    pub fn set_version(&mut self, version: &str) {
        self.settings.version = version.to_owned();
    }

    /// `gitVersion`.
    pub fn version(&self) -> &str {
        &self.settings.version
    }

    /// Accepts a bearer token.
    pub fn add_token(&mut self, token: StaticToken) {
        self.tokens.push(token);
    }

    /// Breaks the next requests that match.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// How many faults are still switched on.
    pub fn faults(&self) -> usize {
        self.faults.len()
    }

    /// Breaks no more requests.
    pub fn mend(&mut self) {
        self.faults.clear();
    }

    /// Keeps namespaces under deletion from going away, as an API service that does not answer does.
    pub fn hold_namespaces(&mut self, held: bool) {
        self.namespaces_held = held;
        self.drained_at.clear();
    }

    /// Sets how often a watch that asked for bookmarks gets one.
    pub fn set_bookmarks(&mut self, every: Millis) {
        self.settings.bookmark_every = every.max(1);
    }

    /// The requests so far, oldest first (of a long run, the newest 50,000 at least).
    pub fn log(&self) -> &[LogEntry] {
        &self.log
    }

    /// The objects, for controllers and tests.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Forgets the history: running watches go on, resource versions from before are answered with 410.
    pub fn compact(&mut self) {
        self.store.compact();
    }
}

impl Server for ApiServer {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.answer(request, now, random)
    }

    fn tick(&mut self, now: Millis, random: &mut Random) {
        self.collect_garbage(now);
        self.drain_namespaces(now);
        self.equip_namespaces(now, random);
        self.tick_watches(now);
    }

    fn next_timer(&self) -> Option<Millis> {
        let drains = self.drains().map(|(_, at)| at).min();
        [drains, self.next_watch_timer()].into_iter().flatten().min()
    }

    fn drain(&mut self, stream: StreamId) -> Option<Vec<u8>> {
        self.drain_watch(stream)
    }

    fn close(&mut self, stream: StreamId) {
        self.watches.remove(&stream);
    }
}
