//! What must be so before the first cluster.

use agentkube_sdk::kube::{ListOptions, Resource};
use agentkube_sdk::prelude::*;
use serde_json::Value;

use crate::{Kamaji, tenant_control_planes};

/// Where tenants keep their data.
pub(crate) fn data_stores() -> Resource {
    Resource::new("kamaji.clastix.io", "v1alpha1", "datastores")
}

impl Kamaji {
    /// Reachability, version, Kamaji's kinds, the data store, our rights.
    pub(crate) async fn look_before(&self) -> Result<Vec<Finding>> {
        let version = match self.admin.raw_get("/version").await {
            Ok(answer) => serde_json::from_str::<Value>(&answer.body)
                .ok()
                .and_then(|version| version.get("gitVersion")?.as_str().map(str::to_owned)),
            Err(fault) => {
                let remedy = "check the connection's endpoint, CA and credential";
                return Ok(vec![Finding::error("ADMIN_UNREACHABLE", format!("the admin cluster: {fault}"), remedy)]);
            }
        };
        let version = version.unwrap_or_else(|| "an unknown version".to_owned());
        let mut findings = vec![Finding::ok("ADMIN_REACHABLE", format!("the admin cluster answers, {version}"))];
        let mut options = ListOptions::new(None);
        options.limit = 1;
        findings.push(match self.admin.page::<Value>(&tenant_control_planes(), options).await {
            Ok(_) => Finding::ok("KAMAJI_FOUND", "TenantControlPlanes can be listed"),
            Err(fault) if fault.class == Class::NotFound => Finding::error(
                "KAMAJI_MISSING",
                "the admin cluster knows no TenantControlPlanes",
                "install Kamaji and its CRDs (kamaji.clastix.io/v1alpha1)",
            ),
            Err(fault) => Finding::error(
                "KAMAJI_DENIED",
                format!("TenantControlPlanes cannot be listed: {fault}"),
                "give the agent's role get, list, watch, create, patch and delete on them",
            ),
        });
        findings.push(self.look_at_store().await);
        Ok(findings)
    }

    async fn look_at_store(&self) -> Finding {
        let name = self.config.data_store.as_deref().unwrap_or("default");
        let remedy = "make it, or name another one: data-store";
        match self.admin.get::<Value>(&data_stores().target(None, name)).await {
            Ok(Some(store)) if store.pointer("/status/ready") == Some(&Value::Bool(false)) => {
                Finding::error("DATASTORE_NOT_READY", format!("DataStore {name} is not ready"), "see its conditions")
            }
            Ok(Some(_)) => Finding::ok("DATASTORE_FOUND", format!("DataStore {name} exists")),
            Ok(None) if self.config.data_store.is_none() => {
                let message = "there is no DataStore `default`; the operator's own default is used";
                Finding::warning("DATASTORE_UNNAMED", message, remedy)
            }
            Ok(None) => Finding::error("DATASTORE_MISSING", format!("there is no DataStore {name}"), remedy),
            Err(fault) => {
                Finding::warning("DATASTORE_UNSEEN", format!("DataStore {name}: {fault}"), "allow get on datastores")
            }
        }
    }
}
