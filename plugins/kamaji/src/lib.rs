//! Control planes as pods: a control-plane provider for Kamaji.
//!
//! A cluster is one `TenantControlPlane` in a namespace of the admin cluster. The object is also the fence between
//! installations: it is posted whole, with our mark, before any machine is made; from then on it is changed by server-side apply
//! that carries its uid.
//!
//! - [`config`]: the plugin's configuration, and the settings of one cluster.
//! - [`mark`]: whose an object is.
//! - [`template`]: from a wanted cluster to the object.
//! - [`state`]: from the object's status to ours; what "joinable" and "ready" mean.
//! - [`fence`], [`wait`], [`removal`]: claiming, waiting, deleting.
//! - [`preflight`]: what must be so before the first cluster.
//!
//! Facts about Kamaji are of its edge releases up to 26.8 (`kamaji.clastix.io/v1alpha1`).

mod config;
mod fence;
mod manifest;
mod mark;
mod preflight;
mod removal;
mod state;
mod template;
#[cfg(test)]
mod tests;
mod wait;

use agentkube_sdk::cluster::Cluster;
use agentkube_sdk::control_plane::{Kubeconfigs, Stage, Status};
use agentkube_sdk::kube::{self, ListOptions, PatchKind, Preconditions, Resource, Target};
use agentkube_sdk::ledger;
use agentkube_sdk::prelude::*;
use serde_json::{Value, json};

pub use config::{Config, Settings};
pub use manifest::manifest;

/// What begins a page token of the second list.
const NAMESPACES: &str = "namespaces/";

/// The provider.
pub struct Kamaji {
    config: Config,
    admin: kube::Connection,
}

agentkube_sdk::export!(ControlPlane for Kamaji);

impl ControlPlane for Kamaji {
    type Config = Config;

    fn new(config: Config) -> Result<Self> {
        config.check()?;
        let admin = kube::connection(&config.connection);
        Ok(Kamaji { config, admin })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        self.look_before().await
    }

    async fn ensure(&self, call: Call, wanted: Cluster, stage: Stage) -> Result<Status> {
        let object = self.claim(&call.owner, &wanted).await?;
        self.wait(&call, object, &wanted, stage).await
    }

    async fn observe(&self, call: Call) -> Result<Option<Status>> {
        let object = self.find(&call.owner).await?;
        Ok(object.map(|object| state::status(&object)))
    }

    async fn power(&self, call: Call, on: bool) -> Result<Status> {
        let item = ledger::intend("control-plane", &call.owner.cluster, "").await?;
        let Some(object) = self.find(&call.owner).await? else {
            return Err(Fault::not_found(
                "NO_CONTROL_PLANE",
                format!("there is no control plane {}", call.owner.cluster),
            ));
        };
        // Zero replicas is Kamaji's sleep; what to wake up to is remembered on the object itself.
        let now = object.pointer("/spec/controlPlane/deployment/replicas").and_then(Value::as_u64).unwrap_or(2);
        let remembered = mark::annotation(&object, mark::REPLICAS).and_then(|text| text.parse().ok());
        let replicas = if on { remembered.unwrap_or(now).max(1) } else { 0 };
        let remember = if now > 0 { now } else { remembered.unwrap_or(2) };
        if replicas != now {
            let patch = json!({
                "metadata": { "annotations": { mark::REPLICAS: remember.to_string() } },
                "spec": { "controlPlane": { "deployment": { "replicas": replicas } } },
            });
            let same = Preconditions::uid(mark::uid(&object));
            self.admin.patch(&self.target(&call.owner), PatchKind::Merge, &patch, same, item.entry).await?;
        }
        self.wait_power(&call, on).await
    }

    async fn delete(&self, call: Call) -> Result<()> {
        self.remove(&call).await
    }

