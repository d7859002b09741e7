//! What a server may do with a request, and the trait of a server.

use std::net::SocketAddr;

use crate::{Interface, Millis, Random, Request, Response, record};

/// Names one open stream (a watch) of one server.
pub type StreamId = u64;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Answer at once.
    Now(Response),
    /// Answer at the given time: the effect, if any, has already happened.
    At(Millis, Response),
    /// Send these headers (status and headers of the response; its body is the first piece), then what
    /// [`Server::drain`] gives, until it says that the stream ended.
    Stream(StreamId, Response),
    /// Close the connection without an answer; the effect, if any, has happened.
    Drop,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer::Now(response)
    }
}

/// An address at which a server wants to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Label that the shell puts into [`Request::endpoint`].
    pub endpoint: String,
    /// Loopback address and port.
    pub address: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// CA (PEM) against which client certificates are verified; they stay optional.
    pub client_ca: Option<String>,
}

/// A lab server: a state machine without I/O.
pub trait Server: Send {
    /// Handles one request at the time `now`.
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer;

    /// The published interface that a request falls under; `None` where nobody published one.
    fn interface(&self, _request: &Request) -> Option<Interface> {
        None
    }

    /// Handles one request as [`Server::handle`] does, and writes it down where recordings are wanted. Whoever carries
    /// requests to a server calls this.
    fn exchange(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        let answer = self.handle(request, now, random);
        record::record(self.interface(request), request, &answer);
        answer
    }

    /// Lets time pass: finishes tasks and runs controllers whose time has come. Called at least whenever
    /// [`Server::next_timer`] is due, and after every request.
    fn tick(&mut self, now: Millis, random: &mut Random);

    /// When [`Server::tick`] must be called next, if nothing else happens.
    fn next_timer(&self) -> Option<Millis>;

    /// Where the server wants to be reached now, beyond the address that the shell gave it. The shell opens and closes
    /// sockets as this list changes; one whose certificate changed is opened anew.
    fn listeners(&self) -> Vec<Listener> {
        Vec::new()
    }

    /// Bytes that wait on a stream: `Some(vec![])` when there are none yet, `None` when the stream has ended.
    fn drain(&mut self, _stream: StreamId) -> Option<Vec<u8>> {
        None
    }

    /// The client went away: forget the stream.
    fn close(&mut self, _stream: StreamId) {}
}
