//! Ending a job: what Core is told, and what it makes of it.
//!
//! Core keeps no result twice and offers no key for idempotence, so the job itself is asked: before anything is sent, and again
//! whenever an answer is lost or refused. `Completed` and `Failed` there are final.

use agentkube_sdk::http::{Encoding, Request, Response};
use agentkube_sdk::job_source::{Completion, Failure, Settled, Settlement};
use agentkube_sdk::{Class, Fault, Outcome, Reference, Result, log, path};
use serde_json::{Value, json};

use crate::api::{self, Core, Object, ServiceType, refusal, words};
use crate::config::{Config, Names};
use crate::{jobs, report};

/// Most bytes of an error message: Core shows it to people and matches regular expressions against it.
const MESSAGE: usize = 8 * 1024;

/// Ends a job.
pub async fn settle(core: &Core, config: &Config, id: &str, service: &str, settlement: Settlement) -> Result<Settled> {
    let Some(job) = jobs::row(core, config, id).await? else { return Ok(Settled::Late) };
    if job.agent_id != core.me().await?.id || job.service_id != service {
        return Err(Fault::conflict("NOT_OUR_JOB", format!("job {id} is not a job of ours for service {service}")));
    }
    if let Some(settled) = over(&job, &settlement) {
        return Ok(settled);
    }
    if job.status == "Pending" {
        // Core never saw our claim, or was restored from a backup. The work is done all the same.
        jobs::claim(core, config, id).await?;
    }
    let sent = match &settlement {
        Settlement::Failed(failure) => fail(core, id, &message(failure)).await,
        Settlement::Completed(completion) => complete(core, config, &job, completion).await,
    };
    match sent {
        Ok(answer) if answer.is_success() => Ok(Settled::Accepted),
        Ok(answer) if words(&answer).contains("no valid transition found") => {
            let text =
                format!("NO_TRANSITION: done, but the service type has no transition for it: {}", words(&answer));
            let given_up = fail(core, id, &text).await?;
            if given_up.is_success() { Ok(Settled::Late) } else { Err(refusal(&given_up)) }
        }
        Ok(answer) if answer.status == 500 && words(&answer).contains("lifecycle transition") => {
            let mend = "this Core cannot fail a job without an error transition; add one to the service type";
            Err(Fault::unsupported("NO_ERROR_TRANSITION", mend))
        }
        Ok(answer) => asked_again(core, config, id, &settlement, refusal(&answer)).await,
        Err(fault) if fault.outcome == Outcome::Unknown => asked_again(core, config, id, &settlement, fault).await,
        Err(fault) => Err(fault),
    }
}

/// What the job says after a refusal or a lost answer; the trouble itself when the job is still open.
async fn asked_again(
    core: &Core,
    config: &Config,
    id: &str,
    settlement: &Settlement,
    trouble: Fault,
) -> Result<Settled> {
    match jobs::row(core, config, id).await {
        Ok(None) => Ok(Settled::Late),
        Ok(Some(job)) => over(&job, settlement).ok_or(trouble),
        Err(_) => Err(trouble),
    }
}

/// How the job ended, if it did: with what we say now, or otherwise.
fn over(job: &api::Job, settlement: &Settlement) -> Option<Settled> {
    let same = match (job.status.as_str(), settlement) {
        ("Completed", Settlement::Completed(_)) => true,
        ("Failed", Settlement::Failed(failure)) => job.error_message.as_deref().unwrap_or_default() == message(failure),
        ("Completed" | "Failed", _) => false,
        _ => return None,
    };
    Some(if same { Settled::Accepted } else { Settled::Late })
}

async fn fail(core: &Core, id: &str, message: &str) -> Result<Response> {
    core.post(&path!("jobs", id, "fail")).json(&json!({ "errorMessage": message })).send().await
}

/// The text that Core's regular expressions see: the code first. Core keeps nothing else of a failure, so what stands after it is told
/// in the same text.
fn message(failure: &Failure) -> String {
    let status = failure.status.as_ref().map(|status| plain(&report::summary(status))).unwrap_or_default();
    let status = cut(status, MESSAGE / 4);
    cut(plain(&failure.fault.to_string()), MESSAGE - status.len()) + &status
}

/// At most so many bytes of it.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The database takes no NUL.
fn plain(text: &str) -> String {
    text.replace('\0', "")
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(plain(&text)),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (plain(&key), without_nul(value))).collect(),
        value => value,
    }
}

async fn complete(core: &Core, config: &Config, job: &api::Job, completion: &Completion) -> Result<Response> {
    let instance = format!("{}-{}", config.instance_prefix, job.service_id);
    let answer = complete_as(Some(&instance), core, config, job, completion).await?;
    // Ids are unique over all agents. One that another service holds must not hold up the job, and with it the whole group.
    if answer.status == 500 && words(&answer).contains("23505") {
        log::warn("another service holds our instance id; the job is completed without one", &[("id", &instance)]);
        return complete_as(None, core, config, job, completion).await;
    }
    Ok(answer)
}

