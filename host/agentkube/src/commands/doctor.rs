//! `agentkube doctor`: looks at everything and says what to do.

use miette::IntoDiagnostic;

use super::{printed, reach, say};
use crate::admin::{NO_DAEMON, Question};
use crate::cli::Ask;
use crate::config::Config;
use crate::doctor::report::Kind;
use crate::doctor::{Report, alone, host};

/// Exit code when errors were found.
const ERRORS: u8 = 1;

/// Asks the running daemon to look, or looks without one; gives the exit code.
pub async fn doctor(command: &Ask) -> miette::Result<u8> {
    let file = &command.config.config;
    let report = match Config::places(file) {
        Ok(places) => match reach(&places, &Question::Doctor).await {
            Ok(answer) => serde_json::from_value(answer).into_diagnostic()?,
            Err(refusal) if refusal.code == NO_DAEMON => examine(command).await?,
            Err(refusal) => return Err(super::report(&refusal)),
        },
        // What is wrong with the file is the first finding.
        Err(_) => examine(command).await?,
    };
    let value = serde_json::to_value(&report).into_diagnostic()?;
    if !printed(&value, command.output) {
        say(report.text());
    }
    Ok(if report.summary.error > 0 { ERRORS } else { 0 })
}

async fn examine(command: &Ask) -> miette::Result<Report> {
    match Config::read(&command.config.config) {
        Ok((config, source)) => alone::examine(&config, &source).await.into_diagnostic(),
        Err(problem) if problem.code() == "CONFIG_UNREADABLE" => Err(problem.into()),
        Err(problem) => Ok(Report::new(false, vec![host::told(Kind::Host, "", &problem)])),
    }
}
