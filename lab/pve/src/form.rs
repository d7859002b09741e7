//! Parameters of a request as they came: from the query, a form or a JSON body.

use std::collections::BTreeMap;

use lab_wire::Request;
use serde_json::Value;

use crate::answer::Failure;

/// Parameters before they are checked; one that was repeated has several values.
pub type Given = BTreeMap<String, Vec<String>>;

/// Largest body that is not an upload.
const BODY_LIMIT: usize = 512 * 1024;

/// Reads query and body. What the proxy refuses before any handler is a raw failure.
pub fn read(request: &Request) -> Result<Given, Failure> {
    let mut given = Given::new();
    for (name, value) in request.query.iter().filter(|(name, _)| name != "_dc") {
        given.entry(name.clone()).or_default().push(value.clone());
    }
    if request.body.is_empty() {
        return Ok(given);
    }
    if !matches!(request.method.as_str(), "POST" | "PUT") {
        return Err(Failure::raw(501, format!("Unexpected content for method '{}'", request.method)));
    }
    if request.body.len() > BODY_LIMIT {
        return Err(Failure::raw(501, "for data too large"));
    }
    let content_type = request.header_value("content-type").unwrap_or("application/x-www-form-urlencoded");
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/x-www-form-urlencoded" => {
            for (name, value) in request.form() {
                given.entry(name).or_default().push(value);
            }
        }
        "application/json" => match serde_json::from_slice(&request.body) {
            Ok(Value::Object(fields)) => {
                for (name, value) in fields {
                    if let Some(values) = from_json(value) {
                        given.insert(name, values);
                    }
                }
            }
            _ => return Err(Failure::raw(400, "malformed JSON string")),
        },
        other => return Err(Failure::raw(501, format!("upload '{other}' not implemented"))),
    }
    Ok(given)
}

/// A JSON value as form values: Perl does not tell numbers from strings, `null` is absence.
fn from_json(value: Value) -> Option<Vec<String>> {
    let one = |value: Value| match value {
        Value::Bool(value) => u8::from(value).to_string(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    match value {
        Value::Null => None,
        Value::Array(values) => Some(values.into_iter().map(one).collect()),
        other => Some(vec![one(other)]),
    }
}

/// Decodes `%41`; anything malformed stays as it is, and a plus sign too.
pub fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(b'%');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies_are_forms_or_json() {
        let mut form = Request::new("POST", "/x?_dc=1&a=q");
        form.body = b"command=cloud-init&command=status&b=x%20y".to_vec();
        let given = read(&form).unwrap();
        assert_eq!(given["command"], ["cloud-init", "status"]);
        assert_eq!((given["a"][0].as_str(), given["b"][0].as_str(), given.len()), ("q", "x y", 3));
        let given = read(&Request::new("PUT", "/x").json(&json!({"full": true, "n": 3, "gone": null}))).unwrap();
        assert_eq!((given["full"][0].as_str(), given["n"][0].as_str(), given.len()), ("1", "3", 2));
    }

    #[test]
    fn the_proxy_refuses_what_is_too_large_or_out_of_place() {
        let mut request = Request::new("DELETE", "/x");
        request.body = b"purge=1".to_vec();
        assert_eq!(read(&request).unwrap_err().status, 501);
        request.method = "POST".to_owned();
        request.body = vec![b'a'; BODY_LIMIT + 1];
        assert_eq!(read(&request).unwrap_err().message, "for data too large");
    }
}
