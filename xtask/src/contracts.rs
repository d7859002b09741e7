//! Requests and answers of the tests against the published schemas of the real systems.
//!
//! The lab's servers write down what passes while the tests run; afterwards the binary `contracts` reads that and judges.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Result, root, target};

/// Names the folder with the schemas.
const CONTRACTS: &str = "AGENTKUBE_CONTRACTS";
/// Names the folder into which the lab's servers write.
const RECORD: &str = "AGENTKUBE_LAB_RECORD";

/// Said where there are no schemas.
const NOT_RUN: &str =
    "contract checks NOT RUN: set AGENTKUBE_CONTRACTS to the folder with the schemas of the real systems";

/// The folder with the schemas, absolute: tests run in their own packages' folders.
fn schemas() -> std::result::Result<Option<PathBuf>, String> {
    let Some(folder) = std::env::var_os(CONTRACTS) else {
        println!("{NOT_RUN}");
        return Ok(None);
    };
    let folder = PathBuf::from(folder);
    fs::canonicalize(&folder).map(Some).map_err(|error| format!("{CONTRACTS}: {}: {error}", folder.display()))
}

/// Runs tests, recorded where there are schemas, and judges the recordings, also when a test failed.
pub fn tests(command: &mut Command) -> Result {
    let Some(schemas) = schemas()? else { return run::run(command) };
    let recordings = target().join("contracts");
    // What an earlier run left is not what this one sends.
    let _ = fs::remove_dir_all(&recordings);
    fs::create_dir_all(&recordings).map_err(|error| format!("cannot make {}: {error}", recordings.display()))?;
    let tests = run::run(command.env(CONTRACTS, &schemas).env(RECORD, &recordings));
    let mut judge = Command::new(target().join("debug/contracts"));
    let judged = run::run(judge.current_dir(root()).arg(&recordings).env(CONTRACTS, &schemas));
    tests.and(judged)
}
