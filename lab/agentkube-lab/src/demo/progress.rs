//! Live progress, read from the daemon's own JSON log: every step that ended, with the time that it took.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::screen::Screen;

/// Longest message of a fault that is printed, in characters.
const LONGEST: usize = 240;

/// Follows a log as it grows.
#[derive(Debug)]
pub struct Progress {
    log: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    gave_up: Option<String>,
}

/// Something worth a line on the screen.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    took: Option<Duration>,
    subject: String,
    text: String,
}

impl Progress {
    /// Follows a log from its start; it need not exist yet.
    pub fn new(log: PathBuf) -> Self {
        Progress { log, offset: 0, partial: Vec::new(), gave_up: None }
    }

    /// Prints what happened since the last look.
    pub fn show(&mut self, screen: &Screen) {
        for line in self.lines() {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if text(&event, "kind") == "GaveUp" {
                self.gave_up = Some(text(&event, "message").to_owned());
            }
            if let Some(Entry { took, subject, text }) = entry(&event) {
                screen.step(took, &subject, &text);
            }
        }
    }

    /// Why the daemon gave a job up, if it did since this was last asked.
    pub fn gave_up(&mut self) -> Option<String> {
        self.gave_up.take()
    }

    /// Whole lines since the last look.
    fn lines(&mut self) -> Vec<String> {
        // What cannot be read now is read at the next look.
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut self.partial)
        });
        self.offset += u64::try_from(read.unwrap_or(0)).unwrap_or(0);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn entry(event: &Value) -> Option<Entry> {
    let took = event.get("duration_ms").and_then(Value::as_u64).map(Duration::from_millis);
    let (step, message) = (text(event, "step"), clipped(text(event, "message")));
    let (subject, done) = describe(step, text(event, "cluster"));
    let (subject, text) = match text(event, "kind") {
        "Succeeded" => (subject, done),
        "Accepted" => ("job".to_owned(), "claimed; its plan is being carried out".to_owned()),
        "Completed" => ("job".to_owned(), "all of its steps are over".to_owned()),
        "Settled" => ("job".to_owned(), "Core has the result".to_owned()),
        "Retrying" => (subject, format!("tried again: {message}")),
        "Failed" => (subject, format!("FAILED: {message}")),
        "Undoing" => ("job".to_owned(), format!("FAILED, and what it made is removed: {message}")),
        "Refused" | "GaveUp" => ("job".to_owned(), format!("FAILED: {message}")),
        "Late" | "SourceTrouble" | "SourceReached" | "Warning" | "Superseded" => ("daemon".to_owned(), message),
        _ => return None,
    };
    Some(Entry { took, subject, text })
}

fn clipped(message: &str) -> String {
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

/// What a step is about, and what is true once it succeeded, for somebody who never saw a plan.
fn describe(step: &str, cluster: &str) -> (String, String) {
    if let Some((machine, what)) = step.strip_prefix("machine/").and_then(|rest| rest.split_once('/')) {
        let machine = machine.strip_prefix(cluster).and_then(|rest| rest.strip_prefix('-')).unwrap_or(machine);
        let done = match what {
            "create" => "made, not yet running",
            "boot" => "has its first-boot data and runs",
            "node" => "joined; its node is Ready",
            "finish" => "first-boot data erased",
            "delete" => "removed",
            "remove-node" => "node removed",
            other => other,
        };
        return (format!("machine {machine}"), done.to_owned());
    }
    let (subject, done) = match step {
        "control-plane/claim" => ("control plane", "ordered; it carries our mark"),
        "control-plane/joinable" => ("control plane", "its endpoint and CA are known"),
        "control-plane/ready" => ("control plane", "complete and stable"),
        "control-plane/delete" => ("control plane", "removed, with its namespace"),
        "tenant/open" => ("API server", "answers"),
        "tenant/join-token" => ("join token", "made, and cluster-info signed with it"),
        "tenant/revoke-token" => ("join token", "revoked"),
        "addons/apply" => ("network add-on", "applied"),
        "addons/healthy" => ("network add-on", "runs on every node"),
        "health" => ("cluster", "all of it observed once more"),
        "ledger/recover" => ("ledger", "rebuilt from what the providers know"),
        other => (other, "done"),
    };
    (subject.to_owned(), done.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_that_ended_is_told_in_plain_words() {
        let event = json!({ "level": "INFO", "message": "", "service": "core/7", "cluster": "kabc", "intent": 1,
                            "step": "machine/kabc-workers-01/node", "kind": "Succeeded", "duration_ms": 1_500 });
        let told = entry(&event).unwrap();
        assert_eq!((told.subject.as_str(), told.text.as_str()), ("machine workers-01", "joined; its node is Ready"));
        assert_eq!(told.took, Some(Duration::from_millis(1_500)));
        assert_eq!(entry(&json!({ "kind": "Started", "step": "health" })), None);
        assert_eq!(entry(&json!({ "message": "started" })), None);
    }

    #[test]
    fn a_line_is_read_once_and_only_when_it_is_whole() {
        let path = std::env::temp_dir().join(format!("agentkube-demo-progress-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let mut progress = Progress::new(path.clone());
        file.write_all(b"{\"a\":1}\n{\"b\"").unwrap();
        assert_eq!(progress.lines(), ["{\"a\":1}"]);
        assert!(progress.lines().is_empty());
        file.write_all(b":2}\n").unwrap();
        assert_eq!(progress.lines(), ["{\"b\":2}"]);
        std::fs::remove_file(path).unwrap();
    }
}
