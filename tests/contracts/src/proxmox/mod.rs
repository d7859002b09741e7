//! The API description of Proxmox VE (`apidoc.js` of its API viewer).
//!
//! - `schema`: its schemas as JSON Schema.
//! - `value`: text of forms, property strings and Perl's loose types as typed values.
//! - `formats`: the named formats, which the description does not define.

mod formats;
mod schema;
mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use lab_wire::{Answered, Body, Exchange, parse_pairs};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result, read};
use crate::fault::{Checked, Contract, Fault, Side, faults, template};

/// A validator, or why there is none.
type Compiled = std::result::Result<Validator, String>;

/// The description of one release.
pub struct Proxmox {
    /// Path templates with their operations by method.
    paths: BTreeMap<String, BTreeMap<String, Value>>,
    /// Validators by operation and side: most operations are never called.
    compiled: RefCell<BTreeMap<(String, Side), Compiled>>,
}

impl Proxmox {
    /// Reads `proxmox/pve-apidoc-RELEASE.json` of the folder with the contracts.
    pub fn read(contracts: &Path, release: &str) -> Result<Self> {
        let path = contracts.join("proxmox").join(format!("pve-apidoc-{release}.json"));
        let tree: Value = serde_json::from_str(&read(&path)?)
            .map_err(|error| Error::Schema { path: path.clone(), problem: error.to_string() })?;
        let mut paths = BTreeMap::new();
        gather(&tree, &mut paths);
        Ok(Proxmox { paths, compiled: RefCell::default() })
    }

    /// What a schema says of a value.
    fn judge(&self, operation: &str, schema: &Value, value: &Value, side: Side, at: &str) -> Vec<Fault> {
        let mut compiled = self.compiled.borrow_mut();
        let made = compiled.entry((operation.to_owned(), side)).or_insert_with(|| {
            let options = jsonschema::options().should_validate_formats(true);
            let options =
                formats::all().into_iter().fold(options, |options, (name, check)| options.with_format(name, check));
            options.build(&schema::convert(schema)).map_err(|error| error.to_string())
        });
        match made {
            Ok(validator) => faults(validator, value, side, at),
            Err(error) => vec![Fault::new(side, "schema", "schema", error.as_str())],
        }
    }

    fn request(&self, name: &str, info: &Value, given: Map<String, Value>) -> Vec<Fault> {
        let mut schema = info["parameters"].clone();
        if !schema.is_object() {
            schema = json!({"additionalProperties": 0});
        }
        schema["type"] = json!("object");
        let value = value::typed(&schema, &Value::Object(given));
        self.judge(name, &schema, &value, Side::Request, "parameters")
    }

    fn answer(&self, name: &str, info: &Value, answer: &Outcome) -> Vec<Fault> {
        let side = Side::Answer;
        if answer.status >= 400 {
            return answer.refusal_faults();
        }
        let Some(body) = &answer.body else {
            return vec![Fault::new(side, "body", "content", "is no JSON")];
        };
        let returns = &info["returns"];
        if body["data"].is_null() && schema::flag(returns, "optional") {
            return Vec::new();
        }
        let value = value::typed(returns, &body["data"]);
        self.judge(name, returns, &value, side, "data")
    }
}

fn gather(nodes: &Value, into: &mut BTreeMap<String, BTreeMap<String, Value>>) {
    for node in nodes.as_array().into_iter().flatten() {
        let methods = node["info"].as_object().into_iter().flatten();
        let methods: BTreeMap<String, Value> = methods.map(|(name, info)| (name.clone(), info.clone())).collect();
        if let (Some(path), false) = (node["path"].as_str(), methods.is_empty()) {
            into.insert(path.to_owned(), methods);
        }
        gather(&node["children"], into);
    }
}

/// An answer out of its envelope.
struct Outcome {
    /// The status that counts: `/api2/extjs` always answers with 200.
    status: u16,
    body: Option<Value>,
}

impl Outcome {
    fn of(answered: &Answered, extjs: bool) -> Option<Self> {
        let Body::Text(text) = &answered.body else { return None };
        let body: Option<Value> = serde_json::from_str(text).ok();
        let inner = body.as_ref().filter(|body| extjs && body["success"] == 0).and_then(|body| body["status"].as_u64());
        Some(Outcome { status: inner.map_or(answered.status, |status| status as u16), body })
    }

