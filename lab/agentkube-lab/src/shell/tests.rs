//! Every kind of answer over a real socket.

use std::net::SocketAddr;

use lab_wire::{Answer, Listener, Millis, Random, Request, Response, Server, StreamId};
use serde_json::json;

use super::*;
use crate::ca::Authority;

/// Answers by path; remembers what a stream is still to send.
#[derive(Default)]
struct Echo {
    extra: Vec<Listener>,
    pieces: Vec<Vec<u8>>,
    ended: bool,
    closed: Vec<StreamId>,
    due: Option<Millis>,
    ticks: usize,
}

impl Server for Echo {
    fn handle(&mut self, request: &Request, now: Millis, _random: &mut Random) -> Answer {
        match request.path.as_str() {
            "/later" => Answer::At(now + 150, Response::text(200, "text/plain", "late")),
            "/drop" => Answer::Drop,
            "/stream" => Answer::Stream(7, Response::text(200, "text/plain", "first\n")),
            "/reason" => Answer::Now(Response { reason: Some("VM is locked (clone)".into()), ..Response::empty(500) }),
            _ => Answer::Now(Response::json(
                200,
                &json!({
                    "method": request.method, "path": request.path, "query": request.query, "endpoint": request.endpoint,
                    "length": request.body.len(), "name": request.peer.common_name, "groups": request.peer.organizations,
                }),
            )),
        }
    }

    fn tick(&mut self, now: Millis, _random: &mut Random) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.ticks += 1;
        }
    }

    fn next_timer(&self) -> Option<Millis> {
        self.due
    }

    fn listeners(&self) -> Vec<Listener> {
        self.extra.clone()
    }

    fn drain(&mut self, _stream: StreamId) -> Option<Vec<u8>> {
        let bytes = self.pieces.drain(..).flatten().collect::<Vec<_>>();
        (!bytes.is_empty() || !self.ended).then_some(bytes)
    }

    fn close(&mut self, stream: StreamId) {
        self.closed.push(stream);
    }
}

struct Setup {
    authority: Authority,
    shell: Shell<Echo>,
    base: String,
}

fn listener(authority: &Authority, endpoint: &str, address: &str) -> Listener {
    let address: SocketAddr = address.parse().unwrap();
    let identity = authority.server(&[&address.ip().to_string()]).unwrap();
    Listener {
        endpoint: endpoint.into(),
        address,
        certificate: identity.certificate,
        key: identity.key,
        client_ca: Some(authority.certificate().to_owned()),
    }
}

async fn setup() -> Setup {
    let authority = Authority::new("test").unwrap();
    let front = listener(&authority, "front", "127.0.0.1:0");
    let shell = Shell::start(Echo::default(), vec![front], Clock::real(), 1).await.unwrap();
    let base = format!("https://{}", shell.address().unwrap());
    Setup { authority, shell, base }
}

fn client(authority: &Authority, identity: Option<crate::ca::Identity>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.certificate().as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
    if let Some(identity) = identity {
        let pem = format!("{}{}", identity.certificate, identity.key);
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

async fn value(response: reqwest::Response) -> serde_json::Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_arrives_whole_and_connections_are_kept() {
    let Setup { authority, shell, base } = setup().await;
    let client = client(&authority, None);
    for _ in 0..5 {
        let response = client.post(format!("{base}/a%2Fb?x=1&y=a%20b")).body(vec![0; 300_000]).send().await.unwrap();
        let seen = value(response).await;
        assert_eq!(seen["path"], "/a%2Fb");
        assert_eq!(seen["query"], json!([["x", "1"], ["y", "a b"]]));
        assert_eq!(seen["length"], 300_000);
        assert_eq!(seen["endpoint"], "front");
        assert_eq!(seen["name"], json!(null));
    }
    assert_eq!((shell.handshakes(), shell.requests()), (1, 5));
}

#[tokio::test]
async fn a_verified_client_certificate_names_the_peer() {
    let Setup { authority, shell: _shell, base } = setup().await;
    let identity = authority.client("system:node:a", "system:nodes").unwrap();
    let seen = value(client(&authority, Some(identity)).get(&base).send().await.unwrap()).await;
    assert_eq!(seen["name"], "system:node:a");
    assert_eq!(seen["groups"], json!(["system:nodes"]));

    let stranger = Authority::new("other").unwrap().client("system:node:a", "system:masters").unwrap();
    assert!(client(&authority, Some(stranger)).get(&base).send().await.is_err());
}

#[tokio::test]
async fn late_dropped_and_phrased_answers() {
    let Setup { authority, shell: _shell, base } = setup().await;
    let client = client(&authority, None);
    let before = std::time::Instant::now();
    let late = client.get(format!("{base}/later")).send().await.unwrap();
    assert_eq!(late.text().await.unwrap(), "late");
    assert!(before.elapsed().as_millis() >= 140);

    assert!(client.post(format!("{base}/drop")).send().await.unwrap_err().is_request());

    let phrased = client.get(format!("{base}/reason")).send().await.unwrap();
    let reason = phrased.extensions().get::<hyper::ext::ReasonPhrase>().unwrap();
    assert_eq!(reason.as_bytes(), b"VM is locked (clone)");
}

#[tokio::test]
async fn a_stream_carries_pieces_until_it_ends_or_the_client_goes() {
    let Setup { authority, shell, base } = setup().await;
    let client = client(&authority, None);
    let mut body = client.get(format!("{base}/stream")).send().await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "first\n");
    shell.with(|server| server.pieces.push(b"second\n".to_vec()));
    assert_eq!(body.chunk().await.unwrap().unwrap(), "second\n");
    shell.with(|server| server.ended = true);
    assert_eq!(body.chunk().await.unwrap(), None);

    shell.with(|server| server.ended = false);
    let body = client.get(format!("{base}/stream")).send().await.unwrap();
    drop(body);
    for _ in 0..100 {
        if shell.with(|server| server.closed == [7]) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the stream was not closed");
}

#[tokio::test]
async fn timers_tick_without_requests() {
    let Setup { shell, .. } = setup().await;
    shell.with(|server| server.due = Some(1));
    for _ in 0..100 {
        if shell.with(|server| server.ticks == 1) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no tick");
}

#[tokio::test]
async fn listeners_come_change_and_go() {
    let Setup { authority, shell, .. } = setup().await;
    let address = "127.88.0.1:16443";
    let other = Authority::new("second").unwrap();
    for authority in [&authority, &other] {
        let listener = listener(authority, "tenant", address);
        shell.with(|server| server.extra = vec![listener]);
        let seen = value(eventually(&client(authority, None), address).await).await;
        assert_eq!(seen["endpoint"], "tenant");
    }
    shell.with(|server| server.extra.clear());
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the address stayed open");
}

async fn eventually(client: &reqwest::Client, address: &str) -> reqwest::Response {
    for _ in 0..100 {
        if let Ok(response) = client.get(format!("https://{address}/")).send().await {
            return response;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{address} was never reached");
}
