//! The status record as Core keeps it: `agentInstanceData`, which is replaced whole each time, and the property `nodes`.

use agentkube_sdk::job_source::{Completion, Node, Standing};
use serde_json::{Map, Value, json};

use crate::api::Object;
use crate::time;

/// Version of the shape of [`instance_data`]. It grows by new keys; a new number means that a key changed its meaning.
const SCHEMA: u32 = 1;

/// Most bytes of the record: Core returns it with every job and service.
pub const LARGEST: usize = 256 * 1024;

/// Most characters of a condition's message.
const MESSAGE: usize = 500;

/// Most conditions of one record.
const CONDITIONS: usize = 50;

/// All that was observed, and the description that was carried out: enough to go on from when the properties are gone. What is too
/// large goes without the single nodes, then without the description.
pub fn instance_data(completion: &Completion, spec: Option<Object>) -> Value {
    let mut data = record(completion, true);
    if data.to_string().len() > LARGEST / 2 {
        data = record(completion, false);
    }
    let spec = spec.map(Value::Object).filter(|spec| spec.to_string().len() <= LARGEST / 2);
    if let Some(data) = data.as_object_mut() {
        data.insert("spec".to_owned(), spec.unwrap_or(Value::Null));
    }
    data
}

fn record(completion: &Completion, nodes: bool) -> Value {
    let conditions = completion.conditions.iter().take(CONDITIONS).map(|standing| {
        let condition = &standing.condition;
        let message: String = condition.message.chars().take(MESSAGE).collect();
        json!({
            "type": condition.name, "status": word(standing), "reason": condition.reason, "message": message,
            "lastTransitionTime": time::text(standing.since_ms),
        })
    });
    let mut pools: Map<String, Value> = Map::new();
    for pool in &completion.pools {
        let machines = completion.nodes.iter().filter(|node| node.pool == pool.name);
        let ready = machines.clone().filter(|node| node.ready).count();
        let mut entry = json!({
            "provider": pool.provider, "wanted": pool.wanted, "machines": machines.clone().count(), "ready": ready,
        });
        if let Some(entry) = entry.as_object_mut().filter(|_| nodes) {
            entry.insert("nodes".to_owned(), machines.map(shown).collect());
        }
        pools.insert(pool.name.clone(), entry);
    }
    let more = completion
        .more
        .iter()
        .map(|(name, text)| (name.clone(), serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))));
    json!({
        "schema": SCHEMA,
        "instance": completion.instance_id,
        "phase": completion.phase,
        "endpoint": completion.endpoint,
        "version": completion.version,
        "observedGeneration": completion.observed_generation,
        "conditions": conditions.collect::<Vec<_>>(),
        "pools": pools,
        "more": more.collect::<Map<_, _>>(),
    })
}

/// The record in one line, for the text of a failure.
pub fn summary(completion: &Completion) -> String {
    let ready = completion.nodes.iter().filter(|node| node.ready).count();
    let wanted: u32 = completion.pools.iter().map(|pool| pool.wanted).sum();
    let conditions = completion.conditions.iter().filter(|standing| standing.condition.status != Some(true));
    let conditions: Vec<String> =
        conditions.map(|standing| format!("{}={}", standing.condition.name, word(standing))).collect();
    let mut words = vec![
        format!("phase {}", completion.phase),
        format!("generation {}", completion.observed_generation),
        format!("{} of {wanted} machines, {ready} Ready", completion.nodes.len()),
    ];
    words.extend(completion.endpoint.as_ref().map(|endpoint| format!("endpoint {endpoint}")));
    words.extend((!conditions.is_empty()).then(|| conditions.join(", ")));
    format!(" [{}]", words.join("; "))
}

fn word(standing: &Standing) -> &'static str {
    match standing.condition.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

/// The nodes, by name.
pub fn nodes(completion: &Completion) -> Value {
    let nodes = completion.nodes.iter().map(|node| {
        let Node { pool, ready, version, address, .. } = node;
        (node.name.clone(), json!({"pool": pool, "ready": ready, "version": version, "address": address}))
    });
    Value::Object(nodes.collect())
}

fn shown(node: &Node) -> Value {
    json!({
        "name": node.name, "ready": node.ready, "version": node.version, "address": node.address, "machine": node.machine,
    })
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::job_source::PoolReport;

    use super::*;

    #[test]
    fn a_large_record_goes_without_its_nodes() {
        let node = |at: u32| Node {
            name: format!("k-w-{at}"),
            pool: "w".to_owned(),
            ready: at > 0,
            version: "v1.35.2".to_owned(),
            address: "10.0.0.7".to_owned(),
            machine: None,
        };
        let mut completion = Completion {
            instance_id: "i".to_owned(),
            endpoint: None,
            ca: None,
            kubeconfig: None,
            version: None,
            phase: "Provisioned".to_owned(),
            conditions: Vec::new(),
            pools: vec![PoolReport { name: "w".to_owned(), provider: "p".to_owned(), wanted: 3000 }],
            nodes: (0..3000).map(node).collect(),
            observed_generation: 4,
            more: Vec::new(),
        };
        let large: Object = [("x".to_owned(), json!("y".repeat(LARGEST)))].into_iter().collect();
        let data = instance_data(&completion, Some(large));
        assert!(data.to_string().len() < LARGEST);
        assert_eq!((&data["pools"]["w"]["machines"], &data["pools"]["w"]["ready"]), (&json!(3000), &json!(2999)));
        assert!(data["pools"]["w"].get("nodes").is_none() && data["spec"].is_null());
        completion.nodes.truncate(2);
        assert_eq!(summary(&completion), " [phase Provisioned; generation 4; 2 of 3000 machines, 1 Ready]");
        let data = instance_data(&completion, Some(Object::new()));
        assert_eq!((data["pools"]["w"]["nodes"].as_array().map(Vec::len), &data["spec"]), (Some(2), &json!({})));
    }
}
