//! Running programs, and the paths of what was built.

use std::path::PathBuf;
use std::process::Command;

/// Why a command of ours ended.
pub type Result = std::result::Result<(), String>;

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// How the host, the lab and the tests are built. Plugins and guests have a profile of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// For tests and the demo: built quickly.
    Debug,
    /// For measurements: built to be fast.
    Release,
}

impl Profile {
    /// Where cargo puts what it builds so.
    pub fn folder(self) -> PathBuf {
        target().join(match self {
            Profile::Debug => "debug",
            Profile::Release => "release",
        })
    }
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What cargo says of this very program: build scripts that look at it would run anew with each change between `cargo xtask` and plain
    // `cargo`, and what depends on them would be built anew.
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command
}

/// Runs a program, says so, and fails when it fails.
pub fn run(command: &mut Command) -> Result {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let words = words.join(" ");
    let shown = words.rsplit_once("/cargo ").map_or(words.clone(), |(_, rest)| format!("cargo {rest}"));
    eprintln!("\n$ {}", shown.replace(&format!("{}/", root().display()), ""));
    let status = command.status().map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// The variables that tell tests and the lab where the built things are.
pub fn with_artifacts(command: &mut Command, profile: Profile) -> &mut Command {
    let (target, folder) = (target(), profile.folder());
    command
        .env("AGENTKUBE_BIN", folder.join("agentkube"))
        .env("AGENTKUBE_LAB_BIN", folder.join("agentkube-lab"))
        // The tests with a lab wait more than they compute.
        .env("RUST_TEST_THREADS", std::env::var_os("RUST_TEST_THREADS").unwrap_or_else(|| "4".into()))
        .env("AGENTKUBE_PLUGINS", target.join("plugins"))
        .env("AGENTKUBE_GUESTS", target.join("guests"))
}

/// `agentkube-lab demo`.
pub fn demo(arguments: &[String]) -> Result {
    let mut command = Command::new(Profile::Debug.folder().join("agentkube-lab"));
    command.current_dir(root()).arg("demo").args(arguments);
    run(with_artifacts(&mut command, Profile::Debug))
}

/// The measurements.
pub fn bench() -> Result {
    // Started directly: `cargo run` of one package would build its dependencies anew, with other features.
    let mut command = Command::new(Profile::Release.folder().join("bench"));
    // Where backtraces are switched on, as developers like to, wasmtime takes one in each call: that would be measured too.
    command.current_dir(root()).env("RUST_LIB_BACKTRACE", "0");
    run(with_artifacts(&mut command, Profile::Release))
}