async fn complete_as(
    instance: Option<&str>,
    core: &Core,
    config: &Config,
    job: &api::Job,
    completion: &Completion,
) -> Result<Response> {
    let service = job.service.as_ref();
    let data = without_nul(report::instance_data(completion, jobs::spec(config, job)));
    let id = instance.map(|id| format!("\"agentInstanceId\":{},", json!(id))).unwrap_or_default();
    let head = format!("{{{id}\"agentInstanceData\":{data}");
    let (mut properties, mut kubeconfig) = match service {
        // What is written while an update is completed is lost: Core puts the job's parameters in its place.
        Some(service) if job.action != "update" && job.action != "delete" => {
            let kind = core.service_type(&service.service_type_id).await?.unwrap_or_default();
            written(config, &kind, service, completion)
        }
        _ => (Object::new(), None),
    };
    let post = |request: Request| request.content_type("application/json");
    let request = || post(core.post(&path!("jobs", &job.id, "complete")));
    if properties.is_empty() && kubeconfig.is_none() {
        return request().part(head + "}").send().await;
    }
    let full = |properties: &Object, kubeconfig: &Option<Reference>| {
        with_properties(request().part(head.clone()), config, properties.clone(), kubeconfig.clone()).send()
    };
    let mut answer = match full(&properties, &kubeconfig).await {
        // The kubeconfig was not to be had, and nothing was sent; that must not hold up the job.
        Err(fault) if kubeconfig.is_some() && matches!(fault.class, Class::Denied | Class::NotFound) => {
            log::error("the kubeconfig cannot be delivered; the job is completed without it", &[("fault", &fault)]);
            kubeconfig = None;
            full(&properties, &kubeconfig).await?
        }
        sent => sent?,
    };
    // The transaction was rolled back. What Core refuses is left out, and nothing else; of several it names none, so the least
    // important goes first.
    while answer.status == 400 && words(&answer).contains("validation failed") {
        let names = &config.properties;
        let Some(refused) = refused(&words(&answer), names, &properties, kubeconfig.is_some()) else { break };
        log::warn("Core refuses a property; it is left out", &[("property", &refused), ("refusal", &words(&answer))]);
        if refused == names.kubeconfig {
            kubeconfig = None;
        }
        properties.remove(&refused);
        answer = match properties.is_empty() && kubeconfig.is_none() {
            true => request().part(head.clone() + "}").send().await?,
            false => full(&properties, &kubeconfig).await?,
        };
    }
    Ok(answer)
}

/// Which of the properties that were sent goes: the one that Core names, or else the least important one.
fn refused(words: &str, names: &Names, sent: &Object, kubeconfig: bool) -> Option<String> {
    let is_sent = |name: &&String| sent.contains_key(*name) || (kubeconfig && **name == names.kubeconfig);
    let told = words.split("validation failed: ").nth(1).unwrap_or_default();
    let least_first = [&names.nodes, &names.ca, &names.endpoint, &names.kubeconfig];
    let named = least_first
        .into_iter()
        .filter(is_sent)
        .find(|name| told.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with([':', '.', '[', ' '])));
    named.or_else(|| least_first.into_iter().find(is_sent)).cloned()
}

/// The rest of the body. The kubeconfig is put in by the host.
fn with_properties(request: Request, config: &Config, properties: Object, kubeconfig: Option<Reference>) -> Request {
    let text = without_nul(Value::Object(properties)).to_string();
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default();
    let Some(reference) = kubeconfig else {
        return request.part(format!(",\"properties\":{{{inner}}}}}"));
    };
    let comma = if inner.is_empty() { "" } else { "," };
    let name = Value::from(config.properties.kubeconfig.as_str());
    request
        .part(format!(",\"properties\":{{{inner}{comma}{name}:\""))
        .secret(reference, Encoding::JsonString)
        .part("\"}}")
}

/// The properties that the type knows, that the agent may write now, and that are new.
fn written(
    config: &Config,
    kind: &ServiceType,
    service: &api::Service,
    completion: &Completion,
) -> (Object, Option<Reference>) {
    let names = &config.properties;
    let schema = &kind.property_schema.properties;
    let old = |name: &str| service.properties.as_ref().and_then(|old| old.get(name)).filter(|value| !value.is_null());
    let may = |name: &str| {
        schema.get(name).is_some_and(|property| {
            names.takes(name, &property.kind)
                && property.open_to_agent(&service.status)
                && !(property.immutable && old(name).is_some())
        })
    };
    let nodes = (!completion.nodes.is_empty()).then(|| report::nodes(completion));
    let nodes = nodes.filter(|nodes| nodes.to_string().len() <= report::LARGEST);
    let values = [
        (&names.endpoint, completion.endpoint.clone().map(Value::from)),
        (&names.ca, completion.ca.clone().map(Value::from)),
        (&names.nodes, nodes),
    ];
    let values = values.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| old(name) != Some(value))?;
        may(name).then(|| (name.clone(), value))
    });
    let kubeconfig = completion.kubeconfig.clone().filter(|_| may(&names.kubeconfig));
    (values.collect(), kubeconfig)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_its_code_and_fits() {
        let fault = Fault::exhausted("STORAGE_FULL", format!("no room\0 {}", "ü".repeat(9000)));
        let text = message(&Failure { fault, status: None });
        assert!(text.starts_with("STORAGE_FULL: no room ü"), "{}", &text[..40]);
        assert!(text.len() <= MESSAGE && text.ends_with("ü…"), "{}", text.len());
    }

    #[test]
    fn no_nul_survives() {
        let value = without_nul(json!({"a\0": ["x\0y", {"b": "\0"}], "c": 1}));
        assert_eq!(value, json!({"a": ["xy", {"b": ""}], "c": 1}));
    }

    #[test]
    fn how_a_job_ended_decides() {
        let job = |status: &str, error: &str| -> api::Job {
            serde_json::from_value(json!({"id": "j", "status": status, "errorMessage": error})).unwrap()
        };
        let failed = Settlement::Failed(Failure { fault: Fault::invalid("A", "b"), status: None });
        assert_eq!(over(&job("Failed", "A: b"), &failed), Some(Settled::Accepted));
        assert_eq!(over(&job("Failed", "Job marked as failed due to …"), &failed), Some(Settled::Late));
        assert_eq!(over(&job("Completed", ""), &failed), Some(Settled::Late));
        assert_eq!(over(&job("Processing", ""), &failed), None);
    }
}
