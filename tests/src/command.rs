//! The command line, run and looked at.

use std::ffi::OsStr;
use std::process::Command;

use crate::artifacts;

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `agentkube` with these arguments.
pub fn agentkube<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    let mut command = Command::new(artifacts::daemon());
    command.env("NO_COLOR", "1").env_remove("AGENTKUBE_CONFIG");
    run(command.args(arguments))
}

/// Runs a command.
pub fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Without white space and the rulers of wrapped reports: where a line is broken does not matter.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '│').collect()
}

impl Said {
    /// Whether standard error holds these words, wherever its lines are broken.
    pub fn complains(&self, words: &str) -> bool {
        squeezed(&self.err).contains(&squeezed(words))
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }
}
