//! A whole node provider, for a small cloud: the example to read, and to start from.
//!
//! The cloud (`docs/toy-cloud.md`) makes machines on order, finds them by tags, and tells by the id of an operation how far it is. It has
//! the habits of real ones: an order sent twice makes two machines, a lost answer leaves one behind, and lists lag.
//!
//! Read it from the top: what the operator configures, what the cloud says, the role's functions in the order in which the engine calls
//! them, and below them the few steps that they share. `cloud` translates between the cloud's words and ours; `manifest` says what the
//! plugin asks for.

mod cloud;
mod manifest;

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::ledger::{self, Item, Note};
use agentkube_sdk::machine::{Instance, MachineKey};
use agentkube_sdk::node_provider::{Bootstrap, PowerAction};
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::{self, Backoff};
use agentkube_sdk::{clock, http, path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use manifest::manifest;

use cloud::{Images, Machine, Machines, Operation, State, refusal, tags};

/// What the operator configures.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Name of the HTTP connection to the cloud.
    connection: String,
    /// Image of machines whose pool names none.
    image: String,
    /// Milliseconds after which a new machine stands in every list.
    #[serde(default = "visibility_ms")]
    visibility_ms: u64,
}

fn visibility_ms() -> u64 {
    5_000
}

/// The provider.
pub struct Toy {
    config: Config,
}

/// What a second run must know: what was ordered.
#[derive(Serialize, Deserialize)]
struct Ordered {
    machine: String,
    operation: String,
}

impl Note for Ordered {
    const SCHEMA: u32 = 1;
}

impl From<Operation> for Ordered {
    fn from(operation: Operation) -> Self {
        Ordered { machine: operation.machine, operation: operation.id }
    }
}

const POLL: Backoff = Backoff::growing(250, 3_000);

