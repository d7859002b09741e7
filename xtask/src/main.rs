//! The one command for everything: `cargo xtask <command>`.
//!
//! It uses nothing that a machine with Rust does not have, says what it runs, and ends with the exit code of what failed.

mod build;
mod codes;
mod contracts;
mod report;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use run::Profile;

/// Builds, tests and shows AgentKube.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is needed and show a job becoming a cluster, and going away again, in the lab.
    Demo {
        /// Passed on to `agentkube-lab demo`, such as `--keep`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Formatting, lints, every test, tidy.
    Test {
        /// Only the tests whose names hold this text; formatting, lints and tidy are then left out.
        #[arg(conflicts_with = "report")]
        filter: Option<String>,
        /// Only what a report is made of, and then the report.
        #[arg(long, value_name = "WHAT")]
        report: Option<report::Report>,
    },
    /// Build the plugins into target/plugins and the tests' guests into target/guests.
    BuildPlugins,
    /// Build everything to be fast and print the table of measurements.
    Bench,
    /// Formatting, lints, dead links, product names in the host, codes without a page.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo { arguments } => build::host(Profile::Debug)
            .and_then(|()| build::plugins(Profile::Debug))
            .and_then(|()| run::demo(&arguments)),
        Command::Test { report: Some(report), .. } => report::run(report),
        Command::Test { filter, report: None } => test::run(filter.as_deref()),
        Command::BuildPlugins => build::everything(Profile::Debug),
        Command::Bench => build::everything(Profile::Release).and_then(|()| run::bench()),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
