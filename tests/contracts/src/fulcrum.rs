//! Fulcrum Core's OpenAPI description.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use lab_wire::{Answered, Body, Exchange};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::fault::{Checked, Contract, Fault, Side, faults, template};
use crate::openapi::{Description, Part};

/// Where the interface begins.
const BASE: &str = "/api/v1";

/// The description, compiled.
pub struct Fulcrum {
    /// Version of the description.
    pub version: String,
    /// Path templates with their operations by method.
    paths: BTreeMap<String, BTreeMap<String, Operation>>,
}

struct Operation {
    parameters: Vec<Parameter>,
    body: Option<Payload>,
    answers: BTreeMap<String, Content>,
}

/// What an answer holds.
enum Content {
    Nothing,
    Json(Box<Validator>),
    /// Of a type that is decided elsewhere.
    Other,
}

struct Parameter {
    name: String,
    place: String,
    required: bool,
    kind: String,
    validator: Validator,
}

struct Payload {
    required: bool,
    validator: Validator,
}

impl Fulcrum {
    /// Reads the description in `fulcrum/openapi` of the folder with the contracts.
    pub fn read(contracts: &Path) -> Result<Self> {
        let description = Description::read(&contracts.join("fulcrum/openapi"))?;
        let root = description.file("openapi.yaml")?;
        let version = root.child("info").child("version").value.as_str().unwrap_or_default().to_owned();
        let all = root.child("paths");
        let mut paths = BTreeMap::new();
        for name in keys(&all) {
            let item = description.follow(&all.child(&name))?;
            let shared = item.child("parameters").items();
            let mut operations = BTreeMap::new();
            for method in keys(&item).into_iter().filter(|key| key != "parameters") {
                let operation = Operation::read(&description, &item.child(&method), &shared)?;
                operations.insert(method.to_uppercase(), operation);
            }
            paths.insert(name, operations);
        }
        Ok(Fulcrum { version, paths })
    }
}

fn keys(part: &Part) -> Vec<String> {
    part.value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn compile(schema: &Value) -> Result<Validator> {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| Error::Schema { path: "fulcrum/openapi".into(), problem: error.to_string() })
}

impl Operation {
    fn read(description: &Description, operation: &Part, shared: &[Part]) -> Result<Self> {
        let mut parameters = Vec::new();
        for parameter in shared.iter().cloned().chain(operation.child("parameters").items()) {
            let parameter = description.follow(&parameter)?;
            let text = |name: &str| parameter.value[name].as_str().unwrap_or_default().to_owned();
            let schema = Value::Object(description.schema(&parameter.child("schema"))?);
            let kind = description.follow(&parameter.child("schema"))?;
            parameters.push(Parameter {
                name: text("name"),
                place: text("in"),
                required: parameter.value["required"] == true,
                kind: kind.value["type"].as_str().unwrap_or_default().to_owned(),
                validator: compile(&schema)?,
            });
        }
        let request = description.follow(&operation.child("requestBody"))?;
        let content = request.child("content").child("application/json").child("schema");
        let body = if content.value.is_null() {
            None
        } else {
            let mut schema = description.schema(&content)?;
            // Core throws away what it does not know.
            schema.insert("unevaluatedProperties".to_owned(), json!(false));
            Some(Payload { required: request.value["required"] == true, validator: compile(&Value::Object(schema))? })
        };
        let mut answers = BTreeMap::new();
        for status in keys(&operation.child("responses")) {
            let answer = description.follow(&operation.child("responses").child(&status))?;
            let content = answer.child("content");
            let schema = content.child("application/json").child("schema");
            let described = match (&content.value, &schema.value) {
                (Value::Null, _) => Content::Nothing,
                (_, Value::Null) => Content::Other,
                _ => Content::Json(Box::new(compile(&Value::Object(description.schema(&schema)?))?)),
            };
            answers.insert(status, described);
        }
        Ok(Operation { parameters, body, answers })
    }

