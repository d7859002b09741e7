//! What must be so in Core before a job can succeed.

use agentkube_sdk::http::Response;
use agentkube_sdk::observed::{Finding, Severity};
use agentkube_sdk::{Class, Fault, Result, clock};

use crate::api::{Agent, Core, DEAD, ServiceType, judged};
use crate::config::Config;
use crate::{metrics, time};

/// Looks at token, agent, service types and metric types. Only what cannot be asked at all is a fault.
pub async fn preflight(core: &Core, config: &Config) -> Result<Vec<Finding>> {
    let answer = match core.get("/agents/me").send().await {
        Ok(answer) => answer,
        Err(fault) => {
            let check = "see that Core runs, and that the connection's endpoint, addresses and tls are right; it is tried again by itself";
            return Ok(vec![Finding::unreached("CORE_UNREACHABLE", "Core", &fault, check)]);
        }
    };
    let mut findings = vec![Finding::ok("CORE_REACHABLE", "Core answers")];
    findings.extend(clock_skew(&answer));
    let me = match answer.is_success() {
        true => answer.json().map_err(|fault| (fault, "")),
        false => Err(judged(&answer)),
    };
    let me: Agent = match me {
        Ok(me) => me,
        Err((fault, mend)) => {
            findings.push(refused(&fault, mend));
            return Ok(findings);
        }
    };
    findings.push(Finding::ok("CORE_TOKEN", format!("the token is that of agent `{}` ({})", me.name, me.id)));
    if me.is_disabled() {
        let mend = "an administrator sets its status to Disconnected with PATCH /agents/{id}";
        findings.push(Finding::warning("AGENT_DISABLED", "the agent is disabled: it takes no jobs", mend));
    }
    let mut judged = Vec::new();
    for id in service_types(&me, &mut findings) {
        let mut found = Vec::new();
        match core.service_type(&id).await? {
            Some(kind) => judge(config, &kind, &mut found),
            None => found.push(Finding::error(
                "SERVICE_TYPE",
                format!("the agent type names service type {id}, which does not exist"),
                "PATCH /agent-types/{id} with service types that exist",
            )),
        }
        judged.push(found);
    }
    findings.extend(weighed(judged));
    let known = metrics::known(core).await?;
    let missing: Vec<&str> = config.metrics.iter().map(String::as_str).filter(|name| !known.contains(*name)).collect();
    findings.push(match missing.is_empty() {
        true => Finding::ok("METRIC_TYPES", "all metric types exist"),
        false => Finding::warning(
            "METRIC_TYPES",
            format!("metric types are missing and will not be reported: {}", missing.join(", ")),
            "an administrator makes each with POST /metric-types {\"name\": …, \"entityType\": \"Resource\"}",
        ),
    });
    Ok(findings)
}

/// More than this between Core's clock and ours is worth a word (ms): tokens expire, and jobs time out, by Core's clock.
const SKEW: u64 = 30_000;

/// More than this, and the times of jobs and tokens mean nothing here (ms).
const MOST_SKEW: u64 = 300_000;

/// Why Core does not say who we are.
fn refused(fault: &Fault, mend: &str) -> Finding {
    match fault.class {
        Class::Unauthorized => {
            Finding::error("CORE_TOKEN", fault.to_string(), if mend.is_empty() { DEAD } else { mend })
        }
        _ if mend.is_empty() => {
            let mend = "see to Core and its database; it is tried again by itself";
            Finding::error(&fault.code, fault.message.as_str(), mend)
        }
        _ => Finding::error(&fault.code, fault.message.as_str(), mend),
    }
}

fn clock_skew(answer: &Response) -> Option<Finding> {
    let date = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let theirs = time::of_header(&date?.1)?;
    let skew = clock::now().abs_diff(theirs);
    let message = format!("Core's clock and ours differ by {} s", skew / 1000);
    let mend = "set both by NTP: tokens expire and jobs time out by Core's clock";
    let finding = if skew > MOST_SKEW { Finding::error } else { Finding::warning };
    (skew > SKEW).then(|| finding("CLOCK_SKEW", message.as_str(), mend))
}

fn service_types(me: &Agent, findings: &mut Vec<Finding>) -> Vec<String> {
    let kind = me.agent_type.clone().unwrap_or_default();
    let ids = kind.service_type_ids.unwrap_or_default();
    if ids.is_empty() {
        findings.push(Finding::error(
            "SERVICE_TYPE",
            format!("agent type `{}` serves no service type, so no job can come", kind.name),
            "register the service type of this plugin and PATCH /agent-types/{id} with its id",
        ));
    }
    ids
}

