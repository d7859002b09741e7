//! One accepted socket: TLS, then HTTP/1.1 with keep-alive.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lab_wire::{Answer, Peer, Request, Response, Server};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::stream::Pieces;
use crate::tls;

/// The largest request body that is read: more than any seed image or manifest of the lab.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

type Body = Either<Full<Bytes>, Pieces>;

/// Serves one connection until either side closes it.
pub(super) async fn serve<S: Server + 'static>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    shared: Arc<Shared<S>>,
    endpoint: Arc<str>,
) {
    // Small answers must not wait for more bytes.
    let _ = stream.set_nodelay(true);
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(endpoint = &*endpoint, %error, "TLS handshake failed");
            return;
        }
    };
    shared.shook_hands();
    let peer = tls::peer(stream.get_ref().1.peer_certificates());
    let service = service_fn(|request| answer(request, peer.clone(), &shared, &endpoint));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(endpoint = &*endpoint, %error, "connection ended");
    }
}

/// Reads one request whole, asks the server, carries out its answer. An error closes the connection without a byte.
async fn answer<S: Server + 'static>(
    request: http::Request<Incoming>,
    peer: Peer,
    shared: &Arc<Shared<S>>,
    endpoint: &str,
) -> io::Result<http::Response<Body>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) => return Err(io::Error::other(error)),
    };
    let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(head.method.as_str(), path_and_query);
    request.headers = headers(&head.headers);
    request.body = body;
    request.peer = peer;
    request.endpoint = endpoint.to_owned();
    let answer = shared.handle(&request);
    match answer {
        Answer::Now(response) => whole(response),
        Answer::At(time, response) => {
            shared.clock().sleep_until(time).await;
            whole(response)
        }
        Answer::Stream(id, mut response) => {
            let first = std::mem::take(&mut response.body);
            Ok(head_of(&response)?.map(|()| Either::Right(Pieces::new(Arc::clone(shared), id, first))))
        }
        Answer::Drop => Err(io::Error::other("the server drops the connection")),
    }
}

fn headers(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn whole(response: Response) -> io::Result<http::Response<Body>> {
    let head = head_of(&response)?;
    Ok(head.map(|()| Either::Left(Full::new(Bytes::from(response.body)))))
}

/// Status, reason and headers of a response.
fn head_of(response: &Response) -> io::Result<http::Response<()>> {
    let mut head = http::Response::new(());
    *head.status_mut() = StatusCode::from_u16(response.status).map_err(io::Error::other)?;
    if let Some(reason) = &response.reason {
        let reason = ReasonPhrase::try_from(reason.as_bytes().to_vec()).map_err(io::Error::other)?;
        head.extensions_mut().insert(reason);
    }
    for (name, value) in &response.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_str(value).map_err(io::Error::other)?;
        head.headers_mut().append(name, value);
    }
    Ok(head)
}
