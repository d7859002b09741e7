//! create, and the actions that are POSTs on a subresource.

use lab_wire::{Random, Request, Response, rfc3339};
use serde_json::{Value, json};

use super::defaults;
use super::delete::Deletion;
use super::failure::Failure;
use super::fields::Fields;
use super::kind::{Kind, Resource};
use super::managers::{self, Manager};
use super::registry::Target;
use super::request::Context;
use super::schema;
use super::server::ApiServer;
use super::user::{StaticToken, User};
use super::validate;

impl ApiServer {
    pub(super) fn create(
        &mut self,
        request: &Request,
        target: &Target,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let kind = target.kind.clone();
        let mut object = body;
        validate::belongs(&kind, &object, target)?;
        if kind.namespaced {
            let namespace = target.namespace.as_deref().ok_or_else(Failure::method_not_allowed)?;
            object["metadata"]["namespace"] = namespace.into();
        }
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty()) {
            return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
        }
        if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
            if prefix.is_empty() {
                return Err(Failure::invalid(
                    &kind.group,
                    &kind.kind,
                    "",
                    &[("metadata.name".to_owned(), "Required value: name or generateName is required".to_owned())],
                ));
            }
            object["metadata"]["name"] = format!("{prefix}{}", random.token(5)).into();
        }
        let object = self.admit_new(&kind, object, context, random, |kind, object, context| {
            let fields = Fields::of(kind, object, "");
            let writer = writer(kind, "", context);
            let mut all = Vec::new();
            managers::book_update(&mut all, writer, &fields, &Fields::default());
            managers::write(object, &all);
        })?;
        self.show(request, &kind, &object, 201, context.now)
    }

    /// Everything that a new object goes through, from defaulting to the store. `own` books field ownership.
    pub(super) fn admit_new(
        &mut self,
        kind: &Kind,
        mut object: Value,
        context: &Context,
        random: &mut Random,
        own: impl FnOnce(&Kind, &mut Value, &Context),
    ) -> Result<Value, Failure> {
        let (namespace, name) = place(&object);
        if kind.namespaced {
            self.place_is_open(&namespace, kind, &name)?;
        }
        if self.store.get(&kind.resource(), &namespace, &name).is_some() {
            return Err(Failure::already_exists(&kind.group, &kind.plural, &name));
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "selfLink", "generation", "resourceVersion"] {
            remove_metadata(&mut object, field);
        }
        object["metadata"]["uid"] = random.uuid().into();
        object["metadata"]["creationTimestamp"] = rfc3339(context.now).into();
        if kind.generation {
            object["metadata"]["generation"] = 1.into();
        }
        defaults::on_create(kind, &mut object, context);
        if let Some(schema) = &kind.schema {
            schema::settle(kind, schema, &mut object, context.strict)?;
        }
        own(kind, &mut object, context);
        if let Some(admission) = &self.admission {
            admission.mutate(kind, &mut object, None, &self.store)?;
        }
        validate::object(kind, &object, None)?;
        if let Some(admission) = &self.admission {
            admission.validate(kind, &object, None, &self.store)?;
        }
        if context.dry_run {
            return Ok(object);
        }
        let stored = self.store.put(&kind.resource(), &namespace, &name, object);
        self.after_write(kind, &stored, context.now);
        Ok((*stored).clone())
    }

    /// Whether objects can be created in a namespace.
    fn place_is_open(&self, namespace: &str, kind: &Kind, name: &str) -> Result<(), Failure> {
        let Some(place) = self.store.get(&Resource::new("", "namespaces"), "", namespace) else {
            return Err(Failure::not_found("", "namespaces", namespace));
        };
        if place["metadata"]["deletionTimestamp"].is_string() {
            let what = super::failure::qualified(&kind.group, &kind.plural);
            return Err(Failure::forbidden(format!(
                "{what} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
            ))
            .about(&kind.group, &kind.plural, name)
            .causes(vec![json!({
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            })]));
        }
        Ok(())
    }

    /// Subresources that are actions: eviction, binding, token.
    pub(super) fn act(
        &mut self,
        request: &Request,
        target: &Target,
        action: &str,
        body: Value,
        context: &Context,
        random: &mut Random,
    ) -> Result<Response, Failure> {
        let live = self.live(target)?.clone();
        match action {
            "eviction" => {
                if !context.dry_run {
                    let deletion = Deletion::read(&body["deleteOptions"], request)?;
                    self.begin_deletion(&target.kind, &live, &deletion, context)?;
                }
                Ok(Response::json(
                    201,
                    &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
                ))
            }
            "binding" => {
                let mut pod = (*live).clone();
                pod["spec"]["nodeName"] = body["target"]["name"].clone();
                let (namespace, name) = place(&pod);
                self.store.put(&target.kind.resource(), &namespace, &name, pod);
                Ok(Response::json(
                    201,
                    &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
                ))
            }
            "token" => Ok(self.issue_token(&live, body, context, random)),
            _ => Err(Failure::method_not_allowed()),
        }
    }

    fn issue_token(&mut self, account: &Value, body: Value, context: &Context, random: &mut Random) -> Response {
        let (namespace, name) = place(account);
        let seconds = body["spec"]["expirationSeconds"].as_u64().unwrap_or(3600).max(600);
        let expires = context.now + seconds * 1000;
        let token = random.token(48);
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let user = User::new(&format!("system:serviceaccount:{namespace}:{name}"), &groups);
        self.tokens.push(StaticToken { token: token.clone(), user, expires: Some(expires) });
        let mut answer = body;
        answer["kind"] = "TokenRequest".into();
        answer["apiVersion"] = "authentication.k8s.io/v1".into();
        answer["spec"]["expirationSeconds"] = seconds.into();
        answer["status"] = json!({"token": token, "expirationTimestamp": rfc3339(expires)});
        Response::json(201, &answer)
    }
}

/// The field manager entry of a request.
pub fn writer(kind: &Kind, subresource: &str, context: &Context) -> Manager {
    Manager {
        name: context.manager.clone(),
        apply: false,
        subresource: subresource.to_owned(),
        version: kind.api_version(),
        time: rfc3339(context.now),
        fields: Fields::default(),
    }
}

/// (namespace, name) of an object.
pub fn place(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// Removes one field of the metadata.
pub fn remove_metadata(object: &mut Value, field: &str) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove(field);
    }
}
