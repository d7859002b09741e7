//! Reading a kubeconfig that somebody else wrote. A kubeconfig can run programs, read files, send everything through a proxy and
//! act as another user; from this one only a server, its CA and an inline credential are taken, and everything else is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{Error, Result, ca};

/// Longest kubeconfig that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// What is taken from a kubeconfig.
pub(crate) struct Access {
    /// Host name or address of the server, IPv6 without brackets.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// CA certificates, PEM.
    pub(crate) ca: String,
    /// Base64 of the PEM of client certificate and key.
    pub(crate) certificate: Option<(String, Zeroizing<String>)>,
    /// Bearer token.
    pub(crate) token: Option<Zeroizing<String>>,
}

/// Fields with a code of their own, so that an operator finds the remedy by it.
const REFUSED: [(&str, &str, &str); 17] = [
    ("exec", "KUBECONFIG_EXEC", "runs a program"),
    ("auth-provider", "KUBECONFIG_AUTH_PROVIDER", "asks a helper for credentials"),
    ("certificate-authority", "KUBECONFIG_CERTIFICATE_AUTHORITY", "names a file; certificate-authority-data is taken"),
    ("insecure-skip-tls-verify", "KUBECONFIG_INSECURE_SKIP_TLS_VERIFY", "trusts anybody"),
    ("proxy-url", "KUBECONFIG_PROXY_URL", "leads elsewhere"),
    ("tls-server-name", "KUBECONFIG_TLS_SERVER_NAME", "expects a certificate of somebody else"),
    ("client-certificate", "KUBECONFIG_CLIENT_CERTIFICATE", "names a file; client-certificate-data is taken"),
    ("client-key", "KUBECONFIG_CLIENT_KEY", "names a file; client-key-data is taken"),
    ("tokenFile", "KUBECONFIG_TOKEN_FILE", "names a file; token is taken"),
    ("token-file", "KUBECONFIG_TOKEN_FILE", "names a file; token is taken"),
    ("username", "KUBECONFIG_BASIC_AUTH", "is basic authentication"),
    ("password", "KUBECONFIG_BASIC_AUTH", "is basic authentication"),
    ("as", "KUBECONFIG_IMPERSONATION", "acts as another user"),
    ("as-uid", "KUBECONFIG_IMPERSONATION", "acts as another user"),
    ("as-groups", "KUBECONFIG_IMPERSONATION", "acts as another user"),
    ("as-user-extra", "KUBECONFIG_IMPERSONATION", "acts as another user"),
    ("impersonate", "KUBECONFIG_IMPERSONATION", "acts as another user"),
];

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T> {
    Err(Error::Kubeconfig { code, message: message.into() })
}

/// Parses and judges. Every cluster and user in the file is judged, not only those of the current context: a file that carries a
/// program somewhere is not one that a control plane made for us.
pub(crate) fn parse(bytes: &[u8]) -> Result<Access> {
    if bytes.len() > LIMIT {
        return refuse("KUBECONFIG_SIZE", format!("the kubeconfig is longer than {LIMIT} bytes"));
    }
    // The parser's own message may quote the document, which holds a key.
    let document: Value = serde_saphyr::from_slice(bytes).map_err(|_| Error::Kubeconfig {
        code: "KUBECONFIG_YAML",
        message: "the kubeconfig is not one YAML document".to_owned(),
    })?;
    for (list, what, taken) in [
        ("clusters", "cluster", ["server", "certificate-authority-data", "disable-compression"].as_slice()),
        ("users", "user", ["client-certificate-data", "client-key-data", "token"].as_slice()),
    ] {
        for entry in document.get(list).and_then(Value::as_array).into_iter().flatten() {
            judge(what, entry.get(what).unwrap_or(&Value::Null), taken)?;
        }
    }

    let current = document.get("current-context").and_then(Value::as_str).unwrap_or_default();
    let context = named(&document, "contexts", "context", current)?;
    let cluster = named(&document, "clusters", "cluster", text(context, "cluster").unwrap_or_default())?;
    let user = named(&document, "users", "user", text(context, "user").unwrap_or_default())?;

    let (host, port) = server(text(cluster, "server").unwrap_or_default())?;
    let certificate = match (text(user, "client-certificate-data"), text(user, "client-key-data")) {
        (Some(certificate), Some(key)) => Some((certificate.to_owned(), Zeroizing::new(key.to_owned()))),
        (None, None) => None,
        _ => return refuse("KUBECONFIG_CREDENTIAL", "the kubeconfig has a client certificate or its key, not both"),
    };
    let token = text(user, "token").map(|token| Zeroizing::new(token.to_owned()));
    if certificate.is_none() && token.is_none() {
        return refuse("KUBECONFIG_CREDENTIAL", "the kubeconfig holds no inline credential");
    }
    Ok(Access { host, port, ca: authority(cluster)?, certificate, token })
}

