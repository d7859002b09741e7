//! A small API server: objects with uid, generation and resourceVersion, finalizers, label selectors, Secrets by reference.
//!
//! What it leaves out: schemas, defaulting, field ownership (an apply merges maps and replaces lists), RBAC beyond the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::World;
use super::http::base64;
use super::world::{State, denied};
use crate::bindings::host::agentkube::host::kube as wire;
use crate::kube::{ListOptions, PatchKind, Preconditions, RawResponse, Resource, Target};
use crate::{Class, Fault, Result};

type Key = (String, String, String, String, String);
type Raw = Rc<dyn Fn(&str) -> (u16, String)>;
type Rival = Rc<dyn Fn(&mut Value)>;
type Rehearsal = Rc<dyn Fn(&Value) -> Result<Value>>;

#[derive(Default)]
pub(crate) struct Kube {
    objects: BTreeMap<Key, Value>,
    version: u64,
    raw: BTreeMap<String, Raw>,
    /// What the server's roles leave out: connection, group, plural, verb.
    forbidden: BTreeSet<(String, String, String, String)>,
    rehearsals: BTreeMap<String, Rehearsal>,
    /// How many patches of an object somebody else is still ahead of, and with what change.
    rivals: BTreeMap<Key, (usize, Rival)>,
    writes: Vec<String>,
}

/// The API server as one connection of one plugin sees it.
pub(crate) struct View<'a>(&'a mut State);

fn key(connection: &str, target: &Target) -> Key {
    (
        connection.to_owned(),
        target.resource.group.clone(),
        target.resource.plural.clone(),
        target.namespace.clone().unwrap_or_default(),
        target.name.clone(),
    )
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Fault::invalid("BAD_OBJECT", error.to_string()))
}

impl World {
    /// Puts an object there as somebody else would, without a plugin.
    pub fn put_object(&self, connection: &str, target: &Target, object: Value) -> &Self {
        self.with(|state| state.kube.store(key(connection, target), object));
        self
    }

    /// An object as it is there; values of Secrets included.
    pub fn object(&self, connection: &str, target: &Target) -> Option<Value> {
        self.with(|state| state.kube.objects.get(&key(connection, target)).cloned())
    }

    /// All objects of one kind.
    pub fn objects(&self, connection: &str, resource: &Resource) -> Vec<Value> {
        self.with(|state| state.kube.of(connection, resource).cloned().collect())
    }

    /// Changes an object as somebody else would: a controller its status, an operator a label. Nothing when it does not exist.
    pub fn change_object(&self, connection: &str, target: &Target, change: impl FnOnce(&mut Value)) -> &Self {
        self.with(|state| {
            let key = key(connection, target);
            if let Some(mut object) = state.kube.objects.get(&key).cloned() {
                change(&mut object);
                state.kube.store(key, object);
            }
        });
        self
    }

    /// Lets somebody else change an object just before each of the next so many patches of it: its version is never the one that was
    /// read.
    pub fn change_before_patches(
        &self,
        connection: &str,
        target: &Target,
        times: usize,
        change: impl Fn(&mut Value) + 'static,
    ) -> &Self {
        self.with(|state| state.kube.rivals.insert(key(connection, target), (times, Rc::new(change))));
        self
    }

    /// Removes an object as somebody else would, finalizers or not.
    pub fn remove_object(&self, connection: &str, target: &Target) -> &Self {
        self.with(|state| state.kube.objects.remove(&key(connection, target)));
        self
    }

    /// Answers raw GETs of a connection.
    pub fn raw_paths(&self, connection: &str, handler: impl Fn(&str) -> (u16, String) + 'static) -> &Self {
        self.with(|state| state.kube.raw.insert(connection.to_owned(), Rc::new(handler)));
        self
    }

    /// Takes a verb out of the role that the server gives a connection: what needs it is refused, and `may` says so.
    pub fn forbid(&self, connection: &str, resource: &Resource, verb: &str) -> &Self {
        let (group, plural) = (resource.group.clone(), resource.plural.clone());
        self.with(|state| state.kube.forbidden.insert((connection.to_owned(), group, plural, verb.to_owned())));
        self
    }

    /// Answers rehearsed creations of a connection; without a handler the object comes back as it is.
    pub fn rehearsals(&self, connection: &str, handler: impl Fn(&Value) -> Result<Value> + 'static) -> &Self {
        self.with(|state| state.kube.rehearsals.insert(connection.to_owned(), Rc::new(handler)));
        self
    }

    /// What was written by plugins, oldest first: `create admin tenantcontrolplanes/ns/name`.
    pub fn writes(&self) -> Vec<String> {
        self.with(|state| state.kube.writes.clone())
    }

