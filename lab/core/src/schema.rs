//! Property schemas: their grammar, and what registration refuses.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::store::Object;
use crate::validators;

/// `null` and absence both mean the default, as Go reads JSON.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// What the properties of a service, or the configuration of an agent, may be. Unknown keys are dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schema {
    /// The properties.
    #[serde(deserialize_with = "or_default")]
    pub properties: BTreeMap<String, Property>,
    /// Rules over several properties; `null` in answers when there are none.
    pub validators: Option<Vec<Rule>>,
}

/// One property.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Property {
    /// `string`, `integer`, `number`, `boolean`, `object`, `array`, `json` or `uuid`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Display name.
    #[serde(deserialize_with = "or_default")]
    pub label: String,
    /// Must be present.
    #[serde(deserialize_with = "or_default")]
    pub required: bool,
    /// Cannot be changed once set.
    #[serde(deserialize_with = "or_default")]
    pub immutable: bool,
    /// Who may set it, and when.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub authorizers: Vec<Rule>,
    /// Used when there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Kept in the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Filled by Core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<Rule>,
    /// Rules for its value.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<Rule>,
    /// Fields of an `object`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Property>,
    /// Items of an `array`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Property>>,
}

/// How long a secret lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// `persistent` or `ephemeral`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
}

/// An authorizer, validator or generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Its settings.
    pub config: Option<Object>,
}

impl Rule {
    /// One setting.
    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.config.as_ref().and_then(|config| config.get(key))
    }
}

/// Whose schema it is: configuration of agents knows fewer rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Properties of services.
    Service,
    /// Configuration of agents.
    Configuration,
}

impl Schema {
    /// What registration refuses.
    pub fn check(&self, dialect: Dialect) -> Result<(), String> {
        if self.properties.is_empty() {
            return Err("schema must have at least one property defined".to_owned());
        }
        for (name, property) in &self.properties {
            if name.is_empty() {
                return Err("property name cannot be empty".to_owned());
            }
            property.check(name, dialect)?;
        }
        self.validators.iter().flatten().try_for_each(validators::check_schema_rule)
    }
}

impl Property {
    fn check(&self, path: &str, dialect: Dialect) -> Result<(), String> {
        const KINDS: [&str; 8] = ["string", "integer", "number", "boolean", "object", "array", "json", "uuid"];
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(format!("{path}: invalid type '{}'", self.kind));
        }
        let items = self.items.as_deref().filter(|_| self.kind == "array");
        if items.is_some_and(|items| items.secret.is_some()) {
            return Err(format!("{path}: array items cannot be secret"));
        }
        if self.secret.is_some() && matches!(self.kind.as_str(), "object" | "array") {
            return Err(format!("{path}: only primitive types can be secret"));
        }
        if let Some(default) = &self.default {
            check_type(path, default, &self.kind)
                .map_err(|error| format!("{path}: default value type mismatch: {error}"))?;
            if self.generator.is_some() {
                return Err(format!("{path}: cannot have both default and generator"));
            }
        }
        if self.kind == "object" {
            for (name, property) in &self.properties {
                if name.is_empty() {
                    return Err(format!("{path}: nested property name cannot be empty"));
                }
                property.check(&format!("{path}.{name}"), dialect)?;
            }
        }
        if let Some(items) = items {
            items.check(&format!("{path}[]"), dialect)?;
        }
        self.authorizers.iter().try_for_each(|rule| validators::check_authorizer(path, rule, dialect))?;
        self.validators.iter().try_for_each(|rule| validators::check_validator(path, rule, dialect))?;
        if let Some(generator) = &self.generator {
            check_generator(path, generator)?;
        }
        match &self.secret {
            Some(secret) if secret.kind != "persistent" && secret.kind != "ephemeral" => {
                Err(format!("{path}: secret type must be 'persistent' or 'ephemeral'"))
            }
            _ => Ok(()),
        }
    }
}

