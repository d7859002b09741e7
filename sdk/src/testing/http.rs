//! HTTP: handlers instead of servers.

use std::collections::BTreeMap;
use std::rc::Rc;

use agentkube_manifest::Role;
use serde::Serialize;
use serde_json::Value;

use super::kill::Moment;
use super::world::{State, World, denied};
use crate::bindings::host::agentkube::host::http as wire;
use crate::bindings::host::agentkube::host::ledger::Answer;
use crate::http::{Encoding, Response};
use crate::{Class, Entry, Fault, Outcome, Result};

pub(crate) type Handler = Rc<dyn Fn(&Sent) -> Reply>;

/// A request as the server gets it: secrets stand in the body with their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    wire: wire::Request,
    body: Vec<u8>,
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It answers.
    Answer(Response),
    /// It did what was asked, and the answer is lost: the caller gets `unavailable` with outcome `unknown`.
    Lost(Response),
    /// Nobody listens: the request was never sent.
    NotConnected,
    /// The host says this instead.
    Fault(Fault),
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Reply::Answer(response)
    }
}

/// An answer with a JSON body.
pub fn answer(status: u16, body: impl Serialize) -> Response {
    let body = serde_json::to_vec(&body).expect("the answer is no JSON");
    Response { headers: vec![("content-type".to_owned(), "application/json".to_owned())], body, ..empty(status) }
}

/// An answer without a body.
pub fn empty(status: u16) -> Response {
    Response { request: String::new(), status, reason: String::new(), headers: Vec::new(), body: Vec::new() }
}

impl Sent {
    /// Name of the connection.
    pub fn connection(&self) -> &str {
        &self.wire.connection
    }

    /// Label of the endpoint, if one was named.
    pub fn endpoint(&self) -> Option<&str> {
        self.wire.endpoint.as_deref()
    }

    /// Upper-case method.
    pub fn method(&self) -> &str {
        &self.wire.method
    }

    /// Path, percent-encoded, without query.
    pub fn path(&self) -> &str {
        &self.wire.path
    }

    /// The segments of the path, still percent-encoded: what a `match` takes.
    pub fn segments(&self) -> Vec<&str> {
        self.wire.path.trim_start_matches('/').split('/').collect()
    }

    /// The first query parameter of this name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.wire.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All query parameters.
    pub fn queries(&self) -> &[(String, String)] {
        &self.wire.query
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.wire.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a form.
    pub fn form(&self) -> BTreeMap<String, String> {
        let text = self.text();
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (decode(name), decode(value))).collect()
    }

    /// The ledger entry that it names.
    pub fn entry(&self) -> Option<Entry> {
        self.wire.entry
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        let (wanted, given) = (path.split('/'), self.wire.path.split('/'));
        self.wire.method == method
            && wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted == "*" || wanted == given)
    }
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).expect("a broken percent-encoding")
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl World {
    pub(crate) async fn send(&self, request: wire::Request) -> Result<wire::Response> {
        let number = self.count();
        self.killed_here(number, Moment::Before).await;
        let line = format!("{} {}", request.method, request.path);
        let (handler, sent) = self.with(|state| {
            state.allow(&request, &line)?;
            let body = state.body(&request.body)?;
            let handler = state.handlers.get(&request.connection).cloned();
            let handler = handler.ok_or_else(|| {
                Fault::denied("NO_SUCH_CONNECTION", format!("the test has no connection `{}`", request.connection))
            })?;
            if let Some(entry) = request.entry {
                state.ledger.sent(entry, &line)?;
            }
            Ok((handler, Sent { wire: request, body }))
        })?;
        let reply = handler(&sent);
        let reply = match reply {
            // The host died with the answer: what happened stays in doubt.
            Reply::Answer(response) if self.with(|state| state.kill == Some((number, Moment::Lost))) => {
                Reply::Lost(response)
            }
            reply => reply,
        };
        let result = self.with(|state| state.settle(&sent, &line, reply));
        if self.dies(number, Moment::After) {
            self.with(|state| state.lossy = sent.entry().is_some());
        }
        self.killed_here(number, Moment::After).await;
        result
    }
}

impl State {
    /// As the host decides by the manifest.
    fn allow(&self, request: &wire::Request, line: &str) -> Result<()> {
        let mut effect = !matches!(request.method.as_str(), "GET" | "HEAD");
        let mut needs_entry = true;
        if let Some(manifest) = &self.manifest {
            needs_entry = manifest.role != Role::JobSource;
            let needs = manifest.needs.http.iter();
            let needs = needs.filter(|need| self.connection_of(&need.connection) == Some(&request.connection));
            let found = needs.flat_map(|need| &need.requests).find(|need| need.matches(&request.method, &request.path));
            effect = found.ok_or_else(|| denied(&format!("`{line}` on `{}`", request.connection)))?.has_effect();
        }
        match request.entry {
            Some(entry) => self.ledger.check(entry),
            None if effect && needs_entry => {
                Err(Fault::denied("NO_LEDGER_ENTRY", format!("`{line}` has an effect and names no ledger entry")))
            }
            None => Ok(()),
        }
    }

