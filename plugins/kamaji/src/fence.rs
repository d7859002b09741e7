//! Claiming a cluster: the object exists, is ours, and is as wanted.

use agentkube_sdk::cluster::Cluster;
use agentkube_sdk::kube::{PatchKind, Preconditions, Resource};
use agentkube_sdk::ledger::{self, State};
use agentkube_sdk::prelude::*;
use serde_json::{Value, json};

use crate::{Kamaji, mark, template};

impl Kamaji {
    /// Posts the object when it does not exist, and applies what is wanted when it does. Gives it as it is then.
    pub(crate) async fn claim(&self, owner: &Owner, wanted: &Cluster) -> Result<Value> {
        let object = template::object(&self.config, owner, wanted)?;
        self.claim_namespace(owner).await?;
        let item = ledger::intend("control-plane", &owner.cluster, &wanted.version).await?;
        let target = self.target(owner);
        let found = match self.find(owner).await? {
            Some(found) => found,
            None => match self.admin.create::<Value>(&target, &object, item.entry).await {
                Ok(made) => made,
                // Somebody was faster, perhaps we ourselves in a call that was killed: the mark decides.
                Err(fault) if fault.class == Class::Conflict => {
                    self.find(owner).await?.ok_or_else(|| fault.outcome(Outcome::Unknown))?
                }
                Err(fault) => return Err(fault),
            },
        };
        if found.pointer("/metadata/deletionTimestamp").is_some() {
            let message =
                format!("TenantControlPlane {} is being deleted; its successor waits until it is gone", owner.cluster);
            return Err(Fault::busy("BEING_DELETED", message).scope(Scope::Machine));
        }
        item.created(mark::uid(&found)).await?;
        let found = self.own_fields(owner, found, item.entry).await?;
        self.apply(owner, object, found, item.entry).await
    }

    /// What a POST set belongs to an `Update`; handed over to an `Apply` of the same manager, fields that later applies leave out
    /// are taken away again, instead of staying for ever.
    async fn own_fields(&self, owner: &Owner, mut found: Value, entry: Entry) -> Result<Value> {
        // The controller writes at the same time, most of all right after the POST.
        for _ in 0..HANDOVERS {
            let Some(index) = posted(&found) else { return Ok(found) };
            let patch = json!([
                { "op": "test", "path": "/metadata/resourceVersion", "value": mark::version(&found) },
                { "op": "replace", "path": format!("/metadata/managedFields/{index}/operation"), "value": "Apply" },
            ]);
            let same = Preconditions::none();
            found = match self.admin.patch(&self.target(owner), PatchKind::Json, &patch, same, entry).await {
                Ok(changed) => return Ok(changed),
                Err(fault) if matches!(fault.class, Class::Conflict | Class::Invalid) => {
                    self.find(owner).await?.ok_or_else(|| fault.outcome(Outcome::Unknown))?
                }
                Err(fault) => return Err(fault),
            };
        }
        Ok(found)
    }

    /// Applies what is wanted, unless it is all there already.
    async fn apply(&self, owner: &Owner, mut object: Value, found: Value, entry: Entry) -> Result<Value> {
        if covers(&found, &object) {
            return Ok(found);
        }
        // An apply now would leave the fields to the POST as well, for ever.
        if posted(&found).is_some() {
            let message = format!("TenantControlPlane {} changes too fast to take over its fields", owner.cluster);
            return Err(Fault::busy("CONTROL_PLANE_CHANGING", message).scope(Scope::Machine));
        }
        if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".to_owned(), json!(mark::uid(&found)));
        }
        self.admin.apply(&self.target(owner), &object, true, entry).await
    }

    async fn claim_namespace(&self, owner: &Owner) -> Result<()> {
        if !self.config.owns_namespace() {
            return Ok(());
        }
        let name = self.config.namespace_of(owner);
        let target = Resource::core("v1", "namespaces").target(None, &name);
        let item = ledger::intend("namespace", &name, "").await?;
        let found = match self.admin.get::<Value>(&target).await? {
            Some(found) => found,
            None => {
                let object = json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": mark::metadata(owner, None, &name),
                });
                match self.admin.create::<Value>(&target, &object, item.entry).await {
                    Ok(made) => made,
                    Err(fault) if fault.class == Class::Conflict => {
                        self.admin.get(&target).await?.ok_or_else(|| fault.outcome(Outcome::Unknown))?
                    }
                    Err(fault) => return Err(fault),
                }
            }
        };
        if let Err(fault) = mark::prove(&found, owner) {
            // What has our name is another's, so nothing of ours was made.
            if item.state == State::Intended {
                item.gone().await?;
            }
            return Err(fault);
        }
        if found.pointer("/status/phase").and_then(Value::as_str) == Some("Terminating") {
            let message = format!("namespace {name} is being deleted; its successor waits until it is gone");
            return Err(Fault::busy("BEING_DELETED", message).scope(Scope::Machine));
        }
        item.created(mark::uid(&found)).await
    }
}

/// How often the handing over is tried in one call.
const HANDOVERS: usize = 4;

/// Where in the managed fields our POST stands, unless an `Apply` of ours is there already. Applies of others say nothing: somebody
/// may label the object with `kubectl apply --server-side`.
fn posted(object: &Value) -> Option<usize> {
    let managers = object.pointer("/metadata/managedFields")?.as_array()?;
    let ours = |manager: &Value, operation: &str| {
        manager.get("manager").and_then(Value::as_str).is_some_and(|name| name.starts_with("agentkube"))
            && manager.get("operation").and_then(Value::as_str) == Some(operation)
            && manager.get("subresource").is_none()
    };
    let applied = managers.iter().any(|manager| ours(manager, "Apply"));
    managers.iter().position(|manager| ours(manager, "Update")).filter(|_| !applied)
}

/// Whether every field of `wanted` stands in `found` with the same value.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, value)| match found.get(key) {
            Some(other) => covers(other, value),
            // An empty list or object that the server does not keep.
            None => {
                value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
            }
        }),
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(managers: &[(&str, &str, Option<&str>)]) -> Value {
        let entry = |(manager, operation, subresource): &(&str, &str, Option<&str>)| match subresource {
            Some(subresource) => json!({ "manager": manager, "operation": operation, "subresource": subresource }),
            None => json!({ "manager": manager, "operation": operation }),
        };
        json!({ "metadata": { "managedFields": managers.iter().map(entry).collect::<Vec<_>>() } })
    }

    // As Kubernetes 1.34 keeps them.
    #[test]
    fn what_we_posted_is_handed_over_once() {
        let ours = ("agentkube-planes", "Update", None);
        assert_eq!(posted(&object(&[ours, ("kamaji-manager", "Update", Some("status"))])), Some(0));
        assert_eq!(posted(&object(&[("kubectl", "Apply", None), ours])), Some(1), "applies of others say nothing");
        assert_eq!(
            posted(&object(&[("agentkube-planes", "Apply", None), ours])),
            None,
            "a patch after the handing over"
        );
        assert_eq!(posted(&object(&[("kamaji-manager", "Update", None)])), None);
        assert_eq!(posted(&json!({ "metadata": {} })), None);
    }
}
