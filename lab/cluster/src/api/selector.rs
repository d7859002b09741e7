//! Label and field selectors.

use serde_json::Value;

use super::failure::Failure;
use super::kind::Kind;

/// A parsed pair of selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`. Custom kinds know only the fields of their metadata.
    pub fn parse(labels: Option<&str>, fields: Option<&str>, kind: &Kind) -> Result<Self, Failure> {
        let labels = split(labels.unwrap_or_default());
        let labels = labels.iter().map(|text| requirement(text)).collect::<Result<_, _>>()?;
        let fields = fields.unwrap_or_default().split(',').filter(|term| !term.trim().is_empty());
        let fields = fields.map(|term| field(term.trim(), kind)).collect::<Result<_, _>>()?;
        Ok(Selector { labels, fields })
    }

    /// Whether an object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.matches(labels))
            && self.fields.iter().all(|(path, equal, value)| (lookup(object, path) == *value) == *equal)
    }

    /// The name, when the selector means exactly one object by it.
    pub fn name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(path, equal, _)| path == "metadata.name" && *equal)
            .map(|(_, _, value)| value.as_str())
    }
}

impl Requirement {
    fn matches(&self, labels: &Value) -> bool {
        let value = |key: &str| labels.get(key).and_then(Value::as_str);
        match self {
            Requirement::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Requirement::NotIn(key, values) => value(key).is_none_or(|v| values.iter().all(|w| w != v)),
            Requirement::Exists(key) => value(key).is_some(),
            Requirement::Missing(key) => value(key).is_none(),
        }
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn requirement(text: &str) -> Result<Requirement, Failure> {
    let key = |k: &str| {
        let k = k.trim();
        let plain = !k.is_empty() && k.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        plain.then(|| k.to_owned()).ok_or_else(|| unable(text))
    };
    let set = |values: &str| -> Result<Vec<String>, Failure> {
        let inner = values.trim().strip_prefix('(').and_then(|v| v.strip_suffix(')')).ok_or_else(|| unable(text))?;
        Ok(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((k, values)) = text.split_once(" notin ") {
        return Ok(Requirement::NotIn(key(k)?, set(values)?));
    }
    if let Some((k, values)) = text.split_once(" in ") {
        return Ok(Requirement::In(key(k)?, set(values)?));
    }
    if let Some((k, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key(k)?, vec![value.trim().to_owned()]));
    }
    if let Some((k, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(key(k)?, vec![value.trim().to_owned()]));
    }
    match text.strip_prefix('!') {
        Some(k) => Ok(Requirement::Missing(key(k)?)),
        None => Ok(Requirement::Exists(key(text)?)),
    }
}

fn unable(text: &str) -> Failure {
    Failure::bad_request(format!("unable to parse requirement: {text:?}"))
}

fn field(term: &str, kind: &Kind) -> Result<(String, bool, String), Failure> {
    let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
        (path, false, value)
    } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (path, true, value)
    } else {
        return Err(Failure::bad_request(format!("invalid field selector: {term:?}")));
    };
    let known = matches!(path, "metadata.name" | "metadata.namespace")
        || matches!(
            (kind.plural.as_str(), path),
            (
                "pods",
                "spec.nodeName" | "spec.serviceAccountName" | "spec.restartPolicy" | "status.phase" | "status.podIP"
            ) | ("secrets", "type")
                | ("nodes", "spec.unschedulable")
                | ("namespaces", "status.phase")
                | ("certificatesigningrequests", "spec.signerName")
                | ("replicasets", "status.replicas")
                | ("jobs", "status.successful")
        )
        || (kind.plural == "events"
            && (path.starts_with("involvedObject.") || ["reason", "type", "source"].contains(&path)));
    if !known {
        return Err(Failure::bad_request(format!("field label not supported: {path}")));
    }
    Ok((path.to_owned(), equal, value.to_owned()))
}

fn lookup(object: &Value, path: &str) -> String {
    let mut at = object;
    for part in path.split('.') {
        at = &at[part];
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Null => {
            if path == "spec.unschedulable" {
                "false".to_owned()
            } else {
                String::new()
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(plural: &str) -> Kind {
        super::super::builtin::kinds().into_iter().find(|k| k.plural == plural).unwrap()
    }

    fn selects(labels: &str, object: &Value) -> bool {
        Selector::parse(Some(labels), None, &kind("pods")).unwrap().matches(object)
    }

    #[test]
    fn label_selectors_select() {
        let pod = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        for (text, wanted) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (db, web),!gone", true),
            ("app notin (web)", false),
            ("gone", false),
            ("gone!=x", true),
            ("app=db", false),
        ] {
            assert_eq!(selects(text, &pod), wanted, "{text}");
        }
        assert!(Selector::parse(Some("app in web"), None, &kind("pods")).is_err());
    }

    #[test]
    fn field_selectors_know_their_fields() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}});
        let one = Selector::parse(None, Some("spec.nodeName=n1,metadata.name!=b"), &kind("pods")).unwrap();
        assert!(one.matches(&pod));
        assert_eq!(Selector::parse(None, Some("metadata.name=a"), &kind("pods")).unwrap().name(), Some("a"));
        let unknown = Selector::parse(None, Some("data.x=1"), &kind("secrets")).unwrap_err();
        assert_eq!((unknown.code, unknown.reason), (400, "BadRequest"));
    }
}
