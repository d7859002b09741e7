//! update and patch, of objects and of their subresources.

use std::sync::Arc;

use lab_wire::{Random, Request, Response};
use serde_json::Value;

use super::apply;
use super::create::{place, remove_metadata, writer};
use super::defaults;
use super::failure::Failure;
use super::fields::Fields;
use super::kind::Kind;
use super::managers;
use super::patch::Patch;
use super::rbac::{self, Attributes};
use super::read::scale_of;
use super::registry::Target;
use super::request::Context;
use super::schema;
use super::server::ApiServer;
use super::validate;

impl ApiServer {
    pub(super) fn update(
        &mut self,
        request: &Request,
        target: &Target,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        if target.subresource.as_deref() == Some("scale") {
            return self.rescale(target, &body, context);
        }
        validate::belongs(&kind, &body, target)?;
        let live = match self.live(target) {
            Ok(live) => live.clone(),
            Err(_) if kind.plural == "leases" => return self.create(request, target, body, context, random),
            Err(failure) => return Err(failure),
        };
        let given = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if kind.custom && given.is_empty() {
            let name = target.name.as_deref().unwrap_or_default();
            return Err(Failure::invalid(
                &kind.group,
                &kind.kind,
                name,
                &[(
                    "metadata.resourceVersion".to_owned(),
                    "Invalid value: 0x0: must be specified for an update".to_owned(),
                )],
            ));
        }
        let stored = self.replace(&kind, &live, body, target.subresource.as_deref().unwrap_or_default(), context)?;
        self.show(request, &kind, &stored, 200, context.now)
    }

    pub(super) fn patch(
        &mut self,
        request: &Request,
        target: &Target,
        patch: Patch,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        let subresource = target.subresource.clone().unwrap_or_default();
        if subresource == "scale" {
            let live = self.live(target)?;
            let scale = patch.patched(&kind, &scale_of(&kind, live), &body)?;
            return self.rescale(target, &scale, context);
        }
        if patch == Patch::Apply {
            return self.apply(request, target, body, context, random);
        }
        let live = self.live(target)?.clone();
        let wanted = patch.patched(&kind, &live, &body)?;
        validate::belongs(&kind, &wanted, target)?;
        let stored = self.replace(&kind, &live, wanted, &subresource, context)?;
        self.show(request, &kind, &stored, 200, context.now)
    }

    fn apply(
        &mut self,
        request: &Request,
        target: &Target,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        let name = target.name.as_deref().unwrap_or_default();
        if !context.manager_given {
            return Err(apply::nameless(&kind));
        }
        if body["metadata"].get("managedFields").is_some() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let mut body = body;
        if body["metadata"]["name"].is_null() {
            body["metadata"]["name"] = name.into();
        }
        validate::belongs(&kind, &body, target)?;
        defaults::secrets_as_data(&kind, &mut body);
        let subresource = target.subresource.as_deref().unwrap_or_default();
        let writer = writer(&kind, subresource, context);
        let Ok(live) = self.live(target).cloned() else {
            return self.apply_new(request, target, body, context, random);
        };
        let uid = body["metadata"]["uid"].as_str().map(str::to_owned);
        let revision = body["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let mut wanted = apply::apply(&kind, Some(&live), &body, writer, context.force)?;
        if let Some(uid) = uid {
            wanted["metadata"]["uid"] = uid.into();
        }
        wanted["metadata"]["resourceVersion"] = revision.unwrap_or_default().into();
        let stored = self.settle(&kind, &live, wanted, subresource, context, |_, _| {})?;
        self.show(request, &kind, &stored, 200, context.now)
    }

    /// An apply of an object that is not there creates it, if the user may create.
    fn apply_new(
        &mut self,
        request: &Request,
        target: &Target,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        let name = target.name.as_deref().unwrap_or_default();
        if target.subresource.is_some() {
            return Err(Failure::not_found(&kind.group, &kind.plural, name));
        }
        if let Some(uid) = body["metadata"]["uid"].as_str() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Failure::conflict(&kind.group, &kind.plural, name, &why));
        }
        let wanted = Attributes {
            verb: "create".to_owned(),
            group: kind.group.clone(),
            resource: kind.plural.clone(),
            namespace: target.namespace.clone().unwrap_or_default(),
            ..Attributes::default()
        };
        if !rbac::allowed(&self.store, &context.user, &wanted) {
            return Err(rbac::refusal(&context.user, &wanted));
        }
        let writer = writer(&kind, "", context);
        let mut object = apply::apply(&kind, None, &body, writer, context.force)?;
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.clone().into();
        object["metadata"]["name"] = name.into();
        if let Some(namespace) = &target.namespace {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        let stored = self.admit_new(&kind, object, context, random, |_, _, _| {})?;
        self.show(request, &kind, &stored, 201, context.now)
    }

    fn rescale(&mut self, target: &Target, scale: &Value, context: &Context) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        let live = self.live(target)?.clone();
        let (pointer, _, _) = kind.scale.clone().unwrap_or_default();
        let mut wanted = (*live).clone();
        wanted["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
        set_pointer(&mut wanted, &pointer, scale["spec"]["replicas"].as_i64().unwrap_or(0).into());
        let stored = self.replace(&kind, &live, wanted, "", context)?;
        Ok(Response::json(200, &scale_of(&kind, &stored)))
    }

