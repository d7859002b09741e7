//! The body: parts one after the other, secrets resolved and encoded on the way out.

use agentkube_contract::{Class, Fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Encoding, Part, Request};
use crate::capabilities::reference;
use crate::state::Context;

/// The body, and the texts within it that must not come back.
pub(super) async fn assemble(context: &Context, request: &Request) -> Result<(Vec<u8>, Vec<Zeroizing<String>>), Fault> {
    let (mut body, mut hidden) = (Vec::new(), Vec::new());
    for part in &request.body {
        match part {
            Part::Bytes(bytes) => body.extend_from_slice(bytes),
            Part::Secret(reference, encoding) => {
                let value = reference::resolve_for(context, reference, &request.connection).await?;
                let encoded = encode(&value, *encoding)?;
                body.extend_from_slice(encoded.as_bytes());
                hidden.push(Zeroizing::new(String::from_utf8_lossy(&value).into_owned()));
                hidden.push(encoded);
            }
        }
    }
    Ok((body, hidden))
}

fn encode(value: &[u8], encoding: Encoding) -> Result<Zeroizing<String>, Fault> {
    if matches!(encoding, Encoding::Base64) {
        return Ok(Zeroizing::new(STANDARD.encode(value)));
    }
    let text = std::str::from_utf8(value).map_err(|_| {
        Fault::new(Class::Invalid, "SECRET_NOT_TEXT", "the secret is no text; only base64 can carry it")
    })?;
    Ok(Zeroizing::new(match encoding {
        Encoding::Raw | Encoding::Base64 => text.to_owned(),
        Encoding::JsonString => {
            let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
            quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
        }
        Encoding::Form => form(text),
        Encoding::XmlText => {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
        }
    }))
}

/// `application/x-www-form-urlencoded`, one value.
fn form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_as_their_place_needs_it() {
        let value = "a\"b\n<&> ü+".as_bytes();
        let encoded = |encoding| encode(value, encoding).unwrap().to_string();
        assert_eq!(encoded(Encoding::JsonString), "a\\\"b\\n<&> ü+");
        assert_eq!(encoded(Encoding::Form), "a%22b%0A%3C%26%3E+%C3%BC%2B");
        assert_eq!(encoded(Encoding::XmlText), "a\"b\n&lt;&amp;&gt; ü+");
        assert_eq!(STANDARD.decode(encoded(Encoding::Base64)).unwrap(), value);
        assert_eq!(encode(&[0xff], Encoding::Raw).unwrap_err().code, "SECRET_NOT_TEXT");
    }
}
