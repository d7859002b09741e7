//! CustomResourceDefinitions: a stored definition is served at once.

use std::sync::Arc;

use lab_wire::{Millis, rfc3339};
use serde_json::{Value, json};

use super::kind::{Kind, Resource};
use super::server::ApiServer;

impl ApiServer {
    /// Serves what a definition defines, and says so in its status.
    pub(super) fn serve(&mut self, definition: &Arc<Value>, now: Millis) {
        let kinds = kinds_of(definition);
        if let Some(kind) = kinds.first() {
            self.registry.remove(&kind.resource());
        }
        let names = definition["spec"]["names"].clone();
        for kind in kinds {
            self.registry.add(kind);
        }
        let condition = |name: &str, reason: &str| json!({"type": name, "status": "True", "reason": reason, "message": "", "lastTransitionTime": rfc3339(now)});
        if definition["status"]["acceptedNames"] != names {
            let mut served = (**definition).clone();
            let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
            let stored: Vec<&Value> = versions.filter(|v| v["storage"] == true).map(|v| &v["name"]).collect();
            served["status"] = json!({
                "acceptedNames": names, "storedVersions": stored,
                "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
            });
            let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.store.put(&Resource::new("apiextensions.k8s.io", "customresourcedefinitions"), "", &name, served);
        }
    }

    /// Stops serving what a definition defined, and deletes its objects.
    pub(super) fn unserve(&mut self, definition: &Value) {
        let Some(kind) = kinds_of(definition).into_iter().next() else { return };
        let resource = kind.resource();
        let keys: Vec<(String, String)> = self.store.list(&resource, None).map(|(key, _)| key.clone()).collect();
        for (namespace, name) in keys {
            self.store.remove(&resource, &namespace, &name);
        }
        self.registry.remove(&resource);
    }
}

/// The kinds of a definition, one per served version, the storage version first.
pub fn kinds_of(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let names = &spec["names"];
    let mut versions: Vec<&Value> =
        spec["versions"].as_array().into_iter().flatten().filter(|v| v["served"] == true).collect();
    versions.sort_by_key(|v| v["storage"] != true);
    versions
        .into_iter()
        .map(|version| {
            let scale = &version["subresources"]["scale"];
            let pointer = |field: &str| text(&scale[field]).replace('.', "/");
            Kind {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                kind: text(&names["kind"]),
                plural: text(&names["plural"]),
                singular: names["singular"].as_str().map_or_else(|| text(&names["kind"]).to_lowercase(), str::to_owned),
                short: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                status: version["subresources"]["status"].is_object(),
                scale: scale.is_object().then(|| {
                    (pointer("specReplicasPath"), pointer("statusReplicasPath"), pointer("labelSelectorPath"))
                }),
                actions: Vec::new(),
                generation: true,
                question: false,
                custom: true,
                columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                schema: version["schema"].get("openAPIV3Schema").cloned(),
            }
        })
        .collect()
}
