//! Deleting: the object first, its namespace last; a namespace deleted first takes away what the object's finalizers need.

use agentkube_sdk::kube::{Preconditions, Propagation, Resource, Target};
use agentkube_sdk::prelude::*;
use agentkube_sdk::{clock, ledger};
use serde_json::Value;

use crate::{Kamaji, mark, preflight, state};

const LOOK_MS: u64 = 15_000;
const MARGIN_MS: u64 = 500;

impl Kamaji {
    /// Deletes the cluster's objects and waits until they are gone.
    pub(crate) async fn remove(&self, call: &Call) -> Result<()> {
        let owner = &call.owner;
        let item = ledger::intend("control-plane", &owner.cluster, "").await?;
        let found = match self.find(owner).await {
            Err(fault) if fault.code == "FOREIGN_CONTROL_PLANE" => {
                // What has our name is another's, so of ours nothing is there.
                item.gone().await?;
                return Err(fault);
            }
            found => found?,
        };
        if let Some(object) = found {
            self.delete_and_wait(call, &self.target(owner), &object, item.entry).await?;
        }
        item.gone().await?;
        if !self.config.owns_namespace() {
            return Ok(());
        }
        let name = self.config.namespace_of(owner);
        let target = Resource::core("v1", "namespaces").target(None, &name);
        let item = ledger::intend("namespace", &name, "").await?;
        if let Some(object) = self.admin.get::<Value>(&target).await? {
            mark::prove(&object, owner)?;
            self.delete_and_wait(call, &target, &object, item.entry).await?;
        }
        item.gone().await
    }

    async fn delete_and_wait(&self, call: &Call, target: &Target, object: &Value, entry: Entry) -> Result<()> {
        if object.pointer("/metadata/deletionTimestamp").is_none() {
            let same = Preconditions::uid(mark::uid(object));
            self.admin.delete(target, same, Propagation::Background, entry).await?;
        }
        let mut known = mark::version(object).to_owned();
        loop {
            let left = call.deadline_ms.saturating_sub(clock::now()).saturating_sub(MARGIN_MS);
            let pause = u32::try_from(left.min(LOOK_MS)).unwrap_or(u32::MAX);
            let waited = self.admin.wait_for::<Value>(target, Some(&known), pause).await?;
            let Some(now) = waited.object else { return Ok(()) };
            if mark::uid(&now) != mark::uid(object) {
                // Gone, and something new has its name.
                return Ok(());
            }
            if left == 0 {
                return Err(self.stuck(target, &now).await);
            }
            known = mark::version(&now).to_owned();
        }
    }

    /// Names what holds a deletion up; finalizers are never stripped.
    async fn stuck(&self, target: &Target, object: &Value) -> Fault {
        let finalizers: Vec<&str> = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut message = format!("{} {} is still there", target.resource.plural, target.name);
        if !finalizers.is_empty() {
            message.push_str(&format!("; it waits for its finalizers {}", finalizers.join(", ")));
        }
        if state::is_paused(object) {
            message.push_str("; its reconciliation is paused: remove the annotation kamaji.clastix.io/paused");
        }
        // A namespace says itself what is left in it.
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let texts = conditions
            .filter(|condition| condition.get("status").and_then(Value::as_str) == Some("True"))
            .filter_map(|condition| condition.get("message")?.as_str());
        for text in texts {
            message.push_str(&format!("; {text}"));
        }
        let store = object.pointer("/status/storage/dataStoreName").or(object.pointer("/spec/dataStore"));
        if let Some(store) = store.and_then(Value::as_str) {
            let target = preflight::data_stores().target(None, store);
            match self.admin.get::<Value>(&target).await {
                Ok(None) => message.push_str(&format!("; DataStore {store} does not exist, and the cleanup needs it")),
                Ok(Some(found)) if found.pointer("/status/ready") == Some(&Value::Bool(false)) => {
                    message.push_str(&format!("; DataStore {store} is not ready, and the cleanup needs it"));
                }
                _ => {}
            }
        }
        Fault::timeout("DELETION_STUCK", message).scope(Scope::Machine)
    }
}
