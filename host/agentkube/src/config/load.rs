//! Reading a configuration file: unknown keys and bad values are errors with file, line, column and a suggestion.

use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use agentkube_sandbox::suggestion;
use serde::de::DeserializeOwned;
use toml_edit::Document;

use super::problem::Problem;

/// A file and its text, kept so that later findings can point into it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as given.
    pub file: std::path::PathBuf,
    /// Its content.
    pub text: String,
}

impl Source {
    /// Reads the file.
    pub fn read(file: &Path) -> Result<Source, Problem> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Problem::new("CONFIG_UNREADABLE", format!("cannot read {}: {error}", file.display()))
                .help("give another file with --config, or set AGENTKUBE_CONFIG")
        })?;
        Ok(Source { file: file.to_owned(), text })
    }

    /// Parses the text.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml_edit::de::from_str(&self.text).map_err(|error: toml_edit::de::Error| {
            let message = discreet(error.message().trim());
            let help = hint(&message);
            let problem = Problem::new("CONFIG_INVALID", message).at(&self.file, &self.text, error.span());
            match help {
                Some(help) => problem.help(help),
                None => problem,
            }
        })
    }

    /// Whether only the owner may read the file, so that it may hold secrets inline.
    pub fn is_private(&self) -> bool {
        std::fs::metadata(&self.file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    }

    /// A problem at the place of the given keys; of the nearest of them that the file has.
    pub fn problem(&self, code: impl Into<Cow<'static, str>>, keys: &[&str], message: impl Into<String>) -> Problem {
        Problem::new(code, message).at(&self.file, &self.text, self.span(keys))
    }

    fn span(&self, keys: &[&str]) -> Option<std::ops::Range<usize>> {
        let document = Document::parse(self.text.as_str()).ok()?;
        let mut item = document.as_item();
        let mut span = None;
        for key in keys {
            let next = match key.parse::<usize>() {
                Ok(index) => item.get(index),
                Err(_) => item.get(key),
            };
            let Some(next) = next else { break };
            // The key itself is the better place to point at: a table's span may cover many lines.
            span = item.as_table_like().and_then(|table| table.key(key)).and_then(|key| key.span()).or(next.span());
            item = next;
        }
        span
    }
}

/// The message, unless it repeats what may be a secret: where a table of its source belongs, the secret itself is soon written.
fn discreet(message: &str) -> String {
    let ways = "expected one of `file`, `env`, `value`";
    let typo = |word: &str| suggestion(word, ["file", "env", "value"]).is_some();
    match message.split('`').nth(1) {
        Some(word) if message.contains(ways) && !typo(word) => {
            "a secret is given as { file = \"…\" } or { env = \"…\" }; nothing else is known here".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// What would be right: the nearest word of an "unknown field" or "unknown variant" error, the form of an address.
fn hint(message: &str) -> Option<String> {
    if message == "invalid socket address syntax" {
        return Some("an IP address and a port, such as 127.0.0.1:9180".to_owned());
    }
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (word, known) = words.split_first()?;
    if !message.starts_with("unknown") {
        return None;
    }
    suggestion(word, known.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Sample {
        #[allow(dead_code)]
        data_dir: String,
        #[serde(default)]
        #[allow(dead_code)]
        plugins: BTreeMap<String, BTreeMap<String, String>>,
    }

    fn source(text: &str) -> Source {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Source { file: "agentkube.toml".into(), ..Source::read(file.path()).unwrap() }
    }

    // Checklist 133.
    #[test]
    fn a_typo_is_shown_with_its_place_and_the_word_that_was_meant() {
        let problem = source("data-dir = \"/x\"\ndata-dirr = \"/y\"\n").parse::<Sample>().unwrap_err();
        assert!(problem.to_string().starts_with("agentkube.toml:2:1: unknown field `data-dirr`"), "{problem}");
        assert_eq!(miette::Diagnostic::help(&problem).unwrap().to_string(), "did you mean `data-dir`?");
    }

    #[test]
    fn a_later_finding_points_at_its_key() {
        let source = source("data-dir = \"/x\"\n\n[plugins.core]\nfile = \"a\"\nrole = \"b\"\n");
        let text = |keys: &[&str]| source.problem("X", keys, "m").to_string();
        assert_eq!(text(&["plugins", "core", "role"]), "agentkube.toml:5:1: m");
        assert_eq!(text(&["plugins", "core", "nothing"]), "agentkube.toml:3:10: m");
        assert_eq!(text(&["nowhere"]), "agentkube.toml: m");
    }

    #[test]
    fn an_address_that_is_none_is_shown_with_one_that_is() {
        let problem = source("core = \"localhost\"\n").parse::<BTreeMap<String, std::net::SocketAddr>>().unwrap_err();
        assert!(problem.to_string().starts_with("agentkube.toml:1:8: invalid socket address"), "{problem}");
        let help = miette::Diagnostic::help(&problem).unwrap().to_string();
        assert_eq!(help, "an IP address and a port, such as 127.0.0.1:9180");
    }

    #[test]
    fn broken_toml_is_shown_with_its_place() {
        let problem = source("data-dir = \n").parse::<Sample>().unwrap_err();
        assert!(problem.to_string().starts_with("agentkube.toml:1:12:"), "{problem}");
    }

    #[test]
    fn a_secret_that_stands_where_its_table_belongs_is_not_repeated() {
        let message = "unknown variant `hunter2`, expected one of `file`, `env`, `value`";
        assert!(!discreet(message).contains("hunter2"));
        let typo = "unknown variant `valu`, expected one of `file`, `env`, `value`";
        assert_eq!(discreet(typo), typo);
    }
}
