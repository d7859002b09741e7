//! What happens to objects by themselves: garbage collection, namespaces that drain, namespaces that get their account.

use std::collections::BTreeSet;
use std::sync::Arc;

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use super::create::place;
use super::delete::{Deletion, is_held};
use super::kind::Resource;
use super::request::Context;
use super::server::ApiServer;
use super::store::Change;
use super::user::User;

impl ApiServer {
    /// Deletes dependents of owners that are gone, and lets go of owners that wait for theirs.
    pub(super) fn collect_garbage(&mut self, now: Millis) {
        while !self.orphaned.is_empty() {
            let gone = std::mem::take(&mut self.orphaned);
            for object in self.dependents(&gone) {
                self.cascade(&object, now);
            }
        }
        if self.collected == self.store.revision() {
            return;
        }
        let waiting: Vec<Arc<Value>> = match self.store.since(self.collected) {
            Some(records) => records.filter(|r| r.change != Change::Deleted).map(|r| r.object.clone()).collect(),
            None => Vec::new(),
        };
        self.collected = self.store.revision();
        for object in waiting.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_string()) {
            self.finish_propagation(object, now);
        }
    }

    fn finish_propagation(&mut self, object: &Value, now: Millis) {
        let Some(kind) = self.registry.of_object(object) else { return };
        let (namespace, name) = place(object);
        let Some(live) = self.store.get(&kind.resource(), &namespace, &name).cloned() else { return };
        let holds = |finalizer: &str| {
            live["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == finalizer))
        };
        let uid = BTreeSet::from([live["metadata"]["uid"].as_str().unwrap_or_default().to_owned()]);
        let finalizer = if holds("foregroundDeletion") {
            for dependent in self.dependents(&uid) {
                self.cascade(&dependent, now);
            }
            "foregroundDeletion"
        } else if holds("orphan") {
            for dependent in self.dependents(&uid) {
                self.orphan(&dependent, &uid);
            }
            "orphan"
        } else {
            return;
        };
        let mut freed = (*live).clone();
        if let Some(list) = freed["metadata"]["finalizers"].as_array_mut() {
            list.retain(|f| f != finalizer);
        }
        if is_held(&kind, &freed) {
            self.store.put(&kind.resource(), &namespace, &name, freed);
        } else {
            self.remove_object(&kind, &namespace, &name);
        }
    }

    fn dependents(&self, owners: &BTreeSet<String>) -> Vec<Arc<Value>> {
        let mut found = Vec::new();
        for resource in self.store.resources() {
            let owned = |object: &&Arc<Value>| {
                object["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|refs| refs.iter().any(|r| r["uid"].as_str().is_some_and(|uid| owners.contains(uid))))
            };
            found.extend(self.store.list(&resource, None).map(|(_, object)| object).filter(owned).cloned());
        }
        found
    }

    fn cascade(&mut self, object: &Arc<Value>, now: Millis) {
        if let Some(kind) = self.registry.of_object(object) {
            // A refusal (a protected namespace) leaves the dependent standing, as in a real cluster.
            let _ = self.begin_deletion(&kind, object, &Deletion::default(), &Context::controller(now));
        }
    }

    fn orphan(&mut self, object: &Value, owners: &BTreeSet<String>) {
        let Some(kind) = self.registry.of_object(object) else { return };
        let (namespace, name) = place(object);
        let mut free = object.clone();
        if let Some(list) = free["metadata"]["ownerReferences"].as_array_mut() {
            list.retain(|r| !r["uid"].as_str().is_some_and(|uid| owners.contains(uid)));
        }
        self.store.put(&kind.resource(), &namespace, &name, free);
    }

    /// Deletes the content of namespaces under deletion, and the namespaces once they are empty.
    pub(super) fn drain_namespaces(&mut self, now: Millis) {
        let due: Vec<String> = self.drains().filter(|(_, at)| *at <= now).map(|(name, _)| name.to_owned()).collect();
        for name in due {
            self.drain_namespace(&name, now);
            self.drained_at.insert(name, self.store.revision());
        }
        self.drained_at.retain(|name, _| self.draining.contains_key(name));
    }

    /// Namespaces to be drained, and when; one in which nothing changed since it was last tried is left alone.
    pub(super) fn drains(&self) -> impl Iterator<Item = (&str, Millis)> {
        let revision = self.store.revision();
        let waiting = move |name: &String| !self.namespaces_held && self.drained_at.get(name) != Some(&revision);
        self.draining.iter().filter(move |(name, _)| waiting(name)).map(|(name, at)| (name.as_str(), *at))
    }

    fn drain_namespace(&mut self, name: &str, now: Millis) {
        let mut left = Vec::new();
        for resource in self.store.resources() {
            let Some(kind) = self.registry.of(&resource).filter(|kind| kind.namespaced) else { continue };
            let content: Vec<Arc<Value>> = self.store.list(&resource, Some(name)).map(|(_, o)| o.clone()).collect();
            for object in content {
                if let Ok(Some(held)) =
                    self.begin_deletion(&kind, &object, &Deletion::default(), &Context::controller(now))
                {
                    left.push(format!("{} \"{}\"", kind.plural, held["metadata"]["name"].as_str().unwrap_or_default()));
                }
            }
        }
        let namespaces = Resource::new("", "namespaces");
        let Some(live) = self.store.get(&namespaces, "", name).cloned() else { return };
        let Some(kind) = self.registry.of(&namespaces) else { return };
        let mut namespace = (*live).clone();
        if left.is_empty() {
            namespace["spec"]["finalizers"] = json!([]);
            if is_held(&kind, &namespace) {
                self.store.put(&namespaces, "", name, namespace);
            } else {
                self.remove_object(&kind, "", name);
            }
            return;
        }
        let since = live["status"]["conditions"][0]["lastTransitionTime"].as_str().map(str::to_owned);
        namespace["status"]["conditions"] = json!([{
            "type": "NamespaceFinalizersRemaining", "status": "True", "reason": "SomeFinalizersRemain",
            "message": format!("Some content in the namespace has finalizers remaining: {}", left.join(", ")),
            "lastTransitionTime": since.unwrap_or_else(|| rfc3339(now)),
        }]);
        if namespace["status"] != live["status"] {
            self.store.put(&namespaces, "", name, namespace);
        }
    }

    /// Gives each namespace its default service account.
    pub(super) fn equip_namespaces(&mut self, now: Millis, random: &mut Random) {
        if self.equipped == self.store.revision() {
            return;
        }
        let bare: Vec<String> = self
            .store
            .list(&Resource::new("", "namespaces"), None)
            .filter(|(_, object)| !object["metadata"]["deletionTimestamp"].is_string())
            .map(|((_, name), _)| name.clone())
            .filter(|name| self.store.get(&Resource::new("", "serviceaccounts"), name, "default").is_none())
            .collect();
        for namespace in bare {
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace},
            });
            self.put(account, now, random);
        }
        self.equipped = self.store.revision();
    }
}

impl Context {
    /// The context of the cluster's own controllers.
    pub fn controller(now: Millis) -> Self {
        Context {
            user: User::new("system:kube-controller-manager", &[]),
            now,
            manager: "kube-controller-manager".to_owned(),
            manager_given: true,
            dry_run: false,
            force: true,
            strict: false,
        }
    }
}
