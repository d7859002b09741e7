//! Reading values that somebody else wrote, and telling every mistake with its path.

use std::fmt::Display;
use std::ops::RangeInclusive;

use agentkube_sdk::job_source::Mistake;
use serde_json::Value;

use crate::api::Object;
use crate::vault;

/// The longest text that has a meaning to us, in bytes.
const LONGEST: usize = 4096;

/// In what a bare number is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// MiB.
    Mebi,
    /// GiB.
    Gibi,
}

/// One reading of a description, and the mistakes found in it. `null` is absence.
#[derive(Debug, Default)]
pub struct Reading(Vec<Mistake>);

impl Reading {
    pub fn wrong(&mut self, path: &str, code: &str, what: impl Display) {
        self.0.push(Mistake { path: path.to_owned(), code: code.to_owned(), text: what.to_string() });
    }

    pub fn has_mistakes(&self) -> bool {
        !self.0.is_empty()
    }

    /// All of them.
    pub fn mistakes(self) -> Vec<Mistake> {
        self.0
    }

    /// A text that says something.
    pub fn text(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        let value = value.filter(|value| !value.is_null())?;
        let text = self.text_or_empty(path, value)?;
        if text.is_empty() {
            self.wrong(path, "EMPTY", "is empty; leave it out, or say something");
            return None;
        }
        Some(text)
    }

    /// The same, and absence is a mistake.
    pub fn needed_text(&mut self, path: &str, value: Option<&Value>) -> Option<String> {
        if value.is_none_or(Value::is_null) {
            self.wrong(path, "MISSING", "is missing");
        }
        self.text(path, value)
    }

    /// Any text.
    pub fn text_or_empty(&mut self, path: &str, value: &Value) -> Option<String> {
        match value.as_str() {
            Some(text) if vault::is_reference(text) => {
                self.wrong(path, "SECRET", "is a secret, and no secret can stand here");
                None
            }
            Some(text) if text.contains('\0') => {
                self.wrong(path, "NUL", "holds a NUL character");
                None
            }
            Some(text) if text.len() > LONGEST => {
                self.wrong(path, "TOO_LONG", format!("has {} bytes; at most {LONGEST} are possible", text.len()));
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                self.wrong(path, "BAD_TYPE", format!("is {}; a text in quotes is needed", kind(value)));
                None
            }
        }
    }

    pub fn texts(&mut self, path: &str, value: Option<&Value>) -> Vec<String> {
        // What cannot be read keeps its place, so that mistakes of those behind it are told at theirs.
        self.each(path, value, |reading, path, value| Some(reading.needed_text(path, Some(value)).unwrap_or_default()))
    }

    /// The items of a list, each read by `read` with its path.
    pub fn each<T>(
        &mut self,
        path: &str,
        value: Option<&Value>,
        read: impl Fn(&mut Self, &str, &Value) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong(path, "BAD_TYPE", format!("is {}; a list is needed", kind(value)));
            return Vec::new();
        };
        items.iter().enumerate().filter_map(|(at, item)| read(self, &format!("{path}[{at}]"), item)).collect()
    }

    pub fn flag(&mut self, path: &str, value: Option<&Value>) -> bool {
        let Some(value) = value.filter(|value| !value.is_null()) else { return false };
        if !value.is_boolean() {
            self.wrong(path, "BAD_TYPE", format!("is {}; true or false is needed", kind(value)));
        }
        value.as_bool().unwrap_or(false)
    }

    /// A whole number within a range; `code` when it lies outside.
    pub fn number(&mut self, path: &str, code: &str, value: Option<&Value>, range: RangeInclusive<u64>) -> Option<u32> {
        let value = value.filter(|value| !value.is_null())?;
        let number = whole(value).filter(|number| range.contains(number));
        if number.is_none() {
            let needed = format!("a whole number from {} to {} is needed", range.start(), range.end());
            let code = if value.is_number() { code } else { "BAD_TYPE" };
            self.wrong(path, code, format!("is {}; {needed}", kind(value)));
        }
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// An amount of memory or disk: a number in `unit`, or a text such as `4Gi` or `512Mi`.
    pub fn quantity(&mut self, path: &str, value: Option<&Value>, unit: Unit) -> Option<u64> {
        let value = value.filter(|value| !value.is_null())?;
        let amount = match value.as_str() {
            Some(text) => measured(text, unit),
            None => whole(value),
        };
        let amount = amount.filter(|amount| (1..=1 << 30).contains(amount));
        if amount.is_none() {
            let (unit, examples) = match unit {
                Unit::Mebi => ("MiB", "`512Mi` or `4Gi`"),
                Unit::Gibi => ("GiB", "`40Gi`"),
            };
            let needed = format!("a whole number of {unit}, or a text such as {examples}, is needed");
            self.wrong(path, "POOL_SHAPE", format!("is {}; {needed}", kind(value)));
        }
        amount
    }

    /// An object; with `known`, no other keys may stand in it.
    pub fn object<'v>(&mut self, path: &str, value: Option<&'v Value>, known: Option<&[&str]>) -> Option<&'v Object> {
        let value = value.filter(|value| !value.is_null())?;
        let Some(object) = value.as_object() else {
            self.wrong(path, "BAD_TYPE", format!("is {}; an object is needed", kind(value)));
            return None;
        };
        for key in object.keys() {
            if known.is_some_and(|known| !known.contains(&key.as_str())) {
                let known = known.unwrap_or_default().join(", ");
                self.wrong(&place(path, key), "UNKNOWN_KEY", format!("is not known; known are {known}"));
            }
        }
        Some(object)
    }
}