    fn request(&self, exchange: &Exchange, in_path: &[(String, String)], found: &mut Vec<Fault>) -> bool {
        let side = Side::Request;
        let mut given: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (place, pairs) in [("query", &exchange.query[..]), ("path", in_path)] {
            for (name, value) in pairs {
                given.entry((place, name)).or_default().push(value);
            }
        }
        for parameter in &self.parameters {
            let place = format!("{} {}", parameter.place, parameter.name);
            match given.remove(&(parameter.place.as_str(), parameter.name.as_str())) {
                Some(values) => found.extend(faults(&parameter.validator, &parameter.read(&values), side, &place)),
                None if parameter.required => found.push(Fault::new(side, place, "required", "is missing")),
                None => {}
            }
        }
        for (place, name) in given.keys() {
            found.push(Fault::new(side, format!("{place} {name}"), "unknown", "is no parameter"));
        }
        let text = match &exchange.body {
            Body::Text(text) => text,
            Body::Upload(_) | Body::Opaque(_) => return false,
        };
        match (&self.body, text.is_empty()) {
            (Some(payload), true) if payload.required => found.push(Fault::new(side, "body", "required", "is missing")),
            (_, true) => {}
            (None, false) => found.push(Fault::new(side, "body", "unknown", "takes no body")),
            (Some(payload), false) => {
                if exchange.content_type.as_deref().is_some_and(|kind| !kind.starts_with("application/json")) {
                    found.push(Fault::new(side, "content type", "content", format!("{:?}", exchange.content_type)));
                }
                match serde_json::from_str::<Value>(text) {
                    Ok(value) => found.extend(faults(&payload.validator, &value, side, "body")),
                    Err(error) => found.push(Fault::new(side, "body", "content", error.to_string())),
                }
            }
        }
        true
    }

    fn answer(&self, answered: &Answered, found: &mut Vec<Fault>) -> bool {
        let side = Side::Answer;
        let Body::Text(text) = &answered.body else { return false };
        // What is wrong with a refusal is another matter than what is wrong with a success.
        let refusal = answered.status >= 400;
        let fault = |place: &str, rule: &str, text: String| {
            Fault::new(side, place, if refusal { "refusal" } else { rule }, text)
        };
        let status = answered.status.to_string();
        let validator = match self.answers.get(&status) {
            None => {
                found.push(fault("status", "status", format!("{status} is not described")));
                return true;
            }
            Some(Content::Nothing) => {
                if !text.is_empty() {
                    found.push(fault("body", "unknown", format!("{status} has no body")));
                }
                return true;
            }
            Some(Content::Other) => return true,
            Some(Content::Json(validator)) => validator,
        };
        let kind = answered.content_type.as_deref().unwrap_or_default();
        if !kind.starts_with("application/json") {
            found.push(fault("content type", "content", format!("{kind:?} and not JSON")));
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value) => found.extend(faults(validator, &value, side, "body")),
            Err(error) => found.push(fault("body", "content", error.to_string())),
        }
        true
    }
}

impl Parameter {
    /// The text of a parameter as the type that its schema names.
    fn read(&self, values: &[&str]) -> Value {
        if self.kind == "array" {
            return values.iter().map(|value| json!(value)).collect();
        }
        let text = values.first().copied().unwrap_or_default();
        match self.kind.as_str() {
            "integer" | "number" => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            "boolean" => text.parse::<bool>().map_or_else(|_| json!(text), Value::Bool),
            _ => json!(text),
        }
    }
}

impl Contract for Fulcrum {
    fn check(&self, exchange: &Exchange) -> Checked {
        let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
        let mut checked = Checked { status, request: true, ..Checked::default() };
        let path = exchange.path.strip_prefix(BASE).unwrap_or_default();
        let found = template(self.paths.keys().map(String::as_str), path);
        let operation = found.and_then(|(name, values)| {
            let operation = self.paths.get(name)?.get(&exchange.method)?;
            Some((name, values, operation))
        });
        let Some((name, values, operation)) = operation else {
            let text = format!("{} {} is not described", exchange.method, exchange.path);
            checked.faults.push(Fault::new(Side::Request, "operation", "operation", text));
            return checked;
        };
        checked.operation = Some(format!("{} {name}", exchange.method));
        checked.request = operation.request(exchange, &values, &mut checked.faults);
        if let Some(answered) = &exchange.answer {
            checked.answer = operation.answer(answered, &mut checked.faults);
        }
        checked
    }
}
