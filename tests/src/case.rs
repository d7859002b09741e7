//! A good configuration of systems that do not run, for tests of what is refused before anything is asked of them.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use agentkube_lab::Lab;
use agentkube_lab::daemon::{Infrastructure, Setup, configure};
use agentkube_lab::lab::{Access, Options};
use tempfile::TempDir;

use crate::artifacts;
use crate::command::{Said, agentkube};

/// Addresses and credentials of a lab that ran for a moment.
fn access() -> &'static Access {
    static ACCESS: OnceLock<Access> = OnceLock::new();
    ACCESS.get_or_init(|| {
        let lab = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async { Lab::start(Options::scaled(10)).await.unwrap().access().clone() })
        });
        lab.join().unwrap()
    })
}

/// A directory with a good configuration of every connection and plugin. None of the systems in it runs any more: nothing is asked
/// of them.
pub struct Case {
    directory: TempDir,
    /// The configuration file.
    pub config: PathBuf,
}

impl Default for Case {
    fn default() -> Self {
        Case::new()
    }
}

impl Case {
    /// A fresh one.
    pub fn new() -> Case {
        let directory = tempfile::tempdir().unwrap();
        let access = access();
        access.write(directory.path()).unwrap();
        let setup = Setup {
            binary: artifacts::daemon(),
            plugins: artifacts::plugins(),
            directory: directory.path().to_owned(),
            infrastructure: Infrastructure::Proxmox,
            agent_token: "agent-token".to_owned(),
            more: String::new(),
        };
        let config = configure(&setup, access).unwrap();
        Case { directory, config }
    }

    /// A text of the configuration, replaced; it must be there.
    #[track_caller]
    pub fn with(&self, from: &str, to: &str) -> &Self {
        let text = self.text();
        assert!(text.contains(from), "the lab's configuration does not hold {from}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
        self
    }

    /// The configuration's text.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// The place of `¦` in `at`, as it leads a message.
    #[track_caller]
    pub fn place(&self, at: &str) -> String {
        let text = self.text();
        let found = text.find(&at.replace('¦', "")).unwrap_or_else(|| panic!("no {at} in the configuration"));
        let offset = found + at.find('¦').unwrap_or(0);
        let before = &text[..offset];
        let (line, column) = (before.matches('\n').count() + 1, offset - before.rfind('\n').map_or(0, |n| n + 1) + 1);
        format!("{}:{line}:{column}:", self.config.display())
    }

    /// A command with this configuration.
    pub fn says(&self, words: &[&str]) -> Said {
        let config = self.config.display().to_string();
        agentkube(words.iter().copied().chain(["--config", &config]))
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The line of the lab's configuration that names a plugin's file.
pub fn file_line(plugin: &str) -> String {
    format!("file = \"{}\"\n", artifacts::plugin(plugin).display())
}