/// A number without a fraction: `3` and `3.0` are the same to Core.
fn whole(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9e15).contains(float));
    value.as_u64().or_else(|| float().map(|float| float as u64))
}

fn measured(text: &str, unit: Unit) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    match (text.get(digits.len()..)?, unit) {
        ("Gi", Unit::Gibi) | ("Mi", Unit::Mebi) => Some(number),
        ("Gi", Unit::Mebi) | ("Ti", Unit::Gibi) => number.checked_mul(1024),
        _ => None,
    }
}

/// What a value is, for a message.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if vault::is_reference(text) => "a secret".to_owned(),
        Value::String(text) => format!("{:?}", clip(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The place of what stands in `outer` under a key that somebody chose, as the host writes it: `nodePools.workers`, and
/// `nodePools["a.b"]` where the key is no plain word.
pub fn place(outer: &str, key: &str) -> String {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match (1..=60).contains(&key.len()) && key.bytes().all(word) {
        true => format!("{outer}.{key}"),
        false => format!("{outer}[{:?}]", clip(key)),
    }
}

/// The first 60 characters.
fn clip(text: &str) -> String {
    let clipped: String = text.chars().take(60).collect();
    if clipped.len() < text.len() { clipped + "…" } else { clipped }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_come_in_units() {
        for (value, unit, amount) in [
            (json!("4Gi"), Unit::Mebi, Some(4096)),
            (json!("512Mi"), Unit::Mebi, Some(512)),
            (json!(2048), Unit::Mebi, Some(2048)),
            (json!("40Gi"), Unit::Gibi, Some(40)),
            (json!("1Ti"), Unit::Gibi, Some(1024)),
            (json!(40.0), Unit::Gibi, Some(40)),
            (json!("40"), Unit::Gibi, None),
            (json!("4GB"), Unit::Mebi, None),
            (json!("Gi"), Unit::Mebi, None),
            (json!(0), Unit::Mebi, None),
            (json!(-1), Unit::Mebi, None),
            (json!(1.5), Unit::Gibi, None),
            (json!("99999999999999999999Gi"), Unit::Gibi, None),
        ] {
            let mut reading = Reading::default();
            assert_eq!(reading.quantity("p", Some(&value), unit), amount, "{value}");
            assert_eq!(reading.has_mistakes(), amount.is_none(), "{value}");
        }
    }

    #[test]
    fn texts_that_no_field_can_hold_are_mistakes() {
        for (text, code) in [("a\0b".to_owned(), "NUL"), ("x".repeat(5000), "TOO_LONG"), (String::new(), "EMPTY")] {
            let mut reading = Reading::default();
            assert_eq!(reading.text("p", Some(&json!(text))), None);
            assert_eq!(reading.mistakes()[0].code, code);
        }
    }
}
