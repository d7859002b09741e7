//! A guest for the host's tests: the smallest provider whose `create` survives being killed, and one that misbehaves in `observe` in
//! whatever way its configuration says; one that spins does so in `preflight` too.
//!
//! Its configuration: `{"connection": "lab", "mode": "normal", "count": 1000}`, all of it optional.

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::join_material::Endpoint;
use agentkube_sdk::ledger::{self, Item, Note};
use agentkube_sdk::machine::{Instance, Lifecycle, MachineKey};
use agentkube_sdk::manifest::HttpUse;
use agentkube_sdk::node_provider::{Bootstrap, PowerAction};
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::{self, Backoff};
use agentkube_sdk::{clock, fan_out, http, log, path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What `observe` does.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Gives the machine.
    #[default]
    Normal,
    /// Computes for ever.
    Spin,
    /// Waits for an hour.
    Hang,
    /// Takes memory until there is none.
    Memory,
    /// Panics.
    Panic,
    /// Sends a request with an effect that names no ledger entry.
    EffectWithoutEntry,
    /// Sends a request that is not in the manifest.
    UndeclaredPath,
    /// Sends `count` requests at once.
    FanOut,
    /// Logs `count` long lines.
    LogFlood,
}

/// The configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    connection: String,
    mode: Mode,
    count: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { connection: "lab".to_owned(), mode: Mode::Normal, count: 1000 }
    }
}

/// The provider.
pub struct Spike {
    config: Config,
}

/// The answer to `POST /effect`, and what is noted of it.
#[derive(Serialize, Deserialize)]
struct Started {
    task: String,
}

impl Note for Started {
    const SCHEMA: u32 = 1;
}

/// How many times 100 ms it waits for an answer that the host may still get.
const PATIENCE: u32 = 20;

/// The answer to `GET /tasks/{id}`.
#[derive(Deserialize)]
struct Task {
    done: bool,
}

impl NodeProvider for Spike {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        Ok(Spike { config })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        if let Mode::Spin = self.config.mode {
            spin();
        }
        Ok(vec![Finding::ok("SPIKE", "nothing to check")])
    }

    async fn find(&self, _call: Call, key: MachineKey) -> Result<Option<Instance>> {
        let rows = ledger::mine("machine").await?;
        let row = rows.into_iter().find(|row| row.name == key.name);
        Ok(row.and_then(|row| row.external_id).map(|id| instance(id, "null".to_owned())))
    }

    async fn create(
        &self,
        call: Call,
        key: MachineKey,
        _pool: Pool,
        _found: Option<Instance>,
        _bootstrap: Option<Bootstrap>,
    ) -> Result<Instance> {
        let item = ledger::intend("machine", &key.name, "").await?;
        let started = match self.earlier(&item).await? {
            Some(started) => started,
            None => {
                let effect = http::post(&self.config.connection, path!("effect"));
                effect.json(&json!({ "name": key.name })).entry(item.entry).send().await?.ok_or_fault()?.json()?
            }
        };
        item.write_note(&started).await?;
        wait::until(call.deadline_ms, Backoff::every(50), || async {
            let answer = http::get(&self.config.connection, path!("tasks", started.task)).send().await?;
            Ok(answer.ok_or_fault()?.json::<Task>()?.done.then_some(()))
        })
        .await?;
        item.created(&started.task).await?;
        Ok(instance(started.task, "null".to_owned()))
    }

    async fn boot(&self, _: Call, _: MachineKey, instance: Instance, _: Bootstrap) -> Result<Instance> {
        Ok(Instance { lifecycle: Lifecycle::Running, ..instance })
    }

    async fn finish_bootstrap(&self, _: Call, _: MachineKey, _: Instance) -> Result<()> {
        Ok(())
    }

    async fn observe(&self, _call: Call, _key: MachineKey, instance_id: String) -> Result<Option<Instance>> {
        let connection = &self.config.connection;
        let done = match self.config.mode {
            Mode::Normal => json!(null),
            Mode::Spin => spin(),
            Mode::Hang => {
                clock::sleep(3_600_000).await;
                json!("an hour")
            }
            Mode::Memory => take_memory(),
            #[allow(clippy::panic)]
            Mode::Panic => panic!("the configuration says so"),
            Mode::EffectWithoutEntry => {
                json!(http::post(connection, path!("effect")).send().await?.ok_or_fault()?.status)
            }
            Mode::UndeclaredPath => json!(http::get(connection, path!("undeclared")).send().await?.status),
            Mode::FanOut => {
                let ask = |n| http::get(connection, path!("tasks", n)).send();
                let answers = fan_out(self.config.count as usize, (0..self.config.count).map(ask)).await;
                json!(answers.iter().filter(|answer| answer.as_ref().is_ok_and(http::Response::is_success)).count())
            }
            Mode::LogFlood => {
                let line = "x".repeat(1000);
                (0..self.config.count).for_each(|n| log::info(&line, &[("n", &n)]));
                json!(self.config.count)
            }
        };
        Ok(Some(instance(instance_id, done.to_string())))
    }

    async fn power(&self, _: Call, _: MachineKey, instance_id: String, _: PowerAction) -> Result<Instance> {
        Ok(instance(instance_id, "null".to_owned()))
    }

    async fn delete(&self, _call: Call, key: MachineKey, _instance_id: Option<String>) -> Result<()> {
        ledger::intend("machine", &key.name, "").await?.gone().await
    }

    async fn list_owned(&self, _installation: String, _page: Option<String>) -> Result<OwnedPage> {
        Ok(OwnedPage { items: vec![], next: None })
    }
}