    /// An ordinary update: settles the object and books what changed on the writer.
    pub(super) fn replace(
        &mut self,
        kind: &Kind,
        live: &Arc<Value>,
        wanted: Value,
        subresource: &str,
        context: &Context,
    ) -> Result<Arc<Value>, Failure> {
        let writer = writer(kind, subresource, context);
        let mut wanted = wanted;
        // An explicit list of owners replaces the stored one (that is how ownership is handed over); none keeps it.
        if !wanted["metadata"]["managedFields"].is_array() {
            wanted["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        }
        self.settle(kind, live, wanted, subresource, context, |wanted, live| {
            let (changed, removed) = Fields::diff(kind, live, wanted, &writer.subresource);
            let mut all = managers::read(wanted);
            managers::book_update(&mut all, writer, &changed, &removed);
            managers::write(wanted, &all);
        })
    }

    /// Everything that a changed object goes through, from preconditions to the store.
    fn settle(
        &mut self,
        kind: &Kind,
        live: &Arc<Value>,
        mut wanted: Value,
        subresource: &str,
        context: &Context,
        own: impl FnOnce(&mut Value, &Value),
    ) -> Result<Arc<Value>, Failure> {
        let (namespace, name) = place(live);
        preconditions(kind, live, &wanted, &name)?;
        keep_server_fields(kind, live, &mut wanted, subresource);
        defaults::secrets_as_data(kind, &mut wanted);
        if let Some(schema) = &kind.schema {
            schema::settle(kind, schema, &mut wanted, context.strict)?;
        }
        own(&mut wanted, live);
        if wanted["metadata"]["managedFields"].is_null() {
            remove_metadata(&mut wanted, "managedFields");
        }
        if let Some(admission) = &self.admission {
            admission.mutate(kind, &mut wanted, Some(live), &self.store)?;
        }
        validate::object(kind, &wanted, Some(live))?;
        if subresource.is_empty()
            && let Some(admission) = &self.admission
        {
            admission.validate(kind, &wanted, Some(live), &self.store)?;
        }
        if kind.generation && changes_spec(kind, live, &wanted) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
            wanted["metadata"]["generation"] = (generation + 1).into();
        }
        wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        if wanted == **live || context.dry_run {
            return Ok(Arc::new(wanted));
        }
        let stored = self.store.put(&kind.resource(), &namespace, &name, wanted);
        self.after_write(kind, &stored, context.now);
        Ok(stored)
    }
}

fn preconditions(kind: &Kind, live: &Value, wanted: &Value, name: &str) -> Result<(), Failure> {
    let given = |field: &str| wanted["metadata"][field].as_str().filter(|v| !v.is_empty());
    let has = |field: &str| live["metadata"][field].as_str().unwrap_or_default();
    if let Some(uid) = given("uid").filter(|uid| *uid != has("uid")) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", has("uid"));
        return Err(Failure::conflict(&kind.group, &kind.plural, name, &why));
    }
    if given("resourceVersion").is_some_and(|revision| revision != has("resourceVersion")) {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(&kind.group, &kind.plural, name, why));
    }
    Ok(())
}

fn keep_server_fields(kind: &Kind, live: &Value, wanted: &mut Value, subresource: &str) {
    let part = |wanted: &mut Value, field: &str| match live.get(field) {
        Some(value) => wanted[field] = value.clone(),
        None => {
            if let Some(map) = wanted.as_object_mut() {
                map.remove(field);
            }
        }
    };
    wanted["apiVersion"] = live["apiVersion"].clone();
    wanted["kind"] = live["kind"].clone();
    match subresource {
        "" if kind.status => part(wanted, "status"),
        "" => {}
        "finalize" => part(wanted, "status"),
        _ => {
            let mut status = wanted.get("status").cloned();
            if subresource == "approval" {
                // Approvers decide about conditions, the signer about the certificate.
                let conditions = status.as_ref().map(|s| s["conditions"].clone()).unwrap_or_default();
                status = Some(live.get("status").cloned().unwrap_or_else(|| serde_json::json!({})));
                if let Some(status) = &mut status {
                    status["conditions"] = conditions;
                }
            }
            let managed = wanted["metadata"]["managedFields"].clone();
            *wanted = live.clone();
            wanted["metadata"]["managedFields"] = managed;
            match status {
                Some(status) => wanted["status"] = status,
                None => {
                    if let Some(map) = wanted.as_object_mut() {
                        map.remove("status");
                    }
                }
            }
        }
    }
    if kind.plural == "namespaces" && subresource.is_empty() {
        wanted["spec"]["finalizers"] = live["spec"]["finalizers"].clone();
    }
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "name",
        "namespace",
        "selfLink",
    ] {
        match live["metadata"].get(field) {
            Some(value) => wanted["metadata"][field] = value.clone(),
            None => remove_metadata(wanted, field),
        }
    }
}

/// Whether something beside metadata and status differs.
pub fn changes_spec(kind: &Kind, live: &Value, wanted: &Value) -> bool {
    let relevant = |object: &Value| {
        let map = object.as_object().cloned().unwrap_or_default();
        let skip = |k: &str| k == "metadata" || k == "apiVersion" || k == "kind" || (k == "status" && kind.status);
        map.into_iter().filter(|(k, _)| !skip(k)).collect::<serde_json::Map<_, _>>()
    };
    relevant(live) != relevant(wanted)
}

fn set_pointer(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for part in pointer.split('/').skip(1) {
        at = &mut at[part];
    }
    *at = value;
}
