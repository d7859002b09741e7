//! `cargo xtask test`: everything that must hold, in one run.

use crate::run::{self, Profile, Result, cargo, with_artifacts};
use crate::{build, tidy};

/// Runs it all, or only the tests whose names hold `filter`.
pub fn run(filter: Option<&str>) -> Result {
    if filter.is_none() {
        tidy::formatting()?;
        tidy::lints()?;
    }
    build::everything(Profile::Debug)?;
    if std::env::var_os("AGENTKUBE_CONTRACTS").is_none() {
        println!("contract checks NOT RUN: set AGENTKUBE_CONTRACTS to the folder with the schemas of the real systems");
    }
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(filter) = filter {
        command.arg(filter);
    }
    run::run(with_artifacts(&mut command, Profile::Debug))?;
    if filter.is_none() {
        tidy::texts()?;
    }
    println!("\nall tests passed");
    Ok(())
}
