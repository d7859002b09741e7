//! What its manifest asks for and its operator granted, and whether the request has an effect.

use std::sync::Arc;

use agentkube_contract::{Class, Fault};
use agentkube_manifest::Role;
use http::Method;

use super::Request;
use crate::connections::{Connection, is_kube};
use crate::core::Core;

/// The connection and method of a request that may be sent.
pub(super) fn check(core: &Core, request: &Request) -> Result<(Arc<Connection>, Method), Fault> {
    let (name, method, path) = (&request.connection, request.method.as_str(), request.path.as_str());
    check_path(path)?;
    let families = core.http.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut asked = families.iter().filter(|family| family.matches(method, path)).peekable();
    if asked.peek().is_none() {
        return Err(core.denied("http", not_in_manifest(core, name, method, path)));
    }
    let effect = asked.any(|family| family.has_effect());
    core.grants.request(name, method, path).map_err(|fault| core.denied("http", fault))?;
    let Some(connection) = core.services.connections.get(name) else {
        let message = format!("there is no connection `{name}`; configure it as [connections.{name}]");
        return Err(Fault::new(Class::Denied, "NO_CONNECTION", message));
    };
    if is_kube(connection) {
        let message = format!("connection `{name}` speaks Kubernetes; use the kube capability");
        return Err(Fault::new(Class::Denied, "WRONG_KIND", message));
    }
    // What a job source sends is covered by the inbox and outbox around every call of it.
    if effect && request.entry.is_none() && core.role() != Role::JobSource {
        return Err(core.denied(
            "http",
            Fault::new(
                Class::Denied,
                "NO_LEDGER_ENTRY",
                format!(
                    "{method} {path} has an effect and names no ledger entry; call ledger.intend first and put its entry into \
                     the request, or say \"effect\": false for this path in the manifest"
                ),
            ),
        ));
    }
    if !request.capture.is_empty() && method != "GET" {
        let message = "only the answer of a GET can be captured: the value is read again when it is used";
        return Err(Fault::invalid("CAPTURE_NEEDS_GET", message));
    }
    let method = method.parse().map_err(|_| Fault::invalid("BAD_METHOD", "the method is no HTTP method"))?;
    Ok((Arc::clone(connection), method))
}

fn not_in_manifest(core: &Core, connection: &str, method: &str, path: &str) -> Fault {
    let plugin = &core.name;
    let message = if core.http.contains_key(connection) {
        format!(
            "{method} {path} on connection `{connection}` is not among the requests that the manifest of plugin `{plugin}` asks \
             for; its author adds to needs.http[].requests: {{ \"method\": \"{method}\", \"path\": \"{path}\" }}, and the operator \
             then allows it with: {}",
            core.grants.line(&format!("connection = \"{connection}\""))
        )
    } else {
        format!(
            "connection `{connection}` is not one that the configuration of plugin `{plugin}` names; name it in \
             [plugins.{plugin}.config] and grant it with: {}",
            core.grants.line(&format!("connection = \"{connection}\""))
        )
    };
    Fault::new(Class::Denied, "NOT_IN_MANIFEST", message)
}

/// A path that means the same to everybody who reads it.
pub(crate) fn check_path(path: &str) -> Result<(), Fault> {
    let plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}');
    if path.starts_with('/') && path.bytes().all(plain) {
        return Ok(());
    }
    Err(Fault::invalid(
        "BAD_PATH",
        "the path must begin with `/` and be percent-encoded, without query, fragment, space or backslash",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_refused() {
        check_path("/api2/json/nodes/n1/tasks/UPID:n1:00:root@pam:/status").unwrap();
        check_path("/a%2Fb").unwrap();
        for bad in ["", "a", "/a?b", "/a#b", "/a\\b", "/a b", "/a\nb", "/ä", "http://x/"] {
            assert_eq!(check_path(bad).unwrap_err().code, "BAD_PATH", "{bad}");
        }
    }
}
