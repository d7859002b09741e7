//! `contracts FOLDER`: checks the recordings of a folder against the schemas that `AGENTKUBE_CONTRACTS` names, and prints the
//! table. Ends with 1 when there is a violation.

use std::path::Path;
use std::process::ExitCode;

use agentkube_contracts::{Judge, Result, print, replay};

fn main() -> ExitCode {
    let Some(contracts) = std::env::var_os("AGENTKUBE_CONTRACTS") else {
        println!("contract checks NOT RUN: set AGENTKUBE_CONTRACTS to the folder with the schemas of the real systems");
        return ExitCode::SUCCESS;
    };
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("contracts: which folder?");
        return ExitCode::from(2);
    };
    match check(Path::new(&contracts), Path::new(&folder)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("contracts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether there is no violation.
fn check(contracts: &Path, folder: &Path) -> Result<bool> {
    let mut judge = Judge::new(contracts);
    let mut trouble = None;
    let full = replay(folder, |exchange| {
        if let (Err(error), true) = (judge.hear(exchange), trouble.is_none()) {
            trouble = Some(error);
        }
    })?;
    if let Some(error) = trouble {
        return Err(error);
    }
    print!("{}", print(&judge));
    if full > 0 {
        println!("{full} processes had more to record than fits: what they sent last was not checked");
    }
    if judge.sums.is_empty() {
        println!("nothing was recorded");
    }
    Ok(judge.violations().next().is_none() && !judge.sums.is_empty())
}
