//! `cargo xtask test`: everything that must hold, in one run.

use crate::run::{self, Profile, Result, cargo, with_artifacts};
use crate::{build, contracts, tidy};

/// Runs it all, or only the tests whose names hold `filter`.
pub fn run(filter: Option<&str>) -> Result {
    if filter.is_none() {
        tidy::formatting()?;
        tidy::lints()?;
    }
    build::everything(Profile::Debug)?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    match filter {
        Some(filter) => run::run(with_artifacts(&mut command, Profile::Debug).arg(filter))?,
        None => {
            contracts::tests(with_artifacts(&mut command, Profile::Debug))?;
            tidy::texts()?;
        }
    }
    println!("\nall tests passed");
    Ok(())
}
