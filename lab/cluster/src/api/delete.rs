//! delete and deletecollection.

use std::sync::Arc;

use lab_wire::{Request, Response, rfc3339};
use serde_json::{Value, json};

use super::create::place;
use super::failure::Failure;
use super::kind::{Kind, Resource};
use super::registry::Target;
use super::request::Context;
use super::selector::Selector;
use super::server::ApiServer;

/// `DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    uid: Option<String>,
    revision: Option<String>,
    propagation: Option<String>,
    dry_run: bool,
}

impl Deletion {
    /// Reads the options; a propagation policy that is none is refused.
    pub fn read(body: &Value, request: &Request) -> Result<Self, Failure> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let query = request.query_value("propagationPolicy").map(str::to_owned);
        let deletion = Deletion {
            uid: text(&body["preconditions"]["uid"]),
            revision: text(&body["preconditions"]["resourceVersion"]),
            propagation: text(&body["propagationPolicy"]).or(query),
            dry_run: body["dryRun"][0] == "All",
        };
        match deletion.propagation.as_deref() {
            None | Some("Foreground" | "Background" | "Orphan") => Ok(deletion),
            Some(other) => Err(Failure::invalid(
                "meta.k8s.io",
                "DeleteOptions",
                "",
                &[("propagationPolicy".to_owned(), format!("Unsupported value: {other:?}"))],
            )),
        }
    }
}

impl ApiServer {
    pub(super) fn delete(
        &mut self,
        request: &Request,
        target: &Target,
        body: Value,
        context: &Context,
    ) -> Result<Response, Failure> {
        let live = self.live(target)?.clone();
        let deletion = Deletion::read(&body, request)?;
        let left = self.begin_deletion(&target.kind, &live, &deletion, context)?;
        match left {
            Some(object) => self.show(request, &target.kind, &object, 200, context.now),
            None if target.kind.plural == "pods" => self.show(request, &target.kind, &live, 200, context.now),
            None => Ok(Response::json(200, &success(&target.kind, &live))),
        }
    }

    pub(super) fn delete_collection(
        &mut self,
        target: &Target,
        selector: &Selector,
        body: &Value,
        context: &Context,
    ) -> Result<Response, Failure> {
        if target.kind.namespaced && target.namespace.is_none() {
            return Err(Failure::method_not_allowed());
        }
        let deletion = Deletion::read(body, &Request::default())?;
        let table = self.store.list(&target.kind.resource(), target.namespace.as_deref());
        let found: Vec<Arc<Value>> = table.filter(|(_, o)| selector.matches(o)).map(|(_, o)| o.clone()).collect();
        for live in &found {
            self.begin_deletion(&target.kind, live, &deletion, context)?;
        }
        let items: Vec<Value> = found.iter().map(|object| (**object).clone()).collect();
        Ok(Response::json(
            200,
            &json!({
                "kind": format!("{}List", target.kind.kind), "apiVersion": target.kind.api_version(),
                "metadata": {"resourceVersion": self.store.revision().to_string()}, "items": items,
            }),
        ))
    }

    /// Deletes an object, or marks it when finalizers hold it: then it is returned.
    pub(super) fn begin_deletion(
        &mut self,
        kind: &Kind,
        live: &Arc<Value>,
        deletion: &Deletion,
        context: &Context,
    ) -> Result<Option<Arc<Value>>, Failure> {
        let (namespace, name) = place(live);
        let has = |field: &str| live["metadata"][field].as_str().unwrap_or_default();
        for (wanted, field, label) in
            [(&deletion.uid, "uid", "UID"), (&deletion.revision, "resourceVersion", "ResourceVersion")]
        {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != has(field)) {
                let why = format!(
                    "Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {}",
                    has(field)
                );
                return Err(Failure::conflict(&kind.group, &kind.plural, &name, &why));
            }
        }
        if kind.plural == "namespaces" && ["default", "kube-system", "kube-public"].contains(&name.as_str()) {
            return Err(Failure::forbidden(format!(
                "namespaces \"{name}\" is forbidden: this namespace may not be deleted"
            ))
            .about("", "namespaces", &name));
        }
        if deletion.dry_run || context.dry_run {
            return Ok(None);
        }
        let mut object = (**live).clone();
        let first = !object["metadata"]["deletionTimestamp"].is_string();
        if first {
            let waits = match deletion.propagation.as_deref() {
                Some("Foreground") => Some("foregroundDeletion"),
                Some("Orphan") => Some("orphan"),
                _ => None,
            };
            if let Some(finalizer) = waits {
                let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                all.push(finalizer.into());
                object["metadata"]["finalizers"] = all.into();
            }
        }
        if !is_held(kind, &object) {
            self.remove_object(kind, &namespace, &name);
            return Ok(None);
        }
        if first {
            object["metadata"]["deletionTimestamp"] = rfc3339(context.now).into();
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            if kind.generation {
                object["metadata"]["generation"] = (object["metadata"]["generation"].as_i64().unwrap_or(1) + 1).into();
            }
            if kind.plural == "namespaces" {
                object["status"]["phase"] = "Terminating".into();
                self.draining.insert(name.clone(), context.now + self.settings.namespace_drain);
            }
            let stored = self.store.put(&kind.resource(), &namespace, &name, object);
            return Ok(Some(stored));
        }
        Ok(Some(live.clone()))
    }

    /// Takes an object out of the store and lets the garbage collector know.
    pub(super) fn remove_object(&mut self, kind: &Kind, namespace: &str, name: &str) {
        if let Some(gone) = self.store.remove(&kind.resource(), namespace, name) {
            if let Some(uid) = gone["metadata"]["uid"].as_str() {
                self.orphaned.insert(uid.to_owned());
            }
            if kind.plural == "customresourcedefinitions" {
                self.unserve(&gone);
            }
            if kind.plural == "namespaces" {
                self.draining.remove(name);
            }
        }
    }

    /// Effects of a write beyond the object: a held deletion that is released, kinds that begin to be served.
    pub(super) fn after_write(&mut self, kind: &Kind, object: &Arc<Value>, now: lab_wire::Millis) {
        if object["metadata"]["deletionTimestamp"].is_string() && !is_held(kind, object) {
            let (namespace, name) = place(object);
            self.remove_object(kind, &namespace, &name);
        } else if kind.resource() == Resource::new("apiextensions.k8s.io", "customresourcedefinitions") {
            self.serve(object, now);
        }
    }
}

/// Whether finalizers keep an object.
pub fn is_held(kind: &Kind, object: &Value) -> bool {
    let any = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    any(&object["metadata"]["finalizers"]) || (kind.plural == "namespaces" && any(&object["spec"]["finalizers"]))
}

fn success(kind: &Kind, object: &Value) -> Value {
    let mut details =
        json!({"name": object["metadata"]["name"], "kind": kind.plural, "uid": object["metadata"]["uid"]});
    if !kind.group.is_empty() {
        details["group"] = kind.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
