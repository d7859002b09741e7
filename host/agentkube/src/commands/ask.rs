//! Commands that ask a running daemon: `status`, `jobs`, `clusters`, `kubeconfig`.

use serde_json::Value;

use super::{ask, printed, say, table};
use crate::admin::Question;
use crate::cli::{Ask, ConfigFile};

/// How the daemon is.
pub async fn status(command: &Ask) -> miette::Result<()> {
    let answer = ask(&command.config, &Question::Status).await?;
    if printed(&answer, command.output) {
        return Ok(());
    }
    say(format_args!("AgentKube {}, installation {}", text(&answer, "/version"), text(&answer, "/installation")));
    let sources = answer.pointer("/health/sources").and_then(Value::as_object);
    for (name, source) in sources.into_iter().flatten() {
        let is = |key: &str| source.get(key) == Some(&Value::Bool(true));
        let state = match source.get("trouble").and_then(Value::as_str) {
            _ if is("disabled") => "disabled by an administrator".to_owned(),
            Some(trouble) => trouble.to_owned(),
            None if is("held") => "reached; no new job is taken".to_owned(),
            None => "reached".to_owned(),
        };
        say(format_args!("job source {name}: {state}"));
    }
    preflight(&answer);
    let plugins = rows(&answer, "/plugins", &["/name", "/role", "/plugin", "/version"]);
    say(format_args!("\n{}", table(&["NAME", "ROLE", "PLUGIN", "VERSION"], &plugins)));
    let intents = answer.pointer("/counts/intents").and_then(Value::as_array);
    let counts: Vec<Vec<String>> = intents.into_iter().flatten().map(|row| cells(row, &["/0", "/1", "/2"])).collect();
    if !counts.is_empty() {
        say(format_args!("\n{}", table(&["ACTION", "STATE", "JOBS"], &counts)));
    }
    Ok(())
}

/// What stands in the way of work, and what is worth knowing.
fn preflight(answer: &Value) {
    if answer.pointer("/preflight/looked") != Some(&Value::Bool(true)) {
        return say("preflight: the first look is not over yet");
    }
    let plugins = answer.pointer("/preflight/plugins").and_then(Value::as_object);
    let findings = plugins.into_iter().flatten().flat_map(|(name, look)| {
        let findings = look.get("findings").and_then(Value::as_array).into_iter().flatten();
        findings.map(move |finding| [vec![name.clone()], cells(finding, &["/severity", "/code", "/message"])].concat())
    });
    let amiss: Vec<Vec<String>> = findings.filter(|row| row.get(1).is_some_and(|severity| severity != "ok")).collect();
    if amiss.is_empty() {
        return say("preflight: all is well");
    }
    let held = answer.pointer("/preflight/held").and_then(Value::as_object).is_some_and(|held| !held.is_empty());
    say(if held { "preflight: errors are in the way of work" } else { "preflight: work is possible" });
    say(format_args!("\n{}", table(&["PLUGIN", "SEVERITY", "CODE", "FINDING"], &amiss)));
    say("`agentkube doctor` says what to do");
}

/// The jobs that the daemon knows, newest first.
pub async fn jobs(command: &Ask) -> miette::Result<()> {
    let answer = ask(&command.config, &Question::Jobs).await?;
    if printed(&answer, command.output) {
        return Ok(());
    }
    let jobs = rows(&answer, "/jobs", &["/job", "/action", "/display_name", "/state", "/fault/code"]);
    say(table(&["JOB", "ACTION", "SERVICE", "STATE", "FAULT"], &jobs));
    let pointers = ["/job", "/action", "/key/service", "/fault/code", "/fault/message"];
    let refused = rows(&answer, "/refused", &pointers);
    if !refused.is_empty() {
        say(format_args!("\nrefused\n{}", table(&["JOB", "ACTION", "SERVICE", "CODE", "FAULT"], &refused)));
    }
    let steps = answer.pointer("/steps").and_then(Value::as_object);
    for (intent, steps) in steps.into_iter().flatten() {
        let steps = steps.as_array().into_iter().flatten();
        let steps: Vec<Vec<String>> =
            steps.map(|step| cells(step, &["/step", "/attempt", "/outcome", "/fault"])).collect();
        say(format_args!("\nsteps of intent {intent}\n{}", table(&["STEP", "TRY", "OUTCOME", "FAULT"], &steps)));
    }
    Ok(())
}

/// The clusters that the daemon keeps.
pub async fn clusters(command: &Ask) -> miette::Result<()> {
    let answer = ask(&command.config, &Question::Clusters).await?;
    if printed(&answer, command.output) {
        return Ok(());
    }
    let clusters = rows(&answer, "/clusters", &["/cluster", "/display_name", "/key/source", "/key/service", "/phase"]);
    say(table(&["CLUSTER", "NAME", "SOURCE", "SERVICE", "PHASE"], &clusters));
    Ok(())
}

/// Prints the owner's kubeconfig of a cluster.
pub async fn kubeconfig(cluster: &str, config: &ConfigFile) -> miette::Result<()> {
    let answer = ask(config, &Question::Kubeconfig { cluster: cluster.to_owned() }).await?;
    say(answer.get("kubeconfig").and_then(Value::as_str).unwrap_or_default().trim_end());
    Ok(())
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn cells(value: &Value, pointers: &[&str]) -> Vec<String> {
    pointers.iter().map(|pointer| text(value, pointer)).collect()
}

fn rows(value: &Value, list: &str, pointers: &[&str]) -> Vec<Vec<String>> {
    let items = value.pointer(list).and_then(Value::as_array);
    items.into_iter().flatten().map(|item| cells(item, pointers)).collect()
}
