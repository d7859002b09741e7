//! `agentkube plan`: what a job would do.

use std::path::Path;

use miette::{IntoDiagnostic, WrapErr};

use super::{ask, printed};
use crate::admin::Question;
use crate::cli::{ConfigFile, Output};

/// Prints the plan of a pending job, or of a cluster description in a file. Nothing is changed.
pub async fn plan(config: &ConfigFile, subject: &str, output: Output) -> miette::Result<()> {
    let path = Path::new(subject);
    let question = if path.is_file() {
        let text =
            std::fs::read_to_string(path).into_diagnostic().wrap_err_with(|| format!("cannot read {subject}"))?;
        let description: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| miette::miette!(code = "DESCRIPTION", "{subject}: {error}"))?;
        Question::Plan { job: None, description: Some(description) }
    } else {
        Question::Plan { job: Some(subject.to_owned()), description: None }
    };
    let answer = ask(config, &question).await?;
    if !printed(&answer, output) {
        print!("{}", answer.get("text").and_then(|text| text.as_str()).unwrap_or_default());
    }
    Ok(())
}
