//! What a plugin is configured with against the JSON Schema in its manifest: everything that is wrong, told at once.

use agentkube_contract::Fault;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use crate::suggestion::suggestion;
use crate::{ConfigMistake, Error, Result};

/// Mistakes told of one configuration.
const MOST_TOLD: usize = 20;
/// Most characters told of one mistake.
const LONGEST: usize = 300;

/// The configuration fits the manifest's schema.
pub(crate) fn check_config(plugin: &str, schema: &Value, config: &Value) -> Result<()> {
    match validate(schema, config) {
        mistakes if mistakes.is_empty() => Ok(()),
        mistakes => Err(Error::PluginConfig { plugin: plugin.to_owned(), mistakes }),
    }
}

/// The settings that only this provider knows fit its schema for them.
pub(crate) fn check_settings(plugin: &str, schema: &Value, settings: &str) -> std::result::Result<(), Fault> {
    let bad = |message: String| Fault::invalid("SETTINGS", format!("settings for `{plugin}`: {message}"));
    let settings: Value = serde_json::from_str(settings).map_err(|e| bad(format!("no JSON: {e}")))?;
    if schema.is_null() {
        let empty = settings.as_object().is_some_and(serde_json::Map::is_empty);
        return if empty { Ok(()) } else { Err(bad("this provider has none".to_owned())) };
    }
    let told: Vec<String> = validate(schema, &settings)
        .into_iter()
        .map(|ConfigMistake { path, message }| format!("at {}: {message}", if path.is_empty() { "/" } else { &path }))
        .collect();
    if told.is_empty() { Ok(()) } else { Err(bad(told.join("; "))) }
}

/// Everything that is wrong with a value.
fn validate(schema: &Value, value: &Value) -> Vec<ConfigMistake> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the manifest's schema is no JSON Schema: {error}");
            return vec![ConfigMistake { path: String::new(), message }];
        }
    };
    validator.iter_errors(value).flat_map(|error| mistakes(schema, &error)).take(MOST_TOLD).collect()
}

/// What an error of the validator means, in words for the operator.
fn mistakes(schema: &Value, error: &ValidationError<'_>) -> Vec<ConfigMistake> {
    let path = error.instance_path().as_str();
    let here = |message: String| vec![ConfigMistake { path: path.to_owned(), message }];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = siblings(schema, error);
            unexpected.iter().map(|key| unknown(path, key, &known)).collect()
        }
        Kind::Required { property } => {
            here(format!("`{}` is missing", property.as_str().map_or_else(|| property.to_string(), str::to_owned)))
        }
        Kind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            here(none_of(error.instance(), &options.iter().collect::<Vec<_>>()))
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let constant = |errors: &Vec<ValidationError<'static>>| {
                errors.iter().find_map(|error| match error.kind() {
                    Kind::Constant { expected_value } => Some(expected_value.clone()),
                    _ => None,
                })
            };
            if let Some(words) = context.iter().map(constant).collect::<Option<Vec<Value>>>() {
                return here(none_of(error.instance(), &words.iter().collect::<Vec<_>>()));
            }
            // The alternative that was meant is the one whose kind of value it is.
            let meant = |errors: &&Vec<ValidationError<'static>>| {
                let other = |e: &ValidationError<'_>| {
                    matches!(e.kind(), Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. })
                        && e.instance_path().as_str() == path
                };
                !errors.iter().any(other)
            };
            let mut fitting = context.iter().filter(meant);
            match (fitting.next(), fitting.next()) {
                (Some(errors), None) => errors.iter().flat_map(|error| mistakes(schema, error)).collect(),
                _ => here(clipped(error.to_string())),
            }
        }
        _ => here(clipped(error.to_string())),
    }
}

/// The keys that the schema knows where this one is not known.
fn siblings<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Vec<&'s str> {
    let place = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
    let known = schema.pointer(place).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    known.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn unknown(path: &str, key: &str, known: &[&str]) -> ConfigMistake {
    let meant = suggestion(key, known.iter().copied()).or_else(|| Some(format!("there are: {}", known.join(", "))));
    let meant = meant.filter(|_| !known.is_empty()).map(|meant| format!("; {meant}")).unwrap_or_default();
    let place = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
    ConfigMistake { path: place, message: clipped(format!("unknown key `{key}`{meant}")) }
}

fn none_of(value: &Value, words: &[&Value]) -> String {
    let meant = value.as_str().and_then(|word| suggestion(word, words.iter().filter_map(|word| word.as_str())));
    let meant = meant.map(|meant| format!("; {meant}")).unwrap_or_default();
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    clipped(format!("{value} is none of {}{meant}", words.join(", ")))
}

fn clipped(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "$defs": {
                "Timings": { "type": "object", "additionalProperties": false, "properties": { "first-ms": { "type": "integer", "minimum": 1 } } },
                "Mode": { "oneOf": [{ "const": "full", "type": "string" }, { "const": "linked", "type": "string" }] },
            },
            "type": "object",
            "additionalProperties": false,
            "required": ["connection"],
            "properties": {
                "connection": { "type": "string" },
                "mode": { "$ref": "#/$defs/Mode" },
                "timings": { "$ref": "#/$defs/Timings" },
                "later": { "anyOf": [{ "$ref": "#/$defs/Timings" }, { "type": "null" }] },
                "image": { "enum": ["one", "two"] },
            },
        })
    }

    fn told(config: Value) -> String {
        check_config("p", &schema(), &config).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn every_mistake_is_told_and_a_word_that_nothing_knows_with_the_one_that_was_meant() {
        let config = json!({
            "conection": "a", "mode": "ful", "timings": { "frist-ms": 5, "first-ms": 0 }, "later": { "frist-ms": 5 }, "image": "tow",
            "unlike": 1,
        });
        let said = told(config);
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "plugin `p`: configuration at /: `connection` is missing",
                "plugin `p`: configuration at /conection: unknown key `conection`; did you mean `connection`?",
                "plugin `p`: configuration at /image: \"tow\" is none of \"one\", \"two\"; did you mean `two`?",
                "plugin `p`: configuration at /later/frist-ms: unknown key `frist-ms`; did you mean `first-ms`?",
                "plugin `p`: configuration at /mode: \"ful\" is none of \"full\", \"linked\"; did you mean `full`?",
                "plugin `p`: configuration at /timings/first-ms: 0 is less than the minimum of 1",
                "plugin `p`: configuration at /timings/frist-ms: unknown key `frist-ms`; did you mean `first-ms`?",
                "plugin `p`: configuration at /unlike: unknown key `unlike`; there are: connection, image, later, mode, timings",
            ]
        );
        assert_eq!(told(json!({ "connection": "a", "later": null, "mode": "linked", "timings": {} })), "");
    }

    #[test]
    fn long_ones_and_many_make_no_long_text() {
        let many: serde_json::Map<String, Value> =
            (0..100).map(|n| (format!("{n}{}", "x".repeat(5000)), json!(n))).collect();
        let said = told(Value::Object(many));
        assert!(said.lines().count() <= MOST_TOLD && said.len() < 200_000, "{}", said.len());
    }

    #[test]
    fn settings_tell_all_of_it_in_one_line() {
        let fault = check_settings("p", &schema(), r#"{"connection": 5, "mod": "full"}"#).unwrap_err();
        assert!(fault.message.contains("at /connection: 5 is not of type \"string\""), "{fault}");
        assert!(fault.message.contains("at /mod: unknown key `mod`; did you mean `mode`?"), "{fault}");
    }
}
