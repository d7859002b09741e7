//! OpenAPI documents: enough for clients that look there for what a PATCH understands.

use lab_wire::{Request, Response};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::kind::Kind;
use super::server::ApiServer;
use crate::encoding::sha256_hex;

impl ApiServer {
    pub(super) fn openapi(&self, request: &Request, rest: &[&str]) -> Result<Response, Failure> {
        let accept = request.header_value("accept").unwrap_or("*/*");
        let json_wanted = accept.contains("json") || accept.contains("*/*");
        if !json_wanted {
            return Err(Failure::new(
                406,
                "NotAcceptable",
                "only the following media types are accepted: application/json",
            ));
        }
        match rest {
            ["v2"] => Ok(Response::json(200, &self.swagger())),
            ["v3"] => {
                let mut paths = Map::new();
                for (group, versions) in self.groups() {
                    for version in versions {
                        let path =
                            if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                        let hash: String = sha256_hex(self.document_v3(&group, &version).to_string()).to_uppercase();
                        let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")});
                        paths.insert(path, url);
                    }
                }
                Ok(Response::json(200, &json!({"paths": paths})))
            }
            ["v3", "api", version] => Ok(Response::json(200, &self.document_v3("", version))),
            ["v3", "apis", group, version] => Ok(Response::json(200, &self.document_v3(group, version))),
            _ => Err(Failure::no_such_path()),
        }
    }

    fn document_v3(&self, group: &str, version: &str) -> Value {
        let mut paths = Map::new();
        let mut schemas = Map::new();
        for kind in self.registry.kinds().iter().filter(|k| k.group == group && k.version == version) {
            let gvk = gvk(kind);
            let parameter =
                |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
            let parameters: Vec<Value> =
                ["dryRun", "fieldManager", "fieldValidation", "force", "pretty"].map(parameter).to_vec();
            let operation = |action: &str| {
                json!({
                    "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters,
                    "responses": {"200": {"description": "OK"}},
                })
            };
            paths.insert(path(kind), json!({
                "get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete"),
            }));
            schemas.insert(definition(kind), schema(kind));
        }
        json!({
            "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": self.version()},
            "paths": paths, "components": {"schemas": schemas},
        })
    }

    fn swagger(&self) -> Value {
        let mut paths = Map::new();
        let mut definitions = Map::new();
        for kind in self.registry.kinds() {
            let parameter = |name: &str| json!({"name": name, "in": "query", "type": "string", "uniqueItems": true});
            paths.insert(path(kind), json!({"patch": {
                "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk(kind),
                "consumes": ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"],
                "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
                "responses": {"200": {"description": "OK"}},
            }}));
            definitions.insert(definition(kind), schema(kind));
        }
        json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": self.version()},
            "paths": paths, "definitions": definitions,
        })
    }
}

fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn path(kind: &Kind) -> String {
    let root =
        if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", kind.group, kind.version) };
    let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{root}{place}/{}/{{name}}", kind.plural)
}

fn definition(kind: &Kind) -> String {
    let mut group: Vec<&str> = kind.group.split('.').filter(|part| !part.is_empty()).collect();
    if kind.custom {
        group.reverse();
        return format!("{}.{}.{}", group.join("."), kind.version, kind.kind);
    }
    let group = group.first().copied().unwrap_or("core");
    format!("io.k8s.api.{group}.{}.{}", kind.version, kind.kind)
}

/// Built-in kinds are left open: their fields are not described here.
fn schema(kind: &Kind) -> Value {
    let mut schema = kind.schema.clone().unwrap_or_else(|| {
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        }})
    });
    schema["x-kubernetes-group-version-kind"] = json!([gvk(kind)]);
    schema
}
