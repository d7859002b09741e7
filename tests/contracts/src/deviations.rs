//! Where the real systems differ from their own descriptions.

use crate::fault::{Fault, Side};

/// One known difference. What is not in [`KNOWN`] is a violation.
#[derive(Clone, Copy, Debug)]
pub struct Deviation {
    /// The system.
    pub system: &'static str,
    /// Versions; none: all.
    pub versions: &'static [&'static str],
    /// Which half of an exchange.
    pub side: Side,
    /// Operation; `*` stands for anything.
    pub operation: &'static str,
    /// Place in it; `*` stands for anything.
    pub place: &'static str,
    /// The rule that does not hold.
    pub rule: &'static str,
    /// Part of the text; empty: any.
    pub text: &'static str,
    /// Whether our own requests may make use of it.
    pub ours: bool,
    /// What the real system does, and where that is known from.
    pub source: &'static str,
}

impl Deviation {
    /// Whether a fault is this difference.
    pub fn covers(&self, system: &str, version: &str, operation: &str, fault: &Fault, ours: bool) -> bool {
        self.system == system
            && (self.versions.is_empty() || self.versions.contains(&version))
            && self.side == fault.side
            && (self.ours || !ours || self.side == Side::Answer)
            && fits(self.operation, operation)
            && fits(self.place, &fault.place)
            && self.rule == fault.rule
            && fault.text.contains(self.text)
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(after, &rest[at..]))
        }),
    }
}

/// Fulcrum Core at commit 499230a.
const CORE: Deviation = Deviation {
    system: "fulcrum",
    versions: &[],
    side: Side::Answer,
    operation: "*",
    place: "",
    rule: "",
    text: "",
    ours: false,
    source: "",
};

/// All of them.
pub const KNOWN: &[Deviation] = &[
    Deviation {
        place: "status",
        rule: "refusal",
        source: "the description leaves out nearly all of Core's 400, 403, 409 and 500, and those of what stands before it",
        ..CORE
    },
    Deviation {
        place: "content type",
        rule: "refusal",
        text: "text/plain",
        source: "errors are JSON and called text/plain; seen on a running Core",
        ..CORE
    },
    Deviation {
        place: "body",
        rule: "refusal",
        text: "EOF while parsing",
        source: "a panic inside Core is answered by its router: 500 and nothing else",
        ..CORE
    },
    Deviation {
        place: "content type",
        rule: "refusal",
        text: "\"\" and not JSON",
        source: "a panic inside Core is answered by its router: 500 and nothing else",
        ..CORE
    },
    Deviation {
        place: "body",
        rule: "required",
        text: "\"valid\" is a required property",
        source: "the 400 of services is described as the validation's alone; all others have `error` and `status`, seen on a running Core",
        ..CORE
    },
    Deviation {
        place: "body",
        rule: "required",
        text: "\"errors\" is a required property",
        source: "the 400 of services is described as the validation's alone; all others have `error` and `status`, seen on a running Core",
        ..CORE
    },
    Deviation {
        place: "body*/validators",
        rule: "type",
        text: "null",
        source: "a schema without rules over several properties is shown with null; seen on a running Core",
        ..CORE
    },
    Deviation {
        place: "body*tags",
        rule: "type",
        text: "null",
        source: "an agent that was made without tags is shown with null; seen on a running Core",
        ..CORE
    },
    Deviation {
        side: Side::Request,
        operation: "*",
        place: "body",
        rule: "unevaluatedProperties",
        source: "fields that Core does not know are taken and thrown away; seen on a running Core",
        ..CORE
    },
    Deviation {
        side: Side::Request,
        operation: "POST /jobs/{id}/complete",
        place: "body/agentInstanceData",
        rule: "type",
        text: "null",
        source: "null leaves the data as it is, like leaving it out; seen on a running Core",
        ..CORE
    },
    Deviation {
        side: Side::Request,
        operation: "GET /api/v1/jobs/",
        place: "operation",
        rule: "operation",
        source: "go-chi serves a mounted route with and without the slash",
        ..CORE
    },
    Deviation {
        side: Side::Request,
        operation: "GET /*",
        place: "query *",
        rule: "unknown",
        text: "is no parameter",
        source: "a filter that Core does not know is answered with 500, \"cannot filter by field\"",
        ..CORE
    },
    Deviation {
        side: Side::Request,
        operation: "GET /jobs",
        place: "query status*",
        rule: "enum",
        source: "a status that does not exist reaches the database, which says 500",
        ..CORE
    },
    Deviation {
        system: "proxmox",
        place: "data/lock",
        rule: "enum",
        text: "\"destroyed\" is not one of",
        source: "qemu-server writes this lock while it removes a VM; the enumeration leaves it out",
        ..CORE
    },
];