fn check_generator(path: &str, generator: &Rule) -> Result<(), String> {
    if generator.kind != "pool" {
        return Err(format!("{path}: unknown generator '{}'", generator.kind));
    }
    match generator.setting("poolType").map(Value::as_str) {
        Some(Some(kind)) if !kind.is_empty() => Ok(()),
        Some(Some(_)) => Err("pool generator config 'poolType' cannot be empty".to_owned()),
        Some(None) => Err("pool generator config 'poolType' must be a string".to_owned()),
        None => Err("pool generator config missing 'poolType'".to_owned()),
    }
}

/// How Go names the type of a JSON value.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Whether a value has the declared type.
pub fn check_type(path: &str, value: &Value, kind: &str) -> Result<(), String> {
    let expected = |what: &str| Err(format!("{path}: expected {what}, got {}", go_type(value)));
    match (kind, value) {
        ("string", Value::String(_)) | ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => Ok(()),
        ("object", Value::Object(_)) | ("array", Value::Array(_)) | ("json", _) => Ok(()),
        ("integer", Value::Number(number)) => match number.as_f64() {
            // What no 64-bit integer can be is none, whatever stands behind its point.
            Some(float) if (float as i64) as f64 == float => Ok(()),
            _ => Err(format!("{path}: expected integer, got float with decimal part")),
        },
        ("uuid", Value::String(text)) => match uuid::Uuid::parse_str(text) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{path}: invalid uuid format: {}", crate::call::uuid_error(text))),
        },
        ("uuid", _) => expected("uuid string"),
        ("string" | "number" | "boolean" | "object" | "array" | "integer", _) => expected(kind),
        _ => Err(format!("{path}: unknown type: {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(property: Value) -> String {
        let schema: Schema = serde_json::from_value(json!({"properties": {"p": property}})).unwrap();
        schema.check(Dialect::Service).unwrap_err()
    }

    #[test]
    fn registration_refuses_what_core_refuses() {
        assert!(refused(json!({"type": "text"})).contains("invalid type 'text'"));
        assert!(refused(json!({"type": "object", "secret": {"type": "persistent"}})).contains("only primitive"));
        assert!(refused(json!({"type": "string", "secret": {"type": "forever"}})).contains("'persistent' or"));
        assert!(refused(json!({"type": "integer", "default": "1"})).contains("type mismatch"));
        assert!(refused(json!({"type": "integer", "default": 1.5})).contains("decimal part"));
        assert!(
            refused(json!({"type": "string", "validators": [{"type": "uniqueItems"}]})).contains("unknown validator")
        );
        assert!(refused(json!({"type": "string", "authorizers": [{"type": "role"}]})).contains("unknown authorizer"));
        assert!(refused(json!({"type": "string", "generator": {"type": "random"}})).contains("unknown generator"));
        let both =
            json!({"type": "string", "default": "x", "generator": {"type": "pool", "config": {"poolType": "ip"}}});
        assert!(refused(both).contains("both default and generator"));
        let items = json!({"type": "array", "items": {"type": "string", "secret": {"type": "persistent"}}});
        assert!(refused(items).contains("array items cannot be secret"));
        assert!(Schema::default().check(Dialect::Service).unwrap_err().contains("at least one property"));
    }

    #[test]
    fn configuration_knows_no_authorizers() {
        let authorizers = json!([{"type": "actor", "config": {"actors": ["agent"]}}]);
        let property = json!({"type": "string", "authorizers": authorizers});
        let schema: Schema = serde_json::from_value(json!({"properties": {"p": property}})).unwrap();
        schema.check(Dialect::Service).unwrap();
        assert!(schema.check(Dialect::Configuration).unwrap_err().contains("unknown authorizer"));
    }

    #[test]
    fn answers_hold_the_normal_form() {
        let given = json!({"properties": {"p": {"type": "string", "colour": "red"}}});
        let schema: Schema = serde_json::from_value(given).unwrap();
        let normal = json!({"type": "string", "label": "", "required": false, "immutable": false});
        assert_eq!(serde_json::to_value(&schema).unwrap(), json!({"properties": {"p": normal}, "validators": null}));
    }
}
