//! `agentkube-lab demo`: a cluster comes, is used, and goes without a trace; then the same on other infrastructure.
//!
//! Everything is real but the hardware: the `agentkube` binary, its plugins, TLS, the protocols of the servers. `docs/demo.md` says
//! how to read what it prints.
//!
//! - [`story`]: what is ordered, waited for and shown, in order.
//! - [`progress`]: steps as they end, from the daemon's log.
//! - [`nodes`]: the kubeconfig in use.
//! - [`proof`]: what the servers hold, counted.
//! - [`difference`]: what two configurations differ in.
//! - [`screen`]: how it is printed.

pub mod difference;
pub mod nodes;
pub mod progress;
pub mod proof;
pub mod screen;
pub mod story;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::lab::{self, Lab};
use crate::{Error, Tools};
use screen::Screen;
use story::Story;

/// Lines of the daemon's log that a failure shows.
const TAIL: usize = 20;

/// What the demo is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Leave everything running once the first cluster is Ready, until a signal.
    pub keep: bool,
    /// Everything takes this many times less than in the real world.
    pub scale: u64,
    /// The `agentkube` binary; beside this program by default.
    pub binary: Option<PathBuf>,
    /// Directory with the packed plugins; `plugins` beside or above this program by default.
    pub plugins: Option<PathBuf>,
    /// Seed of everything random in the lab.
    pub seed: u64,
}

/// Runs the demo; an error is what went wrong, for people, and has been explained on the screen as far as it can be.
pub async fn run(options: Options) -> Result<(), Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut stopped = std::pin::pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    let tools = Tools::find(&options.binary, &options.plugins)?;
    let directory = fresh_directory()?;
    let screen = Screen::new();
    let lab = start(&screen, &options, &directory).await?;
    let outcome = tokio::select! {
        outcome = story(screen, &options, &tools, &directory, &lab) => outcome,
        () = &mut stopped => Err(Error::Daemon("stopped before the end".to_owned())),
    };
    let outcome = match outcome {
        Ok(Some(daemon)) => {
            stopped.await;
            daemon
                .terminate()
                .map(|took| screen.say(format!("The daemon ended {} ms after SIGTERM.", took.as_millis())))
        }
        Ok(None) => {
            fs::remove_dir_all(&directory)?;
            Ok(())
        }
        Err(error) => {
            explain(&screen, &directory);
            Err(error)
        }
    };
    lab.shutdown().await;
    outcome
}

async fn story(
    screen: Screen,
    options: &Options,
    tools: &Tools,
    directory: &Path,
    lab: &Lab,
) -> Result<Option<crate::daemon::Daemon>, Error> {
    let story = Story::begin(screen, tools, directory, lab).await?;
    match options.keep {
        true => story.keep().await.map(Some),
        false => story.tell().await.map(|()| None),
    }
}

async fn start(screen: &Screen, options: &Options, directory: &Path) -> Result<Lab, Error> {
    screen.heading(&format!("The lab starts, {} times as fast as the real world", options.scale));
    let lab = Lab::start(lab::Options {
        directory: Some(directory.to_owned()),
        seed: options.seed,
        ..lab::Options::scaled(options.scale)
    })
    .await?;
    for line in lab.access().lines() {
        // Tokens stand in lab.json; here they would only be in the way.
        screen.say(line.split("  token ").next().and_then(|line| line.split(", token ").next()).unwrap_or_default());
    }
    screen.say(format!("files           {}", directory.display()));
    Ok(lab)
}

/// A new directory that only we can read.
fn fresh_directory() -> Result<PathBuf, Error> {
    let path = std::env::temp_dir().join(format!("agentkube-demo-{}", std::process::id()));
    let made = fs::DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|source| Error::File { path: path.display().to_string(), source })?;
    Ok(path)
}

/// The end of the daemon's log, after a failure.
fn explain(screen: &Screen, directory: &Path) {
    let log = directory.join("agentkube.log");
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    screen.heading(&format!("The end of {}", log.display()));
    for line in lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default() {
        screen.say(readable(line));
    }
}

/// A line of the JSON log as people read it.
fn readable(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (level, kind, step, message) = (take("level"), take("kind"), take("step"), take("message"));
    // There is one service at a time here, so that whose line it is says nothing.
    let _ = ["timestamp", "target", "service", "cluster", "intent", "span", "spans"].map(take);
    let rest = fields.iter().filter(|(_, value)| !matches!(value.as_str(), Some("" | "{}")));
    let rest: Vec<String> = rest.map(|(name, value)| format!("{name}={value}")).collect();
    let words = [kind, step, message, rest.join(" ")];
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    format!("{level:<5} {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_made_readable() {
        let line =
            r#"{"timestamp":"2026","level":"WARN","message":"no","kind":"Failed","step":"health","target":"a","n":1}"#;
        assert_eq!(readable(line), "WARN  Failed health no n=1");
        assert_eq!(readable("plain"), "plain");
    }
}
