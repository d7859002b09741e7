//! Text of forms, property strings and Perl's loose types as typed values.
//!
//! What cannot be read as its schema says stays as it is, so that the validator names it.

use serde_json::{Map, Value, json};

use super::schema::{flag, property};

/// A value as its schema means it.
pub(super) fn typed(schema: &Value, value: &Value) -> Value {
    if schema["format"].is_object()
        && let Value::String(text) = value
    {
        return properties_of(&schema["format"], text).unwrap_or_else(|| value.clone());
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    match (kind, value) {
        ("integer" | "number", Value::String(text)) => number(text).unwrap_or_else(|| value.clone()),
        ("boolean", Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => json!(true),
            "0" | "off" | "no" | "false" | "" => json!(false),
            _ => value.clone(),
        },
        ("boolean", Value::Number(number)) => match number.as_u64() {
            Some(digit @ 0..=1) => json!(digit == 1),
            _ => value.clone(),
        },
        ("string", Value::Number(number)) => json!(number.to_string()),
        ("string", Value::Bool(set)) => json!(u8::from(*set).to_string()),
        ("array", Value::Array(items)) => items.iter().map(|item| typed(&schema["items"], item)).collect(),
        // A form cannot tell a list of one from a text.
        ("array", Value::String(_)) => json!([typed(&schema["items"], value)]),
        (_, Value::Object(object)) => Value::Object(object_of(schema, object)),
        _ => value.clone(),
    }
}

fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().map(|number| json!(number)).ok();
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| json!(number)))
}

fn object_of(schema: &Value, object: &Map<String, Value>) -> Map<String, Value> {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let mut made = Map::new();
    for (key, value) in object {
        let part = property(properties, key);
        // Perl's undefined is absence.
        if value.is_null() && part.is_none_or(|part| flag(part, "optional")) {
            continue;
        }
        made.insert(key.clone(), part.map_or_else(|| value.clone(), |part| typed(part, value)));
    }
    made
}

/// `virtio=BC:24:11:00:00:01,bridge=vmbr0` as an object; `None` when it is no such text.
fn properties_of(format: &Value, text: &str) -> Option<Value> {
    let keys = format.as_object()?;
    let mut made = Map::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), value),
            None => (keys.iter().find(|(_, schema)| flag(schema, "default_key"))?.0.clone(), part),
        };
        let schema = keys.get(&key).cloned().unwrap_or(Value::Null);
        if let Some(name) = schema["keyAlias"].as_str() {
            made.insert(name.to_owned(), json!(key));
        }
        let key = schema["alias"].as_str().map_or(key, str::to_owned);
        let schema = keys.get(&key).cloned().unwrap_or(Value::Null);
        // Given twice: what comes first would be lost.
        if made.insert(key, typed(&schema, &json!(value))).is_some() {
            return None;
        }
    }
    Some(Value::Object(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_card_is_taken_apart() {
        let format = json!({
            "model": {"type": "string", "default_key": 1}, "virtio": {"alias": "macaddr", "keyAlias": "model"},
            "macaddr": {"type": "string"}, "tag": {"type": "integer"}, "firewall": {"type": "boolean"},
        });
        let schema = json!({"type": "string", "format": format});
        let card = typed(&schema, &json!("virtio=BC:24:11:00:00:01,tag=7,firewall=1"));
        let wanted = json!({"model": "virtio", "macaddr": "BC:24:11:00:00:01", "tag": 7, "firewall": true});
        assert_eq!(card, wanted);
        assert_eq!(typed(&schema, &json!("e1000")), json!({"model": "e1000"}));
        assert_eq!(typed(&schema, &json!("tag=1,tag=2")), json!("tag=1,tag=2"));
    }
}
