//! Jobs: which wait for us, which are ours, and taking one.

use agentkube_sdk::http::Request;
use agentkube_sdk::job_source::{Claimed, Job};
use agentkube_sdk::{Class, Fault, Result, fan_out, log, path};
use serde_json::Value;

use crate::api::{self, Agent, Core, Object, read, refusal, rows};
use crate::config::{Config, Defaults};
use crate::{identity, properties, time, vault};

/// How many pending jobs are asked for: Core gives one of each group in arbitrary order and has no upper bound, so that a small
/// number would starve some groups.
const PENDING: usize = 200;

/// Most bytes of the properties of one service, as JSON: far more than a hundred pools need.
const LARGEST: usize = 1024 * 1024;

/// Descriptions that are read at the same time; each may ask the vault.
const AT_ONCE: usize = 8;

/// Where a job's answer holds the kubeconfig that we once delivered as a property: it stays with the host.
pub fn hidden(config: &Config, request: Request, prefixes: impl IntoIterator<Item = String>) -> Request {
    let name = config.properties.kubeconfig.replace('~', "~0").replace('/', "~1");
    prefixes.into_iter().fold(request, |request, prefix| {
        request.capture(&format!("{prefix}/params/{name}")).capture(&format!("{prefix}/service/properties/{name}"))
    })
}

/// Jobs that wait for us, most urgent first, then oldest first.
pub async fn pending(core: &Core, config: &Config) -> Result<Vec<Job>> {
    let mut limit = PENDING;
    loop {
        let request = core.get("/jobs/pending").query("limit", limit);
        let request = hidden(config, request, (0..limit).map(|at| format!("/{at}")));
        let answer = match request.send().await {
            // Large orders stand in it; fewer at a time, and they go one by one.
            Err(fault) if fault.code == "ANSWER_TOO_LARGE" && limit > 1 => {
                limit = (limit / 8).max(1);
                continue;
            }
            sent => sent?,
        };
        let found: Vec<Value> = read(answer)?;
        return translated(core, config, rows(found)).await;
    }
}

/// Jobs that are claimed by us and not over, oldest first.
pub async fn unfinished(core: &Core, config: &Config) -> Result<Vec<Job>> {
    let me = core.me().await?;
    let mut found: Vec<api::Job> = Vec::new();
    for number in 1.. {
        let request =
            core.get("/jobs").query("status", "Processing").query("agentId", &me.id).query("sort", "createdAt");
        let request = hidden(config, request, (0..api::PAGE).map(|at| format!("/items/{at}")));
        let page: api::Page<api::Job> = core.page(request, number).await?;
        for job in page.items {
            // The list may move between two pages.
            if found.iter().all(|known| known.id != job.id) {
                found.push(job);
            }
        }
        if !page.has_next {
            break;
        }
    }
    translated(core, config, found).await
}

/// One job as Core has it; `None` when it is unknown there or not ours.
pub async fn job_by_id(core: &Core, config: &Config, id: &str) -> Result<Option<Job>> {
    // People type ids; Core takes none but UUIDs.
    if !is_uuid(id) {
        return Ok(None);
    }
    let Some(job) = row(core, config, id).await? else { return Ok(None) };
    let me = core.me().await?;
    if job.agent_id != me.id {
        return Ok(None);
    }
    translate(core, config, &defaults(config, &me), job).await.map(Some)
}

fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    let hex = |group: &&str| group.chars().all(|c| c.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}

/// The row of a job.
pub async fn row(core: &Core, config: &Config, id: &str) -> Result<Option<api::Job>> {
    core.row(hidden(config, core.get(&path!("jobs", id)), [String::new()])).await
}

/// Takes a job. Of two claims at the same moment Core may accept both, so only one process may use a token.
pub async fn claim(core: &Core, config: &Config, id: &str) -> Result<Claimed> {
    let answer = core.post(&path!("jobs", id, "claim")).send().await?;
    if answer.is_success() {
        return Ok(Claimed::Ours);
    }
    let fault = refusal(&answer);
    match (answer.status, fault.class) {
        (403, Class::Conflict | Class::NotFound) => return Ok(Claimed::Lost),
        (400 | 404, _) => {}
        _ => return Err(fault),
    }
    // Somebody has it, or the answer to an earlier claim of ours was lost.
    match row(core, config, id).await? {
        Some(job) if job.status == "Processing" && job.agent_id == core.me().await?.id => Ok(Claimed::Ours),
        _ => Ok(Claimed::Lost),
    }
}

fn defaults(config: &Config, me: &Agent) -> Defaults {
    let set_by_core = me.configuration.as_ref().map(identity::defaults).unwrap_or_default();
    set_by_core.or(&config.defaults)
}

