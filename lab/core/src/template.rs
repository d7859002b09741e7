//! Install templates: the part of Go's `text/template` that configuration files need, `{{.key}}` and `{{.key.field}}`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::schema::Property;
use crate::store::{AgentType, Object};

/// What the command template must refer to beyond the configuration.
pub const EXTRA: [&str; 2] = ["configUrl", "authToken"];

/// Renders a template; a key without a value is an error.
pub fn render(name: &str, template: &str, data: &Object) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, tail)) = after.split_once("}}") else {
            return Err(format!("{name}: template: {name}: unclosed action"));
        };
        let trimmed = action.strip_prefix("- ");
        out.push_str(if trimmed.is_some() { before.trim_end() } else { before });
        let action = trimmed.unwrap_or(action);
        let (action, tail) = match action.strip_suffix(" -") {
            Some(action) => (action, tail.trim_start()),
            None => (action, tail),
        };
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            out.push_str(&field(name, action, data)?);
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn field(name: &str, action: &str, data: &Object) -> Result<String, String> {
    let path = action.strip_prefix('.').filter(|path| !path.is_empty() && !path.contains([' ', '|', '(']));
    let Some(path) = path else { return Err(format!("{name}: template: {name}: unsupported action {{{{{action}}}}}")) };
    let mut object = Some(data);
    let mut found = None;
    for key in path.split('.') {
        let value = object.and_then(|object| object.get(key));
        let Some(value) = value else { return Err(format!("{name} references unknown property {key:?}")) };
        object = value.as_object();
        found = Some(value);
    }
    Ok(match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "<no value>".to_owned(),
        Some(other) => other.to_string(),
    })
}

/// What registration of an agent type refuses.
pub fn check(row: &AgentType) -> Result<(), String> {
    let sample = samples(&row.configuration.properties);
    render("configTemplate", &row.config_template, &sample)?;
    let with = |keys: &[&str]| {
        let mut data = sample.clone();
        data.extend(keys.iter().map(|key| ((*key).to_owned(), json!(""))));
        render("cmdTemplate", &row.cmd_template, &data)
    };
    with(&EXTRA)?;
    if row.config_template.is_empty() != row.cmd_template.is_empty() {
        return Err("configTemplate and cmdTemplate must both be set or both be empty".to_owned());
    }
    if !row.cmd_template.is_empty() {
        for (at, required) in EXTRA.iter().enumerate() {
            if with(&[EXTRA[1 - at]]).is_ok() {
                return Err(format!("cmdTemplate must reference {{{{.{required}}}}} when configTemplate is set"));
            }
        }
    }
    let essence = row.config_content_type.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.contains(' ') || essence.split('/').any(str::is_empty) {
        return Err(format!("configContentType {:?} is not a valid media type", row.config_content_type));
    }
    Ok(())
}

fn samples(properties: &BTreeMap<String, Property>) -> Object {
    let sample = |property: &Property| match property.kind.as_str() {
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        "object" => Value::Object(samples(&property.properties)),
        "array" => json!([]),
        _ => json!(""),
    };
    properties.iter().map(|(name, property)| (name.clone(), sample(property))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_put_in() {
        let data = json!({"url": "https://pve:8006", "poll": 5, "deep": {"on": true}});
        let text = render(
            "t",
            "url: {{.url}}\npoll: {{ .poll }}\n{{/* note */}}on: {{.deep.on}}\n",
            data.as_object().unwrap(),
        );
        assert_eq!(text.unwrap(), "url: https://pve:8006\npoll: 5\non: true\n");
    }

    #[test]
    fn a_missing_value_is_an_error() {
        let error = render("t", "{{.none}}", &Object::new()).unwrap_err();
        assert_eq!(error, "t references unknown property \"none\"");
        assert!(render("t", "{{.open", &Object::new()).is_err());
    }
}
