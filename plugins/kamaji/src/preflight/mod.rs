//! What must be so before the first cluster: each finding has a code and says what to do.
//!
//! - `rights`: every verb that the plugin uses, asked one by one.
//! - `store`: the DataStore, and whether it is the admin cluster's own etcd.
//! - `rehearsal`: the object that would be posted, tried without effect: webhooks, overrides, the clock.
//! - `exposure`: how the API servers of the clusters get an address.

mod exposure;
mod rehearsal;
mod rights;
mod store;

use agentkube_sdk::prelude::*;
use serde_json::Value;

use crate::Kamaji;
use crate::manifest::raw;

pub(crate) use store::data_stores;

/// Oldest minor version of an admin cluster that Kamaji's releases of 2026 are tested with (its compatibility matrix).
const OLDEST_MINOR: u32 = 33;

/// Paths of the kinds that the plugin works with.
const KINDS: [&str; 2] = ["tenantcontrolplanes", "datastores"];

impl Kamaji {
    /// Looks at everything; what follows from an error found before is not looked at.
    pub(crate) async fn look_before(&self) -> Result<Vec<Finding>> {
        let mut findings = self.look_at_server().await;
        if has_error(&findings) {
            return Ok(findings);
        }
        findings.push(self.look_at_kinds().await);
        let known = !has_error(&findings);
        findings.extend(self.look_at_rights().await);
        if known {
            let stores = self.look_at_store().await;
            let without_store = has_error(&stores);
            findings.extend(stores);
            findings.extend(self.rehearse(without_store).await);
            findings.extend(self.look_at_exposure().await);
        }
        Ok(findings)
    }

    async fn look_at_server(&self) -> Vec<Finding> {
        let connection = &self.config.connection;
        let remedy = "check the connection's server, CA, credential and addresses";
        let answer = match self.admin.raw_get(raw::VERSION).await {
            Ok(answer) => answer,
            Err(fault) => {
                return vec![Finding::unreached("ADMIN_UNREACHABLE", "the admin cluster", &fault, remedy)];
            }
        };
        let status = answer.status;
        if matches!(status, 401 | 403) {
            let message =
                format!("the admin cluster does not accept the credential of connection `{connection}` ({status})");
            let remedy = "renew the token or certificate of the agent's service account";
            return vec![Finding::error("ADMIN_UNAUTHORIZED", message, remedy)];
        }
        let version = json(&answer.body, "/gitVersion");
        let Some(version) = version.filter(|_| status == 200) else {
            let message = format!("the admin cluster answers {status} when asked for its version");
            return vec![Finding::error("ADMIN_UNWELL", message, "look at its API servers")];
        };
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        let mut findings = vec![Finding::ok("ADMIN_REACHABLE", format!("the admin cluster answers, {version}"))];
        if minor.is_some_and(|minor| minor < OLDEST_MINOR) {
            let message = format!("the admin cluster is {version}; Kamaji is tested with v1.{OLDEST_MINOR} and newer");
            findings.push(Finding::warning("ADMIN_OLD", message, "upgrade the admin cluster"));
        }
        findings
    }

    /// Whether Kamaji's kinds are served in the version that the plugin speaks.
    async fn look_at_kinds(&self) -> Finding {
        let unseen = |why: String| {
            Finding::warning("KAMAJI_UNSEEN", format!("Kamaji's kinds cannot be listed: {why}"), "allow discovery")
        };
        let install = "install Kamaji with its CRDs";
        let kinds = match self.admin.raw_get(raw::KINDS).await {
            Ok(answer) if answer.status == 200 => answer.body,
            Ok(answer) if answer.status == 404 => {
                let group = self.admin.raw_get(raw::GROUP).await.ok().filter(|answer| answer.status == 200);
                let Some(group) = group else {
                    let message = "the admin cluster knows no TenantControlPlanes";
                    return Finding::error("KAMAJI_MISSING", message, install);
                };
                let served =
                    json(&group.body, "/preferredVersion/version").unwrap_or_else(|| "other versions".to_owned());
                let message = format!("Kamaji's CRDs serve {served} and not v1alpha1, which this plugin speaks");
                return Finding::error("KAMAJI_VERSION", message, "install a release of Kamaji that serves v1alpha1");
            }
            Ok(answer) => return unseen(format!("status {}", answer.status)),
            Err(fault) => return unseen(fault.to_string()),
        };
        let list: Value = serde_json::from_str(&kinds).unwrap_or_default();
        let served = |name: &str| {
            let all = list.get("resources").and_then(Value::as_array);
            all.is_some_and(|all| all.iter().any(|kind| kind.get("name").and_then(Value::as_str) == Some(name)))
        };
        match KINDS.iter().find(|kind| !served(kind)) {
            Some(kind) => Finding::error("KAMAJI_MISSING", format!("the admin cluster knows no {kind}"), install),
            None => Finding::ok("KAMAJI_FOUND", "Kamaji's kinds are served as v1alpha1"),
        }
    }
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// A text within a JSON document.
fn json(body: &str, pointer: &str) -> Option<String> {
    serde_json::from_str::<Value>(body).ok()?.pointer(pointer)?.as_str().map(str::to_owned)
}
