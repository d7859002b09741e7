//! Kinds that store nothing: access reviews and "who am I".

use lab_wire::Response;
use serde_json::{Value, json};

use super::failure::Failure;
use super::rbac::{self, Attributes};
use super::registry::Target;
use super::request::Context;
use super::server::ApiServer;
use super::user::User;

impl ApiServer {
    pub(super) fn question(&self, target: &Target, body: Value, context: &Context) -> Result<Response, Failure> {
        let mut answer = body;
        answer["apiVersion"] = target.kind.api_version().into();
        answer["kind"] = target.kind.kind.clone().into();
        if target.kind.kind == "SelfSubjectReview" {
            answer["status"] = json!({"userInfo": context.user.info()});
            return Ok(Response::json(201, &answer));
        }
        let spec = &answer["spec"];
        let user = if target.kind.kind == "SubjectAccessReview" {
            let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            User { name: spec["user"].as_str().unwrap_or_default().to_owned(), groups: groups.collect() }
        } else {
            context.user.clone()
        };
        let allowed = rbac::allowed(&self.store, &user, &asked(spec)?);
        answer["status"] = json!({"allowed": allowed});
        Ok(Response::json(201, &answer))
    }
}

fn asked(spec: &Value) -> Result<Attributes, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = &spec["resourceAttributes"];
    if resource.is_object() {
        let plural = text(&resource["resource"]);
        let sub = text(&resource["subresource"]);
        return Ok(Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: if sub.is_empty() { plural } else { format!("{plural}/{sub}") },
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: None,
        });
    }
    let path = &spec["nonResourceAttributes"];
    if !path.is_object() {
        return Err(Failure::bad_request("exactly one of resourceAttributes and nonResourceAttributes must be given"));
    }
    Ok(Attributes { verb: text(&path["verb"]), path: Some(text(&path["path"])), ..Attributes::default() })
}
