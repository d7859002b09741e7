//! Findings, and how they are shown.

use agentkube_contract::{Finding, Severity};
use serde::{Deserialize, Serialize};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The machine, the configuration, the daemon's own files.
    Host,
    /// A file with a credential.
    Secret,
    /// A connection.
    Connection,
    /// A plugin.
    Plugin,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::Secret => "secret",
            Kind::Connection => "connection",
            Kind::Plugin => "plugin",
        }
    }
}

/// One finding, and what it is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What it is about.
    pub kind: Kind,
    /// The configured name; empty for the host.
    pub name: String,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Found {
    /// A check that found nothing amiss.
    pub fn ok(kind: Kind, name: &str, code: &str, message: impl Into<String>) -> Self {
        Found::new(kind, name, code, Severity::Ok, message.into(), String::new())
    }

    /// Worth knowing.
    pub fn warning(kind: Kind, name: &str, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Found::new(kind, name, code, Severity::Warning, message.into(), remedy.into())
    }

    /// In the way of work.
    pub fn error(kind: Kind, name: &str, code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Found::new(kind, name, code, Severity::Error, message.into(), remedy.into())
    }

    fn new(kind: Kind, name: &str, code: &str, severity: Severity, message: String, remedy: String) -> Self {
        let finding = Finding { code: code.to_owned(), severity, message, remedy };
        Found { kind, name: name.to_owned(), finding }
    }

    /// For people, with so much room for what it is about.
    pub fn line(&self, width: usize) -> String {
        let Finding { code, severity, message, remedy } = &self.finding;
        let severity = match severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let mend = if remedy.is_empty() { String::new() } else { format!(". To mend: {remedy}") };
        let said = format!("{}{mend}", message.trim_end_matches('.'));
        format!("{severity:7}  {:width$}  {code}: {}", self.about(), plain(&said))
    }

    fn about(&self) -> String {
        format!("{} {}", self.kind.word(), self.name).trim_end().to_owned()
    }
}

/// How many findings of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Nothing amiss.
    pub ok: usize,
    /// Worth knowing.
    pub warning: usize,
    /// In the way of work.
    pub error: usize,
}

/// All findings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Whether a running daemon looked; otherwise the configuration was opened without one.
    pub daemon: bool,
    /// How many of each severity.
    pub summary: Summary,
    /// In the order of the checks.
    pub findings: Vec<Found>,
}

impl Report {
    /// A report of these findings.
    pub fn new(daemon: bool, findings: Vec<Found>) -> Self {
        let count = |severity| findings.iter().filter(|found| found.finding.severity == severity).count();
        let summary =
            Summary { ok: count(Severity::Ok), warning: count(Severity::Warning), error: count(Severity::Error) };
        Report { daemon, summary, findings }
    }

    /// For people: a line per finding, and one that sums up.
    pub fn text(&self) -> String {
        let width = self.findings.iter().map(|found| found.about().chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for found in &self.findings {
            text.push_str(&found.line(width));
            text.push('\n');
        }
        let Summary { ok, warning, error } = self.summary;
        let by = if self.daemon { "by the running daemon" } else { "without a daemon" };
        let (all, warnings, errors) = (ok + warning + error, count(warning, "warning"), count(error, "error"));
        text.push_str(&format!("{} {by}: {ok} ok, {warnings}, {errors}", count(all, "check")));
        text
    }
}

/// `1 error`, `2 errors`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Without what a terminal would obey. Lines that can be pasted stay lines, below the finding.
fn plain(text: &str) -> String {
    let lines =
        text.lines().map(|line| line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>());
    lines.collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_line_with_its_cure() {
        let report = Report::new(
            false,
            vec![
                Found::ok(Kind::Host, "", "DATA_DIR", "all well"),
                Found::error(Kind::Plugin, "pve", "PRIVILEGE_MISSING", "it lacks \u{1b}[31mVM.Clone", "give it"),
            ],
        );
        assert_eq!(
            report.text(),
            "ok       host        DATA_DIR: all well\n\
             error    plugin pve  PRIVILEGE_MISSING: it lacks \u{fffd}[31mVM.Clone. To mend: give it\n\
             2 checks without a daemon: 1 ok, 0 warnings, 1 error"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][1]["severity"], "error");
        assert_eq!(json["findings"][1]["kind"], "plugin");
    }
}