    pub(crate) async fn kube<T>(&self, act: impl FnOnce(&mut View<'_>) -> Result<T>) -> Result<T> {
        self.call(|state| act(&mut View(state))).await
    }

    pub(crate) async fn kube_wait(
        &self,
        connection: String,
        target: Target,
        known: Option<String>,
        timeout_ms: u32,
    ) -> Result<wire::Waited> {
        self.kube(|view| view.allow(&connection, &target.resource, "watch", &target.name)).await?;
        let key = key(&connection, &target);
        let seen = self.watch(self.now() + u64::from(timeout_ms), |state| {
            let now = state.kube.objects.get(&key).map(|object| version(object).to_owned());
            (now != known).then_some(())
        });
        let timed_out = seen.await.is_none();
        let object = self.with(|state| View(state).show(&key));
        Ok(wire::Waited { object, timed_out })
    }
}

impl Kube {
    fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version;
        let before = self.objects.get(&key);
        let generation = before.map_or(1, |before| {
            let old = before["metadata"]["generation"].as_u64().unwrap_or(1);
            old + u64::from(before.get("spec") != object.get("spec"))
        });
        let uid = before.map_or_else(|| json!(format!("uid-{version}")), |before| before["metadata"]["uid"].clone());
        object["metadata"]["name"] = json!(key.4);
        if !key.3.is_empty() {
            object["metadata"]["namespace"] = json!(key.3);
        }
        object["metadata"]["uid"] = uid;
        object["metadata"]["generation"] = json!(generation);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if object["metadata"]["deletionTimestamp"].is_string() && !finalizers {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, object.clone());
        }
        object
    }

    fn overtake(&mut self, key: &Key) {
        let Some((left, change)) = self.rivals.get_mut(key).filter(|(left, _)| *left > 0) else { return };
        *left -= 1;
        if let Some(mut object) = self.objects.get(key).cloned() {
            change(&mut object);
            self.store(key.clone(), object);
        }
    }

    fn of(&self, connection: &str, resource: &Resource) -> impl Iterator<Item = &Value> {
        let (group, plural) = (resource.group.clone(), resource.plural.clone());
        let connection = connection.to_owned();
        let fits = move |key: &Key| key.0 == connection && key.1 == group && key.2 == plural;
        self.objects.iter().filter(move |(key, _)| fits(key)).map(|(_, object)| object)
    }
}

