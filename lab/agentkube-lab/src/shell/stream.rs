//! The body of a stream: pieces as the server gives them, until it ends it or the client goes away.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use lab_wire::{Server, StreamId};
use tokio::sync::mpsc;

use super::Shared;

/// A response body that is still being written.
pub(super) struct Pieces(mpsc::Receiver<Bytes>);

impl Pieces {
    /// Starts to carry what stream `id` gives into the body, after `first`.
    pub(super) fn new<S: Server + 'static>(shared: Arc<Shared<S>>, id: StreamId, first: Vec<u8>) -> Self {
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(pump(shared, id, first, sender));
        Pieces(receiver)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

async fn pump<S: Server>(shared: Arc<Shared<S>>, id: StreamId, first: Vec<u8>, pieces: mpsc::Sender<Bytes>) {
    let mut changes = shared.changes();
    let mut piece = first;
    loop {
        if !piece.is_empty() && pieces.send(Bytes::from(std::mem::take(&mut piece))).await.is_err() {
            break;
        }
        changes.mark_unchanged();
        match shared.peek(|server| server.drain(id)) {
            None => return,
            Some(more) if !more.is_empty() => piece = more,
            Some(_) => {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { break },
                    () = pieces.closed() => break,
                }
            }
        }
    }
    shared.peek(|server| server.close(id));
}
