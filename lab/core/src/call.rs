//! One request on its way through Core.

use lab_wire::{Millis, Random, Request, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::auth::Identity;
use crate::errors::Error;
use crate::store::Meta;

/// What a handler returns.
pub type Reply = Result<Response, Error>;

/// A request whose sender is known.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request,
    /// Who sent it.
    pub identity: Identity,
    /// When.
    pub now: Millis,
    /// For ids, tokens and everything whose order is arbitrary.
    pub random: &'a mut Random,
}

impl<'a> Call<'a> {
    /// The method.
    pub fn method(&self) -> &'a str {
        &self.request.method
    }

    /// Id and times of a new row.
    pub fn meta(&mut self) -> Meta {
        Meta { id: self.random.uuid(), created: self.now, updated: self.now }
    }

    /// The body: the first JSON value of it, whatever the content type says. `name` is what Core calls the type that it reads it into.
    pub fn body<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let text = String::from_utf8_lossy(&self.request.body);
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let value = match values.next() {
            None => return Err(Error::Request("EOF".to_owned())),
            Some(Err(error)) if error.is_eof() => return Err(Error::Request("unexpected EOF".to_owned())),
            Some(Err(error)) => return Err(Error::Request(format!("invalid character: {error}"))),
            Some(Ok(Value::Null)) => Value::Object(serde_json::Map::new()),
            Some(Ok(value)) => floats(value),
        };
        if !value.is_object() {
            let text = format!("json: cannot unmarshal {} into Go value of type api.{name}", json_type(&value));
            return Err(Error::Request(text));
        }
        serde_json::from_value(value.clone()).map_err(|error| Error::Request(mismatch::<T>(name, &value, &error)))
    }
}

/// Numbers as Core has them: it reads each as a float and writes the shortest text of that, so that `1.0` comes back as `1`, and what
/// has more than 53 bits as something else.
fn floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), number_of),
        Value::Array(items) => items.into_iter().map(floats).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, floats(value))).collect(),
        value => value,
    }
}

/// A float as Core writes it.
pub fn number_of(float: f64) -> Value {
    float.to_string().parse().map_or(Value::Null, Value::Number)
}

/// Why a body does not fit its type: the first field that alone does not fit either is the one.
fn mismatch<T: DeserializeOwned>(name: &str, body: &Value, error: &serde_json::Error) -> String {
    let fields = body.as_object().into_iter().flatten();
    let first = fields.map(|(field, value)| {
        let alone = Value::Object([(field.clone(), value.clone())].into_iter().collect());
        serde_json::from_value::<T>(alone).err().map(|error| (field, go_words(&error.to_string())))
    });
    match first.flatten().next() {
        Some((field, words)) => words.replace("Go value of", &format!("Go struct field {name}.{field} of")),
        None => go_words(&error.to_string()),
    }
}

/// What Go's decoder calls a JSON value.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Says a decoding error as Go does.
fn go_words(error: &str) -> String {
    let Some((found, expected)) = error.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    else {
        return error.to_owned();
    };
    let found = match found.split(' ').next().unwrap_or_default() {
        "sequence" => "array",
        "map" => "object",
        "boolean" => "bool",
        "integer" | "floating" => "number",
        other => other,
    };
    let expected = match expected {
        "a map" => "map[string]interface {}",
        "a string" => "string",
        "a boolean" => "bool",
        "a sequence" => "[]string",
        "f64" => "float64",
        "i64" => "int",
        other => other,
    };
    format!("json: cannot unmarshal {found} into Go value of type {expected}")
}

/// A UUID in a request, in its usual text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(pub String);

impl Id {
    /// Reads every form that Core reads.
    pub fn parse(text: &str) -> Result<Id, String> {
        match uuid::Uuid::try_parse(text) {
            Ok(id) => Ok(Id(id.hyphenated().to_string())),
            Err(_) => Err(uuid_error(text)),
        }
    }

    /// The id in a path.
    pub fn in_path(text: &str) -> Result<String, Error> {
        Id::parse(text).map(|id| id.0).map_err(Error::Request)
    }
}

impl Default for Id {
    fn default() -> Self {
        Id(uuid::Uuid::nil().to_string())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Id::parse(&text).map_err(serde::de::Error::custom),
            other => {
                let text = format!("invalid type: {}, expected uuid.UUID", json_type(&other));
                Err(serde::de::Error::custom(text))
            }
        }
    }
}

/// Why a text is no UUID.
pub fn uuid_error(text: &str) -> String {
    match text.len() {
        32 | 36 | 38 | 45 => "invalid UUID format".to_owned(),
        length => format!("invalid UUID length: {length}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_errors_are_said_as_go_says_them() {
        let error = serde_json::from_value::<serde_json::Map<String, Value>>(serde_json::json!([])).unwrap_err();
        let text = "json: cannot unmarshal array into Go value of type map[string]interface {}";
        assert_eq!(go_words(&error.to_string()), text);
    }

    #[test]
    fn numbers_are_floats() {
        let text = r#"{"a": [1.0, 2, 2.50, 1e2], "b": 9007199254740993, "c": -0.5, "d": "1.0"}"#;
        let value = floats(serde_json::from_str(text).unwrap());
        assert_eq!(value.to_string(), r#"{"a":[1,2,2.5,100],"b":9007199254740992,"c":-0.5,"d":"1.0"}"#);
    }

    #[test]
    fn ids_are_read_in_every_form() {
        let id = "8F2B3C1D-0000-4000-A000-000000000001";
        assert_eq!(Id::parse(id).unwrap().0, id.to_ascii_lowercase());
        assert_eq!(Id::parse("abc").unwrap_err(), "invalid UUID length: 3");
        assert_eq!(Id::parse(&id.replace('8', "x")).unwrap_err(), "invalid UUID format");
    }
}
