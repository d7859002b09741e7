//! HTTP by named connection.
//!
//! - `policy`: manifest and grants, and whether the request has an effect.
//! - `headers`: what a plugin may set.
//! - `body`: the parts, secrets resolved on the way out.
//! - `exchange`: the exchange and its journalling.
//! - `capture`: values of the answer that become references.

mod body;
mod capture;
mod exchange;
mod headers;
mod policy;
#[cfg(test)]
mod tests;

use std::time::Duration;

use agentkube_contract::{EntryId, Fault, Reference};
use bytes::Bytes;

use crate::connections::{Incoming, Outgoing};
use crate::state::Context;

pub(crate) use self::exchange::journalled;

/// A request of a plugin.
pub(crate) struct Request {
    pub connection: String,
    pub endpoint: Option<String>,
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<Part>,
    pub capture: Vec<String>,
    pub entry: Option<EntryId>,
    pub timeout_ms: Option<u32>,
}

#[cfg(test)]
impl Request {
    /// A request to the connection `lab` with nothing special about it.
    pub fn new(method: &str, path: &str) -> Self {
        Request {
            connection: "lab".to_owned(),
            endpoint: None,
            method: method.to_owned(),
            path: path.to_owned(),
            query: vec![],
            headers: vec![],
            body: vec![],
            capture: vec![],
            entry: None,
            timeout_ms: None,
        }
    }
}

/// One part of a body.
pub(crate) enum Part {
    Bytes(Vec<u8>),
    Secret(Reference, Encoding),
}

/// How a secret is written into a body.
#[derive(Clone, Copy)]
pub(crate) enum Encoding {
    Raw,
    JsonString,
    Form,
    Base64,
    XmlText,
}

/// Sends one request and waits for the whole answer.
pub(crate) async fn send(context: &Context, request: Request) -> Result<Incoming, Fault> {
    let (connection, method) = policy::check(&context.core, &request)?;
    let headers = headers::build(&request.headers, connection.credential_header())?;
    let (body, hidden) = body::assemble(context, &request).await?;
    let out = Outgoing {
        endpoint: request.endpoint,
        method,
        path: request.path,
        query: request.query,
        headers,
        body: Bytes::from(body),
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        hidden,
        exempt: context.exempt,
    };
    exchange::run(context, connection, out, request.capture, request.entry).await
}
