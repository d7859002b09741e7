//! What a test may make go wrong.

use lab_wire::{Millis, Request};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The request takes effect, the answer is lost.
    DropReply,
    /// The request is answered with this status and takes no effect.
    Refuse(u16),
    /// The request takes effect, the answer comes so many milliseconds late.
    Delay(Millis),
    /// The operation that the request starts fails with this message.
    FailOperation(String),
    /// The operation that the request starts takes so many times longer.
    SlowOperation(u64),
}

/// A mishap of the next requests of one kind.
#[derive(Clone, Debug)]
pub struct Fault {
    method: String,
    path: String,
    left: u32,
    mishap: Mishap,
}

impl Fault {
    /// The next request of this method and path goes wrong. In `path`, `*` stands for one segment.
    pub fn new(method: &str, path: &str, mishap: Mishap) -> Self {
        Fault { method: method.to_owned(), path: path.to_owned(), left: 1, mishap }
    }

    /// The next `count` matching requests go wrong.
    pub fn times(mut self, count: u32) -> Self {
        self.left = count;
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let (wanted, given) = (self.path.trim_matches('/').split('/'), request.path.trim_matches('/').split('/'));
        self.method == request.method
            && wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted == "*" || wanted == given)
    }
}

/// The faults that are switched on, in the order in which they were.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The mishap of this request, if one is due; it is used up.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Mishap> {
        let fault = self.0.iter_mut().find(|fault| fault.left > 0 && fault.matches(request))?;
        fault.left -= 1;
        Some(fault.mishap.clone())
    }
}
