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
    let body = shallow(&body).unwrap_or(body);
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

/// Levels of an answer that are read. JSON parsers have a limit of their own, and one value that goes deeper would make the whole answer
/// unreadable: a list with what everybody asked for.
const LEVELS: usize = 100;
/// What stands in the place of a value that goes deeper; the contract says so.
const TOO_DEEP: &[u8] = b"\"nested deeper than 100 levels\"";

/// The JSON without what goes too deep; `None` when nothing does. Only brackets outside of strings count.
fn shallow(body: &[u8]) -> Option<Vec<u8>> {
    let (mut depth, mut quoted, mut escaped, mut deep) = (0_usize, false, false, false);
    let mut kept = Vec::new();
    for byte in body {
        let before = depth;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if before <= LEVELS && depth <= LEVELS {
            kept.push(*byte);
        } else if before == LEVELS && depth > LEVELS {
            kept.extend_from_slice(TOO_DEEP);
            deep = true;
        }
    }
    deep.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", "{\"a]\\\"\":[".repeat(levels / 2), "]}".repeat(levels / 2))
    }

    #[test]
    fn what_goes_too_deep_is_left_out_and_the_rest_stays() {
        for (levels, fits) in [(2, true), (96, true), (98, true), (100, false), (5_000, false), (100_000, false)] {
            let body = format!("[{{\"id\": \"x\", \"deep\": {}}}, {{\"id\": \"y\"}}]", nested(levels));
            let kept = shallow(body.as_bytes());
            assert_eq!(kept.is_none(), fits, "{levels}");
            let read: Value = serde_json::from_slice(&kept.unwrap_or(body.into_bytes())).unwrap();
            assert_eq!((&read[0]["id"], &read[1]["id"]), (&Value::from("x"), &Value::from("y")));
            assert_eq!(read.to_string().contains("nested deeper than 100 levels"), !fits);
        }
    }
}
