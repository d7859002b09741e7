//! The last step of a create: all of it is observed once more, and the status record is made from what was seen.

use std::time::Duration;

use agentkube_contract::{Class, Completion, ControlPlaneStatus, Fault, Node, NodeReport, Phase, Standing};

use super::perform::plain;
use super::retry::Done;
use super::{Run, json};
use crate::plan::Known;
use crate::settings::KubeconfigDelivery;

impl Run<'_> {
    pub(super) async fn health(&self, attempt: u32, limit: Duration) -> Result<Done, Fault> {
        let world = &self.shared.world;
        let call = self.call(attempt, limit);
        let provider = world.control_plane(self.wanted()?.control_plane.provider.as_deref().unwrap_or_default())?;
        let status = provider.observe(&call).await?.ok_or_else(|| unwell("CONTROL_PLANE", "it does not exist"))?;
        if status.phase != Phase::Ready {
            return Err(unwell("CONTROL_PLANE", &format!("it is {:?}", status.phase).to_lowercase()));
        }
        let tenant = self.tenant(attempt).await?;
        tenant.ready(limit).await?;
        let nodes = self.nodes(tenant.nodes().await?)?;
        let kubeconfig = match self.shared.settings.kubeconfig_delivery {
            KubeconfigDelivery::Property => Some(provider.kubeconfig(&call).await?.owner),
            KubeconfigDelivery::None => None,
        };
        Ok(plain(json(&self.completion(status, nodes, tenant.ca(), kubeconfig))?))
    }

    /// One report for each machine of the plan; all must be Ready.
    fn nodes(&self, seen: Vec<Node>) -> Result<Vec<NodeReport>, Fault> {
        let known = Known::from_rows(&self.shared.world.journal.engine_rows(&self.intent.key)?)
            .map_err(|error| Fault::internal("LEDGER", error.to_string()))?
            .machines;
        self.plan
            .machines()
            .map(|machine| {
                let name = &machine.key.name;
                let node = seen
                    .iter()
                    .find(|node| &node.name == name)
                    .ok_or_else(|| unwell("NODE", &format!("node `{name}` does not exist")))?;
                if !node.ready {
                    return Err(unwell("NODE", &format!("node `{name}` is not Ready: {}", node.reason)));
                }
                Ok(NodeReport {
                    name: node.name.clone(),
                    pool: machine.key.pool.clone(),
                    ready: node.ready,
                    version: node.version.clone(),
                    address: node.address.clone(),
                    machine: known.iter().find(|row| row.key.name == *name).and_then(|row| row.external_id.clone()),
                })
            })
            .collect()
    }

    fn completion(
        &self,
        status: ControlPlaneStatus,
        nodes: Vec<NodeReport>,
        ca: String,
        kubeconfig: Option<agentkube_contract::Reference>,
    ) -> Completion {
        Completion {
            instance_id: self.shared.instance_id(&self.intent.key),
            endpoint: status.endpoint.map(|endpoint| format!("https://{endpoint}")),
            ca: Some(ca),
            kubeconfig,
            version: status.version,
            phase: "Provisioned".to_owned(),
            // The times are added when the job ends.
            conditions: status.conditions.into_iter().map(|condition| Standing { condition, since_ms: 0 }).collect(),
            pools: Vec::new(),
            nodes,
            observed_generation: self.intent.generation,
            more: vec![("cluster".to_owned(), serde_json::Value::from(self.owner.cluster.clone()).to_string())],
        }
    }

    /// The status record that `health` made.
    pub(crate) fn result(&self) -> Result<Completion, Fault> {
        self.expect_output("health")
    }
}

fn unwell(what: &str, why: &str) -> Fault {
    Fault::new(Class::Unavailable, &format!("{what}_UNWELL"), why)
}
