//! A small HTTP server on loopback that remembers what it was asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The name that the client asked for in its TLS handshake.
    pub server_name: Option<String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

pub struct Reply {
    pub delay: Duration,
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
    /// After so many bytes of the body it waits so long, and ends the connection.
    pub cut: Option<(usize, Duration)>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { delay: Duration::ZERO, status, headers: String::new(), body: body.into(), cut: None }
    }

    pub fn after(mut self, ms: u64) -> Self {
        self.delay = Duration::from_millis(ms);
        self
    }

    pub fn cut(mut self, bytes: usize, ms: u64) -> Self {
        self.cut = Some((bytes, Duration::from_millis(ms)));
        self
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push_str("\r\n");
        self
    }
}

pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    // Its own runtime, so that it outlives whatever a test kills.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::over(None, answer)
    }

    /// The same over TLS.
    pub fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::over(Some(TlsAcceptor::from(tls)), answer)
    }

    fn over(tls: Option<TlsAcceptor>, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, log, answer) = (tls.clone(), log.clone(), answer.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, None, log, answer).await };
                    match tls.accept(stream).into_fallible().await {
                        Ok(stream) => {
                            let name = stream.get_ref().1.server_name().map(str::to_owned);
                            serve(stream, name, log, answer).await
                        }
                        Err((_, mut stream)) => {
                            // What came meanwhile is read to its end, or the client would be told of a reset only.
                            stream.shutdown().await.ok()?;
                            stream.read_to_end(&mut Vec::new()).await.ok().map(drop)
                        }
                    }
                });
            }
        });
        Server { port, asked, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method && asked.path == path).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    server_name: Option<String>,
    log: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<impl Fn(&Asked) -> Reply + Send + Sync + 'static>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let asked = Asked { method, path, headers, body, server_name: server_name.clone() };
        log.lock().unwrap().push(asked.clone());
        let reply = answer(&asked);
        tokio::time::sleep(reply.delay).await;
        let head = format!(
            "HTTP/1.1 {} Said So\r\n{}content-length: {}\r\n\r\n",
            reply.status,
            reply.headers,
            reply.body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let (bytes, wait) = reply.cut.unwrap_or((reply.body.len(), Duration::ZERO));
        stream.write_all(&reply.body[..bytes]).await.ok()?;
        stream.flush().await.ok()?;
        if reply.cut.is_some() {
            tokio::time::sleep(wait).await;
            return stream.shutdown().await.ok();
        }
    }
}
