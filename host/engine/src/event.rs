//! Live progress, for the command line, the log and the pages.

use agentkube_contract::{Millis, ServiceKey};
use serde::Serialize;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A job was claimed and became an intent.
    Accepted,
    /// A job was claimed and refused.
    Refused,
    /// A step began.
    Started,
    /// A step succeeded.
    Succeeded,
    /// A step failed for good.
    Failed,
    /// A step failed and is tried again.
    Retrying,
    /// A newer intent took over.
    Superseded,
    /// The intent failed, and what it made is being removed.
    Undoing,
    /// The intent is over, with success.
    Completed,
    /// The intent is over, without.
    GaveUp,
    /// The job source has the result.
    Settled,
    /// The job source had given the job up before.
    Late,
    /// The source could not be asked or told.
    SourceTrouble,
    /// It could be asked again.
    SourceReached,
    /// Something that an operator should look at.
    Warning,
}

impl Kind {
    /// For a log line that has nothing else to say.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::Accepted => "accepted",
            Kind::Refused => "refused",
            Kind::Started => "step begins",
            Kind::Succeeded => "step done",
            Kind::Failed => "step failed",
            Kind::Retrying => "step failed, tried again",
            Kind::Superseded => "superseded",
            Kind::Undoing => "undoing",
            Kind::Completed => "completed",
            Kind::GaveUp => "given up",
            Kind::Settled => "settled",
            Kind::Late => "late",
            Kind::SourceTrouble => "trouble with the source",
            Kind::SourceReached => "the source is reached again",
            Kind::Warning => "warning",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, in milliseconds since the epoch.
    pub at: Millis,
    /// Which service; `None` for what concerns a whole source.
    pub service: Option<ServiceKey>,
    /// Its cluster name, or empty.
    pub cluster: String,
    /// Number of the intent, or 0.
    pub intent: u64,
    /// Step id, or empty.
    pub step: String,
    /// What happened.
    pub kind: Kind,
    /// How long it took, in milliseconds, where something ended.
    pub duration: Option<Millis>,
    /// For people: the fault, the next try, the result.
    pub message: String,
}