/// What is wrong with one type stands in the way of its jobs alone, while there is another whose jobs can be worked on.
fn weighed(judged: Vec<Vec<Finding>>) -> Vec<Finding> {
    let fails = |found: &Vec<Finding>| found.iter().any(|finding| finding.severity == Severity::Error);
    let one_is_well = judged.iter().any(|found| !fails(found));
    let milder = |finding: Finding| match finding.severity {
        Severity::Error if one_is_well => Finding { severity: Severity::Warning, ..finding },
        _ => finding,
    };
    judged.into_iter().flatten().map(milder).collect()
}

/// Whether jobs of this type can be understood and their results kept.
fn judge(config: &Config, kind: &ServiceType, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let at = format!("service type `{}`", kind.name);
    let mut error = |message: String, mend: &str| findings.push(Finding::error("SERVICE_TYPE", message, mend));
    let names = &config.properties;
    let schema = &kind.property_schema.properties;
    for (name, needed) in [(&names.version, "string"), (&names.pools, "json")] {
        match schema.get(name) {
            None => error(format!("{at} has no property `{name}`"), "add it, or say its name in `properties`"),
            Some(property) if property.kind != needed => {
                error(format!("{at}: property `{name}` is of type {}", property.kind), &format!("make it {needed}"));
            }
            Some(_) => {}
        }
    }
    for name in names.written() {
        if schema.get(name).is_some_and(|property| property.required) {
            error(format!("{at}: property `{name}` is required, and only the agent writes it"), "make it optional");
        }
    }
    let lifecycle = &kind.lifecycle_schema;
    let find = |name: &str| lifecycle.actions.iter().find(|action| action.name == name);
    for name in ["create", "delete"] {
        if find(name).is_none_or(|action| action.transitions.iter().all(|transition| transition.on_error)) {
            error(format!("{at} has no action `{name}` that can succeed"), "add the action and its transitions");
        }
    }
    let ends = |to: &String| lifecycle.terminal_states.iter().flatten().any(|state| state == to);
    if find("delete").is_some_and(|action| !action.transitions.iter().any(|transition| ends(&transition.to))) {
        error(format!("{at}: `delete` ends in no terminal state"), "name its last state in terminalStates");
    }
    let mut warn = |message: String, mend: &str| findings.push(Finding::warning("SERVICE_TYPE", message, mend));
    for name in names.written() {
        match schema.get(name) {
            None => warn(format!("{at} has no property `{name}`, so nobody is told"), "add it, written by the agent"),
            Some(property) if !property.open_to_agent_ever() => {
                warn(format!("{at}: the agent may not write `{name}`"), "add `agent` to its actor authorizer");
            }
            Some(property) if !names.takes(name, &property.kind) => {
                let needed = if name == names.nodes { "json" } else { "string" };
                let message = format!("{at}: property `{name}` is of type {}, so it is not written", property.kind);
                warn(message, &format!("make it {needed}"));
            }
            Some(_) => {}
        }
    }
    let words = ["start", "stop", "update", "upgrade"];
    let missing: Vec<&str> = words.into_iter().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        warn(format!("{at} has no action {}", missing.join(", ")), "add what customers shall be able to do");
    }
    if find("update").is_some_and(|action| action.transitions.iter().any(|transition| transition.on_error)) {
        let message =
            format!("{at}: `update` has a transition on error, after which Core keeps the refused properties");
        warn(message, "remove it: a failed update then leaves state and properties as they were");
    }
    if findings.len() == before {
        findings.push(Finding::ok("SERVICE_TYPE", format!("{at} has all that is needed")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_type_of_several_is_no_error() {
        let bad = || vec![Finding::error("SERVICE_TYPE", "no pools", "add them")];
        let good = || vec![Finding::ok("SERVICE_TYPE", "fits")];
        let severities =
            |judged| weighed(judged).into_iter().map(|finding| finding.severity == Severity::Error).collect::<Vec<_>>();
        assert_eq!(severities(vec![bad()]), [true]);
        assert_eq!(severities(vec![bad(), bad()]), [true, true]);
        assert_eq!(severities(vec![bad(), good()]), [false, false]);
    }
}
