//! Objects, their revisions and the history that watches read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::kind::Resource;

/// (namespace, name); the namespace is empty for cluster-scoped objects.
pub type Key = (String, String);

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Record {
    /// Revision that the change made.
    pub revision: u64,
    /// Whose table.
    pub resource: Resource,
    /// What happened.
    pub change: Change,
    /// The object after the change (before it, for a deletion, with the new revision).
    pub object: Arc<Value>,
    /// The object before the change.
    pub before: Option<Arc<Value>>,
}

/// All objects of one API server.
#[derive(Debug)]
pub struct Store {
    tables: BTreeMap<Resource, BTreeMap<Key, Arc<Value>>>,
    history: VecDeque<Record>,
    revision: u64,
    compacted: u64,
    limit: usize,
}

impl Store {
    /// An empty store that remembers the last `limit` changes.
    pub fn new(limit: usize) -> Self {
        Store { tables: BTreeMap::new(), history: VecDeque::new(), revision: 1, compacted: 0, limit }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Changes up to this revision are forgotten.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets all changes up to now, as etcd's compaction does.
    pub fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.revision;
    }

    /// One object.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.tables.get(resource)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind in the order of (namespace, name); of one namespace if `namespace` is given.
    pub fn list<'a>(
        &'a self,
        resource: &Resource,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + use<'a> {
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(BTreeMap::iter)
            .filter(move |((ns, _), _)| namespace.is_none_or(|wanted| wanted == ns))
    }

    /// All tables that hold something.
    pub fn resources(&self) -> Vec<Resource> {
        self.tables.iter().filter(|(_, table)| !table.is_empty()).map(|(resource, _)| resource.clone()).collect()
    }

    /// Stores an object under a new revision, which is written into it.
    pub fn put(&mut self, resource: &Resource, namespace: &str, name: &str, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        let key = (namespace.to_owned(), name.to_owned());
        let before = self.tables.entry(resource.clone()).or_default().insert(key, object.clone());
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.record(resource, change, object.clone(), before);
        object
    }

    /// Removes an object; what is returned carries the revision of the deletion.
    pub fn remove(&mut self, resource: &Resource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let before = self.tables.get_mut(resource)?.remove(&(namespace.to_owned(), name.to_owned()))?;
        self.revision += 1;
        let mut object = (*before).clone();
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        self.record(resource, Change::Deleted, object.clone(), Some(before));
        Some(object)
    }

    /// The changes after `revision`, oldest first; `None` when some of them are forgotten.
    pub fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Record>> {
        if revision < self.compacted {
            return None;
        }
        let start = self.history.partition_point(|record| record.revision <= revision);
        Some(self.history.range(start..))
    }

    fn record(&mut self, resource: &Resource, change: Change, object: Arc<Value>, before: Option<Arc<Value>>) {
        self.history.push_back(Record { revision: self.revision, resource: resource.clone(), change, object, before });
        while self.history.len() > self.limit {
            if let Some(record) = self.history.pop_front() {
                self.compacted = record.revision;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn history_is_forgotten_from_the_front() {
        let mut store = Store::new(2);
        let pods = Resource::new("", "pods");
        for name in ["a", "b", "c"] {
            store.put(&pods, "default", name, json!({"metadata": {"name": name}}));
        }
        assert!(store.since(1).is_none(), "the change that made revision 2 is gone");
        assert_eq!(store.since(2).unwrap().count(), 2);
        store.remove(&pods, "default", "a").unwrap();
        let last = store.since(4).unwrap().next().unwrap();
        assert_eq!((last.change, last.object["metadata"]["resourceVersion"].as_str()), (Change::Deleted, Some("5")));
    }
}
