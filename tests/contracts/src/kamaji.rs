//! Kamaji's CustomResourceDefinitions.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use lab_wire::{Body, Exchange};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::fault::{Checked, Contract, Fault, Side, faults, template};
use crate::openapi::yaml;

/// API group of Kamaji.
const GROUP: &str = "kamaji.clastix.io";

/// The definitions, compiled.
pub struct Kamaji {
    /// Path templates by what they lead to.
    paths: BTreeMap<String, Leaf>,
    kinds: BTreeMap<String, Kind>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
struct Leaf {
    plural: String,
    /// `status` or `scale`.
    part: Option<String>,
    /// Whether it names one object.
    one: bool,
}

struct Kind {
    /// An object as it is read or posted whole.
    whole: Validator,
    /// What may be applied or merged: nothing is required.
    partial: Validator,
    /// The same, where `null` takes a field away.
    merge: Validator,
}

impl Kamaji {
    /// Reads the definitions in `kamaji` of the folder with the contracts.
    pub fn read(contracts: &Path, version: &str) -> Result<Self> {
        let mut kamaji = Kamaji { paths: BTreeMap::new(), kinds: BTreeMap::new() };
        for plural in ["tenantcontrolplanes", "datastores", "kubeconfiggenerators"] {
            let path = contracts.join("kamaji").join(format!("{GROUP}_{plural}.yaml"));
            let definition = yaml(&path)?;
            let versions = definition["spec"]["versions"].as_array().cloned().unwrap_or_default();
            let Some(found) = versions.iter().find(|entry| entry["name"] == json!(version)) else {
                return Err(Error::Schema { path, problem: format!("has no version {version}") });
            };
            let schema = &found["schema"]["openAPIV3Schema"];
            let compile = |form| {
                jsonschema::validator_for(&closed(schema, form))
                    .map_err(|error| Error::Schema { path: path.clone(), problem: error.to_string() })
            };
            let (whole, partial, merge) = (compile(Form::Whole)?, compile(Form::Partial)?, compile(Form::Merge)?);
            kamaji.kinds.insert(plural.to_owned(), Kind { whole, partial, merge });
            kamaji.add_paths(version, plural, &definition["spec"], found);
        }
        Ok(kamaji)
    }

    fn add_paths(&mut self, version: &str, plural: &str, spec: &Value, entry: &Value) {
        let base = format!("/apis/{GROUP}/{version}");
        let mut add = |path: String, part: Option<&str>, one| {
            self.paths.insert(path, Leaf { plural: plural.to_owned(), part: part.map(str::to_owned), one });
        };
        add(format!("{base}/{plural}"), None, false);
        let of_one = match spec["scope"].as_str() {
            Some("Namespaced") => {
                add(format!("{base}/namespaces/{{namespace}}/{plural}"), None, false);
                format!("{base}/namespaces/{{namespace}}/{plural}/{{name}}")
            }
            _ => format!("{base}/{plural}/{{name}}"),
        };
        for part in entry["subresources"].as_object().into_iter().flatten().map(|(name, _)| name) {
            add(format!("{of_one}/{part}"), Some(part), true);
        }
        add(of_one, None, true);
    }

    fn request(&self, exchange: &Exchange, leaf: &Leaf, found: &mut Vec<Fault>) -> bool {
        let Body::Text(text) = &exchange.body else { return false };
        let kind = exchange.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
        let Some(schemas) = self.kinds.get(&leaf.plural) else { return false };
        let scale = leaf.part.as_deref() == Some("scale");
        let validator = match (exchange.method.as_str(), kind) {
            // Options of a deletion are Kubernetes' own.
            ("GET" | "DELETE", _) => return true,
            _ if scale => return false,
            // Without a type it is JSON to an API server.
            ("POST" | "PUT", "application/json" | "application/yaml" | "") => &schemas.whole,
            ("PATCH", "application/apply-patch+yaml") => &schemas.partial,
            ("PATCH", "application/merge-patch+json") => &schemas.merge,
            // Single operations on single fields: their result is checked in the answer.
            ("PATCH", "application/json-patch+json") => return true,
            _ => {
                let text = format!("{} with {kind:?}", exchange.method);
                found.push(Fault::new(Side::Request, "content type", "content", text));
                return true;
            }
        };
        match serde_saphyr::from_str::<Value>(text) {
            Ok(value) => found.extend(faults(validator, &value, Side::Request, "body")),
            Err(error) => found.push(Fault::new(Side::Request, "body", "content", error.to_string())),
        }
        true
    }