    fn body(&self, parts: &[wire::Part]) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        for part in parts {
            match part {
                wire::Part::Bytes(bytes) => body.extend(bytes),
                wire::Part::Secret(secret) => {
                    let value = self.values.get(&secret.reference).ok_or_else(|| {
                        Fault::not_found("REFERENCE_GONE", format!("there is no value behind `{}`", secret.reference))
                    })?;
                    body.extend(encode(value, secret.encoding).into_bytes());
                }
            }
        }
        Ok(body)
    }

    /// Journals what came back and makes of it what the plugin sees.
    fn settle(&mut self, sent: &Sent, line: &str, reply: Reply) -> Result<wire::Response> {
        let entry = sent.wire.entry;
        match reply {
            Reply::Answer(mut response) => {
                self.sent.push(sent.clone());
                self.capture(&sent.wire, &mut response);
                if let Some(entry) = entry {
                    let (status, body, at_ms) = (response.status, response.body.clone(), self.now);
                    self.ledger.answered(entry, Answer { request: line.to_owned(), status, body, at_ms });
                }
                let Response { status, reason, headers, body, .. } = response;
                Ok(wire::Response { status, reason, headers, body })
            }
            Reply::Lost(_) => {
                self.sent.push(sent.clone());
                let fault = Fault::unavailable("NO_ANSWER", format!("{line}: sent, and no answer came"));
                Err(fault.outcome(Outcome::Unknown))
            }
            Reply::NotConnected => {
                if let Some(entry) = entry {
                    self.ledger.unsent(entry, line);
                }
                Err(Fault::unavailable("NOT_CONNECTED", format!("{line}: no connection could be made")))
            }
            Reply::Fault(fault) => {
                if let Some(entry) = entry.filter(|_| fault.outcome == Outcome::NotApplied) {
                    self.ledger.unsent(entry, line);
                }
                Err(fault)
            }
        }
    }

    fn capture(&mut self, request: &wire::Request, response: &mut Response) {
        let Ok(mut json) = serde_json::from_slice::<Value>(&response.body) else { return };
        for pointer in &request.capture {
            let Some(place) = json.pointer_mut(pointer) else { continue };
            let reference = format!("http:{}{}#{pointer}", request.connection, request.path);
            let value = place.as_str().map_or_else(|| place.to_string(), str::to_owned);
            self.values.insert(reference.clone(), value);
            *place = Value::String(reference);
        }
        if !request.capture.is_empty() {
            response.body = json.to_string().into_bytes();
        }
    }
}

fn encode(value: &str, encoding: Encoding) -> String {
    match encoding {
        Encoding::Raw => value.to_owned(),
        Encoding::JsonString => {
            let quoted = Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        Encoding::Form => crate::http::segment(value).replace("%20", "+"),
        Encoding::Base64 => base64(value.as_bytes()),
        Encoding::XmlText => value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([0; 3].iter()).take(3).fold(0usize, |group, byte| (group << 8) | *byte as usize);
        for place in 0..4 {
            let digit = char::from(ALPHABET[(group >> (18 - 6 * place)) & 63]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

pub(crate) fn is_not_found(fault: &Fault) -> bool {
    fault.class == Class::NotFound
}

#[cfg(test)]
mod tests {
    use agentkube_manifest::{HttpNeed, Manifest, Needs, RequestNeed};
    use serde_json::json;

    use super::*;
    use crate::{http, path};

    fn manifest(role: Role) -> Manifest {
        let request = |method: &str, path: &str| RequestNeed { method: method.into(), path: path.into(), effect: None };
        let requests = vec![request("GET", "/things/{id}"), request("POST", "/things")];
        let need = HttpNeed { connection: "/cloud".into(), purpose: String::new(), required: true, requests };
        Manifest {
            name: "test".into(),
            version: "1".into(),
            description: String::new(),
            role,
            contract: "0.1".into(),
            config_schema: Value::Null,
            settings_schema: Value::Null,
            needs: Needs { http: vec![need], ..Needs::default() },
            flags: vec![],
            oldest_minor: None,
        }
    }

    fn code(world: &World, request: http::Request) -> String {
        world.run(request.send()).map_or_else(|fault| fault.code, |response| response.status.to_string())
    }

    #[test]
    fn the_manifest_holds() {
        let world = World::new();
        world.config(json!({ "cloud": "a" })).manifest(manifest(Role::NodeProvider));
        world.http("a", |_| answer(200, json!(1))).http("b", |_| answer(200, json!(1)));
        assert_eq!(code(&world, http::get("a", path!("things", 1))), "200");
        assert_eq!(code(&world, http::get("a", path!("others", 1))), "NOT_DECLARED");
        assert_eq!(code(&world, http::get("b", path!("things", 1))), "NOT_DECLARED");
        assert_eq!(code(&world, http::post("a", path!("things"))), "NO_LEDGER_ENTRY");
        world.manifest(manifest(Role::JobSource));
        assert_eq!(code(&world, http::post("a", path!("things"))), "200");
    }

    #[test]
    fn secrets_pass_by_reference_in_both_directions() {
        let world = World::new();
        let named = world.secret("token", "a\"b");
        world.http("cloud", |request| answer(200, json!({ "said": request.text(), "list": ["k"] })));
        let request = http::get("cloud", "/x").part("<").secret(named, Encoding::JsonString).part(">").capture("/said");
        let body: Value = world.run(request.send()).unwrap().json().unwrap();
        let reference = body["said"].as_str().unwrap();
        assert!(!reference.contains("a\\\"b"));
        assert_eq!(world.value(reference).as_deref(), Some("<a\\\"b>"));
        let gone = http::get("cloud", "/x").secret("no-such", Encoding::Raw);
        assert_eq!(code(&world, gone), "REFERENCE_GONE");
    }

    #[test]
    fn each_encoding_is_the_one_that_was_asked_for() {
        for (encoding, text) in [
            (Encoding::Raw, "a &<b"),
            (Encoding::Form, "a+%26%3Cb"),
            (Encoding::Base64, "YSAmPGI="),
            (Encoding::XmlText, "a &amp;&lt;b"),
        ] {
            assert_eq!(encode("a &<b", encoding), text);
        }
    }
}
