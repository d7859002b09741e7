//! What is wrong in a description, told all at once.

use serde::{Deserialize, Serialize};

use crate::cluster::clip;
use crate::{Fault, Result};

/// Mistakes told of one description; the rest is counted.
const MOST_TOLD: usize = 20;

/// Most characters told of one mistake.
const LONGEST: usize = 300;

/// One thing that is wrong in a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where: `pools.workers.count`.
    pub path: String,
    /// Stable, upper-case, for machines.
    pub code: String,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Mistake {
    /// A mistake.
    pub fn new(path: impl Into<String>, code: &str, text: impl Into<String>) -> Self {
        Mistake { path: path.into(), code: code.to_owned(), text: text.into() }
    }

    /// Whether that path lies at or within this place.
    pub(crate) fn covers(&self, path: &str) -> bool {
        within(path, &self.path).is_some()
    }
}

/// The place of what stands in `outer` under a key that somebody chose: `pools.workers`, and `pools["a.b"]` where the key is no plain word.
pub fn place(outer: &str, key: &str) -> String {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match (1..=60).contains(&key.len()) && key.bytes().all(word) {
        true => format!("{outer}.{key}"),
        false => format!("{outer}[{:?}]", clip(key)),
    }
}

/// What follows `outer` in a path at or within it.
pub(crate) fn within<'p>(path: &'p str, outer: &str) -> Option<&'p str> {
    path.strip_prefix(outer).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Nothing when there is no mistake, else `BAD_PROPERTIES`, whose message tells each with path and code.
pub fn refuse(mistakes: &[Mistake]) -> Result<()> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let told = mistakes.iter().take(MOST_TOLD);
    let mut told: Vec<String> =
        told.map(|m| format!("{}: {}: {}", plain(&m.path, 120), plain(&m.code, 40), plain(&m.text, LONGEST))).collect();
    let rest = mistakes.len().saturating_sub(MOST_TOLD);
    if rest > 0 {
        told.push(format!("And {rest} more"));
    }
    Err(Fault::invalid("BAD_PROPERTIES", told.join(". ")))
}

/// Without control characters, and not longer than that.
fn plain(text: &str, longest: usize) -> String {
    let mut chars = text.chars().filter(|c| !c.is_control());
    let mut plain: String = chars.by_ref().take(longest).collect();
    if chars.next().is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_with_path_and_code() {
        let fault =
            refuse(&[Mistake::new("a.b", "CIDR", "is `x`"), Mistake::new("c", "VERSION", "is old")]).unwrap_err();
        assert_eq!(fault.to_string(), "BAD_PROPERTIES: a.b: CIDR: is `x`. c: VERSION: is old");
        assert_eq!(refuse(&[]), Ok(()));
    }

    #[test]
    fn many_and_long_and_dirty_ones_make_no_long_or_dirty_text() {
        let mistakes = vec![Mistake::new("p".repeat(10_000), "X", format!("\0\u{1b}[31m{}", "ü".repeat(10_000))); 25];
        let message = refuse(&mistakes).unwrap_err().message;
        assert!(message.ends_with(". And 5 more"), "{message}");
        assert!(!message.chars().any(char::is_control));
        assert!(message.chars().count() < 20 * 480, "{}", message.len());
    }

    #[test]
    fn keys_that_are_no_words_stand_in_brackets() {
        assert_eq!(place("pools", "Workers-1"), "pools.Workers-1");
        assert_eq!(place("pools", "a.b"), r#"pools["a.b"]"#);
        assert_eq!(place("pools", ""), r#"pools[""]"#);
        assert_eq!(place("pools", &"w".repeat(300)), format!("pools[\"{}…\"]", "w".repeat(60)));
        assert!(!Mistake::new(place("pools", "a"), "X", "").covers(&place("pools", "a.b")));
    }

    #[test]
    fn a_place_covers_what_lies_within_it() {
        let mistake = Mistake::new("pools.a", "X", "");
        assert!(mistake.covers("pools.a.count") && mistake.covers("pools.a[0]") && mistake.covers("pools.a"));
        assert!(!mistake.covers("pools") && !mistake.covers("pools.ab"));
    }
}
