//! For whom a call works, and until when.

pub use crate::bindings::host::agentkube::provider::types::{Call, Owner};

impl Call {
    /// Milliseconds left until the host ends the call.
    pub fn remaining_ms(&self) -> u64 {
        self.deadline_ms.saturating_sub(crate::clock::now())
    }
}

impl Owner {
    /// Whether the five marks of an object say that it was made for this service: installation, source and service are
    /// the identity; the display name is not.
    pub fn is(&self, installation: &str, source: &str, service: &str) -> bool {
        self.installation == installation && self.source == source && self.service == service
    }
}
