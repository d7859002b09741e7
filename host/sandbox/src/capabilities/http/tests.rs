//! Requests of plugins against a server that is looked into, without a guest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentkube_contract::{Class, Outcome};
use serde_json::{Value, json};

use super::{Encoding, Part, Request, send};
use crate::testing::server::{Reply, Server};
use crate::testing::stores::Stores;
use crate::testing::{CANARY, context, endpoint, entry};

#[tokio::test]
async fn a_captured_value_goes_out_again_and_never_comes_in() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => Reply::new(200, json!({ "id": 7, "secret": CANARY }).to_string()),
        _ => Reply::new(200, [b"you said ", asked.body.as_slice()].concat()),
    });
    let stores = Arc::new(Stores::default());
    let flow = json!([{ "connection": "lab" }, { "pass": "http", "to": ["lab"] }]);
    let context = context(&stores, endpoint(&server), flow);
    let answer =
        send(&context, Request { capture: vec!["/secret".into(), "/none".into()], ..Request::new("GET", "/a") })
            .await
            .unwrap();
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(seen, json!({ "id": 7, "secret": "ref-1" }));

    let entry = entry(&context, &stores).await;
    let parts = || {
        let secret = |encoding| Part::Secret(agentkube_contract::Reference("ref-1".to_owned()), encoding);
        vec![Part::Bytes(b"{\"k\":\"".to_vec()), secret(Encoding::JsonString), Part::Bytes(b"\"}".to_vec())]
    };
    let answer =
        send(&context, Request { body: parts(), entry: Some(entry), ..Request::new("POST", "/b") }).await.unwrap();
    let sent = server.asked().pop().unwrap();
    assert_eq!(String::from_utf8(sent.body).unwrap(), format!("{{\"k\":\"{CANARY}\"}}"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), "you said {\"k\":\"[secret]\"}", "an echo is scrubbed");
    assert_eq!(stores.item(entry).last_answer.unwrap().body, b"you said {\"k\":\"[secret]\"}", "in the journal too");
}

#[tokio::test]
async fn a_reference_goes_only_where_it_was_granted_to() {
    let server = Server::start(|_| Reply::new(200, json!({ "secret": CANARY }).to_string()));
    let stores = Arc::new(Stores::default());
    let context = context(&stores, endpoint(&server), json!([{ "connection": "lab" }]));
    send(&context, Request { capture: vec!["/secret".into()], ..Request::new("GET", "/a") }).await.unwrap();
    let entry = entry(&context, &stores).await;
    let secret = Part::Secret(agentkube_contract::Reference("ref-1".to_owned()), Encoding::Raw);
    let refused =
        send(&context, Request { body: vec![secret], entry: Some(entry), ..Request::new("POST", "/b") }).await;
    let fault = refused.err().unwrap();
    assert_eq!(fault.class, Class::Denied);
    assert!(
        fault.message.contains("[[plugins.t.grants]]\npass = \"http\"\nfrom = [\"t\"]\nto = [\"lab\"]"),
        "{}",
        fault.message
    );
    assert_eq!(server.count("POST", "/b"), 0);
}

#[tokio::test]
async fn the_credential_is_added_read_again_and_never_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "first-token").unwrap();
    let server = Server::start(|asked| {
        let said = asked.header("authorization").unwrap_or_default().to_owned();
        Reply::new(401, said.clone()).header(&format!("x-echo: {said}")).header("set-cookie: a=b")
    });
    let auth =
        json!({ "kind": "header", "name": "Authorization", "template": "Token={secret}", "secret": { "file": file } });
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [{ "url": server.url() }], "auth": auth });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let answer = send(&context, Request::new("GET", "/a")).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (401, "Said So"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), "Token=[secret]");
    assert!(answer.headers.contains(&("x-echo".to_owned(), "Token=[secret]".to_owned())));
    assert!(answer.headers.iter().all(|(name, _)| name != "set-cookie"));
    std::fs::write(&file, "second-token-is-longer").unwrap();
    send(&context, Request::new("GET", "/a")).await.unwrap();
    assert_eq!(server.asked()[1].header("authorization"), Some("Token=second-token-is-longer"));
    let refused =
        send(&context, Request { headers: vec![("Authorization".into(), "x".into())], ..Request::new("GET", "/a") })
            .await;
    assert_eq!(refused.err().unwrap().code, "HEADER_REFUSED");
}

