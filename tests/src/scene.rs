//! A lab with a customer, and the real daemon in front of it.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentkube_lab::Lab;
use agentkube_lab::customer::{Customer, Registration};
use agentkube_lab::daemon::{Daemon, Infrastructure, Setup, configure};
use agentkube_lab::lab::Options;
use lab_core::store::{Job, JobStatus, Service};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::{Found, artifacts, wait};

/// What a scene is made with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lab runs so many times as fast as the real world.
    pub scale: u64,
    /// Where machines are made.
    pub infrastructure: Infrastructure,
    /// More lines of the daemon's `[engine]`, and sections after it.
    pub more: String,
    /// Seed of the lab's randomness.
    pub seed: u64,
    /// Proxmox VE, its release among others; it gets the lab's speed.
    pub proxmox: lab_pve::Settings,
}

impl Default for Plan {
    fn default() -> Self {
        // Faster, and the leases of the lab's nodes run out while a busy machine lets their kubelets wait.
        Plan {
            scale: 10,
            infrastructure: Infrastructure::Proxmox,
            more: String::new(),
            seed: 1,
            proxmox: lab_pve::Settings::default(),
        }
    }
}

/// A lab with a customer and a daemon. When a test fails, it prints what repeats the failure and the end of the daemon's log.
pub struct Scene {
    /// The lab.
    pub lab: Lab,
    /// Who orders.
    pub customer: Customer,
    /// What was registered at Core.
    pub registration: Registration,
    daemon: Option<Daemon>,
    config: PathBuf,
    plan: Plan,
    directory: TempDir,
}

impl Scene {
    /// Starts the lab, registers everything, writes the configuration. The daemon does not run yet.
    pub async fn prepare(plan: Plan) -> Scene {
        let binary = artifacts::daemon();
        let directory = tempfile::Builder::new().prefix("agentkube-test-").tempdir().unwrap();
        let path = directory.path().to_owned();
        let proxmox = plan.proxmox.clone().with_scale(1.0 / plan.scale as f64);
        let options =
            Options { directory: Some(path.clone()), seed: plan.seed, proxmox, ..Options::scaled(plan.scale) };
        let lab = Lab::start(options).await.unwrap();
        let customer = Customer::new(lab.access()).unwrap();
        let registration = customer.register(&shipped("service-type"), &shipped("agent-type")).await.unwrap();
        let setup = Setup {
            binary,
            plugins: artifacts::plugins(),
            directory: path,
            infrastructure: plan.infrastructure,
            agent_token: registration.agent_token.clone(),
            more: plan.more.clone(),
        };
        let config = configure(&setup, lab.access()).unwrap();
        share_cache(directory.path());
        Scene { lab, customer, registration, daemon: None, config, plan, directory }
    }

    /// The same, with the daemon running and its first preflight over: what a test does to the systems from now on befalls its jobs.
    pub async fn start(plan: Plan) -> Scene {
        let mut scene = Scene::prepare(plan).await;
        scene.run().await;
        wait::until("the first preflight to end", || {
            (scene.ask("status")["preflight"]["looked"] == true).then_some(())
        })
        .await;
        scene
    }

