//! Values of an answer that a plugin may pass on and not see: references stand in their place.

use agentkube_contract::{Fault, Holder, Locator, Outcome, References};
use serde_json::Value;

/// What the answer was to, for reading the value again.
pub(super) struct Origin<'a> {
    pub connection: &'a str,
    pub path: &'a str,
    pub query: &'a [(String, String)],
}

/// The body with references in place of the values at these JSON pointers. A successful answer that cannot be understood is not
/// given on: the secret could stand anywhere in it.
pub(super) async fn replace(
    references: &dyn References,
    holder: &Holder,
    origin: Origin<'_>,
    pointers: &[String],
    status: u16,
    body: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    if pointers.is_empty() {
        return Ok(body);
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
        if (200..300).contains(&status) && !body.is_empty() {
            let message = "values were to be captured from an answer that is no JSON";
            return Err(Fault::internal("ANSWER_NOT_JSON", message).outcome(Outcome::Unknown));
        }
        return Ok(body);
    };
    for pointer in pointers {
        let Some(place) = value.pointer_mut(pointer) else { continue };
        if place.is_null() {
            continue;
        }
        let locator = Locator::Http {
            connection: origin.connection.to_owned(),
            path: origin.path.to_owned(),
            query: origin.query.to_vec(),
            pointer: pointer.clone(),
        };
        *place = Value::String(references.put(holder, &locator).await?.0);
    }
    serde_json::to_vec(&value).map_err(|e| Fault::internal("ANSWER_NOT_JSON", e.to_string()))
}