    async fn list_owned(&self, installation: String, page: Option<String>) -> Result<OwnedPage> {
        // Control planes first, then namespaces: one may be left whose control plane is gone already.
        let namespaces = page.as_deref().and_then(|page| page.strip_prefix(NAMESPACES)).map(str::to_owned);
        let (kind, resource, token) = match namespaces {
            Some(token) => {
                ("namespace", Resource::core("v1", "namespaces"), Some(token).filter(|token| !token.is_empty()))
            }
            None => ("control-plane", tenant_control_planes(), page),
        };
        let mut options = ListOptions::new(None).labels(format!("{}={installation}", mark::INSTALLATION));
        options.continue_token = token;
        let page = self.admin.page::<Value>(&resource, options).await?;
        let items = page.items.iter().filter_map(|object| {
            Some(Owned {
                owner: mark::read(object)?,
                kind: kind.to_owned(),
                id: mark::uid(object).to_owned(),
                name: mark::name(object).to_owned(),
            })
        });
        let next = match (kind, page.continue_token) {
            ("namespace", token) => token.map(|token| format!("{NAMESPACES}{token}")),
            (_, None) if self.config.owns_namespace() => Some(NAMESPACES.to_owned()),
            (_, token) => token,
        };
        Ok(OwnedPage { items: items.collect(), next })
    }

    async fn kubeconfig(&self, call: Call) -> Result<Kubeconfigs> {
        let Some(object) = self.find(&call.owner).await? else {
            return Err(Fault::not_found(
                "NO_CONTROL_PLANE",
                format!("there is no control plane {}", call.owner.cluster),
            ));
        };
        let namespace = self.config.namespace_of(&call.owner);
        let Some(name) = state::kubeconfig_secret(&object) else {
            return Err(Fault::unavailable("KUBECONFIG_MISSING", "Kamaji has not made the kubeconfig yet"));
        };
        let target = Resource::core("v1", "secrets").target(Some(&namespace), name);
        let Some(secret) = self.admin.get::<Value>(&target).await? else {
            return Err(Fault::unavailable(
                "KUBECONFIG_MISSING",
                format!("Secret {namespace}/{name} does not exist yet"),
            ));
        };
        // The values are references: the host keeps the kubeconfigs to itself.
        let key = |key: &str| {
            secret.get("data").and_then(|data| data.get(key)).and_then(Value::as_str).map(str::to_owned).ok_or_else(
                || Fault::unavailable("KUBECONFIG_MISSING", format!("Secret {namespace}/{name} has no key {key} yet")),
            )
        };
        Ok(Kubeconfigs { operator: key(&self.config.operator_key)?, owner: key(&self.config.owner_key)? })
    }

    /// Kamaji renews what is asked for by an annotation on each Secret, and itself a day before the end; no plugin writes Secrets.
    async fn rotate(&self, call: Call) -> Result<()> {
        let namespace = self.config.namespace_of(&call.owner);
        let message = format!(
            "Kamaji renews certificates when their Secrets are annotated, and plugins write no Secrets: kubectl -n {namespace} annotate \
             secret -l kamaji.clastix.io/certificate_lifecycle_controller certs.kamaji.clastix.io/rotate=\"\" --overwrite"
        );
        Err(Fault::unsupported("UNSUPPORTED", message))
    }

    async fn metrics(&self, call: Call) -> Result<Vec<Sample>> {
        let Some(object) = self.find(&call.owner).await? else { return Ok(Vec::new()) };
        let name = &call.owner.cluster;
        let number = |path: &str| object.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
        let ready = if state::serves(&object) { 1.0 } else { 0.0 };
        Ok(vec![
            Sample::new("control-plane.ready", name, ready),
            Sample::new("control-plane.replicas", name, number("/spec/controlPlane/deployment/replicas")),
            Sample::new(
                "control-plane.replicas.ready",
                name,
                number("/status/kubernetesResources/deployment/readyReplicas"),
            ),
        ])
    }
}

impl Kamaji {
    /// Where the cluster's object is.
    fn target(&self, owner: &Owner) -> Target {
        tenant_control_planes().target(Some(&self.config.namespace_of(owner)), &owner.cluster)
    }

    /// The cluster's object, if there is one and it is ours.
    async fn find(&self, owner: &Owner) -> Result<Option<Value>> {
        match self.admin.get::<Value>(&self.target(owner)).await? {
            Some(object) => mark::prove(&object, owner).map(|()| Some(object)),
            None => Ok(None),
        }
    }
}

fn tenant_control_planes() -> Resource {
    Resource::new("kamaji.clastix.io", "v1alpha1", "tenantcontrolplanes")
}
