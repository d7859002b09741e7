//! The DataStore: whether it exists, is ready, and is not the admin cluster's own etcd.

use agentkube_sdk::kube::Resource;
use agentkube_sdk::prelude::*;
use serde_json::Value;

use crate::Kamaji;
use crate::manifest::raw;

/// Where tenants keep their data.
pub(crate) fn data_stores() -> Resource {
    Resource::new("kamaji.clastix.io", "v1alpha1", "datastores")
}

/// What the DataStore's own conditions say, if anything.
pub(crate) fn complaint(store: &Value) -> Option<String> {
    let conditions = store.pointer("/status/conditions")?.as_array()?;
    let text =
        |condition: &Value, field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let bad = conditions.iter().find(|condition| text(condition, "status") == "False")?;
    Some(format!("{}: {}", text(bad, "reason"), text(bad, "message")))
}

impl Kamaji {
    pub(super) async fn look_at_store(&self) -> Vec<Finding> {
        let name = self.config.data_store.as_deref().unwrap_or("default");
        let named = self.config.data_store.is_some();
        let remedy = "make it, or name another one: data-store";
        let store = match self.admin.get::<Value>(&data_stores().target(None, name)).await {
            Ok(Some(store)) => store,
            Ok(None) if !named => {
                let message = "there is no DataStore `default`; the operator's own default is used";
                return vec![Finding::warning("DATASTORE_UNNAMED", message, remedy)];
            }
            Ok(None) => {
                return vec![Finding::error("DATASTORE_MISSING", format!("there is no DataStore {name}"), remedy)];
            }
            // The right to read it is asked about among the others.
            Err(fault) if fault.code == "FORBIDDEN" => return Vec::new(),
            Err(fault) => {
                let message = format!("DataStore {name} cannot be read: {fault}");
                return vec![Finding::warning("DATASTORE_UNSEEN", message, "look at it with kubectl get datastores")];
            }
        };
        if store.pointer("/status/ready") == Some(&Value::Bool(false)) {
            let why = complaint(&store).map(|why| format!(" ({why})")).unwrap_or_default();
            let message = format!("DataStore {name} is not ready{why}: no control plane can be made or deleted");
            let remedy = "mend its endpoints, certificates or credentials; kubectl describe datastore shows more";
            return vec![Finding::error("DATASTORE_NOT_READY", message, remedy)];
        }
        let driver = store.pointer("/spec/driver").and_then(Value::as_str).unwrap_or("?");
        let users = store.pointer("/status/usedBy").and_then(Value::as_array).map_or(0, Vec::len);
        let ready = format!("DataStore {name} ({driver}) is ready and used by {users} control planes");
        let mut findings = vec![Finding::ok("DATASTORE_READY", ready)];
        if driver == "etcd" {
            findings.push(self.look_at_home(name, &store).await);
        }
        findings
    }

    /// Whether the tenants share the admin cluster's etcd: one tenant that fills it would stop them all, and the admin cluster.
    async fn look_at_home(&self, name: &str, store: &Value) -> Finding {
        let endpoints = store.pointer("/spec/endpoints").and_then(Value::as_array).into_iter().flatten();
        let hosts: Vec<&str> = endpoints.filter_map(Value::as_str).map(host).collect();
        let servers = self.admin.raw_get(raw::SERVERS).await.ok().filter(|answer| answer.status == 200);
        let addresses = servers.as_ref().map(|answer| addresses(&answer.body));
        let own = |host: &&&str| {
            is_own(host) || addresses.as_ref().is_some_and(|all| all.iter().any(|address| address == **host))
        };
        if let Some(host) = hosts.iter().find(own) {
            let message = format!(
                "DataStore {name} is the admin cluster's own etcd ({host}): a tenant that fills it stops the admin cluster too"
            );
            return Finding::warning("DATASTORE_IS_ADMIN_ETCD", message, "give the tenants an etcd of their own");
        }
        match addresses {
            Some(_) => {
                Finding::ok("DATASTORE_SEPARATE", format!("DataStore {name} is not the admin cluster's own etcd"))
            }
            None => Finding::ok(
                "DATASTORE_HOME_UNKNOWN",
                format!(
                    "whether DataStore {name} is the admin cluster's own etcd is not known; let the agent get endpoints/kubernetes in \
                     namespace default to have it compared"
                ),
            ),
        }
    }
}

/// Names that mean the admin cluster's own etcd wherever they are used.
fn is_own(host: &str) -> bool {
    host == "localhost"
        || host == "::1"
        || host.starts_with("127.")
        || host.split('.').nth(1) == Some("kube-system")
        || host.split('.').nth(2) == Some("kube-system")
}

/// The host of `host:port`, brackets off.
fn host(endpoint: &str) -> &str {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The addresses in an Endpoints object.
fn addresses(body: &str) -> Vec<String> {
    let object: Value = serde_json::from_str(body).unwrap_or_default();
    let subsets = object.get("subsets").and_then(Value::as_array).into_iter().flatten();
    let all = subsets.filter_map(|subset| subset.get("addresses")?.as_array()).flatten();
    all.filter_map(|address| address.get("ip")?.as_str().map(str::to_owned)).collect()
}