fn judge(what: &str, entry: &Value, taken: &[&str]) -> Result<()> {
    let Some(fields) = entry.as_object() else {
        return refuse("KUBECONFIG_YAML", format!("the kubeconfig has a {what} without content"));
    };
    for (name, value) in fields.iter().filter(|(_, value)| !blank(value)) {
        if taken.contains(&name.as_str()) {
            continue;
        }
        if let Some((_, code, why)) = REFUSED.iter().find(|(field, ..)| field == name) {
            return refuse(code, format!("the kubeconfig's {what} has `{name}`, which {why}; that is refused"));
        }
        // An extension is a note to other programs, but for the one that parametrizes a credential program.
        if name == "extensions" && !value.to_string().contains("client.authentication.k8s.io") {
            continue;
        }
        let name = agentkube_contract::cluster::clip(name);
        return refuse(
            "KUBECONFIG_FIELD",
            format!("the kubeconfig's {what} has the field `{name}`, which is not taken"),
        );
    }
    Ok(())
}

/// Writers that print every field leave these.
fn blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn named<'a>(document: &'a Value, list: &str, what: &str, name: &str) -> Result<&'a Map<String, Value>> {
    let mut found = document
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| !name.is_empty() && entry.get("name").and_then(Value::as_str) == Some(name));
    match (found.next().and_then(|entry| entry.get(what)).and_then(Value::as_object), found.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(_), Some(_)) => {
            refuse("KUBECONFIG_CONTEXT", format!("the kubeconfig has two {list} of the name that its context uses"))
        }
        (None, _) => refuse("KUBECONFIG_CONTEXT", format!("the kubeconfig's current context leads to no {what}")),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn server(url: &str) -> Result<(String, u16)> {
    let shown = agentkube_contract::cluster::clip(url);
    let uri: http::Uri = match url.parse() {
        Ok(uri) => uri,
        Err(_) => return refuse("KUBECONFIG_SERVER", format!("the kubeconfig's server `{shown}` is no URL")),
    };
    if uri.scheme_str() != Some("https") {
        return refuse("KUBECONFIG_HTTP", format!("the kubeconfig's server `{shown}` is not https"));
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return refuse("KUBECONFIG_SERVER", "the kubeconfig's server must be https://HOST:PORT and nothing more");
    }
    match uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']')) {
        Some(host) if !host.is_empty() => Ok((host.to_owned(), uri.port_u16().unwrap_or(443))),
        _ => refuse("KUBECONFIG_SERVER", format!("the kubeconfig's server `{shown}` has no host")),
    }
}