impl NodeProvider for Toy {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        Ok(Toy { config })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let images: Images = self.get(path!("v1", "images")).send().await?.ok_or_fault()?.json()?;
        let names: Vec<_> = images.images.into_iter().map(|image| image.name).collect();
        Ok(vec![if names.contains(&self.config.image) {
            Finding::ok("IMAGE", format!("image `{}` is there", self.config.image))
        } else {
            let message = format!("there is no image `{}`", self.config.image);
            Finding::error("IMAGE", message, format!("set `image` to one of: {}", names.join(", ")))
        }])
    }

    async fn find(&self, call: Call, key: MachineKey) -> Result<Option<Instance>> {
        let rows = ledger::mine("machine").await?;
        let row = rows.into_iter().find(|row| row.name == key.name);
        Ok(self.locate(&call, &key, row.as_ref()).await?.map(Instance::from))
    }

    async fn create(
        &self,
        call: Call,
        key: MachineKey,
        pool: Pool,
        _found: Option<Instance>,
        _bootstrap: Option<Bootstrap>,
    ) -> Result<Instance> {
        let mut item = ledger::intend("machine", &key.name, "").await?;
        let mut ordered = ordered(&item)?;
        let found = if item.is_fresh() { None } else { self.locate(&call, &key, Some(&item)).await? };
        // What an earlier call started on it (a deletion, too) is over first.
        let found = match found {
            Some(machine) => self.settled(&call, &key, &machine.id).await?,
            None => None,
        };
        let machine = match found {
            Some(machine) => machine,
            None => {
                if item.is_live() {
                    // It vanished; what is made now is another machine.
                    item.gone().await?;
                    item = ledger::intend("machine", &key.name, "").await?;
                }
                let order = ordered.insert(self.order(&call, &key, &pool, &item).await?);
                item.created(&order.machine).await?;
                self.idle(&call, &key, &order.machine).await?
            }
        };
        item.created(&machine.id).await?;
        if machine.state == State::Failed {
            let why = match ordered {
                Some(ordered) => self.finished(&call, &ordered.operation).await.err(),
                None => None,
            };
            self.delete(call, key, Some(machine.id)).await?;
            let fault = Fault::unavailable("CREATE_FAILED", "the cloud could not make the machine; it was deleted");
            return Err(why.unwrap_or(fault).scope(Scope::Machine));
        }
        Ok(machine.into())
    }

    async fn boot(&self, call: Call, key: MachineKey, instance: Instance, bootstrap: Bootstrap) -> Result<Instance> {
        let machine = self.idle(&call, &key, &instance.id).await?;
        if machine.state == State::Running {
            return Ok(machine.into());
        }
        let entry = ledger::intend("machine", &key.name, "").await?.entry;
        let body = json!({ "user_data": STANDARD.encode(&bootstrap.user_data) });
        let delivery = http::put(&self.config.connection, path!("v1", "machines", machine.id, "user-data"));
        delivery.json(&body).entry(entry).send().await.and_then(refusal)?;
        self.power(call, key, instance.id, PowerAction::Start).await
    }

    async fn finish_bootstrap(&self, call: Call, key: MachineKey, instance: Instance) -> Result<()> {
        if self.ours(&call, &key, &instance.id).await?.is_some_and(|machine| machine.has_user_data) {
            let entry = ledger::intend("machine", &key.name, "").await?.entry;
            let forget = http::delete(&self.config.connection, path!("v1", "machines", instance.id, "user-data"));
            forget.entry(entry).send().await?.found_or_fault()?;
        }
        Ok(())
    }

    async fn observe(&self, call: Call, key: MachineKey, instance_id: String) -> Result<Option<Instance>> {
        Ok(self.ours(&call, &key, &instance_id).await?.map(Instance::from))
    }

    async fn power(&self, call: Call, key: MachineKey, instance_id: String, action: PowerAction) -> Result<Instance> {
        let steps: &[(&str, State)] = match action {
            PowerAction::Start => &[("start", State::Running)],
            // The cloud knows no gentler way.
            PowerAction::Shutdown | PowerAction::Stop => &[("stop", State::Stopped)],
            PowerAction::Reboot => &[("stop", State::Stopped), ("start", State::Running)],
        };
        let mut machine = self.idle(&call, &key, &instance_id).await?;
        let entry = ledger::intend("machine", &key.name, "").await?.entry;
        for (step, wanted) in steps {
            if machine.state != *wanted {
                let request = http::post(&self.config.connection, path!("v1", "machines", instance_id, step));
                let operation: Operation = request.entry(entry).send().await.and_then(refusal)?.json()?;
                self.finished(&call, &operation.id).await?;
                machine = self.idle(&call, &key, &instance_id).await?;
            }
        }
        Ok(machine.into())
    }

    async fn delete(&self, call: Call, key: MachineKey, instance_id: Option<String>) -> Result<()> {
        let item = ledger::intend("machine", &key.name, "").await?;
        // An id that is not ours ends here. After it goes whatever else carries our mark.
        let mut named = instance_id;
        loop {
            let next = match named.take() {
                Some(id) => Some(id),
                None => self.locate(&call, &key, Some(&item)).await?.map(|machine| machine.id),
            };
            let Some(id) = next else { return item.gone().await };
            if self.settled(&call, &key, &id).await?.is_some() {
                let request = http::delete(&self.config.connection, path!("v1", "machines", id)).entry(item.entry);
                let operation: Operation = request.send().await.and_then(refusal)?.json()?;
                self.finished(&call, &operation.id).await?;
            }
        }
    }

    async fn list_owned(&self, installation: String, page: Option<String>) -> Result<OwnedPage> {
        let mut request = self.get(path!("v1", "machines")).query("tag.installation", installation);
        if let Some(after) = page {
            request = request.query("after", after);
        }
        let list: Machines = request.send().await?.ok_or_fault()?.json()?;
        Ok(OwnedPage { items: list.machines.into_iter().map(Owned::from).collect(), next: list.next })
    }
}

