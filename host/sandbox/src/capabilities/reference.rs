//! References resolved: the value is read anew each time, where the locator says.

use std::sync::Arc;

use agentkube_contract::{Class, Fault, Holder, Locator, Reference};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::connections::{Connection, Connections, Incoming, Outgoing};
use crate::grants::Pass;
use crate::services::Services;
use crate::state::Context;

/// The value behind a reference that a plugin sends to a connection.
pub(crate) async fn resolve_for(
    context: &Context,
    reference: &Reference,
    connection: &str,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let core = &context.core;
    let (maker, locator) = find(&core.services, &context.holder, reference).await?;
    core.grants.pass(Pass::of(&locator), &maker, connection).map_err(|fault| core.denied("secrets", fault))?;
    read(&core.services.connections, &locator).await
}

/// The plugin that a reference was made for, and where its value is.
pub(crate) async fn find(
    services: &Services,
    holder: &Holder,
    reference: &Reference,
) -> Result<(String, Locator), Fault> {
    services.references.get(holder, reference).await?.ok_or_else(|| {
        Fault::new(Class::NotFound, "REFERENCE_UNKNOWN", "there is no such reference, or it belongs to another service")
    })
}

/// Reads the value.
pub(crate) async fn read(connections: &Connections, locator: &Locator) -> Result<Zeroizing<Vec<u8>>, Fault> {
    match locator {
        Locator::Named { name } => match connections.secret(name) {
            Some(Ok(value)) => Ok(Zeroizing::new(value.as_bytes().to_vec())),
            Some(Err(error)) => Err(Fault::new(Class::Unavailable, "SECRET_UNREADABLE", error.to_string())),
            None => Err(gone(&format!("secret `{name}` is not configured any more"))),
        },
        Locator::Http { connection, path, query, pointer } => {
            let connection = connection_of(connections, connection)?;
            let answer = answer(&connection, path, query).await?;
            let value: Value = serde_json::from_slice(&answer).map_err(|_| gone("the answer is no JSON any more"))?;
            match value.pointer(pointer) {
                Some(Value::String(text)) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
                None | Some(Value::Null) => Err(gone(&format!("{path} holds no value at {pointer} any more"))),
                Some(other) => Ok(Zeroizing::new(other.to_string().into_bytes())),
            }
        }
        Locator::KubeSecret { connection, namespace, name, key } => {
            let connection = connection_of(connections, connection)?;
            let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
            let answer = answer(&connection, &path, &[]).await?;
            let secret: Value = serde_json::from_slice(&answer).map_err(|_| gone("the Secret cannot be read"))?;
            let data = secret.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
            let data = data.ok_or_else(|| gone(&format!("Secret {namespace}/{name} has no key `{key}`")))?;
            let decoded = STANDARD
                .decode(data)
                .map_err(|_| gone(&format!("key `{key}` of Secret {namespace}/{name} is no base64")))?;
            Ok(Zeroizing::new(decoded))
        }
    }
}

fn connection_of(connections: &Connections, name: &str) -> Result<Arc<Connection>, Fault> {
    connections.get(name).cloned().ok_or_else(|| gone(&format!("connection `{name}` is not configured any more")))
}

/// The body of a successful answer; a missing object is a value that has gone.
async fn answer(connection: &Connection, path: &str, query: &[(String, String)]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let Incoming { status, body, .. } = connection.exchange(Outgoing::get(path, query)).await?;
    let body = Zeroizing::new(body);
    let message = |what: &str| format!("connection `{}`: GET {path} answered {status}: {what}", connection.name());
    match status {
        200..300 => Ok(body),
        404 | 410 => Err(gone(&message("the value behind the reference is gone"))),
        401 | 403 => {
            Err(Fault::new(Class::Unauthorized, "REFERENCE_UNREADABLE", message("the credential may not read it")))
        }
        _ => Err(Fault::new(Class::Unavailable, "REFERENCE_UNREADABLE", message("it cannot be read now"))),
    }
}

fn gone(message: &str) -> Fault {
    Fault::new(Class::NotFound, "REFERENCE_GONE", message)
}