impl View<'_> {
    /// As the host decides by the manifest, and then the server by its roles.
    fn allow(&self, connection: &str, resource: &Resource, verb: &str, what: &str) -> Result<()> {
        self.asked(connection, resource, verb, what)?;
        match self.forbidden(connection, resource, verb) {
            true => Err(Fault::new(Class::Unauthorized, "FORBIDDEN", format!("cannot {verb} {}", resource.plural))),
            false => Ok(()),
        }
    }

    fn forbidden(&self, connection: &str, resource: &Resource, verb: &str) -> bool {
        let (group, plural) = (resource.group.clone(), resource.plural.clone());
        self.0.kube.forbidden.contains(&(connection.to_owned(), group, plural, verb.to_owned()))
    }

    fn asked(&self, connection: &str, resource: &Resource, verb: &str, what: &str) -> Result<()> {
        let Some(manifest) = &self.0.manifest else { return Ok(()) };
        let plural = resource.plural.as_str();
        let needs = manifest.needs.kube.iter();
        let mut rules = needs
            .filter(|need| self.0.connection_of(&need.connection) == Some(connection))
            .flat_map(|need| &need.rules)
            .filter(|rule| rule.group == resource.group && rule.resources.iter().any(|name| name == plural));
        if rules.any(|rule| rule.verbs.iter().any(|name| name == verb)) {
            return Ok(());
        }
        Err(denied(&format!("`{verb}` of `{plural}` ({what}) on `{connection}`")))
    }

    fn wrote(&mut self, verb: &str, connection: &str, target: &Target) {
        let namespace = target.namespace.as_deref().map(|name| format!("{name}/")).unwrap_or_default();
        let line = format!("{verb} {connection} {}/{namespace}{}", target.resource.plural, target.name);
        self.0.kube.writes.push(line);
    }

    /// An object as the plugin sees it: values of a Secret become references.
    fn show(&mut self, key: &Key) -> Option<String> {
        let mut object = self.0.kube.objects.get(key)?.clone();
        if key.1.is_empty() && key.2 == "secrets" {
            for (name, value) in object["data"].as_object_mut().into_iter().flatten() {
                let reference = format!("kube:{}/{}/{}/{name}", key.0, key.3, key.4);
                let encoded = value.as_str().unwrap_or_default().to_owned();
                self.0.values.insert(reference.clone(), decode_base64(&encoded));
                *value = json!(reference);
            }
        }
        Some(object.to_string())
    }

    fn current(&self, key: &Key, preconditions: &Preconditions) -> Result<Value> {
        let object = self.0.kube.objects.get(key).cloned();
        let object = object.ok_or_else(|| missing(key))?;
        let uid = object["metadata"]["uid"].as_str();
        let stale = preconditions.resource_version.as_deref().is_some_and(|wanted| wanted != version(&object))
            || preconditions.uid.is_some() && preconditions.uid.as_deref() != uid;
        match stale {
            true => Err(Fault::conflict("PRECONDITION", format!("`{}` is not what it was", key.4))),
            false => Ok(object),
        }
    }

    fn put(&mut self, key: Key, object: Value) -> Result<String> {
        let stored = self.0.kube.store(key.clone(), object);
        Ok(self.show(&key).unwrap_or_else(|| stored.to_string()))
    }

    pub(crate) fn get(&mut self, connection: &str, target: &Target) -> Result<String> {
        self.allow(connection, &target.resource, "get", &target.name)?;
        let key = key(connection, target);
        self.show(&key).ok_or_else(|| missing(&key))
    }

    pub(crate) fn list(&mut self, connection: &str, resource: &Resource, options: &ListOptions) -> Result<wire::Page> {
        self.allow(connection, resource, "list", "a list")?;
        let wanted: Vec<(&str, &str)> = options
            .labels
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k, v.trim_start_matches('=')))
            .collect();
        let after = options.continue_token.clone().unwrap_or_default();
        let keys: Vec<Key> = self
            .0
            .kube
            .objects
            .iter()
            .filter_map(|(key, object)| {
                let labels = &object["metadata"]["labels"];
                let fits = key.0 == connection
                    && key.1 == resource.group
                    && key.2 == resource.plural
                    && options.namespace.as_ref().is_none_or(|namespace| *namespace == key.3)
                    && wanted.iter().all(|(name, value)| labels[*name] == **value)
                    && format!("{}/{}", key.3, key.4) > after;
                fits.then(|| key.clone())
            })
            .collect();
        let limit = options.limit.max(1) as usize;
        let continue_token = keys.get(limit).and(keys.get(limit - 1)).map(|last| format!("{}/{}", last.3, last.4));
        let items = keys.iter().take(limit).filter_map(|key| self.show(key)).collect();
        Ok(wire::Page { items, continue_token })
    }

    pub(crate) fn create(&mut self, connection: &str, target: &Target, object: &str) -> Result<String> {
        self.allow(connection, &target.resource, "create", &target.name)?;
        let key = key(connection, target);
        if self.0.kube.objects.contains_key(&key) {
            return Err(Fault::conflict("ALREADY_EXISTS", format!("`{}` exists already", target.name)));
        }
        self.wrote("create", connection, target);
        self.put(key, stringify_secret(parse(object)?))
    }

    pub(crate) fn apply(&mut self, connection: &str, target: &Target, object: &str) -> Result<String> {
        self.allow(connection, &target.resource, "patch", &target.name)?;
        let (key, object) = (key(connection, target), stringify_secret(parse(object)?));
        let before = self.0.kube.objects.get(&key).cloned();
        if let Some(uid) = object["metadata"]["uid"].as_str()
            && before.as_ref().is_none_or(|before| before["metadata"]["uid"] != *uid)
        {
            return Err(Fault::conflict("PRECONDITION", format!("`{}` is not the object with uid {uid}", target.name)));
        }
        let mut merged = before.unwrap_or_else(|| json!({}));
        merge(&mut merged, &object, false);
        self.wrote("apply", connection, target);
        self.put(key, merged)
    }

    pub(crate) fn patch(
        &mut self,
        connection: &str,
        target: &Target,
        subresource: Option<&str>,
        kind: PatchKind,
        patch: &str,
        preconditions: &Preconditions,
    ) -> Result<String> {
        let plural = &target.resource.plural;
        let plural = subresource.map_or_else(|| plural.clone(), |name| format!("{plural}/{name}"));
        self.allow(connection, &Resource { plural, ..target.resource.clone() }, "patch", &target.name)?;
        let key = key(connection, target);
        self.0.kube.overtake(&key);
        let mut object = self.current(&key, preconditions)?;
        match kind {
            PatchKind::Merge | PatchKind::Strategic => merge(&mut object, &parse(patch)?, true),
            PatchKind::Json => {
                for operation in parse(patch)?.as_array().into_iter().flatten() {
                    edit(&mut object, operation)?;
                }
            }
        }
        self.wrote("patch", connection, target);
        self.put(key, object)
    }

    pub(crate) fn delete(&mut self, connection: &str, target: &Target, preconditions: &Preconditions) -> Result<()> {
        self.allow(connection, &target.resource, "delete", &target.name)?;
        let key = key(connection, target);
        let mut object = match self.current(&key, preconditions) {
            Err(fault) if super::http::is_not_found(&fault) => return Ok(()),
            object => object?,
        };
        self.wrote("delete", connection, target);
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.0.kube.store(key, object);
        Ok(())
    }

    pub(crate) fn may(
        &mut self,
        connection: &str,
        verb: &str,
        resource: &Resource,
        _namespace: Option<&str>,
    ) -> Result<bool> {
        self.asked(connection, resource, verb, "a question")?;
        Ok(!self.forbidden(connection, resource, verb))
    }

    pub(crate) fn rehearse(&mut self, connection: &str, target: &Target, object: &str) -> Result<String> {
        self.allow(connection, &target.resource, "create", &target.name)?;
        let object = stringify_secret(parse(object)?);
        match self.0.kube.rehearsals.get(connection) {
            Some(handler) => handler(&object).map(|answer| answer.to_string()),
            None => Ok(object.to_string()),
        }
    }

    pub(crate) fn raw_get(&mut self, connection: &str, path: &str) -> Result<RawResponse> {
        if let Some(manifest) = &self.0.manifest {
            let needs = manifest.needs.kube.iter();
            let mut needs = needs.filter(|need| self.0.connection_of(&need.connection) == Some(connection));
            if !needs.any(|need| need.raw.iter().any(|raw| raw == path)) {
                return Err(denied(&format!("raw `{path}` on `{connection}`")));
            }
        }
        let answer = self.0.kube.raw.get(connection).map(|handler| handler(path));
        let (status, body) = answer.unwrap_or((404, "404 page not found".to_owned()));
        Ok(RawResponse { status, body })
    }
}