impl Toy {
    fn get(&self, path: String) -> http::Request {
        http::get(&self.config.connection, path)
    }

    async fn machine(&self, id: &str) -> Result<Option<Machine>> {
        let found = self.get(path!("v1", "machines", id)).send().await?.found_or_fault()?;
        found.map(|response| response.json()).transpose()
    }

    /// The machine with this id, which must carry the mark of this key.
    async fn ours(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Machine>> {
        match self.machine(id).await? {
            Some(machine) if machine.tags != tags(&call.owner, key) => {
                Err(Fault::not_ours(format!("machine `{id}` does not carry the mark of `{}`", key.name)))
            }
            machine => Ok(machine),
        }
    }

    /// The machine with this key. The id that we were told is asked for first, since lists lag; and when nobody knows whether an
    /// order was carried out, absence counts only after the lag.
    async fn locate(&self, call: &Call, key: &MachineKey, item: Option<&Item>) -> Result<Option<Machine>> {
        if let Some(ordered) = item.map(ordered).transpose()?.flatten()
            && let Some(machine) = self.ours(call, key, &ordered.machine).await?
        {
            return Ok(Some(machine));
        }
        let mut request = self.get(path!("v1", "machines"));
        for (name, value) in tags(&call.owner, key) {
            request = request.query(&format!("tag.{name}"), value);
        }
        let list: Machines = request.clone().send().await?.ok_or_fault()?.json()?;
        if !list.machines.is_empty() || !item.is_some_and(Item::in_doubt) {
            return Ok(list.machines.into_iter().next());
        }
        clock::sleep(self.config.visibility_ms).await;
        let list: Machines = request.send().await?.ok_or_fault()?.json()?;
        Ok(list.machines.into_iter().next())
    }

    async fn order(&self, call: &Call, key: &MachineKey, pool: &Pool, item: &Item) -> Result<Ordered> {
        let order = json!({
            "name": key.name,
            "cores": pool.shape.cores,
            "memory_mib": pool.shape.memory_mib,
            "image": pool.shape.image.as_ref().unwrap_or(&self.config.image),
            "tags": tags(&call.owner, key),
        });
        let request = http::post(&self.config.connection, path!("v1", "machines")).json(&order).entry(item.entry);
        let operation: Operation = request.send().await.and_then(refusal)?.json()?;
        let ordered = Ordered::from(operation);
        item.write_note(&ordered).await?;
        Ok(ordered)
    }

    /// Waits until the operation is over.
    async fn finished(&self, call: &Call, id: &str) -> Result<()> {
        wait::until(call.deadline_ms, POLL, || async {
            let response = self.get(path!("v1", "operations", id)).send().await?.ok_or_fault()?;
            response.json::<Operation>()?.result()
        })
        .await
    }

    /// The machine, once no operation runs on it; `None` when it is gone.
    async fn settled(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Option<Machine>> {
        wait::until(call.deadline_ms, POLL, || async {
            let machine = self.ours(call, key, id).await?;
            Ok(machine.as_ref().is_none_or(|machine| machine.operation.is_none()).then_some(machine))
        })
        .await
    }

    /// The same, of a machine that must be there.
    async fn idle(&self, call: &Call, key: &MachineKey, id: &str) -> Result<Machine> {
        let machine = self.settled(call, key, id).await?;
        machine.ok_or_else(|| Fault::not_found("MACHINE_GONE", format!("machine `{id}` is gone")))
    }
}

/// What was ordered, as far as we know: from the note, or from the answer to an order whose call did not live to write one.
fn ordered(item: &Item) -> Result<Option<Ordered>> {
    let noted = item.read_note()?;
    Ok(noted.or_else(|| item.answer_to::<Operation>("POST /v1/machines").map(Ordered::from)))
}

agentkube_sdk::export!(NodeProvider for Toy);

#[cfg(test)]
mod tests;
