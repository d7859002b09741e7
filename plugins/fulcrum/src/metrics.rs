//! Services that are ours, and measurements of them.

use std::collections::BTreeSet;

use agentkube_sdk::job_source::{Service, ServicePage};
use agentkube_sdk::observed::Sample;
use agentkube_sdk::{Class, Fault, Result, fan_out, log};
use serde_json::json;

use crate::api::{self, Core, MetricType, PAGE, refusal};
use crate::config::Config;

/// Entries posted at the same time: Core takes one per request.
const AT_ONCE: usize = 8;

/// One page of the services of this agent. Core shows those of the whole provider and cannot filter by agent, so a page may
/// hold few, or none, and still have a next one.
pub async fn services(core: &Core, config: &Config, page: Option<String>) -> Result<ServicePage> {
    let number = match page.as_deref().map(str::parse::<usize>) {
        None => 1,
        Some(Ok(number)) if number > 0 => number,
        Some(_) => return Err(Fault::invalid("BAD_PAGE", "this is no page that `services` gave")),
    };
    let me = core.me().await?;
    let name = config.properties.kubeconfig.replace('~', "~0").replace('/', "~1");
    let request = core.get("/services").query("sort", "name");
    let request = (0..PAGE).fold(request, |request, at| request.capture(&format!("/items/{at}/properties/{name}")));
    let page: api::Page<api::Service> = core.page(request, number).await?;
    let ours = page.items.into_iter().filter(|service| service.agent_id == me.id).map(|service| Service {
        id: service.id,
        name: service.name,
        state: service.status,
        instance_id: service.agent_instance_id,
    });
    Ok(ServicePage { items: ours.collect(), next: page.has_next.then(|| (number + 1).to_string()) })
}

/// Names of all metric types.
pub async fn known(core: &Core) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for number in 1.. {
        let page: api::Page<MetricType> = core.page(core.get("/metric-types").query("sort", "name"), number).await?;
        names.extend(page.items.into_iter().map(|kind| kind.name));
        if !page.has_next {
            break;
        }
    }
    Ok(names)
}

/// Posts measurements of one service; gives how many were accepted. Core stamps them with its own time, so none is sent later: what
/// is not accepted now is dropped.
pub async fn report(core: &Core, service: &str, samples: Vec<Sample>) -> Result<u32> {
    if samples.is_empty() {
        return Ok(0);
    }
    let known = known(core).await?;
    let (known, missing): (Vec<_>, Vec<_>) = samples.into_iter().partition(|sample| known.contains(&sample.name));
    let missing: BTreeSet<String> = missing.into_iter().map(|sample| sample.name).collect();
    if !missing.is_empty() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        log::debug("metric types are missing in Core; an administrator makes them", &[("names", &names)]);
    }
    let posts = known.iter().filter(|sample| sample.value.is_finite()).map(|sample| post(core, service, sample));
    let (mut accepted, mut trouble) = (0, None);
    for outcome in fan_out(AT_ONCE, posts).await {
        match outcome {
            Ok(taken) => accepted += u32::from(taken),
            Err(fault) => trouble = trouble.or(Some(fault)),
        }
    }
    match trouble {
        Some(fault) if accepted == 0 || fault.class == Class::Unauthorized => Err(fault),
        _ => Ok(accepted),
    }
}

/// Whether Core took it. A type or service that it does not know is 404 in both cases.
async fn post(core: &Core, service: &str, sample: &Sample) -> Result<bool> {
    let body = json!({
        "serviceId": service, "resourceId": sample.resource, "value": sample.value, "typeName": sample.name,
    });
    let answer = core.post("/metric-entries").json(&body).send().await?;
    match answer.status {
        400 | 404 => Ok(false),
        _ if answer.is_success() => Ok(true),
        _ => Err(refusal(&answer)),
    }
}
