//! A client of the lab's Proxmox VE for tests: requests, a clock, waiting.
#![allow(dead_code, reason = "each test file uses its own part")]

use lab_pve::{Pve, ROOT_TOKEN, ROOT_TOKEN_SECRET, Settings, TOKEN, TOKEN_SECRET};
use lab_wire::{Answer, Millis, Random, Request, Response, Server};
use serde_json::Value;

/// A client, and the time that it and the cluster live in.
pub struct Client {
    pub pve: Pve,
    pub random: Random,
    pub now: Millis,
    pub token: String,
    pub endpoint: String,
}

impl Client {
    /// AgentKube's own token against a default cluster.
    pub fn new(settings: Settings) -> Self {
        Client {
            pve: Pve::new(settings),
            random: Random::new(7),
            now: 1_800_000_000_000,
            token: format!("PVEAPIToken={TOKEN}={TOKEN_SECRET}"),
            endpoint: String::new(),
        }
    }

    /// The token without limits.
    pub fn root(mut self) -> Self {
        self.token = format!("PVEAPIToken={ROOT_TOKEN}={ROOT_TOKEN_SECRET}");
        self
    }

    /// Sends a request as it is.
    pub fn send(&mut self, request: Request) -> Answer {
        let mut request = request.header("authorization", &self.token);
        request.endpoint = self.endpoint.clone();
        self.pve.exchange(&request, self.now, &mut self.random)
    }

    /// Sends a request and waits for its answer.
    pub fn response(&mut self, request: Request) -> Response {
        match self.send(request) {
            Answer::Now(response) => response,
            Answer::At(at, response) => {
                self.now = self.now.max(at);
                response
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// `method` on `/api2/json{path}` with form fields: status and body.
    pub fn call(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut request = Request::new(method, &format!("/api2/json{path}"));
        if !fields.is_empty() {
            let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
            let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
            request.body = body.join("&").into_bytes();
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let response = self.response(request);
        (response.status, response.value())
    }

    /// The same, demanding success; gives `data`.
    pub fn ok(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Value {
        let (status, body) = self.call(method, path, fields);
        assert_eq!(status, 200, "{method} {path}: {body}");
        body["data"].clone()
    }

    /// The same, demanding failure; gives status and message.
    pub fn fails(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let (status, body) = self.call(method, path, fields);
        assert!(status >= 400, "{method} {path}: {body}");
        (status, body["message"].as_str().unwrap_or_default().trim_end().to_owned())
    }

    /// Waits for a task on the node in its UPID and gives its exit status.
    pub fn wait(&mut self, upid: &Value) -> String {
        let upid = upid.as_str().expect("a UPID").to_owned();
        let node = upid.split(':').nth(1).unwrap().to_owned();
        for _ in 0..10_000 {
            self.now += 100;
            let (status, body) = self.call("GET", &format!("/nodes/{node}/tasks/{upid}/status"), &[]);
            if status == 400 {
                assert_eq!(body["errors"]["upid"], "no such task");
            } else if body["data"]["status"] == "stopped" {
                return body["data"]["exitstatus"].as_str().unwrap().to_owned();
            }
        }
        panic!("{upid} did not end");
    }

    /// Runs a request that starts a task, to its end.
    pub fn run(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let upid = self.ok(method, path, fields);
        self.wait(&upid)
    }

    /// A POST by root, to the end of its task.
    pub fn run_as_root(&mut self, path: &str) -> String {
        let root = format!("PVEAPIToken={ROOT_TOKEN}={ROOT_TOKEN_SECRET}");
        let own = std::mem::replace(&mut self.token, root);
        let exit = self.run("POST", path, &[]);
        self.token = own;
        exit
    }

    /// A linked clone of the template, ended.
    pub fn clone(&mut self, vmid: u32) {
        let exit = self.run(
            "POST",
            "/nodes/pve1/qemu/9000/clone",
            &[("newid", &vmid.to_string()), ("name", &format!("m-{vmid}")), ("pool", "agentkube"), ("full", "0")],
        );
        assert_eq!(exit, "OK");
    }

    /// An upload to `seeds` on `node`.
    pub fn upload(&mut self, node: &str, name: &str, bytes: &[u8]) -> Response {
        let mut request = Request::new("POST", &format!("/api2/json/nodes/{node}/storage/seeds/upload"))
            .header("content-type", "multipart/form-data; boundary=XyZ");
        request.body = multipart(&[("content", "iso")], name, bytes);
        self.response(request)
    }
}

/// A body as the parser of the real thing wants it.
pub fn multipart(fields: &[(&str, &str)], name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in fields {
        let part = format!("--XyZ\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    let head = format!("--XyZ\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n");
    body.extend(head.into_bytes());
    body.extend(b"Content-Type: application/octet-stream\r\n\r\n");
    body.extend(bytes);
    body.extend(b"\r\n--XyZ--\r\n");
    body
}
