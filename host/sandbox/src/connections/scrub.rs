//! Takes secrets out of what comes back, by value: a server that echoes a credential does not hand it to a plugin.

use serde_json::Value;
use zeroize::Zeroizing;

/// What stands where a secret was.
const MARK: &str = "[secret]";
/// Shorter texts are no secrets worth the name, and would tear holes into every answer.
const SHORTEST: usize = 6;

/// The text without the secrets.
pub(crate) fn text(mut text: String, secrets: &[Zeroizing<String>]) -> String {
    for secret in worthy(secrets) {
        if text.contains(secret) {
            text = text.replace(secret, MARK);
        }
    }
    text
}

/// The body without the secrets, however JSON may have escaped them.
pub(crate) fn body(body: Vec<u8>, secrets: &[Zeroizing<String>]) -> Vec<u8> {
    if worthy(secrets).next().is_none() || body.is_empty() {
        return body;
    }
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            if json(&mut value, secrets) {
                serde_json::to_vec(&value).unwrap_or_default()
            } else {
                body
            }
        }
        Err(_) => body,
    };
    worthy(secrets).fold(body, |body, secret| bytes(body, secret.as_bytes()))
}

/// Whether something was replaced.
fn json(value: &mut Value, secrets: &[Zeroizing<String>]) -> bool {
    match value {
        Value::String(string) => {
            let found = worthy(secrets).any(|secret| string.contains(secret));
            if found {
                *string = text(std::mem::take(string), secrets);
            }
            found
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| json(item, secrets) | found),
        Value::Object(fields) => {
            let mut found = fields.values_mut().fold(false, |found, item| json(item, secrets) | found);
            if fields.keys().any(|key| worthy(secrets).any(|secret| key.contains(secret))) {
                *fields = std::mem::take(fields).into_iter().map(|(key, item)| (text(key, secrets), item)).collect();
                found = true;
            }
            found
        }
        _ => false,
    }
}

fn bytes(body: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let mut clean = Vec::new();
    let mut rest = body.as_slice();
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        clean.extend_from_slice(rest.get(..at).unwrap_or_default());
        clean.extend_from_slice(MARK.as_bytes());
        rest = rest.get(at + secret.len()..).unwrap_or_default();
    }
    if clean.is_empty() {
        return body;
    }
    clean.extend_from_slice(rest);
    clean
}

fn worthy(secrets: &[Zeroizing<String>]) -> impl Iterator<Item = &str> {
    secrets.iter().map(|secret| secret.as_str()).filter(|secret| secret.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(body_text: &str) -> String {
        let secrets = [Zeroizing::new("pässwort<1>".to_owned()), Zeroizing::new("ab".to_owned())];
        String::from_utf8(body(body_text.as_bytes().to_vec(), &secrets)).unwrap()
    }

    #[test]
    fn secrets_are_found_in_text_and_in_escaped_json() {
        assert_eq!(clean("x pässwort<1> y pässwort<1>"), "x [secret] y [secret]");
        assert_eq!(clean(r#"{"a":["p\u00e4sswort\u003c1\u003e"]}"#), r#"{"a":["[secret]"]}"#);
        assert_eq!(clean(r#"{"p\u00e4sswort<1>":1}"#), r#"{"[secret]":1}"#);
    }

    #[test]
    fn nothing_else_is_touched() {
        assert_eq!(clean(r#"{ "ab": 1.50 }"#), r#"{ "ab": 1.50 }"#);
    }
}
