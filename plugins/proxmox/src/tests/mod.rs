//! The plugin against a whole cluster: the lab's Proxmox VE, reached through the SDK's HTTP double.

mod bootstrap_log;
mod kills;
mod machines;
mod preflight;
mod stuck;
mod trouble;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use agentkube_sdk::cluster::{Pool, Shape};
use agentkube_sdk::http::Response;
use agentkube_sdk::machine::{Instance, MachineKey};
use agentkube_sdk::node_provider::Bootstrap;
use agentkube_sdk::prelude::*;
use agentkube_sdk::testing::{Reply, Sent, World};
use lab_pve::{Pve, Settings as Cluster, TOKEN, TOKEN_SECRET, Vm};
use lab_wire::{Answer, Random, Server};
use serde_json::{Value, json};

use crate::{Proxmox, manifest};

/// A cluster, and the time that it lives in.
#[derive(Clone)]
pub struct Lab(Rc<Inside>);

struct Inside {
    pve: RefCell<(Pve, Random)>,
    /// An answer that the cluster holds back comes at once here, so its clock runs ahead of the world's.
    ahead: Cell<u64>,
    /// Whether the connection has an endpoint for each node.
    labelled: Cell<bool>,
}

impl Lab {
    fn new(cluster: Cluster) -> Self {
        Lab(Rc::new(Inside {
            pve: RefCell::new((Pve::new(cluster), Random::new(7))),
            ahead: Cell::new(0),
            labelled: Cell::new(true),
        }))
    }

    fn serve(&self, world: &World) {
        let (lab, clock) = (self.clone(), world.clone());
        world.http("pve", move |sent| lab.handle(sent, clock.now()));
    }

    fn handle(&self, sent: &Sent, now: u64) -> Reply {
        let inside = &self.0;
        if sent.endpoint().is_some() && !inside.labelled.get() {
            return Reply::Fault(Fault::invalid("NO_SUCH_ENDPOINT", "connection `pve` has no endpoint labelled so"));
        }
        let mut request = lab_wire::Request::new(sent.method(), sent.path());
        request.query = sent.queries().to_vec();
        request.endpoint = sent.endpoint().unwrap_or_default().to_owned();
        request.body = sent.body().to_vec();
        if let Some(kind) = sent.header("content-type") {
            request = request.header("content-type", kind);
        }
        // What the host adds; recordings tell by the agent whose request it is.
        let request = request.header("user-agent", "agentkube/test");
        let request = request.header("authorization", &format!("PVEAPIToken={TOKEN}={TOKEN_SECRET}"));
        let now = now + inside.ahead.get();
        let mut pve = inside.pve.borrow_mut();
        let (pve, random) = &mut *pve;
        match pve.exchange(&request, now, random) {
            Answer::Now(answer) => plain(answer).into(),
            Answer::At(at, answer) => {
                inside.ahead.set(inside.ahead.get() + at.saturating_sub(now));
                plain(answer).into()
            }
            Answer::Drop => Reply::Lost(agentkube_sdk::testing::empty(500)),
            Answer::Stream(..) => panic!("the cluster streams nothing"),
        }
    }

    /// Looks at the cluster, or throws a switch.
    pub fn with<T>(&self, act: impl FnOnce(&mut Pve) -> T) -> T {
        act(&mut self.0.pve.borrow_mut().0)
    }

    /// Lets the cluster catch up with the world.
    fn tick(&self, world: &World) {
        let mut pve = self.0.pve.borrow_mut();
        let (pve, random) = &mut *pve;
        pve.tick(world.now() + self.0.ahead.get(), random);
    }

    /// The machines, which are all but templates and what others made.
    fn machines(&self, world: &World) -> Vec<Vm> {
        self.tick(world);
        let ours =
            |vm: &&Vm| !vm.template() && vm.config.get("description").is_some_and(|text| text.contains("agentkube {"));
        self.with(|pve| pve.vms().filter(ours).cloned().collect())
    }

    fn leftovers(&self, world: &World) -> Vec<String> {
        self.tick(world);
        self.with(|pve| pve.leftovers())
    }
}

fn plain(answer: lab_wire::Response) -> Response {
    Response {
        request: String::new(),
        status: answer.status,
        reason: answer.reason.unwrap_or_default(),
        headers: answer.headers,
        body: answer.body,
    }
}

/// The configuration that the lab's cluster is made for.
fn config() -> Value {
    json!({
        "connection": "pve", "template": 9000, "seed-storage": "seeds", "storage": "vmdata", "pool": "agentkube",
        "vmid-range": "vmid", "card": { "bridge": "vmbr0" },
        "timings": { "first-poll-ms": 500, "longest-poll-ms": 2000, "visibility-ms": 2000, "task-grace-ms": 2000,
            "lock-retry-ms": 1000 },
    })
}

/// A world with a cluster and the plugin.
fn scene_of(cluster: Cluster, config: Value) -> (World, (Lab, Proxmox)) {
    let (world, lab) = (World::new(), Lab::new(cluster));
    world.config(config.clone()).manifest(manifest()).range("vmid", 104..120);
    lab.serve(&world);
    (world, (lab, Proxmox::new(serde_json::from_value(config).unwrap()).unwrap()))
}

fn scene() -> (World, (Lab, Proxmox)) {
    scene_of(Cluster::default().with_scale(0.1), config())
}

fn key(index: u32) -> MachineKey {
    MachineKey { pool: "workers".into(), index, name: format!("kabcdefghij-workers-{index:02}") }
}

fn pool() -> Pool {
    let shape = Shape { cores: 4, memory_mib: 8192, disk_gib: Some(20), image: None, networks: vec![] };
    Pool {
        name: "workers".into(),
        provider: None,
        count: 1,
        shape,
        labels: vec![],
        taints: vec![],
        settings: "{}".into(),
    }
}

fn bootstrap() -> Bootstrap {
    Bootstrap { user_data: b"#cloud-config\n".to_vec(), meta_data: vec![], network_config: None }
}

async fn made(world: &World, plugin: &Proxmox, index: u32) -> Result<Instance> {
    let found = plugin.find(world.a_call(), key(index)).await?;
    plugin.create(world.a_call(), key(index), pool(), found, None).await
}

/// As the engine does it, up to the join.
async fn up(world: &World, plugin: &Proxmox, index: u32) -> Result<Instance> {
    let instance = made(world, plugin, index).await?;
    plugin.boot(world.a_call(), key(index), instance, bootstrap()).await
}

async fn joined(world: &World, plugin: &Proxmox, index: u32) -> Result<Instance> {
    let instance = up(world, plugin, index).await?;
    plugin.finish_bootstrap(world.a_call(), key(index), instance.clone()).await?;
    Ok(instance)
}
