//! Services that are ours, and measurements of them.

use std::collections::BTreeSet;

use agentkube_sdk::job_source::{Reported, Service, ServicePage};
use agentkube_sdk::observed::Sample;
use agentkube_sdk::{Class, Fault, Result, fan_out};
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

/// Posts measurements of one service. Core stamps them with its own time, so none is sent later: what is not accepted now is dropped.
/// The first of each type shows whether the type exists; the list of types is read only when one seems to be missing, since Core says
/// the same of a service that it does not know.
pub async fn report(core: &Core, service: &str, samples: Vec<Sample>) -> Result<Reported> {
    let mut types = BTreeSet::new();
    let samples = samples.into_iter().filter(|sample| sample.value.is_finite());
    let (samples, rest): (Vec<Sample>, Vec<Sample>) = samples.partition(|sample| types.insert(sample.name.clone()));
    let mut round = Round::default();
    round.post(core, service, &samples).await;
    let rest: Vec<Sample> = rest.into_iter().filter(|sample| !round.missing.contains(&sample.name)).collect();
    round.post(core, service, &rest).await;
    match round.trouble {
        Some(fault) if round.accepted == 0 || fault.class == Class::Unauthorized => return Err(fault),
        _ => {}
    }
    let unknown = match round.missing.is_empty() {
        true => Vec::new(),
        false => round.missing.difference(&known(core).await?).cloned().collect(),
    };
    Ok(Reported { accepted: round.accepted, unknown })
}

/// What became of the measurements of one call.
#[derive(Default)]
struct Round {
    accepted: u32,
    missing: BTreeSet<String>,
    trouble: Option<Fault>,
}

impl Round {
    async fn post(&mut self, core: &Core, service: &str, samples: &[Sample]) {
        let outcomes = fan_out(AT_ONCE, samples.iter().map(|sample| post(core, service, sample))).await;
        for (sample, outcome) in samples.iter().zip(outcomes) {
            match outcome {
                Ok(Some(true)) => self.accepted += 1,
                Ok(Some(false)) => {}
                Ok(None) => {
                    self.missing.insert(sample.name.clone());
                }
                Err(fault) => {
                    self.trouble.get_or_insert(fault);
                }
            }
        }
    }
}

/// Whether Core took it; `None` when it does not know the type, or the service, which it does not tell apart.
async fn post(core: &Core, service: &str, sample: &Sample) -> Result<Option<bool>> {
    let body = json!({
        "serviceId": service, "resourceId": sample.resource, "value": sample.value, "typeName": sample.name,
    });
    let answer = core.post("/metric-entries").json(&body).send().await?;
    match answer.status {
        400 => Ok(Some(false)),
        404 => Ok(None),
        _ if answer.is_success() => Ok(Some(true)),
        _ => Err(refusal(&answer)),
    }
}
