//! The rules that a schema may name: what their settings must be, and what they say about a value.

use regex::Regex;
use serde_json::Value;

use crate::schema::{Dialect, Rule, go_type};
use crate::store::{Object, Store};

/// Refuses a bad authorizer at registration.
pub fn check_authorizer(path: &str, rule: &Rule, dialect: Dialect) -> Result<(), String> {
    let (key, name) = match (rule.kind.as_str(), dialect) {
        ("actor", Dialect::Service) => ("actors", "actor"),
        ("state", Dialect::Service) => ("allowedStates", "state"),
        _ => return Err(format!("{path}: unknown authorizer '{}'", rule.kind)),
    };
    let list = match rule.setting(key) {
        None => return Err(format!("{name} authorizer config missing '{key}'")),
        Some(Value::Array(list)) if list.is_empty() => {
            return Err(format!("{name} authorizer config '{key}' must not be empty"));
        }
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("{name} authorizer config '{key}' must be an array")),
    };
    for item in list {
        match item.as_str() {
            None => return Err(format!("{name} authorizer config '{key}' must contain only strings")),
            Some(actor) if name == "actor" && !["user", "agent", "system"].contains(&actor) => {
                return Err(format!(
                    "actor authorizer config 'actors' contains invalid actor '{actor}' (must be: user, agent, system)"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Refuses a bad validator at registration.
pub fn check_validator(path: &str, rule: &Rule, dialect: Dialect) -> Result<(), String> {
    let kind = rule.kind.as_str();
    match kind {
        "minLength" | "maxLength" | "minItems" | "maxItems" => match length(path, rule)? {
            number if number < 0 => Err(format!("{path}: {kind} value must be non-negative")),
            _ => Ok(()),
        },
        "min" | "max" => match rule.setting("value") {
            None => Err(format!("{path}: {kind} validator requires 'value' config")),
            Some(_) => Ok(()),
        },
        "pattern" => {
            let Some(pattern) = rule.setting("pattern").and_then(Value::as_str) else {
                return Err(format!("{path}: pattern validator requires 'pattern' config"));
            };
            Regex::new(pattern).map(|_| ()).map_err(|error| format!("{path}: invalid regex pattern: {error}"))
        }
        "enum" => match rule.setting("values") {
            Some(Value::Array(values)) if values.is_empty() => {
                Err(format!("{path}: enum must have at least one value"))
            }
            Some(Value::Array(_)) => Ok(()),
            _ => Err(format!("{path}: enum validator requires 'values' config as array")),
        },
        "serviceOption" if dialect == Dialect::Service => match rule.setting("value") {
            None => Err("serviceOption validator config missing 'value'".to_owned()),
            Some(Value::String(text)) if text.is_empty() => {
                Err("serviceOption validator config 'value' cannot be empty".to_owned())
            }
            Some(Value::String(_)) => Ok(()),
            Some(_) => Err("serviceOption validator config 'value' must be a string (serviceOptionType)".to_owned()),
        },
        "serviceReference" if dialect == Dialect::Service => check_reference(rule),
        _ => Err(format!("{path}: unknown validator '{kind}'")),
    }
}

fn check_reference(rule: &Rule) -> Result<(), String> {
    match rule.setting("types") {
        None => {}
        Some(Value::Array(types)) if types.is_empty() => {
            return Err("serviceReference validator 'types' array cannot be empty".to_owned());
        }
        Some(Value::Array(types)) if types.iter().all(Value::is_string) => {}
        Some(Value::Array(_)) => {
            return Err("serviceReference validator 'types' array must contain only strings".to_owned());
        }
        Some(_) => return Err("serviceReference validator 'types' must be an array".to_owned()),
    }
    match rule.setting("origin").map(Value::as_str) {
        None | Some(Some("consumer" | "group")) => Ok(()),
        Some(Some(_)) => Err("serviceReference validator 'origin' must be 'consumer' or 'group'".to_owned()),
        Some(None) => Err("serviceReference validator 'origin' must be a string".to_owned()),
    }
}

/// Refuses a bad rule over several properties at registration.
pub fn check_schema_rule(rule: &Rule) -> Result<(), String> {
    let kind = rule.kind.as_str();
    if kind != "exactlyOne" && kind != "uniqueValues" {
        return Err(format!("unknown schema validator: {kind}"));
    }
    let Some(list) = rule.setting("properties").and_then(Value::as_array) else {
        return Err(format!("{kind} validator requires 'properties' config as array"));
    };
    if let Some(odd) = list.iter().find(|item| !item.is_string()) {
        return Err(format!("{kind} validator: all properties must be strings, got {}", go_type(odd)));
    }
    if list.len() < 2 {
        return Err(format!("{kind} validator requires at least 2 properties"));
    }
    Ok(())
}

fn length(path: &str, rule: &Rule) -> Result<i64, String> {
    let kind = &rule.kind;
    match rule.setting("value") {
        None => Err(format!("{path}: {kind} validator requires 'value' config")),
        Some(value) => value
            .as_f64()
            .map(|number| number as i64)
            .ok_or_else(|| format!("{path}: {kind} 'value' config must be a number")),
    }
}

/// What the validators that look beyond the value need to know.
pub struct Surroundings<'a> {
    /// All rows.
    pub store: &'a Store,
    /// Provider of the service.
    pub provider: &'a str,
    /// Consumer of the service.
    pub consumer: &'a str,
    /// Group of the service.
    pub group: &'a str,
}

/// Holds one value against one validator.
pub fn validate(path: &str, value: &Value, rule: &Rule, around: &Surroundings<'_>) -> Result<(), String> {
    let kind = rule.kind.as_str();
    match kind {
        "minLength" | "maxLength" => {
            let Some(text) = value.as_str() else {
                return Err(format!("{path}: expected string for {kind} validator"));
            };
            within(path, kind, "string length", text.len() as i64, length(path, rule)?)
        }
        "minItems" | "maxItems" => {
            let Some(items) = value.as_array() else {
                return Err(format!("{path}: expected array for {kind} validator"));
            };
            within(path, kind, "array length", items.len() as i64, length(path, rule)?)
        }
        "min" | "max" => {
            let Some(number) = value.as_f64() else {
                return Err(format!("{path}: expected number for {kind} validator"));
            };
            let Some(bound) = rule.setting("value").and_then(Value::as_f64) else {
                return Err(format!("{path}: {kind} 'value' config must be a number"));
            };
            within(path, kind, "value", number, bound)
        }
        "pattern" => {
            let Some(text) = value.as_str() else {
                return Err(format!("{path}: expected string for pattern validator"));
            };
            let pattern = rule.setting("pattern").and_then(Value::as_str).unwrap_or_default();
            match Regex::new(pattern) {
                Ok(regex) if regex.is_match(text) => Ok(()),
                Ok(_) => Err(format!("{path}: string does not match required pattern")),
                Err(_) => Err(format!("{path}: invalid regex pattern: {pattern}")),
            }
        }
        "enum" => {
            let values = rule.setting("values").and_then(Value::as_array);
            match values.is_some_and(|values| values.iter().any(|allowed| same(allowed, value))) {
                true => Ok(()),
                false => Err(format!("{path}: value not in allowed enum values")),
            }
        }
        "serviceOption" => validate_option(path, value, rule, around),
        "serviceReference" => validate_reference(path, value, rule, around),
        _ => Err(format!("{path}: unknown validator '{kind}'")),
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    path: &str,
    kind: &str,
    what: &str,
    found: T,
    bound: T,
) -> Result<(), String> {
    if kind.starts_with("min") {
        if found < bound {
            return Err(format!("{path}: {what} {found} is less than minimum {bound}"));
        }
    } else if found > bound {
        return Err(format!("{path}: {what} {found} exceeds maximum {bound}"));
    }
    Ok(())
}

/// Equality in which `1` and `1.0` are the same number.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn validate_option(path: &str, value: &Value, rule: &Rule, around: &Surroundings<'_>) -> Result<(), String> {
    let kind = rule.setting("value").and_then(Value::as_str).unwrap_or_default();
    let Some(option_type) = around.store.option_types.iter().find(|row| row.kind == kind) else {
        return Err(format!(
            "{path}: failed to find service option type '{kind}': resource not found: record not found"
        ));
    };
    let mut offered = around
        .store
        .options
        .iter()
        .filter(|row| row.enabled && row.provider == around.provider && row.option_type == option_type.meta.id)
        .peekable();
    if offered.peek().is_none() {
        return Err(format!("{path}: no enabled service options available for type '{kind}'"));
    }
    match offered.any(|row| same(&row.value, value)) {
        true => Ok(()),
        false => Err(format!("{path}: value must match one of the enabled service options for type '{kind}'")),
    }
}

fn validate_reference(path: &str, value: &Value, rule: &Rule, around: &Surroundings<'_>) -> Result<(), String> {
    let Some(id) = value.as_str() else {
        return Err(format!("{path}: expected string uuid, got {}", go_type(value)));
    };
    let Some(service) = around.store.services.get(&id.to_ascii_lowercase()) else {
        return Err(format!("{path}: referenced service not found: resource not found: record not found"));
    };
    if let Some(types) = rule.setting("types").and_then(Value::as_array) {
        let name = around.store.service_types.get(&service.service_type).map_or("", |row| row.name.as_str());
        if !types.iter().any(|allowed| allowed.as_str() == Some(name)) {
            return Err(format!("{path}: service must be one of types {}, got '{name}'", go_list(types)));
        }
    }
    match rule.setting("origin").and_then(Value::as_str) {
        Some("consumer") if service.consumer != around.consumer => {
            Err(format!("{path}: referenced service must belong to the same consumer"))
        }
        Some("group") if service.group != around.group => {
            Err(format!("{path}: referenced service must belong to the same service group"))
        }
        _ => Ok(()),
    }
}

/// A list of strings as Go prints it.
pub fn go_list(items: &[Value]) -> String {
    let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    format!("[{}]", texts.join(" "))
}

/// Holds the processed properties against a rule over several of them.
pub fn validate_together(properties: &Object, rule: &Rule) -> Result<(), String> {
    let Some(names) = rule.setting("properties").and_then(Value::as_array) else { return Ok(()) };
    let given: Vec<&Value> =
        names.iter().filter(|name| name.as_str().is_some_and(|name| properties.contains_key(name))).collect();
    if rule.kind == "exactlyOne" {
        return match given.len() {
            1 => Ok(()),
            0 => Err(format!("exactly one of {} must be provided", go_list(names))),
            _ => {
                let given: Vec<Value> = given.into_iter().cloned().collect();
                Err(format!("only one of {} can be provided, got: {}", go_list(names), go_list(&given)))
            }
        };
    }
    let mut seen: Vec<(&str, &Value)> = Vec::new();
    for name in given.iter().filter_map(|name| name.as_str()) {
        let Some(value) = properties.get(name) else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, earlier)| same(earlier, value)) {
            return Err(format!("properties {other} and {name} must have unique values, both have: {value}"));
        }
        seen.push((name, value));
    }
    Ok(())
}
