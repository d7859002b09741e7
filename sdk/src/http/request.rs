//! Building a request.

use std::fmt::Display;

use serde::Serialize;

use super::encode::form;
use super::{Encoding, Response};
use crate::bindings::host::agentkube::host::http as wire;
use crate::{Entry, Fault, Reference, Result, backend};

/// A request that is being built. [`send`](Request::send) sends it.
#[must_use = "a request does nothing until it is sent"]
#[derive(Clone, Debug)]
pub struct Request {
    wire: wire::Request,
    /// Trouble with the body; reported by `send`, so that building reads top to bottom.
    trouble: Option<Fault>,
}

impl Request {
    /// Any method. The path is percent-encoded already; [`path!`](crate::path) makes one.
    pub fn new(method: &str, connection: &str, path: impl Into<String>) -> Self {
        Request {
            wire: wire::Request {
                connection: connection.to_owned(),
                endpoint: None,
                method: method.to_owned(),
                path: path.into(),
                query: Vec::new(),
                headers: Vec::new(),
                body: Vec::new(),
                capture: Vec::new(),
                entry: None,
                timeout_ms: None,
            },
            trouble: None,
        }
    }

    /// Adds a query parameter; the host encodes it.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.wire.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.wire.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The body is this value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.wire.body = vec![wire::Part::Bytes(bytes)],
            Err(error) => self.trouble = Some(Fault::internal("BODY_UNWRITABLE", error.to_string())),
        }
        self.content_type("application/json")
    }

    /// The body is a form.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(mut self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(name, value)| format!("{}={}", form(name.as_ref()), form(value.as_ref())))
            .collect();
        self.wire.body = vec![wire::Part::Bytes(fields.join("&").into_bytes())];
        self.content_type("application/x-www-form-urlencoded")
    }

    /// Adds bytes to the body.
    pub fn part(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.wire.body.push(wire::Part::Bytes(bytes.into()));
        self
    }

    /// Adds a secret to the body; the host puts the value in its place.
    pub fn secret(mut self, reference: impl Into<Reference>, encoding: Encoding) -> Self {
        self.wire.body.push(wire::Part::Secret(wire::Secret { reference: reference.into(), encoding }));
        self
    }

    /// Sets `content-type`, replacing an earlier one.
    pub fn content_type(mut self, value: &str) -> Self {
        self.wire.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        self.header("content-type", value)
    }

    /// A JSON pointer into the answer: the host keeps the value there and puts a reference in its place.
    pub fn capture(mut self, pointer: &str) -> Self {
        self.wire.capture.push(pointer.to_owned());
        self
    }

    /// The ledger entry of what this request makes or changes.
    pub fn entry(mut self, entry: Entry) -> Self {
        self.wire.entry = Some(entry);
        self
    }

    /// Uses the endpoint with this label and no other.
    pub fn endpoint(mut self, label: impl Into<String>) -> Self {
        self.wire.endpoint = Some(label.into());
        self
    }

    /// Milliseconds for the whole exchange; the connection's own limit holds all the same.
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.wire.timeout_ms = Some(ms);
        self
    }

    /// Sends it and waits for the whole answer. Any HTTP status is an answer; [`Response::ok_or_fault`] makes faults of them.
    pub async fn send(self) -> Result<Response> {
        if let Some(fault) = self.trouble {
            return Err(fault);
        }
        let request = format!("{} {}", self.wire.method, self.wire.path);
        let answer = backend::http::send(self.wire).await?;
        Ok(Response {
            request,
            status: answer.status,
            reason: answer.reason,
            headers: answer.headers,
            body: answer.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &Request) -> String {
        let parts = request.wire.body.iter().map(|part| match part {
            wire::Part::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            wire::Part::Secret(secret) => format!("<{}>", secret.reference),
        });
        parts.collect()
    }

    #[test]
    fn a_form_is_encoded() {
        let request = Request::new("POST", "pve", "/x").form([("name", "a b&c"), ("ü", "1")]);
        assert_eq!(body(&request), "name=a+b%26c&%C3%BC=1");
        assert_eq!(request.wire.headers, [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())]);
    }

    #[test]
    fn parts_stand_in_their_order() {
        let request =
            Request::new("PUT", "core", "/x").part("{\"k\":\"").secret("ref-1", Encoding::JsonString).part("\"}");
        assert_eq!(body(&request), "{\"k\":\"<ref-1>\"}");
    }

    #[test]
    fn the_content_type_is_said_once() {
        let request = Request::new("PATCH", "a", "/").json(&1).content_type("application/merge-patch+json");
        assert_eq!(request.wire.headers.len(), 1);
    }
}
