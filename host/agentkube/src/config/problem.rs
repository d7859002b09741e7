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
            self.0.file = Some(NamedSource::new(name, text.to_owned()));
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

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