/// Our own jobs among these, in the contract's words. A job whose secrets cannot be asked for now waits for the next time.
async fn translated(core: &Core, config: &Config, mut found: Vec<api::Job>) -> Result<Vec<Job>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let me = core.me().await?;
    let defaults = defaults(config, &me);
    found.retain(|job| job.agent_id == me.id);
    let jobs = fan_out(
        AT_ONCE,
        found.into_iter().map(|job| async {
            let id = job.id.clone();
            let outcome = translate(core, config, &defaults, job).await;
            outcome
                .inspect_err(|fault| log::warn("a job waits for its secrets", &[("job", &id), ("fault", fault)]))
                .ok()
        }),
    );
    let mut jobs: Vec<Job> = jobs.await.into_iter().flatten().collect();
    jobs.sort_by(|a, b| (b.priority, a.created_ms, &a.id).cmp(&(a.priority, b.created_ms, &b.id)));
    Ok(jobs)
}

async fn translate(core: &Core, config: &Config, defaults: &Defaults, job: api::Job) -> Result<Job> {
    let (mut wanted, mut problem, mut mistakes) = (None, None, Vec::new());
    match job.action.as_str() {
        "update" if job.params.is_none() => problem = Some(update_without_parameters()),
        "create" | "update" | "upgrade" => match job.desired() {
            None => problem = Some(no_properties()),
            Some(desired) if longer_than(LARGEST, desired.values()) => problem = Some(too_large()),
            Some(desired) if desired.values().any(is_cut) => problem = Some(too_deep()),
            Some(desired) => {
                let mut desired = desired.clone();
                vault::capture(core, properties::free_parts(config, &mut desired)).await?;
                let (cluster, wrong) = properties::cluster(config, defaults, &desired, !sleeps(&job));
                (wanted, mistakes) = (Some(cluster), wrong);
            }
        },
        _ => {}
    }
    let created_ms = time::millis(&job.created_at).unwrap_or(0);
    let service = job.service.unwrap_or_default();
    let text = |text: &str| Value::from(text).to_string();
    let more = vec![
        ("status".to_owned(), text(&job.status)),
        ("serviceStatus".to_owned(), text(&service.status)),
        ("names".to_owned(), properties::names(config).to_string()),
    ];
    Ok(Job {
        id: job.id,
        service: job.service_id,
        service_name: service.name,
        group: service.group_id,
        action: job.action,
        priority: job.priority,
        created_ms,
        wanted,
        problem,
        mistakes,
        more,
    })
}

/// A stopped cluster that is changed stays stopped.
fn sleeps(job: &api::Job) -> bool {
    job.action == "update" && job.service.as_ref().is_some_and(|service| service.status == "Stopped")
}

/// Completing it would wipe the service's properties, after which Core cannot change the service any more.
fn update_without_parameters() -> Fault {
    let mend =
        "change the service with PATCH /services/{id} and the new properties, not with POST /services/{id}/update";
    Fault::invalid("UPDATE_WITHOUT_PARAMS", format!("the job says nothing to change; {mend}"))
}

/// Whether the values are longer than that together, as JSON; they are looked at only until that is certain.
fn longer_than<'v>(limit: usize, values: impl Iterator<Item = &'v Value>) -> bool {
    fn spend(left: usize, value: &Value) -> Option<usize> {
        let own = match value {
            Value::String(text) => text.len() + 3,
            _ => 4,
        };
        let left = left.checked_sub(own)?;
        match value {
            Value::Array(items) => items.iter().try_fold(left, spend),
            Value::Object(object) => {
                object.iter().try_fold(left, |left, (key, value)| spend(left.checked_sub(key.len() + 3)?, value))
            }
            _ => Some(left),
        }
    }
    let mut values = values;
    values.try_fold(limit, spend).is_none()
}

fn too_large() -> Fault {
    let message = format!("the service's properties are larger than {} KiB", LARGEST / 1024);
    Fault::invalid("ORDER_TOO_LARGE", message)
}

/// The host's words in the place of a value that goes deeper than answers are read.
const TOO_DEEP: &str = "nested deeper than 100 levels";

fn is_cut(value: &Value) -> bool {
    match value {
        Value::String(text) => text == TOO_DEEP,
        Value::Array(items) => items.iter().any(is_cut),
        Value::Object(object) => object.values().any(is_cut),
        _ => false,
    }
}

fn too_deep() -> Fault {
    Fault::invalid("ORDER_TOO_DEEP", format!("the service's properties hold something {TOO_DEEP}"))
}

fn no_properties() -> Fault {
    Fault::invalid(
        "NO_PROPERTIES",
        "the service has no properties, so nothing says what is wanted; delete it and order anew",
    )
}

