//! `agentkube plan`: what a job would do.

use std::path::Path;

use super::{ask, printed, say};
use crate::admin::Question;
use crate::cli::{ConfigFile, Output};

/// Prints the plan of a pending job, or of a cluster description in a file. Nothing is changed.
pub async fn plan(config: &ConfigFile, subject: &str, output: Output) -> miette::Result<()> {
    let path = Path::new(subject);
    let question = if path.is_file() {
        let text = std::fs::read_to_string(path)
            .map_err(|error| miette::miette!(code = "FILE", "cannot read {subject}: {error}"))?;
        let description: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| miette::miette!(code = "DESCRIPTION", "{subject}: {error}"))?;
        Question::Plan { job: None, description: Some(description) }
    } else {
        Question::Plan { job: Some(subject.to_owned()), description: None }
    };
    let answer = ask(config, &question).await?;
    if !printed(&answer, output) {
        say(answer.get("text").and_then(|text| text.as_str()).unwrap_or_default().trim_end());
    }
    Ok(())
}
