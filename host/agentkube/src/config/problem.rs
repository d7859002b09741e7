//! What is wrong with a configuration: where, and how to mend it.

use std::borrow::Cow;
use std::path::Path;

use agentkube_contract::{Finding, Severity};
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// One problem, with file, line and column where they are known.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Problem(Box<Details>);

#[derive(Debug)]
struct Details {
    code: Cow<'static, str>,
    message: String,
    help: Option<String>,
    /// The file, with line and column where they are known.
    place: Option<(String, Option<(usize, usize)>)>,
    file: Option<NamedSource<String>>,
    span: Option<std::ops::Range<usize>>,
}

impl Problem {
    /// A problem with a stable code.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Problem(Box::new(Details { code, message, help: None, place: None, file: None, span: None }))
    }

    /// Its code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The same as a finding.
    pub fn finding(&self) -> Finding {
        let Details { code, message, help, .. } = &*self.0;
        let remedy = help.clone().unwrap_or_default();
        Finding { code: code.to_string(), severity: Severity::Error, message: message.clone(), remedy }
    }

    /// The same for programs: `code`, `message`, `help`, and `file`, `line`, `column` where they are known.
    pub fn json(&self) -> serde_json::Value {
        let Details { code, message, help, place, .. } = &*self.0;
        let (file, at) = place.as_ref().map_or((None, None), |(file, at)| (Some(file), *at));
        let (line, column) = at.unzip();
        serde_json::json!({ "code": code, "message": message, "help": help, "file": file, "line": line, "column": column })
    }

    /// Says it in the log.
    pub fn log(&self) {
        let Details { code, message, help, .. } = &*self.0;
        tracing::error!(code = %code, help, "{message}");
    }

    /// How to mend it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// With what else is wrong; the first is the one that is pointed at.
    pub fn also(mut self, other: Problem) -> Self {
        self.0.message = format!("{}\n{}", self.0.message, other.0.message);
        self
    }

    /// Where it is. Line and column stand in the message too, for those who read logs.
    pub fn at(mut self, file: &Path, text: &str, span: Option<std::ops::Range<usize>>) -> Self {
        let name = file.display().to_string();
        let at = span.as_ref().map(|span| line_and_column(text, span.start));
        self.0.message = match at {
            Some((line, column)) => format!("{name}:{line}:{column}: {}", self.0.message),
            None => format!("{name}: {}", self.0.message),
        };
        self.0.place = Some((name.clone(), at));
        // What is printed ends up in logs: lines of a file that may hold secrets are not shown.
        if !text.contains("value") {
            self.0.file = Some(NamedSource::new(name, masked(text)));
            self.0.span = span;
        }
        self
    }
}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(&self.0.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        // Without a place in the file, showing the file would only be noise.
        self.0.span.as_ref().and(self.0.file.as_ref().map(|file| file as &dyn SourceCode))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.0.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }
}

/// Words of lines that may hold a secret, where or whatever it was meant to be.
const DELICATE: [&str; 7] = ["secret", "token", "passw", "credential", "auth", "key", "valu"];
/// Keys whose values are none.
const HARMLESS: [&str; 9] = ["file", "env", "kind", "name", "template", "connection", "url", "ca-file", "owner-key"];

/// The text with stars for what may be secrets; all else stays where it is.
fn masked(text: &str) -> String {
    text.split_inclusive('\n').map(|line| if is_delicate(line) { mask(line) } else { line.to_owned() }).collect()
}

fn is_delicate(line: &str) -> bool {
    let line = line.to_lowercase();
    DELICATE.iter().any(|word| line.contains(word))
}

fn mask(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    // Whether we are in a text, by its quote, and whether the text is hidden.
    let mut text: Option<(char, bool)> = None;
    for c in line.chars() {
        match text {
            Some((quote, _)) if c == quote => text = None,
            Some((_, true)) if !c.is_control() => {
                shown.extend(std::iter::repeat_n('*', c.len_utf8()));
                continue;
            }
            None if c == '"' || c == '\'' => {
                let before = shown.trim_end().trim_end_matches('=').trim_end();
                let key =
                    before.rsplit(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').next().unwrap_or_default();
                text = Some((c, !HARMLESS.contains(&key)));
            }
            _ => {}
        }
        shown.push(c);
    }
    shown
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (line, shown) in [
            ("secret = \"hush\"", "secret = \"****\""),
            ("auth = { secret = { valu = 'hü' } }", "auth = { secret = { valu = '***' } }"),
            (
                "config = { connection = \"core\", token = \"hush\" }",
                "config = { connection = \"core\", token = \"****\" }",
            ),
            ("secret = { file = \"agent.token\" }", "secret = { file = \"agent.token\" }"),
            ("role = \"job-source\"", "role = \"job-source\""),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(masked(line).len(), line.len(), "spans are counted in bytes");
        }
    }
}
