//! The world: state, time, and how a host call passes through it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use agentkube_manifest::Manifest;
use serde_json::{Value, json};

use super::files::Files;
use super::http::{Handler, Reply, Sent};
use super::kill::Moment;
use super::kube::Kube;
use super::ledger::Ledger;
use super::permits::Permits;
use super::reservations::Reservations;
use crate::bindings::host::agentkube::host::ledger::Item;
use crate::call::{Call, Owner};
use crate::{Entry, Fault, Reference, Result};

/// The time at which every world begins, in milliseconds since the Unix epoch: 1 January 2026.
pub const EPOCH: u64 = 1_767_225_600_000;

/// What happens later, and when.
pub(crate) type Event = (u64, Box<dyn FnOnce(&World)>);

/// One host with everything around it. Clones are the same world.
#[derive(Clone)]
pub struct World(pub(crate) Rc<RefCell<State>>);

pub(crate) struct State {
    pub(crate) now: u64,
    pub(crate) timers: Vec<(u64, Waker)>,
    pub(crate) events: Vec<Event>,
    seed: u64,
    pub(crate) config: Value,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) logs: Vec<String>,
    pub(crate) handlers: BTreeMap<String, Handler>,
    pub(crate) sent: Vec<Sent>,
    /// Values behind references.
    pub(crate) values: BTreeMap<Reference, String>,
    pub(crate) secrets: BTreeMap<String, Reference>,
    pub(crate) ledger: Ledger,
    pub(crate) permits: Permits,
    pub(crate) reservations: Reservations,
    pub(crate) kube: Kube,
    pub(crate) files: Files,
    /// Host calls of the running call that can be waited for.
    pub(crate) host_calls: usize,
    pub(crate) kill: Option<(usize, Moment)>,
    pub(crate) killed: bool,
    /// The call was killed at a request with an entry.
    pub(crate) lossy: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    /// An empty world, which becomes the current one of this thread.
    pub fn new() -> Self {
        let world = World(Rc::new(RefCell::new(State {
            now: EPOCH,
            timers: Vec::new(),
            events: Vec::new(),
            seed: 1,
            config: json!(null),
            manifest: None,
            logs: Vec::new(),
            handlers: BTreeMap::new(),
            sent: Vec::new(),
            values: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ledger: Ledger::default(),
            permits: Permits::default(),
            reservations: Reservations::default(),
            kube: Kube::default(),
            files: Files::default(),
            host_calls: 0,
            kill: None,
            killed: false,
            lossy: false,
        })));
        world.enter();
        world
    }

    pub(crate) fn enter(&self) {
        CURRENT.with_borrow_mut(|current| *current = Some(self.clone()));
    }

    pub(crate) fn current() -> World {
        let current = CURRENT.with_borrow(Option::clone);
        current.expect("make a testing::World before using a capability in a native test")
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }

    /// A host call that takes no time: it may be killed before and after.
    pub(crate) async fn call<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let number = self.count();
        self.killed_here(number, Moment::Before).await;
        let result = self.with(act);
        self.killed_here(number, Moment::After).await;
        result
    }

    pub(crate) fn count(&self) -> usize {
        self.with(|state| {
            state.host_calls += 1;
            state.host_calls
        })
    }

    /// Whether the call is to die at this point; `Lost` counts as `After` where no answer can be lost.
    pub(crate) fn dies(&self, number: usize, moment: Moment) -> bool {
        self.with(|state| {
            state.kill.is_some_and(|(n, m)| n == number && (m == Moment::Before) == (moment == Moment::Before))
        })
    }

    /// Never returns when the call is to die here.
    pub(crate) async fn killed_here(&self, number: usize, moment: Moment) {
        if self.dies(number, moment) {
            self.with(|state| state.killed = true);
            std::future::pending().await
        }
    }

    /// Sets the seed of the randomness; 1 at first.
    pub fn seed(&self, seed: u64) -> &Self {
        self.with(|state| state.seed = seed);
        self
    }

    /// Sets the plugin's configuration, as `config` gives it and as the manifest's pointers are resolved in it.
    pub fn config(&self, config: Value) -> &Self {
        self.with(|state| state.config = config);
        self
    }

    /// From here on, HTTP and Kubernetes are held to this manifest as the host would hold them: what it does not ask for is denied.
    pub fn manifest(&self, manifest: Manifest) -> &Self {
        self.with(|state| state.manifest = Some(manifest));
        self
    }

    /// Answers the requests of a connection.
    pub fn http<R: Into<Reply>>(&self, connection: &str, handler: impl Fn(&Sent) -> R + 'static) -> &Self {
        let handler: Handler = Rc::new(move |sent| handler(sent).into());
        self.with(|state| state.handlers.insert(connection.to_owned(), handler));
        self
    }

    /// All requests so far that reached a handler.
    pub fn requests(&self) -> Vec<Sent> {
        self.with(|state| state.sent.clone())
    }

    /// How many requests of this method and path reached a handler. In the path, `*` stands for one segment.
    pub fn sent(&self, method: &str, path: &str) -> usize {
        self.with(|state| state.sent.iter().filter(|sent| sent.is(method, path)).count())
    }

    /// A secret that the operator named for this plugin; gives its reference.
    pub fn secret(&self, name: &str, value: &str) -> Reference {
        let reference = format!("named:{name}");
        self.with(|state| {
            state.values.insert(reference.clone(), value.to_owned());
            state.secrets.insert(name.to_owned(), reference.clone());
        });
        reference
    }

    /// The value behind a reference, which a plugin never sees.
    pub fn value(&self, reference: &str) -> Option<String> {
        self.with(|state| state.values.get(reference).cloned())
    }

    /// How many places a semaphore has; 1 where it is not said.
    pub fn permit_size(&self, name: &str, places: usize) -> &Self {
        self.with(|state| state.permits.size(name, places));
        self
    }

    /// Names of all places that are taken.
    pub fn permits_held(&self) -> Vec<String> {
        self.with(|state| state.permits.held())
    }

    /// A range to reserve from.
    pub fn range(&self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> &Self {
        let values = values.into_iter().map(|value| value.to_string()).collect();
        self.with(|state| state.reservations.range(name, values));
        self
    }

    /// Puts a file into a granted directory.
    pub fn file(&self, directory: &str, name: &str, content: impl Into<Vec<u8>>) -> &Self {
        self.with(|state| state.files.put(directory, name, content.into()));
        self
    }

    /// The ledger's row of this kind and name.
    pub fn item(&self, kind: &str, name: &str) -> Option<Item> {
        self.with(|state| state.ledger.find(kind, name))
    }

    /// All rows that are not gone.
    pub fn items(&self) -> Vec<Item> {
        self.with(|state| state.ledger.alive())
    }

    /// What was logged: `info machine started machine=k-a-01`.
    pub fn logs(&self) -> Vec<String> {
        self.with(|state| state.logs.clone())
    }

    /// Milliseconds since the epoch, in this world.
    pub fn now(&self) -> u64 {
        self.with(|state| state.now)
    }

    /// A call for the service `svc-1` of the source `core` in the installation `lab`, with ten minutes to go.
    pub fn a_call(&self) -> Call {
        Call {
            owner: Owner {
                installation: "lab".to_owned(),
                source: "core".to_owned(),
                service: "svc-1".to_owned(),
                cluster: "kabcdefghij".to_owned(),
                display_name: "My Cluster".to_owned(),
            },
            deadline_ms: self.now() + 600_000,
            attempt: 1,
        }
    }

    /// Does something later: `ms` milliseconds from now, when a call waits that long.
    pub fn after(&self, ms: u64, event: impl FnOnce(&World) + 'static) -> &Self {
        self.with(|state| state.events.push((state.now + ms, Box::new(event))));
        self
    }

    pub(crate) fn need_entry(&self, entry: Entry) -> Result<()> {
        self.with(|state| state.ledger.check(entry))
    }
}

impl State {
    /// SplitMix64.
    pub(crate) fn random(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count as usize {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend((z ^ (z >> 31)).to_le_bytes());
        }
        bytes.truncate(count as usize);
        bytes
    }

    /// What the manifest and the operator allow, for a capability that takes a connection.
    pub(crate) fn connection_of(&self, pointer: &str) -> Option<&str> {
        self.config.pointer(pointer).and_then(Value::as_str)
    }
}

pub(crate) fn denied(what: &str) -> Fault {
    Fault::denied("NOT_DECLARED", format!("{what} is not in the plugin's manifest"))
}
