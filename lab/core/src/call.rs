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

    /// The body: the first JSON value of it, whatever the content type says.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = String::from_utf8_lossy(&self.request.body);
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let value = match values.next() {
            None => return Err(Error::Request("EOF".to_owned())),
            Some(Err(error)) if error.is_eof() => return Err(Error::Request("unexpected EOF".to_owned())),
            Some(Err(error)) => return Err(Error::Request(format!("invalid character: {error}"))),
            Some(Ok(Value::Null)) => Value::Object(serde_json::Map::new()),
            Some(Ok(value)) => value,
        };
        if value.is_array() {
            let text = "json: cannot unmarshal array into Go value of type api request";
            return Err(Error::Request(text.to_owned()));
        }
        serde_json::from_value(value).map_err(|error| Error::Request(go_words(&error.to_string())))
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
        Id::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
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
    fn ids_are_read_in_every_form() {
        let id = "8F2B3C1D-0000-4000-A000-000000000001";
        assert_eq!(Id::parse(id).unwrap().0, id.to_ascii_lowercase());
        assert_eq!(Id::parse("abc").unwrap_err(), "invalid UUID length: 3");
        assert_eq!(Id::parse(&id.replace('8', "x")).unwrap_err(), "invalid UUID format");
    }
}
