//! A schema of the description as JSON Schema.
//!
//! It is close to JSON Schema's third draft, with numbers for booleans, `optional` instead of `required`, Perl's regular
//! expressions, families of keys (`net[n]`), and property strings, whose `format` is an object.

use serde_json::{Map, Value, json};

/// How many keys a family has (qemu-server `PVE/QemuServer.pm` and its drive, PCI and USB modules).
const FAMILIES: &[(&str, u32)] = &[
    ("net", 32),
    ("ide", 4),
    ("sata", 6),
    ("scsi", 31),
    ("virtio", 16),
    ("ipconfig", 32),
    ("numa", 8),
    ("hostpci", 16),
    ("usb", 14),
    ("serial", 4),
    ("parallel", 3),
    ("unused", 256),
    ("virtiofs", 10),
];

/// Keywords that are the same.
const SAME: &[&str] = &["minLength", "maxLength", "enum"];

/// Whether a flag is set: the description writes 1.
pub(super) fn flag(schema: &Value, name: &str) -> bool {
    match &schema[name] {
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !text.is_empty() && text != "0",
        _ => false,
    }
}

/// The schema of a key, families included.
pub(super) fn property<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let family = key.trim_end_matches(|c: char| c.is_ascii_digit());
    properties.get(key).or_else(|| (family != key).then(|| properties.get(&format!("{family}[n]"))).flatten())
}

/// The same schema as JSON Schema.
pub(super) fn convert(schema: &Value) -> Value {
    let Some(object) = schema.as_object() else { return json!({}) };
    let mut made = Map::new();
    if let Some(format) = object.get("format").filter(|format| format.is_object()) {
        return convert(&json!({"type": "object", "properties": format, "additionalProperties": 0}));
    }
    for (key, value) in object {
        match (key.as_str(), value) {
            ("type", Value::String(kind)) if kind != "any" => {
                made.insert(key.clone(), value.clone());
            }
            ("format", Value::String(_)) => {
                made.insert(key.clone(), value.clone());
            }
            ("pattern", Value::String(pattern)) => {
                made.insert(key.clone(), json!(format!("^(?:{})$", from_perl(pattern))));
            }
            ("minimum" | "maximum", _) => {
                let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                made.extend(number.map(|number| (key.clone(), json!(number))));
            }
            ("items", _) => {
                made.insert(key.clone(), convert(value));
            }
            ("oneOf", Value::Array(parts)) => {
                made.insert("anyOf".to_owned(), parts.iter().map(convert).collect());
            }
            ("additionalProperties", Value::Object(_)) => {
                made.insert(key.clone(), convert(value));
            }
            ("additionalProperties", _) if !flag(schema, key) => {
                made.insert(key.clone(), json!(false));
            }
            ("properties", Value::Object(parts)) => properties(parts, &mut made),
            (same, _) if SAME.contains(&same) => {
                made.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    Value::Object(made)
}

fn properties(parts: &Map<String, Value>, made: &mut Map<String, Value>) {
    let (mut named, mut patterns, mut required, mut dependent) = (Map::new(), Map::new(), Vec::new(), Map::new());
    for (name, part) in parts {
        // Another spelling of a key, which reading the value has replaced.
        if !part["alias"].is_null() {
            continue;
        }
        match name.strip_suffix("[n]") {
            Some(family) => {
                let count = FAMILIES.iter().find(|(known, _)| *known == family).map(|(_, count)| *count);
                let numbers: Vec<String> = (0..count.unwrap_or_default()).map(|n| n.to_string()).collect();
                let numbers = if numbers.is_empty() { "[0-9]+".to_owned() } else { numbers.join("|") };
                patterns.insert(format!("^{family}(?:{numbers})$"), convert(part));
            }
            None => {
                named.insert(name.clone(), convert(part));
                if !flag(part, "optional") {
                    required.push(name.clone());
                }
                if let Some(other) = part["requires"].as_str() {
                    dependent.insert(name.clone(), json!([other]));
                }
            }
        }
    }
    made.insert("properties".to_owned(), Value::Object(named));
    made.insert("patternProperties".to_owned(), Value::Object(patterns));
    made.insert("required".to_owned(), json!(required));
    made.insert("dependentRequired".to_owned(), Value::Object(dependent));
}

/// Perl writes a compiled expression as `(?^i:…)`.
fn from_perl(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("(?^") {
        text.push_str(before);
        text.push_str("(?");
        // `a`, `u` and `l` choose a character set.
        let flags: String = after.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
        text.extend(flags.chars().filter(|flag| "imsx".contains(*flag)));
        rest = after.get(flags.len()..).unwrap_or_default();
    }
    text.push_str(rest);
    text.replace("\\z", "$").replace("\\Z", "$").replace("{,", "{0,").replace("(?>", "(?:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perl_is_translated() {
        assert_eq!(from_perl("(?^i:a(?^:b){,16}\\z)"), "(?i:a(?:b){0,16}$)");
    }

    #[test]
    fn a_family_ends() {
        let schema = json!({"properties": {"net[n]": {"type": "string", "optional": 1}}, "additionalProperties": 0});
        let validator = jsonschema::validator_for(&convert(&schema)).unwrap();
        assert!(validator.is_valid(&json!({"net0": "a", "net31": "a"})));
        assert!(!validator.is_valid(&json!({"net32": "a"})));
    }
}