    /// Starts the daemon and waits until it answers.
    pub async fn run(&mut self) {
        let (binary, config) = (artifacts::daemon(), self.config.clone());
        let started = tokio::task::spawn_blocking(move || Daemon::start(&binary, &config)).await.unwrap();
        self.daemon = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    /// Kills the daemon, as a crash would.
    pub fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// Ends the daemon with SIGTERM; gives how long that took.
    pub async fn terminate(&mut self) -> Duration {
        let daemon = self.daemon.take().unwrap();
        tokio::task::spawn_blocking(move || daemon.terminate().unwrap()).await.unwrap()
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Asks the daemon over its admin socket.
    pub fn ask(&self, question: &str) -> Value {
        self.daemon.as_ref().unwrap().ask(question).unwrap()
    }

    /// Orders a cluster with [`two_pools`]; gives the service's id.
    pub async fn order(&self, name: &str) -> String {
        self.order_with(name, two_pools()).await
    }

    /// Orders a cluster with these properties; gives the service's id.
    pub async fn order_with(&self, name: &str, properties: Value) -> String {
        self.customer.order(&self.registration, name, properties).await.unwrap()
    }

    /// Waits until the newest job of a service is over; it must have completed.
    pub async fn completed(&self, service: &str) {
        let what = format!("the job of service {service} to end");
        let job = wait::until(&what, || self.newest_job(service).filter(|job| !job.status.active())).await;
        assert_eq!(job.status, JobStatus::Completed, "{} failed: {}", job.action, job.error);
    }

    /// The newest job of a service.
    pub fn newest_job(&self, service: &str) -> Option<Job> {
        self.lab.core(|core| core.jobs().into_iter().rfind(|job| job.service == service).cloned())
    }

    /// A service as Core has it.
    pub fn service(&self, id: &str) -> Service {
        self.lab.core(|core| core.services().into_iter().find(|service| service.meta.id == id).cloned()).unwrap()
    }

    /// Waits until exactly this is there: nodes are Ready again a moment after a busy machine kept them from saying so.
    pub async fn settles(&self, wanted: &Found) {
        let began = Instant::now();
        loop {
            let found = self.found();
            if found == *wanted {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "there is {found:?}\nand should be {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is there.
    pub fn found(&self) -> Found {
        Found::of(&self.lab)
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The directory of everything that was written.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The daemon's whole log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("agentkube.log")).unwrap_or_default()
    }

    /// Where the daemon that runs now serves its pages, by its log.
    pub fn pages(&self) -> String {
        let log = self.log();
        let started = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut listening = started.filter_map(|line| Some(line.get("listening")?.as_str()?.to_owned()));
        listening.next_back().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or("?").to_owned();
            eprintln!("\nseed {}, scale {}, {:?}", self.plan.seed, self.plan.scale, self.plan.infrastructure);
            eprintln!("again: AGENTKUBE_SEED={} cargo xtask test {test}", self.plan.seed);
            eprintln!("there is: {:?}", Found::of(&self.lab));
            let log = self.log();
            let lines: Vec<String> = log.lines().map(|line| line.chars().take(400).collect()).collect();
            eprintln!("end of the daemon's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Two pools with three machines, small ones.
pub fn two_pools() -> Value {
    json!({
        "kubernetesVersion": "v1.34.1",
        "nodePools": {
            "system": { "count": 1, "cores": 2, "memory": "2Gi" },
            "workers": { "count": 2, "cores": 2, "memory": "4Gi", "labels": { "tier": "work" } },
        },
    })
}

/// One pool with one small machine: what is enough where the number of machines does not matter.
pub fn one_machine() -> Value {
    json!({
        "kubernetesVersion": "v1.34.1",
        "nodePools": { "workers": { "count": 1, "cores": 2, "memory": "2Gi" } },
    })
}

/// Compiled plugins are kept from test to test, beside the plugins: their files are named by digest and engine, so none is ever wrong.
fn share_cache(directory: &Path) {
    let (data, cache) = (directory.join("data"), artifacts::plugins().join("compiled-for-tests"));
    for path in [&data, &cache] {
        DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
    }
    symlink(cache.canonicalize().unwrap(), data.join("cache")).unwrap();
}

/// A type that ships with the job source's plugin.
fn shipped(name: &str) -> Value {
    let path = artifacts::workspace().join(format!("plugins/fulcrum/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Held by tests that keep both cores busy, so that they do not make each other late.
pub async fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::const_new(());
    HEAVY.lock().await
}

/// The seed of this run: `AGENTKUBE_SEED`, or one from the clock. It is printed.
pub fn seed() -> u64 {
    let given = std::env::var("AGENTKUBE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| agentkube_lab::Clock::real().now() % 1_000_000);
    println!("AGENTKUBE_SEED={seed}");
    seed
}