    /// A refusal has no data, and names parameters with texts. What the proxy itself says is no JSON.
    fn refusal_faults(&self) -> Vec<Fault> {
        let Some(body) = &self.body else { return Vec::new() };
        let mut found = Vec::new();
        if !body["data"].is_null() {
            found.push(Fault::new(Side::Answer, "data", "type", "a refusal has data"));
        }
        let errors = &body["errors"];
        if !errors.is_null() && !errors.as_object().is_some_and(|errors| errors.values().all(Value::is_string)) {
            found.push(Fault::new(Side::Answer, "errors", "type", errors.to_string()));
        }
        found
    }
}

/// Parameters of path, query and body as one object; those that come more than once as lists.
fn parameters(
    exchange: &Exchange,
    in_path: Vec<(String, String)>,
    found: &mut Vec<Fault>,
) -> Option<Map<String, Value>> {
    let mut given: Map<String, Value> = Map::new();
    let mut add = |name: String, value: Value| match given.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = json!([first.clone(), value]),
        None => {
            given.insert(name, value);
        }
    };
    // `_dc` keeps caches away, and is no parameter.
    let query = exchange.query.iter().filter(|(name, _)| name != "_dc").cloned();
    for (name, value) in in_path.into_iter().chain(query) {
        add(name, json!(value));
    }
    let kind = exchange.content_type.as_deref().unwrap_or_default();
    match &exchange.body {
        Body::Opaque(_) => return None,
        Body::Upload(parts) => parts.iter().for_each(|part| add(part.name.clone(), json!(part.value))),
        Body::Text(text) if text.is_empty() => {}
        Body::Text(_) if ["GET", "DELETE"].contains(&exchange.method.as_str()) => {
            found.push(Fault::new(Side::Request, "body", "unknown", format!("{} takes no body", exchange.method)));
        }
        Body::Text(text) if kind.starts_with("application/json") => match serde_json::from_str::<Map<_, _>>(text) {
            Ok(body) => body.into_iter().for_each(|(name, value)| add(name, value)),
            Err(error) => found.push(Fault::new(Side::Request, "body", "content", error.to_string())),
        },
        Body::Text(text) => {
            if !kind.starts_with("application/x-www-form-urlencoded") {
                found.push(Fault::new(Side::Request, "content type", "content", format!("{kind:?}")));
            }
            parse_pairs(text).into_iter().for_each(|(name, value)| add(name, json!(value)));
        }
    }
    Some(given)
}

impl Contract for Proxmox {
    fn check(&self, exchange: &Exchange) -> Checked {
        let path = exchange.path.strip_prefix("/api2/").and_then(|path| path.split_once('/'));
        let path = path.filter(|(form, _)| ["json", "extjs"].contains(form));
        let outcome = exchange
            .answer
            .as_ref()
            .and_then(|answer| Outcome::of(answer, path.is_some_and(|(form, _)| form == "extjs")));
        let status = outcome.as_ref().map_or(0, |outcome| outcome.status);
        let mut checked = Checked { status, request: true, ..Checked::default() };
        let path = path.map(|(_, path)| format!("/{path}")).unwrap_or_default();
        let operation = template(self.paths.keys().map(String::as_str), &path).and_then(|(name, values)| {
            Some((format!("{} {name}", exchange.method), values, self.paths.get(name)?.get(&exchange.method)?))
        });
        let Some((name, in_path, info)) = operation else {
            let text = format!("{} {} is not described", exchange.method, exchange.path);
            checked.faults.push(Fault::new(Side::Request, "operation", "operation", text));
            return checked;
        };
        match parameters(exchange, in_path, &mut checked.faults) {
            Some(given) => checked.faults.extend(self.request(&name, info, given)),
            None => checked.request = false,
        }
        if let Some(outcome) = outcome {
            checked.answer = true;
            checked.faults.extend(self.answer(&name, info, &outcome));
        }
        checked.operation = Some(name);
        checked
    }
}
