//! Waiting for a control plane, and saying what it waits for.

use agentkube_sdk::cluster::Cluster;
use agentkube_sdk::control_plane::{Stage, Status};
use agentkube_sdk::kube::Resource;
use agentkube_sdk::prelude::*;
use agentkube_sdk::{clock, log};
use serde_json::Value;

use crate::{Kamaji, mark, state};

/// Longest wait for one change; also how late a status that goes stale without a change is noticed.
const LOOK_MS: u64 = 15_000;
/// Time kept for the answer before the host ends the call.
const MARGIN_MS: u64 = 500;

impl Kamaji {
    /// Waits until the object is at the stage.
    pub(crate) async fn wait(&self, call: &Call, object: Value, wanted: &Cluster, stage: Stage) -> Result<Status> {
        let missing = |object: &Value| match stage {
            Stage::Claimed => None,
            Stage::Joinable => state::not_joinable(object),
            Stage::Ready if !wanted.powered => {
                (state::word(object) != "Sleeping").then(|| "it is not asleep yet".to_owned())
            }
            Stage::Ready => state::not_ready(object, &wanted.version),
        };
        self.wait_until(call, object, missing).await
    }

    /// Waits until it sleeps, or serves again.
    pub(crate) async fn wait_power(&self, call: &Call, on: bool) -> Result<Status> {
        let object = self.find(&call.owner).await?.ok_or_else(|| gone(call))?;
        let missing = |object: &Value| match on {
            true => state::not_joinable(object),
            false => (state::word(object) != "Sleeping").then(|| format!("status is {}", state::word(object))),
        };
        self.wait_until(call, object, missing).await
    }

    async fn wait_until(
        &self,
        call: &Call,
        mut object: Value,
        missing: impl Fn(&Value) -> Option<String>,
    ) -> Result<Status> {
        let target = self.target(&call.owner);
        let began = clock::now();
        let mut said = String::new();
        loop {
            mark::prove(&object, &call.owner)?;
            let Some(reason) = missing(&object) else { return Ok(state::status(&object)) };
            let now = clock::now();
            self.complain(&call.owner, &object, now.saturating_sub(began)).await?;
            if reason != said {
                log::info(format!("{}: {reason}", call.owner.cluster), &[]);
                said.clone_from(&reason);
            }
            let left = call.deadline_ms.saturating_sub(now).saturating_sub(MARGIN_MS);
            if left == 0 {
                let message = format!("TenantControlPlane {}: {reason}", call.owner.cluster);
                return Err(Fault::timeout("CONTROL_PLANE_NOT_READY", message).scope(Scope::Machine));
            }
            let pause = u32::try_from(left.min(LOOK_MS)).unwrap_or(u32::MAX);
            let waited = self.admin.wait_for(&target, Some(mark::version(&object)), pause).await?;
            object = waited.object.ok_or_else(|| gone(call))?;
        }
    }

    /// Without an address Kamaji tries for ever; somebody has to say so.
    async fn complain(&self, owner: &Owner, object: &Value, waited_ms: u64) -> Result<()> {
        if state::endpoint(object).is_some() || waited_ms < self.config.address_timeout_ms {
            return Ok(());
        }
        let namespace = self.config.namespace_of(owner);
        let service = format!("Service {namespace}/{}", owner.cluster);
        let kind = object.pointer("/spec/controlPlane/service/serviceType").and_then(Value::as_str);
        if kind != Some("LoadBalancer") {
            let message = format!(
                "TenantControlPlane {} has no address after {} s with service-type {}: give one in overrides.networkProfile.address",
                owner.cluster,
                waited_ms / 1000,
                kind.unwrap_or("?")
            );
            return Err(Fault::unsupported("NO_ADDRESS", message).scope(Scope::Provider));
        }
        // Kamaji's own status says nothing about it; the Service does, where we may read it.
        let target = Resource::core("v1", "services").target(Some(&namespace), &owner.cluster);
        let found = self.admin.get::<Value>(&target).await.ok().flatten();
        let ingress = found.as_ref().and_then(|found| found.pointer("/status/loadBalancer/ingress/0"));
        if let Some(name) = ingress.and_then(|ingress| ingress.get("hostname")).and_then(Value::as_str) {
            let message = format!(
                "the load balancer gave {service} the host name {name}, and Kamaji takes only IP addresses: use a load balancer that \
                 assigns addresses, or service-type NodePort or ClusterIP"
            );
            return Err(Fault::unsupported("LOAD_BALANCER_HOSTNAME", message).scope(Scope::Provider));
        }
        let message = format!(
            "{service} has no IP address after {} s: does the admin cluster have a load balancer for Services of type LoadBalancer, \
             and has its pool a free address?",
            waited_ms / 1000
        );
        Err(Fault::exhausted("NO_LOAD_BALANCER_ADDRESS", message).scope(Scope::Provider))
    }
}

fn gone(call: &Call) -> Fault {
    let message = format!("TenantControlPlane {} was deleted while it was waited for", call.owner.cluster);
    Fault::not_found("CONTROL_PLANE_GONE", message).scope(Scope::Machine)
}
