//! The headers that a plugin may set.

use agentkube_contract::{Class, Fault};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that say whom we are, where the message ends, or what a proxy does with it.
const REFUSED: [&str; 12] = [
    "host",
    "authorization",
    "cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
];
/// Most headers of one request.
const MOST: usize = 64;
/// Most bytes of names and values together.
const BYTES: usize = 16 << 10;

/// The headers as they are sent, before the credential.
pub(super) fn build(headers: &[(String, String)], credential: Option<&HeaderName>) -> Result<HeaderMap, Fault> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MOST || bytes > BYTES {
        return Err(Fault::invalid("TOO_MANY_HEADERS", format!("at most {MOST} headers of {BYTES} bytes are sent")));
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| Fault::invalid("BAD_HEADER", format!("`{}` is no header name", name.escape_debug())))?;
        let refused = REFUSED.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-");
        if refused || credential == Some(&parsed) {
            let message = format!("header {parsed} is the host's to set");
            return Err(Fault::new(Class::Denied, "HEADER_REFUSED", message));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            Fault::invalid("BAD_HEADER", format!("the value of header {parsed} holds a character that cannot be sent"))
        })?;
        map.append(parsed, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str, value: &str) -> String {
        let own = HeaderName::from_static("x-token");
        build(&[(name.to_owned(), value.to_owned())], Some(&own)).map(|_| "ok".to_owned()).unwrap_or_else(|f| f.code)
    }

    #[test]
    fn headers_that_are_the_hosts_are_refused() {
        assert_eq!(code("Content-Type", "application/json"), "ok");
        for name in
            ["Host", "authorization", "Cookie", "Content-Length", "Transfer-Encoding", "Proxy-Authorization", "X-Token"]
        {
            assert_eq!(code(name, "1"), "HEADER_REFUSED", "{name}");
        }
        assert_eq!(code("a b", "1"), "BAD_HEADER");
        assert_eq!(code("x-a", "1\r\nhost: evil"), "BAD_HEADER");
    }
}
