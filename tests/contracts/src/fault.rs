//! What is wrong with a request or an answer.

use std::fmt;

use lab_wire::Exchange;
use serde_json::Value;

/// Which half of an exchange is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What was sent.
    Request,
    /// What came back.
    Answer,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Request => "request",
            Side::Answer => "answer",
        })
    }
}

/// One thing that a schema forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which half.
    pub side: Side,
    /// Where in it: a JSON pointer into a body, `query NAME`, `status`, `operation` …
    pub place: String,
    /// The rule that is broken: a keyword of the schema, or `unknown`, `operation`, `status`, `content`,
    /// `refusal` (any of these in an answer that refuses).
    pub rule: String,
    /// In words.
    pub text: String,
}

impl Fault {
    /// A fault.
    pub fn new(side: Side, place: impl Into<String>, rule: &str, text: impl Into<String>) -> Self {
        Fault { side, place: place.into(), rule: rule.to_owned(), text: text.into() }
    }
}

/// What a schema had to say about an exchange.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// `GET /path/{of}/the/schema`; `None` where it has no such operation.
    pub operation: Option<String>,
    /// Whether the request could be checked whole.
    pub request: bool,
    /// Whether the answer could be.
    pub answer: bool,
    /// The status that counts: some systems put it into the body. 0 without an answer.
    pub status: u16,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// The published interface of one system in one version.
pub trait Contract {
    /// Checks both halves of an exchange.
    fn check(&self, exchange: &Exchange) -> Checked;
}

/// What a validator says of a value, as faults at places that begin with `at`.
pub fn faults(validator: &jsonschema::Validator, value: &Value, side: Side, at: &str) -> Vec<Fault> {
    validator
        .iter_errors(value)
        .map(|error| {
            let keyword = error.schema_path().to_string();
            let keyword = keyword.rsplit('/').find(|part| part.parse::<u32>().is_err()).unwrap_or_default().to_owned();
            let text: String = error.to_string().chars().take(400).collect();
            Fault::new(side, format!("{at}{}", error.instance_path()), &keyword, text)
        })
        .collect()
}

/// Finds the template that a path fits, exact segments before placeholders, with the values of its placeholders.
pub fn template<'a>(templates: impl Iterator<Item = &'a str>, path: &str) -> Option<(&'a str, Vec<(String, String)>)> {
    let given: Vec<&str> = path.split('/').collect();
    let fitting = templates.filter_map(|template| {
        let parts: Vec<&str> = template.split('/').collect();
        if parts.len() != given.len() {
            return None;
        }
        let mut values = Vec::new();
        for (part, value) in parts.iter().zip(&given) {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) if !value.is_empty() => values.push((name.to_owned(), lab_wire::percent_decode(value))),
                _ if part == value => {}
                _ => return None,
            }
        }
        Some((template, values))
    });
    fitting.min_by_key(|(_, values)| values.len())
}
