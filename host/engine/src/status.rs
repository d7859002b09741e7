//! The status record of a service after a job: what was seen, since when it stands so, and how the last failure went.
//!
//! It is made whole each time from the one before it, as a job source may keep only the last.

use agentkube_contract::{Completion, Condition, Failure, Fault, Millis, NodeReport, PoolReport, Settlement, Standing};
use serde_json::json;

use crate::engine::Shared;
use crate::journal::Intent;
use crate::plan::Known;
use crate::{Result, plan::Action};

/// The condition by which the last job is told.
const JOB: &str = "JobSucceeded";
/// The condition by which the nodes are told.
const NODES: &str = "NodesReady";
/// Where the last failure stands in `more`.
const FAILURE: &str = "lastFailure";

/// What a job that succeeded is told.
pub(crate) fn succeeded(shared: &Shared, intent: &Intent, seen: Completion) -> Result<Settlement> {
    let before = shared.world.journal.observed(&intent.key)?;
    let now = shared.world.clock.now();
    let mut conditions: Vec<Condition> = seen.conditions.iter().map(|standing| standing.condition.clone()).collect();
    if intent.action != Action::Delete {
        conditions.push(nodes_ready(&seen.nodes));
    }
    conditions.push(condition(JOB, true, intent.action.text(), String::new()));
    let mut status = Completion { pools: pools(intent), conditions: since(conditions, before.as_ref(), now), ..seen };
    let failure = before.iter().flat_map(|before| &before.more).find(|(name, _)| name == FAILURE);
    status.more.extend(failure.cloned());
    Ok(Settlement::Completed(Box::new(status)))
}

/// What a job that failed is told. `phase` says what became of what it had made.
pub(crate) fn failed(shared: &Shared, intent: &Intent, fault: Fault, phase: &str) -> Result<Settlement> {
    let journal = &shared.world.journal;
    let before = journal.observed(&intent.key)?;
    let now = shared.world.clock.now();
    let machines = Known::from_rows(&journal.engine_rows(&intent.key)?)?.machines;
    let kept = before.as_ref().filter(|_| !machines.is_empty());
    let nodes: Vec<NodeReport> = machines
        .into_iter()
        .map(|machine| {
            let known = kept.and_then(|before| before.nodes.iter().find(|node| node.name == machine.key.name));
            NodeReport {
                machine: machine.external_id.clone(),
                ..known.cloned().unwrap_or_else(|| joining(&machine.key))
            }
        })
        .collect();
    let conditions = vec![nodes_ready(&nodes), condition(JOB, false, &fault.code, clip_long(&fault.message))];
    let failure = json!({
        "at": now, "job": intent.job, "action": intent.action.text(), "generation": intent.generation, "code": fault.code,
        "message": clip_long(&fault.message),
    });
    let status = Completion {
        instance_id: shared.instance_id(&intent.key),
        endpoint: kept.and_then(|before| before.endpoint.clone()),
        ca: None,
        kubeconfig: None,
        version: kept.and_then(|before| before.version.clone()),
        phase: phase.to_owned(),
        conditions: since(conditions, before.as_ref(), now),
        pools: pools(intent),
        nodes,
        observed_generation: intent.generation,
        more: vec![
            ("cluster".to_owned(), json!(shared.owner(&intent.key, &intent.display_name).cluster).to_string()),
            (FAILURE.to_owned(), failure.to_string()),
        ],
    };
    Ok(Settlement::Failed(Box::new(Failure { fault, status: Some(status) })))
}

fn joining(key: &agentkube_contract::MachineKey) -> NodeReport {
    NodeReport {
        name: key.name.clone(),
        pool: key.pool.clone(),
        ready: false,
        version: String::new(),
        address: String::new(),
        machine: None,
    }
}

fn pools(intent: &Intent) -> Vec<PoolReport> {
    let pools = intent.wanted.iter().flat_map(|wanted| &wanted.pools);
    pools
        .map(|pool| PoolReport {
            name: pool.name.clone(),
            provider: pool.provider.clone().unwrap_or_default(),
            wanted: pool.count,
        })
        .collect()
}

fn nodes_ready(nodes: &[NodeReport]) -> Condition {
    let ready = nodes.iter().filter(|node| node.ready).count();
    let reason = if ready == nodes.len() { "AllReady" } else { "NotAllReady" };
    condition(NODES, ready == nodes.len(), reason, format!("{ready} of {} nodes are Ready", nodes.len()))
}

fn condition(name: &str, status: bool, reason: &str, message: String) -> Condition {
    Condition { name: name.to_owned(), status: Some(status), reason: reason.to_owned(), message }
}

/// Since when each stands so: a condition that was so before keeps its time, whatever its reason and message have become.
fn since(conditions: Vec<Condition>, before: Option<&Completion>, now: Millis) -> Vec<Standing> {
    let old = |condition: &Condition| {
        let known = before.iter().flat_map(|before| &before.conditions);
        let mut same = known.filter(|old| old.condition.name == condition.name);
        same.find(|old| old.condition.status == condition.status).map(|old| old.since_ms)
    };
    conditions.into_iter().map(|condition| Standing { since_ms: old(&condition).unwrap_or(now), condition }).collect()
}

/// Half a thousand characters of it.
fn clip_long(message: &str) -> String {
    let mut chars = message.chars().filter(|c| !c.is_control());
    let clipped: String = chars.by_ref().take(500).collect();
    if chars.next().is_some() { format!("{clipped}…") } else { clipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let ready = |status| condition("Ready", status, "Because", String::new());
        let standing = |status, since_ms| Standing { condition: ready(status), since_ms };
        let before = Completion {
            instance_id: String::new(),
            endpoint: None,
            ca: None,
            kubeconfig: None,
            version: None,
            phase: String::new(),
            conditions: vec![standing(true, 5)],
            pools: Vec::new(),
            nodes: Vec::new(),
            observed_generation: 1,
            more: Vec::new(),
        };
        assert_eq!(since(vec![ready(true)], Some(&before), 9), [standing(true, 5)]);
        assert_eq!(since(vec![ready(false)], Some(&before), 9), [standing(false, 9)]);
        assert_eq!(since(vec![ready(true)], None, 9), [standing(true, 9)]);
    }
}