fn authority(cluster: &Map<String, Value>) -> Result<String> {
    let Some(data) = text(cluster, "certificate-authority-data") else {
        return refuse("KUBECONFIG_CA", "the kubeconfig has no certificate-authority-data");
    };
    let pem = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    match ca::certificates(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        _ => refuse("KUBECONFIG_CA", "the kubeconfig's certificate-authority-data holds no PEM certificate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{CA, kubeconfig};

    fn code(document: &Value) -> &'static str {
        match parse(document.to_string().as_bytes()) {
            Err(Error::Kubeconfig { code, .. }) => code,
            Err(other) => panic!("{other}"),
            Ok(_) => "taken",
        }
    }

    #[test]
    fn what_is_taken() {
        let access = parse(kubeconfig("https://10.0.0.1:6443").to_string().as_bytes()).unwrap();
        assert_eq!((access.host.as_str(), access.port), ("10.0.0.1", 6443));
        assert_eq!(access.ca, CA);
        assert_eq!(access.token.unwrap().as_str(), "tok");
        let access = parse(kubeconfig("https://[fd00::1]").to_string().as_bytes()).unwrap();
        assert_eq!((access.host.as_str(), access.port), ("fd00::1", 443));
    }

    #[test]
    fn every_field_that_could_do_more_is_refused_by_name() {
        let cases = [
            ("users", "exec", serde_json::json!({"command": "/bin/sh"}), "KUBECONFIG_EXEC"),
            ("users", "auth-provider", serde_json::json!({"name": "oidc"}), "KUBECONFIG_AUTH_PROVIDER"),
            ("users", "client-certificate", "/etc/x".into(), "KUBECONFIG_CLIENT_CERTIFICATE"),
            ("users", "client-key", "/etc/x".into(), "KUBECONFIG_CLIENT_KEY"),
            ("users", "tokenFile", "/etc/x".into(), "KUBECONFIG_TOKEN_FILE"),
            ("users", "username", "root".into(), "KUBECONFIG_BASIC_AUTH"),
            ("users", "password", "x".into(), "KUBECONFIG_BASIC_AUTH"),
            ("users", "as", "admin".into(), "KUBECONFIG_IMPERSONATION"),
            ("users", "as-uid", "1".into(), "KUBECONFIG_IMPERSONATION"),
            ("users", "as-groups", serde_json::json!(["system:masters"]), "KUBECONFIG_IMPERSONATION"),
            ("users", "as-user-extra", serde_json::json!({"a": ["b"]}), "KUBECONFIG_IMPERSONATION"),
            ("users", "colour", "red".into(), "KUBECONFIG_FIELD"),
            ("clusters", "certificate-authority", "/etc/x".into(), "KUBECONFIG_CERTIFICATE_AUTHORITY"),
            ("clusters", "insecure-skip-tls-verify", true.into(), "KUBECONFIG_INSECURE_SKIP_TLS_VERIFY"),
            ("clusters", "proxy-url", "http://10.0.0.9".into(), "KUBECONFIG_PROXY_URL"),
            ("clusters", "tls-server-name", "x".into(), "KUBECONFIG_TLS_SERVER_NAME"),
            (
                "clusters",
                "extensions",
                serde_json::json!([{"name": "client.authentication.k8s.io/exec"}]),
                "KUBECONFIG_FIELD",
            ),
            ("clusters", "extensions", serde_json::json!([{"name": "note"}]), "taken"),
            ("clusters", "insecure-skip-tls-verify", false.into(), "taken"),
            ("clusters", "server", "http://10.0.0.1:6443".into(), "KUBECONFIG_HTTP"),
            ("clusters", "server", "https://a@10.0.0.1".into(), "KUBECONFIG_SERVER"),
            ("clusters", "server", "https://10.0.0.1/k8s".into(), "KUBECONFIG_SERVER"),
            ("clusters", "server", "".into(), "KUBECONFIG_SERVER"),
            ("clusters", "certificate-authority-data", "".into(), "KUBECONFIG_CA"),
            ("clusters", "certificate-authority-data", "bm9wZQ==".into(), "KUBECONFIG_CA"),
            ("users", "token", "".into(), "KUBECONFIG_CREDENTIAL"),
            ("users", "client-key-data", "eA==".into(), "KUBECONFIG_CREDENTIAL"),
        ];
        for (list, field, value, expected) in cases {
            let mut document = kubeconfig("https://10.0.0.1:6443");
            document[list][0][list.trim_end_matches('s')][field] = value.clone();
            assert_eq!(code(&document), expected, "{list} {field} {value}");
        }
    }

    #[test]
    fn a_program_beside_the_current_context_is_refused_too() {
        let mut document = kubeconfig("https://10.0.0.1:6443");
        let other = serde_json::json!({"name": "other", "user": {"exec": {"command": "sh"}}});
        document["users"].as_array_mut().unwrap().push(other);
        assert_eq!(code(&document), "KUBECONFIG_EXEC");
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let mut document = kubeconfig("https://10.0.0.1:6443");
        document["current-context"] = "gone".into();
        assert_eq!(code(&document), "KUBECONFIG_CONTEXT");
        for bad in ["", "a: [", "- 1", "a: 1\n---\nb: 2\n", "\0", "users: []\nusers: [{name: u, user: {exec: {}}}]"] {
            assert!(matches!(parse(bad.as_bytes()), Err(Error::Kubeconfig { .. })), "{bad}");
        }
    }
}
