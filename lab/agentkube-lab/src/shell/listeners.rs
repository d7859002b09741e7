//! Sockets that open and close as the server's own list changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lab_wire::{Listener, Server};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Shared, connection};
use crate::{Error, tls};

/// How long the follower rests between two looks at the server's list: requests come faster than listeners change.
const REST: Duration = Duration::from_millis(10);
/// How long it waits before it tries an address again that could not be opened.
const RETRY: Duration = Duration::from_millis(200);

/// Opens one address and serves it until the returned task is aborted, which closes its connections too.
pub(super) async fn open<S: Server + 'static>(
    shared: &Arc<Shared<S>>,
    listener: &Listener,
) -> Result<(SocketAddr, JoinHandle<()>), Error> {
    let acceptor = TlsAcceptor::from(tls::server_config(listener)?);
    let socket = TcpListener::bind(listener.address)
        .await
        .map_err(|source| Error::Bind { address: listener.address, source })?;
    let address = socket.local_addr()?;
    let endpoint: Arc<str> = Arc::from(listener.endpoint.as_str());
    let shared = Arc::clone(shared);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                    connections.spawn(connection::serve(stream, acceptor, shared, Arc::clone(&endpoint)));
                }
                // Out of file descriptors, mostly: the others go on, this one waits a little.
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot accept a connection");
                    tokio::time::sleep(RETRY).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok((address, task))
}

/// An address that is open, and what it was opened with.
struct Opened {
    listener: Listener,
    task: JoinHandle<()>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the open sockets as the server wants them.
pub(super) async fn follow<S: Server + 'static>(shared: Arc<Shared<S>>) {
    let mut opened: BTreeMap<SocketAddr, Opened> = BTreeMap::new();
    let mut changes = shared.changes();
    loop {
        changes.mark_unchanged();
        let wanted = shared.peek(|server| server.listeners());
        // What goes is closed first: a certificate that changed comes back on the same address.
        opened.retain(|_, open| wanted.contains(&open.listener));
        let mut failed = false;
        for listener in wanted {
            if opened.contains_key(&listener.address) {
                continue;
            }
            match open(&shared, &listener).await {
                Ok((_, task)) => {
                    opened.insert(listener.address, Opened { listener, task });
                }
                Err(error) => {
                    tracing::warn!(endpoint = listener.endpoint, %error, "cannot open an address");
                    failed = true;
                }
            }
        }
        tokio::time::sleep(if failed { RETRY } else { REST }).await;
        if !failed && changes.changed().await.is_err() {
            return;
        }
    }
}
