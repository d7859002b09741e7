//! Parameter checks: types, ranges, patterns, formats, and the texts with which the API refuses.

use std::collections::BTreeMap;

use crate::form::Given;
use crate::property::Shape;
use crate::settings::Release;

/// What a parameter's value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text of at most so many characters.
    Short(usize),
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A number within bounds.
    Number(f64, f64),
    /// `0` or `1`; words too.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// What a function accepts; its error is the text of the refusal.
    Format(fn(&str) -> Result<(), String>),
    /// `key=value,…` of a known shape.
    Properties(&'static Shape),
    /// Repeated key or JSON array.
    List,
}

/// One parameter of an endpoint. A name that ends in `[n]` stands for a family with indices below `count`.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Another parameter that must then be there too.
    pub requires: Option<&'static str>,
    /// First release that knows it.
    pub since: Option<Release>,
    /// Size of the family.
    pub count: u32,
}

/// A parameter that must be given.
pub const fn need(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, optional: false, requires: None, since: None, count: 0 }
}

/// A parameter that may be given.
pub const fn may(name: &'static str, kind: Kind) -> Param {
    Param { optional: true, ..need(name, kind) }
}

impl Param {
    /// The same, needing another parameter beside it.
    pub const fn requires(mut self, other: &'static str) -> Param {
        self.requires = Some(other);
        self
    }

    /// The same, unknown before a release.
    pub const fn since(mut self, release: Release) -> Param {
        self.since = Some(release);
        self
    }

    /// The same, as a family of `count` parameters.
    pub const fn family(mut self, count: u32) -> Param {
        self.count = count;
        self
    }

    fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix("[n]") {
            None => self.name == name,
            Some(stem) => name
                .strip_prefix(stem)
                .filter(|digits| digits.len() == 1 || !digits.starts_with('0'))
                .and_then(|digits| digits.parse::<u32>().ok())
                .is_some_and(|index| index < self.count),
        }
    }
}

/// Checked parameters.
#[derive(Clone, Debug, Default)]
pub struct Args(Given);

impl Args {
    /// The value of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|values| values.first()).map(String::as_str)
    }

    /// The value of a parameter, empty when absent.
    pub fn word(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// A VM's id.
    pub fn vmid(&self, name: &str) -> u32 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether a boolean was given and true.
    pub fn flag(&self, name: &str) -> bool {
        self.given_flag(name).unwrap_or(false)
    }

    /// A boolean, if given.
    pub fn given_flag(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(boolean)
    }

    /// All values of a list.
    pub fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every parameter with its first value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| Some((name.as_str(), values.first()?.as_str())))
    }
}

/// Reads a boolean as the API does.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Parameters that are not checked yet, for the access check, which comes first.
pub fn unchecked(given: Given) -> Args {
    Args(given)
}

/// Checks what was given against what an endpoint knows; the error maps parameters to texts.
pub fn check(params: &[Param], given: Given, release: Release) -> Result<Args, BTreeMap<String, String>> {
    let mut errors = BTreeMap::new();
    let known = |name: &str| params.iter().find(|p| p.covers(name) && p.since.is_none_or(|since| release >= since));
    for (name, values) in &given {
        let Some(param) = known(name) else {
            errors.insert(
                name.clone(),
                "property is not defined in schema and the schema does not allow additional properties".to_owned(),
            );
            continue;
        };
        let list = matches!(param.kind, Kind::List);
        let fault = match values.as_slice() {
            [value] if !list => value_fault(param.kind, name, value),
            _ if list => None,
            _ => Some("type check ('string') failed - got ARRAY".to_owned()),
        };
        if let Some(fault) = fault {
            errors.insert(name.clone(), fault);
        }
        if let Some(other) = param.requires.filter(|other| !given.contains_key(*other)) {
            errors.insert(other.to_owned(), format!("missing property required by '{name}'"));
        }
    }
    for param in params.iter().filter(|param| !param.optional && !given.contains_key(param.name)) {
        errors.insert(param.name.to_owned(), "property is missing and it is not optional".to_owned());
    }
    if errors.is_empty() { Ok(Args(given)) } else { Err(errors) }
}

/// What is wrong with one value, if anything. `path` is how a nested error names its place.
pub fn value_fault(kind: Kind, path: &str, value: &str) -> Option<String> {
    let bounds = |given: f64, low: f64, high: f64| {
        if given < low {
            Some(format!("value must have a minimum value of {low}"))
        } else if given > high {
            Some(format!("value must have a maximum value of {high}"))
        } else {
            None
        }
    };
    match kind {
        Kind::Text | Kind::List => None,
        Kind::Short(limit) => {
            (value.chars().count() > limit).then(|| format!("value may only be {limit} characters long"))
        }
        Kind::Integer(low, high) => match value.parse::<i64>() {
            Ok(given) => bounds(given as f64, low as f64, high as f64),
            Err(_) => Some(format!("type check ('integer') failed - got '{value}'")),
        },
        Kind::Number(low, high) => match value.parse::<f64>() {
            Ok(given) => bounds(given, low, high),
            Err(_) => Some(format!("type check ('number') failed - got '{value}'")),
        },
        Kind::Boolean => boolean(value).is_none().then(|| format!("type check ('boolean') failed - got '{value}'")),
        Kind::Word(words) => (!words.contains(&value))
            .then(|| format!("value '{value}' does not have a value in the enumeration '{}'", words.join(", "))),
        Kind::Format(check) => check(value).err(),
        Kind::Properties(shape) => shape.fault(path, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{DNS_NAME, VMID};

    const PARAMS: &[Param] = &[
        need("newid", VMID),
        may("name", DNS_NAME),
        may("full", Kind::Boolean),
        may("force", Kind::Boolean).requires("delete"),
        may("delete", Kind::Text),
        may("net[n]", Kind::Text).family(32),
        may("ksm", Kind::Boolean).since(Release::V9_1),
    ];

    fn errors(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = pairs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        check(PARAMS, given, Release::V8_4).err().unwrap_or_default()
    }

    #[test]
    fn refusals_carry_the_texts_of_the_real_thing() {
        assert_eq!(errors(&[("newid", "104"), ("net31", "x"), ("full", "yes"), ("name", "a-b.c")]), BTreeMap::new());
        assert_eq!(errors(&[])["newid"], "property is missing and it is not optional");
        assert_eq!(errors(&[("newid", "x")])["newid"], "type check ('integer') failed - got 'x'");
        assert_eq!(errors(&[("newid", "99")])["newid"], "value must have a minimum value of 100");
        assert_eq!(
            errors(&[("newid", "104"), ("name", "a_b")])["name"],
            "invalid format - value does not look like a valid DNS name\n"
        );
        assert_eq!(errors(&[("newid", "104"), ("force", "1")])["delete"], "missing property required by 'force'");
        for unknown in ["net32", "net01", "ksm"] {
            assert!(errors(&[("newid", "104"), (unknown, "1")])[unknown].contains("not defined in schema"));
        }
    }
}