    fn answer(&self, leaf: &Leaf, text: &str, found: &mut Vec<Fault>) -> bool {
        let Some(schemas) = self.kinds.get(&leaf.plural) else { return false };
        // A watch sends one event a line.
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for value in values {
            let Ok(value) = value else {
                found.push(Fault::new(Side::Answer, "body", "content", "is no JSON"));
                return true;
            };
            let object =
                if value["type"].is_string() && value["object"].is_object() { &value["object"] } else { &value };
            match object["kind"].as_str().unwrap_or_default() {
                "Status" => {
                    let kept = ["Success", "Failure"].iter().any(|word| object["status"] == *word);
                    if object["apiVersion"] != "v1" || !kept {
                        found.push(Fault::new(Side::Answer, "body", "type", "is no Status of Kubernetes"));
                    }
                }
                // Kubernetes' own.
                "Table" | "Scale" | "PartialObjectMetadata" | "PartialObjectMetadataList" => {}
                name if name.ends_with("List") && !leaf.one => {
                    for item in object["items"].as_array().into_iter().flatten() {
                        found.extend(faults(&schemas.whole, item, Side::Answer, "items"));
                    }
                }
                // A bookmark holds a version and nothing else.
                _ if value["type"] == "BOOKMARK" => {}
                _ => found.extend(faults(&schemas.whole, object, Side::Answer, "body")),
            }
        }
        true
    }
}

/// What a schema is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Partial,
    Merge,
}

/// The definition's schema as JSON Schema, in which a field that is not described is a mistake: the API server would drop it.
fn closed(schema: &Value, form: Form) -> Value {
    let Some(object) = schema.as_object() else { return schema.clone() };
    let mut copy = Map::new();
    for (key, value) in object {
        match key.as_str() {
            "properties" => {
                let parts = value.as_object().into_iter().flatten();
                copy.insert(key.clone(), parts.map(|(name, part)| (name.clone(), closed(part, form))).collect());
            }
            "items" | "additionalProperties" | "not" => {
                copy.insert(key.clone(), closed(value, form));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let parts = value.as_array().into_iter().flatten();
                // Rules over what is described elsewhere.
                copy.insert(key.clone(), parts.cloned().collect());
            }
            "required" if form != Form::Whole => {}
            "format" | "description" | "default" => {}
            _ if key.starts_with("x-kubernetes") => {}
            _ => {
                copy.insert(key.clone(), value.clone());
            }
        }
    }
    if schema["x-kubernetes-int-or-string"] == true {
        copy.remove("type");
        copy.remove("anyOf");
        copy.insert("type".to_owned(), json!(["integer", "string"]));
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true || copy.contains_key("additionalProperties");
    if copy.contains_key("properties") && !open {
        copy.insert("additionalProperties".to_owned(), json!(false));
    }
    let nullable = schema["nullable"] == true || form == Form::Merge;
    copy.remove("nullable");
    let copy = Value::Object(copy);
    if nullable { json!({"anyOf": [{"type": "null"}, copy]}) } else { copy }
}

impl Contract for Kamaji {
    fn check(&self, exchange: &Exchange) -> Checked {
        let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
        let mut checked = Checked { status, request: true, ..Checked::default() };
        let found = template(self.paths.keys().map(String::as_str), &exchange.path);
        let leaf = found.and_then(|(name, _)| Some((name, self.paths.get(name)?)));
        let one = |leaf: &Leaf| match exchange.method.as_str() {
            "GET" => true,
            "DELETE" => leaf.part.is_none(),
            "POST" => !leaf.one,
            "PUT" | "PATCH" => leaf.one,
            _ => false,
        };
        let Some((name, leaf)) = leaf.filter(|(_, leaf)| one(leaf)) else {
            let text = format!("{} {} is not described", exchange.method, exchange.path);
            checked.faults.push(Fault::new(Side::Request, "operation", "operation", text));
            return checked;
        };
        checked.operation = Some(format!("{} {name}", exchange.method));
        checked.request = self.request(exchange, leaf, &mut checked.faults);
        if let Some(Body::Text(text)) = exchange.answer.as_ref().map(|answer| &answer.body) {
            checked.answer = self.answer(leaf, text, &mut checked.faults);
        }
        checked
    }
}