#[tokio::test]
async fn not_connected_is_told_from_sent() {
    let server = Server::start(|_| Reply::new(200, "{}").after(3_000));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [
        { "url": format!("http://127.0.0.1:{closed}"), "label": "closed" }, { "url": server.url(), "label": "slow" }] });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let entry = entry(&context, &stores).await;
    let post = |label: Option<&str>| Request {
        endpoint: label.map(str::to_owned),
        entry: Some(entry),
        timeout_ms: Some(300),
        ..Request::new("POST", "/a")
    };
    let fault = send(&context, post(Some("closed"))).await.err().unwrap();
    assert_eq!((fault.code.as_str(), fault.outcome), ("NOT_CONNECTED", Outcome::NotApplied));
    assert_eq!(stores.item(entry).in_doubt, None);
    // Without a label the next endpoint is tried, since nothing was sent to the first.
    let fault = send(&context, post(None)).await.err().unwrap();
    assert_eq!((fault.class, fault.outcome), (Class::Timeout, Outcome::Unknown));
    assert_eq!(stores.item(entry).in_doubt.as_deref(), Some("POST /a"));
    assert_eq!(server.count("POST", "/a"), 1);
    assert_eq!(send(&context, post(Some("none"))).await.err().unwrap().code, "NO_SUCH_ENDPOINT");
}