/// The properties that say what is wanted, without what the agent wrote and without secrets: kept as the last applied description.
pub fn spec(config: &Config, job: &api::Job) -> Option<Object> {
    let written = config.properties.written();
    let kept = job.desired()?.iter().filter(|(name, _)| !written.contains(&name.as_str()));
    Some(kept.map(|(name, value)| (name.clone(), vault::without(value.clone()))).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use agentkube_sdk::testing::{Reply, World, answer};
    use serde_json::json;

    use super::*;

    fn listed(jobs: Value) -> (World, Vec<Job>) {
        let world = World::new();
        world.http("core", move |request| match request.path() {
            "/api/v1/agents/me" => answer(200, json!({"id": "us", "tags": null})),
            _ => answer(200, jobs.clone()),
        });
        let config = serde_json::from_value::<Config>(json!({"connection": "core"})).unwrap().checked().unwrap();
        let jobs = world.run(pending(&Core::new("core"), &config)).unwrap();
        (world, jobs)
    }

    fn waiting(id: &str, priority: i32, second: u32) -> Value {
        let created = format!("2026-11-20T11:53:{second:02}Z");
        json!({"id": id, "agentId": "us", "action": "delete", "priority": priority, "createdAt": created, "later": 1})
    }

    #[test]
    fn the_most_urgent_come_first_then_the_oldest() {
        let jobs = json!([waiting("d", 1, 9), waiting("b", 5, 8), waiting("c", 1, 3), waiting("a", 5, 8)]);
        let order: Vec<String> = listed(jobs).1.into_iter().map(|job| job.id).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    #[test]
    fn an_odd_row_or_a_strangers_job_does_not_stop_the_others() {
        let mut stranger = waiting("s", 1, 1);
        stranger["agentId"] = json!("them");
        let (world, jobs) = listed(json!([{"id": 7}, stranger, waiting("a", 1, 1), {"id": "b", "agentId": "us"}]));
        let seen: Vec<(&str, u64)> = jobs.iter().map(|job| (job.id.as_str(), job.created_ms)).collect();
        assert_eq!(seen, [("a", 1_795_175_581_000), ("b", 0)]);
        assert!(world.logs()[0].contains("left out"), "{:?}", world.logs());
    }

    #[test]
    fn an_order_that_is_too_large_is_refused_unread() {
        let large = json!({"nodePools": {"a": {"labels": {"x": "y".repeat(2 << 20)}}}});
        let mut job = waiting("a", 1, 1);
        (job["action"], job["params"]) = (json!("create"), large);
        let (_, jobs) = listed(json!([job]));
        let problem = jobs[0].problem.clone().unwrap();
        assert_eq!((problem.code.as_str(), jobs[0].wanted.is_none()), ("ORDER_TOO_LARGE", true));
        assert!(longer_than(20, [json!([1, 2, 3, 4, 5])].iter()) && !longer_than(24, [json!([1, 2, 3, 4, 5])].iter()));
    }

    #[test]
    fn an_order_that_goes_too_deep_is_refused() {
        let mut job = waiting("a", 1, 1);
        let pools = json!({"a": {"settings": {"x": [TOO_DEEP]}}});
        (job["action"], job["params"]) = (json!("create"), json!({"nodePools": pools}));
        let (_, jobs) = listed(json!([job]));
        let problem = jobs[0].problem.clone().unwrap();
        assert_eq!((problem.code.as_str(), jobs[0].wanted.is_none()), ("ORDER_TOO_DEEP", true));
    }

    #[test]
    fn when_all_at_once_is_too_much_fewer_are_asked_for() {
        let (world, asked) = (World::new(), Rc::new(RefCell::new(Vec::new())));
        let limits = Rc::clone(&asked);
        world.http("core", move |request| {
            if request.path() == "/api/v1/agents/me" {
                return Reply::Answer(answer(200, json!({"id": "us", "tags": null})));
            }
            let limit = request.query("limit").unwrap_or_default().to_owned();
            limits.borrow_mut().push(limit.clone());
            match limit.as_str() {
                "3" => Reply::Answer(answer(200, json!([waiting("a", 1, 1)]))),
                _ => Reply::Fault(Fault::exhausted("ANSWER_TOO_LARGE", "longer than 16 MiB")),
            }
        });
        let config = serde_json::from_value::<Config>(json!({"connection": "core"})).unwrap().checked().unwrap();
        assert_eq!(world.run(pending(&Core::new("core"), &config)).unwrap().len(), 1);
        assert_eq!(*asked.borrow(), ["200", "25", "3"]);
    }
}