fn missing(key: &Key) -> Fault {
    Fault::not_found("NOT_FOUND", format!("{} `{}` not found", key.2, key.4))
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// RFC 7386; without `nulls`, null is a value like any other.
fn merge(object: &mut Value, patch: &Value, nulls: bool) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, value) in patch {
        match object.as_object_mut() {
            Some(map) if nulls && value.is_null() => drop(map.remove(name)),
            _ => merge(&mut object[name], value, nulls),
        }
    }
}

/// One operation of RFC 6902: `test`, `add`, `replace`, `remove`.
fn edit(object: &mut Value, operation: &Value) -> Result<()> {
    let path = operation["path"].as_str().unwrap_or_default();
    let refused = |why: &str| Fault::invalid("BAD_PATCH", format!("{why}: {operation}"));
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| refused("no path"))?;
    let last = last.replace("~1", "/").replace("~0", "~");
    if operation["op"] == "test" {
        return match object.pointer(path) == Some(&operation["value"]) {
            true => Ok(()),
            false => Err(Fault::conflict("PRECONDITION", format!("the test failed: {operation}"))),
        };
    }
    let parent = object.pointer_mut(parent).ok_or_else(|| refused("no such parent"))?;
    let value = operation["value"].clone();
    match (operation["op"].as_str(), parent) {
        (Some("remove"), Value::Object(map)) => map.remove(&last).map(drop).ok_or_else(|| refused("no such field")),
        (Some("add" | "replace"), Value::Object(map)) => {
            map.insert(last, value);
            Ok(())
        }
        (op, Value::Array(list)) => {
            let index = if last == "-" { list.len() } else { last.parse().map_err(|_| refused("no such index"))? };
            match op {
                Some("add") if index <= list.len() => list.insert(index, value),
                Some("remove") if index < list.len() => drop(list.remove(index)),
                Some("replace") if index < list.len() => list[index] = value,
                _ => return Err(refused("no such index")),
            }
            Ok(())
        }
        _ => Err(refused("not an operation for this place")),
    }
}

/// What the API server does with `stringData`.
fn stringify_secret(mut object: Value) -> Value {
    if let Some(Value::Object(plain)) = object.as_object_mut().and_then(|map| map.remove("stringData")) {
        for (name, value) in plain {
            object["data"][name] = json!(base64(value.as_str().unwrap_or_default().as_bytes()));
        }
    }
    object
}

fn decode_base64(text: &str) -> String {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).collect();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let group = (0..4).fold(0, |group, place| (group << 6) | chunk.get(place).copied().unwrap_or(0));
        bytes.extend(group.to_be_bytes()[1..chunk.len().max(1)].iter());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