#[tokio::test]
async fn redirects_come_back_and_long_answers_do_not() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/moved" => Reply::new(302, "").header("location: http://169.254.169.254/latest"),
        _ => Reply::new(200, vec![b'x'; 3000]),
    });
    let stores = Arc::new(Stores::default());
    let lab = json!({ "endpoints": [{ "url": server.url() }], "limits": { "response-bytes": 2000 } });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    assert_eq!(send(&context, Request::new("GET", "/moved")).await.unwrap().status, 302);
    assert_eq!(send(&context, Request::new("GET", "/long")).await.err().unwrap().code, "ANSWER_TOO_LARGE");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_name_that_leads_to_an_unlisted_address_is_denied() {
    let server = Server::start(|_| Reply::new(200, ""));
    let stores = Arc::new(Stores::default());
    let lab =
        json!({ "addresses": ["10.0.0.0/8"], "endpoints": [{ "url": format!("http://localhost:{}", server.port) }] });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let fault = send(&context, Request::new("GET", "/a")).await.err().unwrap();
    assert_eq!((fault.code.as_str(), fault.class), ("ADDRESS_DENIED", Class::Denied));
    assert!(fault.message.contains("[connections.lab] addresses = ["), "{}", fault.message);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn bytes_and_times_of_both_directions_are_capped() {
    let zeros = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &[0; 100_000]).unwrap();
        encoder.finish().unwrap()
    };
    assert!(zeros.len() < 2000, "short on the wire");
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/packed" => Reply::new(200, zeros.clone()).header("content-encoding: gzip"),
        "/slow" => Reply::new(200, "x".repeat(100)).cut(50, 20_000),
        _ => Reply::new(200, "{}"),
    });
    let stores = Arc::new(Stores::default());
    let limits = json!({ "request-bytes": 100, "response-bytes": 2000, "timeout-ms": 400 });
    let lab = json!({ "endpoints": [{ "url": server.url() }], "limits": limits });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let entry = entry(&context, &stores).await;
    let post = |length: usize| {
        let body = vec![Part::Bytes(vec![b'x'; length - 1]), Part::Bytes(vec![b'x'])];
        send(&context, Request { body, entry: Some(entry), ..Request::new("POST", "/a") })
    };
    let fault = post(101).await.err().unwrap();
    assert_eq!((fault.code.as_str(), fault.outcome), ("REQUEST_TOO_LARGE", Outcome::NotApplied));
    assert!(fault.message.contains("[connections.lab] limits.request-bytes"), "{}", fault.message);
    assert!(server.asked().is_empty() && stores.item(entry).in_doubt.is_none());
    assert_eq!(post(100).await.unwrap().status, 200);
    assert_eq!(send(&context, Request::new("GET", "/packed")).await.err().unwrap().code, "ANSWER_TOO_LARGE");
    // What a plugin asks for shortens the connection's time, and never lengthens it.
    for timeout_ms in [None, Some(60_000), Some(100)] {
        let began = Instant::now();
        let fault = send(&context, Request { timeout_ms, ..Request::new("GET", "/slow") }).await.err().unwrap();
        assert_eq!((fault.code.as_str(), fault.class), ("ANSWER_TIMEOUT", Class::Timeout));
        assert!(began.elapsed() < Duration::from_secs(8), "{timeout_ms:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn headers_that_belong_to_the_host_stop_a_request_before_it_is_sent() {
    let server = Server::start(|_| Reply::new(200, "{}"));
    let stores = Arc::new(Stores::default());
    let context = context(&stores, endpoint(&server), json!([{ "connection": "lab" }]));
    let with = |name: &str, value: &str| {
        let headers = vec![(name.to_owned(), value.to_owned())];
        send(&context, Request { headers, ..Request::new("GET", "/a") })
    };
    for name in ["Host", "Authorization", "Cookie", "Transfer-Encoding", "Content-Length", "Connection", "Proxy-Foo"] {
        let fault = with(name, "x").await.err().unwrap();
        assert_eq!((fault.code.as_str(), fault.class), ("HEADER_REFUSED", Class::Denied), "{name}");
    }
    for (name, value) in [("x-a", "1\r\nhost: evil"), ("x-a", "1\ncookie: a"), ("x-a\r\nhost", "1"), ("", "1")] {
        assert_eq!(with(name, value).await.err().unwrap().code, "BAD_HEADER", "{name:?}: {value:?}");
    }
    assert!(server.asked().is_empty());
    with("X-A", "1").await.unwrap();
    let asked = server.asked().pop().unwrap();
    let host = format!("127.0.0.1:{}", server.port);
    assert_eq!((asked.header("x-a"), asked.header("host")), (Some("1"), Some(host.as_str())));
}

#[tokio::test]
async fn an_answer_without_its_end_is_journalled_by_its_status() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/cut" => Reply::new(201, "x".repeat(100)).cut(50, 0),
        "/long" => Reply::new(202, "x".repeat(3000)),
        "/stuck" => Reply::new(409, "x".repeat(100)).cut(50, 20_000),
        _ => Reply::new(200, format!("no JSON: {CANARY}")),
    });
    let stores = Arc::new(Stores::default());
    let limits = json!({ "response-bytes": 2000, "timeout-ms": 500 });
    let lab = json!({ "endpoints": [{ "url": server.url() }], "limits": limits });
    let context = context(&stores, lab, json!([{ "connection": "lab" }]));
    let entry = entry(&context, &stores).await;
    for (line, capture, code, status, doubt) in [
        ("POST /cut", vec![], "NO_ANSWER", 201, true),
        ("POST /long", vec![], "ANSWER_TOO_LARGE", 202, true),
        ("POST /stuck", vec![], "ANSWER_TIMEOUT", 409, false),
        ("GET /garbled", vec!["/secret".to_owned()], "ANSWER_NOT_JSON", 200, false),
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let fault = send(&context, Request { capture, entry: Some(entry), ..Request::new(method, path) }).await;
        let fault = fault.err().unwrap();
        assert_eq!((fault.code.as_str(), fault.outcome), (code, Outcome::Unknown));
        let item = stores.item(entry);
        let answer = item.last_answer.unwrap();
        assert_eq!((answer.request.as_str(), answer.status, answer.body.len()), (line, status, 0));
        // It was accepted, and nobody knows what was made.
        assert_eq!(item.in_doubt.as_deref(), doubt.then_some(line));
    }
}
