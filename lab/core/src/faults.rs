//! Faults that a test switches on.

use lab_wire::{Millis, Request, Response};

/// Which requests a fault meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// The method; any when empty.
    pub method: String,
    /// How the path begins, such as `/api/v1/jobs`.
    pub prefix: String,
    /// How the path ends, such as `/complete`; anyhow when empty.
    pub suffix: String,
}

impl Matching {
    /// Requests of a method under a path.
    pub fn new(method: &str, prefix: &str) -> Self {
        Matching { method: method.to_owned(), prefix: prefix.to_owned(), suffix: String::new() }
    }

    /// Only those whose path ends so.
    pub fn ending(mut self, suffix: &str) -> Self {
        suffix.clone_into(&mut self.suffix);
        self
    }

    fn holds(&self, request: &Request) -> bool {
        (self.method.is_empty() || self.method == request.method)
            && request.path.starts_with(&self.prefix)
            && request.path.ends_with(&self.suffix)
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next `times` matching requests take effect, but get no answer.
    DropReply {
        /// Which.
        matching: Matching,
        /// How many.
        times: u32,
    },
    /// The next `times` matching requests are lost: no effect, no answer.
    DropRequest {
        /// Which.
        matching: Matching,
        /// How many.
        times: u32,
    },
    /// The next `times` matching requests get this status and have no effect.
    Answer {
        /// Which.
        matching: Matching,
        /// How many.
        times: u32,
        /// The status, such as 429 or 503.
        status: u16,
        /// Seconds in `Retry-After`, if that header is sent.
        retry_after: Option<u64>,
    },
    /// The next `times` matching requests get exactly this and have no effect: a line of Core's table of refusals, an empty body, or
    /// what a proxy in front of it says.
    Say {
        /// Which.
        matching: Matching,
        /// How many.
        times: u32,
        /// The status.
        status: u16,
        /// The content type; none when empty.
        content_type: String,
        /// The body.
        body: String,
    },
    /// The answers to the next `times` matching requests come late; the effect happens at once.
    Delay {
        /// Which.
        matching: Matching,
        /// How many.
        times: u32,
        /// By how much.
        millis: Millis,
    },
    /// Tokens of this name, or all but administrators' ones, expire now.
    ExpireTokens {
        /// Name of the token.
        name: Option<String>,
    },
    /// Every service loses its properties now: what an update without parameters leaves when whoever claims it completes it.
    WipeProperties,
}

impl Fault {
    /// An error in Core's own form: JSON that calls itself plain text.
    pub fn refusal(matching: Matching, times: u32, status: u16, error: &str) -> Self {
        let word = match status {
            400 => "Invalid request",
            403 => "Forbidden",
            _ => "Internal server error",
        };
        let body = format!("{}\n", serde_json::json!({ "status": word, "error": error }));
        Fault::Say { matching, times, status, content_type: "text/plain; charset=utf-8".to_owned(), body }
    }

    /// A panic of the handler: 500 without a body.
    pub fn panic(matching: Matching, times: u32) -> Self {
        Fault::Say { matching, times, status: 500, content_type: String::new(), body: String::new() }
    }
}

/// What befalls one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub lost: bool,
    pub instead: Option<Response>,
    pub unanswered: bool,
    pub late: Millis,
}

/// The faults that are switched on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up one occasion of every matching fault.
    pub fn meet(&mut self, request: &Request) -> Fate {
        let mut fate = Fate::default();
        for fault in &mut self.0 {
            let (matching, times) = match fault {
                Fault::DropReply { matching, times }
                | Fault::DropRequest { matching, times }
                | Fault::Answer { matching, times, .. }
                | Fault::Say { matching, times, .. }
                | Fault::Delay { matching, times, .. } => (matching, times),
                Fault::ExpireTokens { .. } | Fault::WipeProperties => continue,
            };
            if *times == 0 || !matching.holds(request) {
                continue;
            }
            *times -= 1;
            match fault {
                Fault::DropReply { .. } => fate.unanswered = true,
                Fault::DropRequest { .. } => fate.lost = true,
                Fault::Delay { millis, .. } => fate.late += *millis,
                Fault::Answer { status, retry_after, .. } => {
                    let response = Response::text(*status, "text/html", "<html>try again</html>\n");
                    fate.instead = Some(match retry_after {
                        Some(seconds) => response.header("retry-after", &seconds.to_string()),
                        None => response,
                    });
                }
                Fault::Say { status, content_type, body, .. } => {
                    fate.instead = Some(match content_type.is_empty() {
                        true => Response { body: body.as_bytes().to_vec(), ..Response::empty(*status) },
                        false => Response::text(*status, content_type, body.clone()),
                    });
                }
                Fault::ExpireTokens { .. } | Fault::WipeProperties => {}
            }
        }
        fate
    }
}
