//! Opening a tenant over real TLS: whom the client trusts, what it sends, and what it does when its credential is rotated.

// The helpers of a test may fail as the test itself may.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentkube_contract::{Clock, Fault, Millis, Owner, Random, Reference, ServiceKey, Tenants};
use agentkube_kubernetes::{KubeconfigSource, Opener, TenantSettings};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

struct Wall;

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Millis {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// An API server that knows `/readyz` and `/version`, and accepts one token.
struct Server {
    port: u16,
    ca: String,
    token: Arc<Mutex<String>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (token, heads) = (Arc::new(Mutex::new("tok".to_owned())), Arc::new(Mutex::new(Vec::new())));
        let server = Server { port, ca, token: token.clone(), heads: heads.clone() };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tls.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap().to_lowercase();
                let accepted = head.contains(&format!("authorization: bearer {}\r\n", token.lock().unwrap()));
                let body = if head.starts_with("get /version") { r#"{"gitVersion":"v1.35.2"}"# } else { "ok" };
                let status = if accepted { "200 OK" } else { "401 Unauthorized" };
                heads.lock().unwrap().push(head);
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                tls.write_all(answer.as_bytes()).await.unwrap();
                let _ = tls.shutdown().await;
            }
        });
        server
    }

    fn kubeconfig(&self, ca: &str, token: &str) -> String {
        let (ca, port) = (STANDARD.encode(ca), self.port);
        format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://localhost:{port}', certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: u, user: {{token: {token}}}}}]\n"
        )
    }
}

struct Source(Mutex<String>);

#[async_trait]
impl KubeconfigSource for Source {
    async fn resolve(&self, _: &Owner, _: &str, _: &Reference) -> Result<Zeroizing<Vec<u8>>, Fault> {
        Ok(Zeroizing::new(self.0.lock().unwrap().clone().into_bytes()))
    }
}

fn opener(source: Arc<Source>) -> Opener {
    let addresses = ["127.0.0.0/8", "::1"].map(|range| range.parse().unwrap()).to_vec();
    let settings = TenantSettings { poll_ms: 10, ..TenantSettings::default() };
    let addresses = [("cp".to_owned(), addresses)].into();
    Opener::new(source, addresses, settings, Default::default(), Arc::new(Wall), Arc::new(Zeros))
}

fn owner() -> Owner {
    Owner::new("dc1", &ServiceKey { source: "core".into(), service: "3b8d".into() }, "shop")
}

#[tokio::test]
async fn a_tenant_is_reached_by_its_name_at_the_pinned_address_and_a_rotated_token_is_read_again() {
    let server = Server::start().await;
    let source = Arc::new(Source(Mutex::new(server.kubeconfig(&server.ca, "tok"))));
    let tenant = opener(source.clone()).open(&owner(), "cp", &Reference("r".into())).await.unwrap();
    assert_eq!(tenant.ready(Duration::from_secs(5)).await.unwrap(), "v1.35.2");
    assert_eq!(tenant.ca(), server.ca);
    let host = format!("\r\nhost: localhost:{}\r\n", server.port);
    assert!(
        server.heads.lock().unwrap().iter().all(|head| head.contains(&host) && head.matches("\r\nhost:").count() == 1)
    );

    *server.token.lock().unwrap() = "rotated".to_owned();
    let fault = tenant.nodes().await.unwrap_err();
    assert_eq!(fault.code, "TENANT_UNAUTHORIZED", "nothing new to read yet");
    *source.0.lock().unwrap() = server.kubeconfig(&server.ca, "rotated");
    assert_eq!(tenant.ready(Duration::from_secs(5)).await.unwrap(), "v1.35.2");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_another_ca_is_not_talked_to() {
    let server = Server::start().await;
    let other = Server::start().await;
    let source = Arc::new(Source(Mutex::new(server.kubeconfig(&other.ca, "tok"))));
    let tenant = opener(source).open(&owner(), "cp", &Reference("r".into())).await.unwrap();
    let fault = tenant.ready(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(fault.code, "TENANT_UNREACHABLE");
    assert!(fault.message.contains("certificate"), "{fault}");
    assert!(server.heads.lock().unwrap().is_empty());
}
