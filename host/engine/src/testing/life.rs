//! One life of the engine on a journal file, ended by a condition or killed at a numbered point.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentkube_contract::{Clock, Random};
use async_trait::async_trait;

use super::Cloud;
use super::roles::{Doubles, FakeRenderer};
use crate::{Engine, Journal, KubeconfigDelivery, Limits, OnFailure, Options, Retry, Settings, Times, World};

/// Ends everything at the n-th point: commits and calls, before and after.
#[derive(Default)]
pub(crate) struct Kill {
    at: usize,
    passed: AtomicUsize,
    dead: AtomicBool,
    pub label: Mutex<String>,
}

impl Kill {
    pub fn at(point: usize) -> Arc<Kill> {
        Arc::new(Kill { at: point, ..Kill::default() })
    }

    /// False when the life is over.
    pub fn point(&self, label: &str) -> bool {
        if self.dead() {
            return false;
        }
        let passed = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if self.at != 0 && passed >= self.at {
            if !self.dead.swap(true, Ordering::SeqCst) {
                *self.label.lock().unwrap() = label.to_owned();
            }
            return false;
        }
        true
    }

    pub fn dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub async fn gate(&self, label: &str) {
        if !self.point(label) {
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) struct RealClock(Instant);

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> u64 {
        1_800_000_000_000 + self.0.elapsed().as_millis() as u64
    }
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(RealClock(Instant::now()))
}

pub(crate) struct FakeRandom(AtomicU64);

impl Random for FakeRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            *byte = (next.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 56) as u8;
        }
    }
}

/// Short waits, long deadlines: a slow machine must not turn into faults.
pub(crate) fn settings() -> Settings {
    let ms = Duration::from_millis;
    let long = Duration::from_secs(3600);
    Settings {
        on_failure: OnFailure::Undo,
        kubeconfig_delivery: KubeconfigDelivery::Property,
        retry: Retry { base: ms(1), cap: ms(3), attempts: 4, unlikely: 2, tell_after: 3 },
        limits: Limits { steps: 64, per_provider: 64, services: 64 },
        times: Times {
            poll: ms(2),
            unfinished: ms(10),
            measure: None,
            short: long,
            control_plane: long,
            machine: long,
            node: long,
            addons: long,
            create: long,
            token: long,
        },
        hold: false,
    }
}

/// A file that outlives the engine, in memory where the machine has such a place: these tests kill threads, not power.
pub(crate) struct Life {
    pub cloud: Arc<Cloud>,
    pub settings: Settings,
    directory: tempfile::TempDir,
}

impl Life {
    pub fn new(cloud: Arc<Cloud>) -> Life {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Life { cloud, settings: settings(), directory: directory.unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    pub fn journal(&self) -> Journal {
        Journal::open(&self.path(), Options::new("dc1", clock())).unwrap()
    }

    fn world(&self, kill: &Arc<Kill>) -> World {
        let hook = Arc::clone(kill);
        let mut options = Options::new("dc1", clock());
        // One request per transaction: every single one is a point.
        options.batch = 1;
        options.hook = Some(Arc::new(move |label| hook.point(label)));
        let journal = Journal::open(&self.path(), options).unwrap();
        *self.cloud.kill.lock().unwrap() = Arc::clone(kill);
        let doubles = Arc::new(Doubles { cloud: Arc::clone(&self.cloud) });
        World {
            journal,
            clock: clock(),
            random: Arc::new(FakeRandom(AtomicU64::new(7))),
            sources: BTreeMap::from([("core".to_owned(), Arc::clone(&doubles) as _)]),
            control_planes: BTreeMap::from([("cp".to_owned(), Arc::clone(&doubles) as _)]),
            node_providers: BTreeMap::from([("iron".to_owned(), Arc::clone(&doubles) as _)]),
            digests: BTreeMap::from([("iron".to_owned(), "sha256:1".to_owned())]),
            tenants: doubles.clone(),
            renderer: Arc::new(FakeRenderer(Arc::clone(&self.cloud))),
            default_control_plane: None,
            default_nodes: None,
        }
    }

    /// Runs until the condition holds (true), or the kill strikes (false).
    pub fn run(&self, kill: &Arc<Kill>, until: impl Fn(&Engine) -> bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        runtime.block_on(async {
            let engine = Engine::start(self.settings, self.world(kill)).unwrap();
            loop {
                if kill.dead() {
                    return false;
                }
                if until(&engine) {
                    return true;
                }
                if Instant::now() > limit {
                    let snapshot = serde_json::to_string_pretty(&engine.snapshot().unwrap()).unwrap();
                    panic!("stuck; killed before at `{}`: {snapshot}", kill.label.lock().unwrap());
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        })
    }

    /// Runs until the condition holds, then stops in an orderly way.
    pub fn stop_after(&self, until: impl Fn(&Engine) -> bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let engine = Engine::start(self.settings, self.world(&Kill::at(0))).unwrap();
            while !until(&engine) {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            let began = Instant::now();
            engine.stop().await;
            began.elapsed() < Duration::from_secs(8)
        })
    }

    /// Runs undisturbed until the job is over and its result is noted.
    pub fn until_settled(&self, job: &str) {
        let kill = Kill::at(0);
        self.run(&kill, |engine| self.settled(engine, job));
    }

    pub fn settled(&self, engine: &Engine, job: &str) -> bool {
        self.cloud.over(job)
            && engine.shared.world.journal.outbox("core").unwrap().is_empty()
            && engine.shared.world.journal.unfinished().unwrap().is_empty()
    }
}
