//! Percent-encoding.

use std::fmt::Write;

/// One path segment, percent-encoded: everything but RFC 3986's unreserved characters.
///
/// ```
/// assert_eq!(agentkube_sdk::http::segment("local:iso/seed 1.iso"), "local%3Aiso%2Fseed%201.iso");
/// ```
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// `application/x-www-form-urlencoded` of one name or value.
pub(crate) fn form(text: &str) -> String {
    segment(text).replace("%20", "+")
}

/// An absolute path from its segments, each percent-encoded.
///
/// ```
/// use agentkube_sdk::path;
/// assert_eq!(path!("nodes", "pve1", "qemu", 104, "config"), "/nodes/pve1/qemu/104/config");
/// ```
#[macro_export]
macro_rules! path {
    ($($segment:expr),+ $(,)?) => {{
        let mut path = ::std::string::String::new();
        $(
            path.push('/');
            path.push_str(&$crate::http::segment(&::std::string::ToString::to_string(&$segment)));
        )+
        path
    }};
}
