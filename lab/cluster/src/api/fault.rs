//! Faults that tests switch on.

use lab_wire::{Millis, Request};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The effect happens, the answer is lost.
    DropReply,
    /// The connection closes before anything happens.
    DropRequest,
    /// Nothing happens; this status code is answered.
    Status {
        /// 429, 500, 503, …
        code: u16,
        /// Seconds of `Retry-After`.
        retry_after: Option<u64>,
    },
    /// The effect happens, the answer comes this much later.
    Delay(Millis),
    /// Nothing happens: somebody else changed the object meanwhile (409).
    Conflict,
    /// Nothing happens: a ResourceQuota has no room (403).
    Quota,
}

/// Breaks the next requests that match.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only this method, if given.
    pub method: Option<String>,
    /// Only paths that contain this.
    pub path: String,
    /// How many requests.
    pub times: u32,
    /// What happens to them.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault for the next `times` requests of a method whose path contains `path`.
    pub fn new(method: &str, path: &str, times: u32, kind: FaultKind) -> Self {
        let method = (!method.is_empty()).then(|| method.to_owned());
        Fault { method, path: path.to_owned(), times, kind }
    }

    fn matches(&self, request: &Request) -> bool {
        self.times > 0
            && self.method.as_ref().is_none_or(|method| *method == request.method)
            && request.path.contains(&self.path)
    }
}

/// Takes the first fault that matches, and counts it.
pub fn take(faults: &mut Vec<Fault>, request: &Request) -> Option<FaultKind> {
    let fault = faults.iter_mut().find(|fault| fault.matches(request))?;
    fault.times -= 1;
    let kind = fault.kind.clone();
    faults.retain(|fault| fault.times > 0);
    Some(kind)
}
