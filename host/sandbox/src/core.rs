//! What every call of one plugin shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentkube_contract::Fault;
use agentkube_manifest::{KubeNeed, Manifest, RequestNeed, Role};
use serde_json::Value;

use crate::capabilities::kube::Watches;
use crate::detached::Detached;
use crate::grants::Grants;
use crate::services::Services;
use crate::settings::Limits;

/// What every call of one plugin shares.
pub(crate) struct Core {
    /// Configured name.
    pub name: String,
    /// `sha256:…` of the component.
    pub digest: String,
    pub manifest: Manifest,
    /// Its validated configuration, JSON.
    pub config: String,
    /// What the manifest asks for, by the connection that the configuration names.
    pub http: BTreeMap<String, Vec<RequestNeed>>,
    pub kube: BTreeMap<String, Vec<KubeNeed>>,
    pub grants: Grants,
    pub services: Services,
    pub limits: Limits,
    pub detached: Arc<Detached>,
    pub watches: Arc<Watches>,
}

impl Core {
    /// Its role.
    pub fn role(&self) -> Role {
        self.manifest.role
    }

    /// Counts a denial, and gives it on.
    pub fn denied(&self, what: &str, fault: Fault) -> Fault {
        self.services.metrics.denial(&self.name, what);
        tracing::warn!(plugin = %self.name, capability = what, code = %fault.code, "{}", fault.message);
        fault
    }
}

/// The connection names that stand at a JSON pointer of the configuration: a text, or a list of texts.
pub(crate) fn names_at(config: &Value, pointer: &str) -> Vec<String> {
    match config.pointer(pointer) {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}