impl Spike {
    /// What an earlier call started. Its answer is in the ledger, or will be when the host has it; when even the host did not live to
    /// see it, the other side is asked: `GET /effects/{name}`, 404 for none.
    async fn earlier(&self, item: &Item) -> Result<Option<Started>> {
        if let Some(started) = item.read_note()? {
            return Ok(Some(started));
        }
        let mut item = item.clone();
        for _ in 0..PATIENCE {
            if item.is_fresh() || !item.in_doubt() {
                return Ok(item.answer_to("POST /effect"));
            }
            clock::sleep(100).await;
            item = ledger::intend("machine", &item.name, "").await?;
        }
        let found = http::get(&self.config.connection, path!("effects", item.name)).send().await?.found_or_fault()?;
        found.map(|response| response.json()).transpose()
    }
}

/// A machine; `more` tells what `observe` did.
fn instance(id: String, done: String) -> Instance {
    Instance {
        id,
        provider_id: None,
        lifecycle: Lifecycle::Stopped,
        location: "spike".to_owned(),
        macs: vec![],
        addresses: vec![],
        cores: 1,
        memory_mib: 512,
        more: vec![("done".to_owned(), done)],
    }
}

fn spin() -> serde_json::Value {
    let mut n = 0u64;
    while std::hint::black_box(n) != u64::MAX {
        n += 1;
    }
    json!(n)
}

fn take_memory() -> serde_json::Value {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    while taken.len() < 1 << 20 {
        taken.push(std::hint::black_box(vec![1; 1 << 20]));
    }
    json!(taken.len())
}

/// What it says about itself and asks for.
pub fn manifest() -> Manifest {
    let lab = HttpUse::new("/connection", "the other side of the test")
        .get("/effects/{name}")
        .get("/tasks/{id}")
        .post("/effect");
    agentkube_sdk::manifest!(NodeProvider + BootstrapLog + JoinMaterial for Spike, "spike")
        .http(lab)
        .capabilities(&["clock", "ledger", "random"])
        .build()
}

impl BootstrapLog for Spike {
    async fn tail(&self, _call: Call, key: MachineKey, instance_id: String) -> Result<String> {
        Ok(format!("{} as {instance_id} said this", key.name))
    }
}

impl JoinMaterial for Spike {
    async fn render(&self, _call: Call, key: MachineKey, pool: Pool, endpoint: Endpoint) -> Result<Vec<u8>> {
        Ok(format!("{} of {} joins {} by {}", key.name, pool.name, endpoint.server, endpoint.ca).into_bytes())
    }
}

agentkube_sdk::export!(NodeProvider + BootstrapLog + JoinMaterial for Spike);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use agentkube_sdk::cluster::Shape;
    use agentkube_sdk::testing::{World, answer, check_manifest, empty, kill_at_every_host_call};

    use super::*;

    #[test]
    fn a_call_that_was_killed_goes_on_from_its_task() {
        let scene = || {
            let world = World::new();
            world.config(json!({ "connection": "lab" })).manifest(manifest());
            let started = Cell::new(false);
            world.http("lab", move |request| match (request.method(), request.path()) {
                ("POST", _) => {
                    started.set(true);
                    answer(202, json!({ "task": "t-1" }))
                }
                (_, "/effects/k-a-01") if !started.get() => empty(404),
                (_, "/effects/k-a-01") => answer(200, json!({ "task": "t-1" })),
                _ => answer(200, json!({ "done": true })),
            });
            (world, Spike { config: Config::default() })
        };
        let call = async |world: &World, spike: &Spike| {
            let key = MachineKey { pool: "a".into(), index: 1, name: "k-a-01".into() };
            let shape = Shape { cores: 1, memory_mib: 512, disk_gib: None, image: None, networks: vec![] };
            let pool = Pool {
                name: "a".into(),
                provider: None,
                count: 1,
                shape,
                labels: vec![],
                taints: vec![],
                settings: "{}".into(),
            };
            spike.create(world.a_call(), key, pool, None, None).await
        };
        kill_at_every_host_call(scene, call, |world, _, result| {
            assert_eq!(result.unwrap().id, "t-1");
            assert_eq!(world.sent("POST", "/effect"), 1);
        });
    }

    #[test]
    fn the_manifest_is_what_the_code_says() {
        check_manifest(&manifest(), include_str!("../manifest.json"));
    }
}
