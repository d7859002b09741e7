//! Access for the cluster's own controllers and for tests: no authorization, no admission, no ownership, no log.

use std::sync::Arc;

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use super::create::place;
use super::delete::Deletion;
use super::kind::Resource;
use super::request::Context;
use super::server::ApiServer;
use super::update::changes_spec;

impl ApiServer {
    /// One object; `namespace` is `""` for cluster-scoped ones.
    pub fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.store.get(&Resource::new(group, plural), namespace, name)
    }

    /// All objects of a kind, of one namespace if given.
    pub fn objects(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.store.list(&Resource::new(group, plural), namespace).map(|(_, object)| object.clone()).collect()
    }

    /// Stores an object as it is, status included, new or not. Server-owned metadata of what is there is kept.
    /// Objects of kinds that are not served are ignored.
    pub fn put(&mut self, mut object: Value, now: Millis, random: &mut Random) {
        let Some(kind) = self.registry.of_object(&object) else { return };
        let (namespace, name) = place(&object);
        let live = self.store.get(&kind.resource(), &namespace, &name).cloned();
        let metadata = &mut object["metadata"];
        match &live {
            Some(live) => {
                for field in [
                    "uid",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "deletionGracePeriodSeconds",
                    "generation",
                    "managedFields",
                    "resourceVersion",
                ] {
                    if let Some(value) = live["metadata"].get(field) {
                        metadata[field] = value.clone();
                    }
                }
            }
            None => {
                metadata["uid"] = random.uuid().into();
                metadata["creationTimestamp"] = rfc3339(now).into();
                if kind.generation {
                    metadata["generation"] = 1.into();
                }
                if kind.plural == "namespaces" {
                    metadata["labels"]["kubernetes.io/metadata.name"] = name.clone().into();
                    object["spec"] = json!({"finalizers": ["kubernetes"]});
                    object["status"] = json!({"phase": "Active"});
                }
            }
        }
        if let Some(live) = &live {
            if kind.generation && changes_spec(&kind, live, &object) {
                let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = (generation + 1).into();
            }
            if object == **live {
                return;
            }
        }
        let stored = self.store.put(&kind.resource(), &namespace, &name, object);
        self.after_write(&kind, &stored, now);
    }

    /// Changes an object (of group and plural, at namespace and name) in place; nothing happens when it is not there or `change` leaves it as it is.
    pub fn edit(
        &mut self,
        (group, plural): (&str, &str),
        (namespace, name): (&str, &str),
        now: Millis,
        random: &mut Random,
        change: impl FnOnce(&mut Value),
    ) {
        if let Some(live) = self.get(group, plural, namespace, name) {
            let mut object = (**live).clone();
            change(&mut object);
            self.put(object, now, random);
        }
    }

    /// Deletes an object as a client would: finalizers hold it.
    pub fn discard(&mut self, group: &str, plural: &str, namespace: &str, name: &str, now: Millis) {
        let resource = Resource::new(group, plural);
        if let (Some(kind), Some(live)) =
            (self.registry.of(&resource), self.store.get(&resource, namespace, name).cloned())
        {
            // Only preconditions and protected namespaces refuse, and controllers meet neither.
            let _ = self.begin_deletion(&kind, &live, &Deletion::default(), &Context::controller(now));
        }
    }
}
