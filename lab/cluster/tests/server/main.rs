//! The generic API server, spoken to as a client does.

mod apply;
mod identity;
mod objects;
mod watching;

use lab_cluster::api::{ApiServer, Settings};
use lab_wire::{Answer, Millis, Random, Request, Response, Server};
use serde_json::Value;

pub const START: Millis = 1_790_000_000_000;

/// A server, its clock and its client.
pub struct World {
    pub server: ApiServer,
    pub random: Random,
    pub now: Millis,
}

impl World {
    #[allow(clippy::new_without_default, reason = "a world is made on purpose")]
    pub fn new() -> Self {
        let mut random = Random::new(7);
        let settings = Settings { bootstrap_tokens: true, history: 50, ..Settings::default() };
        World { server: ApiServer::new(settings, START, &mut random), random, now: START }
    }

    pub fn send(&mut self, mut request: Request) -> Response {
        request.peer.common_name = Some("root".to_owned());
        request.peer.organizations = vec!["system:masters".to_owned()];
        self.send_as(request)
    }

    pub fn send_as(&mut self, request: Request) -> Response {
        let answer = self.server.exchange(&request, self.now, &mut self.random);
        self.server.tick(self.now, &mut self.random);
        match answer {
            Answer::Now(response) | Answer::Stream(_, response) => response,
            other => panic!("unexpected {other:?}"),
        }
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    pub fn post(&mut self, path: &str, body: Value) -> Response {
        self.send(Request::new("POST", path).json(&body))
    }

    pub fn put(&mut self, path: &str, body: Value) -> Response {
        self.send(Request::new("PUT", path).json(&body))
    }

    pub fn delete(&mut self, path: &str, body: Value) -> Response {
        self.send(Request::new("DELETE", path).json(&body))
    }

    pub fn patch(&mut self, path: &str, kind: &str, body: Value) -> Response {
        let mut request = Request::new("PATCH", path).header("content-type", kind);
        request.body = body.to_string().into_bytes();
        self.send(request)
    }

    pub fn wait(&mut self, ms: Millis) {
        self.now += ms;
        self.server.tick(self.now, &mut self.random);
    }
}
