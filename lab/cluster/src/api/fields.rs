//! Sets of fields, as `managedFields` writes them (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::kind::Kind;
use super::shape::{Shape, item_key, shape};

/// A set of fields: a tree whose edges are path elements (`f:name`, `k:{…}`, `v:…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Whether the node itself belongs to the set.
    pub own: bool,
    /// What lies below.
    pub children: BTreeMap<String, Fields>,
}

/// Metadata that belongs to the server and to nobody else.
const SERVER_OWNED: [&str; 8] =
    ["name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion", "managedFields", "selfLink"];

impl Fields {
    /// The fields that an object has. `subresource` decides which part of it counts.
    pub fn of(kind: &Kind, object: &Value, subresource: &str) -> Self {
        let mut root = Fields::default();
        for (name, value) in object.as_object().into_iter().flatten() {
            let counts = match name.as_str() {
                "apiVersion" | "kind" => false,
                "status" => !kind.status || subresource == "status",
                "metadata" => subresource != "status" || !kind.custom,
                _ => subresource != "status",
            };
            if counts {
                let mut path = vec![name.clone()];
                root.children.insert(format!("f:{name}"), walk(kind, &mut path, value));
            }
        }
        if let Some(metadata) = root.children.get_mut("f:metadata") {
            for name in SERVER_OWNED {
                metadata.children.remove(&format!("f:{name}"));
            }
            metadata.own = false;
        }
        root.children.retain(|_, child| !child.is_empty());
        root
    }

    /// What differs between two states: (fields that are new or changed, fields that are gone).
    pub fn diff(kind: &Kind, old: &Value, new: &Value, subresource: &str) -> (Fields, Fields) {
        let (before, after) = (Fields::of(kind, old, subresource), Fields::of(kind, new, subresource));
        let mut changed = after.clone();
        changed.drop_equal(&before, old, new);
        (changed, before.minus(&after))
    }

    /// Removes what stands in `before` with the same value.
    fn drop_equal(&mut self, before: &Fields, old: &Value, new: &Value) {
        if self.own && before.own && (!self.children.is_empty() || old == new) {
            self.own = false;
        }
        self.children.retain(|element, child| {
            if let (Some(was), Some(old), Some(new)) =
                (before.children.get(element), resolve(old, element), resolve(new, element))
            {
                child.drop_equal(was, old, new);
            }
            !child.is_empty()
        });
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &Fields) {
        self.own |= other.own;
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().add(child);
        }
    }

    /// What is in this set and not in the other.
    pub fn minus(&self, other: &Fields) -> Fields {
        let mut rest = Fields { own: self.own && !other.own, children: BTreeMap::new() };
        for (element, child) in &self.children {
            let left = match other.children.get(element) {
                Some(there) => child.minus(there),
                None => child.clone(),
            };
            if !left.is_empty() {
                rest.children.insert(element.clone(), left);
            }
        }
        rest
    }

    /// What is in both sets.
    pub fn and(&self, other: &Fields) -> Fields {
        let mut both = Fields { own: self.own && other.own, children: BTreeMap::new() };
        for (element, child) in &self.children {
            if let Some(there) = other.children.get(element) {
                let common = child.and(there);
                if !common.is_empty() {
                    both.children.insert(element.clone(), common);
                }
            }
        }
        both
    }

    /// The members as readable paths, such as `.spec.replicas`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.own && !prefix.is_empty() {
            paths.push(prefix.to_owned());
        }
        for (element, child) in &self.children {
            let step = match element.split_once(':') {
                Some(("f", name)) => format!(".{name}"),
                Some(("k", key)) => {
                    let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                    let pairs: Vec<String> = key.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    format!("[{}]", pairs.join(","))
                }
                _ => format!("[={}]", element.trim_start_matches("v:")),
            };
            child.collect(&format!("{prefix}{step}"), paths);
        }
    }

    /// As `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            map.insert(element.clone(), child.to_json());
        }
        Value::Object(map)
    }

    /// Reads `fieldsV1`.
    pub fn from_json(value: &Value) -> Self {
        let map = value.as_object();
        let mut fields = Fields { own: map.is_none_or(|m| m.is_empty() || m.contains_key(".")), ..Fields::default() };
        for (element, child) in map.into_iter().flatten().filter(|(element, _)| *element != ".") {
            fields.children.insert(element.clone(), Fields::from_json(child));
        }
        fields
    }

    /// Removes the members from an object, and what became empty by it.
    pub fn remove_from(&self, object: &mut Value) {
        for (element, child) in &self.children {
            let gone = match resolve_mut(object, element) {
                Some(below) if !child.own => {
                    child.remove_from(below);
                    below.as_object().is_some_and(Map::is_empty) || below.as_array().is_some_and(Vec::is_empty)
                }
                Some(_) => true,
                None => false,
            };
            if gone {
                remove(object, element);
            }
        }
    }
}

fn walk(kind: &Kind, path: &mut Vec<String>, value: &Value) -> Fields {
    let mut fields = Fields::default();
    match (value, shape(kind, path, value)) {
        (Value::Object(map), Shape::Granular) if !map.is_empty() => {
            for (name, child) in map {
                path.push(name.clone());
                fields.children.insert(format!("f:{name}"), walk(kind, path, child));
                path.pop();
            }
        }
        (Value::Array(items), Shape::Set) if !items.is_empty() => {
            for item in items {
                fields.children.insert(format!("v:{item}"), Fields { own: true, children: BTreeMap::new() });
            }
        }
        (Value::Array(items), Shape::Keyed(keys)) if !items.is_empty() => {
            path.push("[]".to_owned());
            for item in items {
                let mut child = walk(kind, path, item);
                child.own = true;
                fields.children.insert(format!("k:{}", item_key(item, &keys)), child);
            }
            path.pop();
        }
        _ => fields.own = true,
    }
    fields
}

fn position(items: &[Value], element: &str) -> Option<usize> {
    match element.split_once(':')? {
        ("v", text) => {
            let value: Value = serde_json::from_str(text).ok()?;
            items.iter().position(|item| *item == value)
        }
        ("k", text) => {
            let key: Value = serde_json::from_str(text).ok()?;
            let names: Vec<String> = key.as_object()?.keys().cloned().collect();
            items.iter().position(|item| item_key(item, &names) == key)
        }
        _ => None,
    }
}

fn resolve<'a>(value: &'a Value, element: &str) -> Option<&'a Value> {
    match (value, element.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => map.get(name),
        (Value::Array(items), None) => items.get(position(items, element)?),
        _ => None,
    }
}

fn resolve_mut<'a>(value: &'a mut Value, element: &str) -> Option<&'a mut Value> {
    match (value, element.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => map.get_mut(name),
        (Value::Array(items), None) => {
            let at = position(items, element)?;
            items.get_mut(at)
        }
        _ => None,
    }
}

fn remove(value: &mut Value, element: &str) {
    match (value, element.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => {
            map.remove(name);
        }
        (Value::Array(items), None) => {
            if let Some(at) = position(items, element) {
                items.remove(at);
            }
        }
        _ => {}
    }
}
