//! `agentkube plan`: what a job would do.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use miette::miette;

use super::{ask, printed, say};
use crate::admin::Question;
use crate::cli::{ConfigFile, Output};

/// What to do about a file that cannot be used.
const HELP: &str = "a file holds the description of one cluster, JSON: {\"version\": \"v1.35.2\", \"pools\": [{\"name\": \"workers\", \
                    \"count\": 2, \"shape\": {\"cores\": 2, \"memoryMib\": 4096}}]}; docs/cli.md says all of it";

/// Prints the plan of a pending job, or of a cluster description in a file. Nothing is changed.
pub async fn plan(config: &ConfigFile, subject: &str, output: Output) -> miette::Result<()> {
    let question = if is_path(subject) {
        Question::Plan { job: None, description: Some(description(subject)?) }
    } else {
        Question::Plan { job: Some(subject.to_owned()), description: None }
    };
    let answer = ask(config, &question).await?;
    if !printed(&answer, output) {
        say(answer.get("text").and_then(|text| text.as_str()).unwrap_or_default().trim_end());
    }
    Ok(())
}

/// Whether a file is meant, there or not: no job's id looks like that.
fn is_path(subject: &str) -> bool {
    subject.contains('/') || subject.ends_with(".json") || Path::new(subject).exists()
}

/// Most bytes of a description that are read.
const LARGEST: u64 = 16 << 20;

fn description(file: &str) -> miette::Result<serde_json::Value> {
    // A description is small, and what is piped in has no length.
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
        .map_err(|error| miette!(code = "FILE", help = HELP, "cannot read {file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| miette!(code = "DESCRIPTION", help = HELP, "{file}: no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_file_is_one_and_what_is_none_is_told() {
        assert!(is_path("/nonexist.json") && is_path("cluster.json") && is_path("./x"));
        assert!(!is_path("5b1e4c1e-0000-4000-8000-000000000000"));
        let report = description("/nonexist.json").unwrap_err();
        assert!(report.to_string().starts_with("cannot read /nonexist.json: No such file"), "{report}");
        assert!(report.help().unwrap().to_string().contains("the description of one cluster"));
    }
}
