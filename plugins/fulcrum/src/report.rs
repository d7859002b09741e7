//! The status record as Core keeps it: `agentInstanceData`, which is replaced whole each time, and the property `nodes`.

use agentkube_sdk::job_source::{Completion, Node};
use serde_json::{Map, Value, json};

use crate::api::Object;

/// Version of the shape of [`instance_data`]. It grows by new keys; a new number means that a key changed its meaning.
const SCHEMA: u32 = 1;

/// All that was observed, and the description that was carried out: enough to go on from when the properties are gone.
pub fn instance_data(completion: &Completion, spec: Option<Object>) -> Value {
    let conditions = completion.conditions.iter().map(|condition| {
        let status = match condition.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        json!({"type": condition.name, "status": status, "reason": condition.reason, "message": condition.message})
    });
    let mut pools: Map<String, Value> = Map::new();
    for (pool, node) in completion.nodes.iter().map(|node| (node.pool.clone(), shown(node))) {
        let entry = pools.entry(pool).or_insert_with(|| json!({"nodes": []}));
        if let Some(nodes) = entry.get_mut("nodes").and_then(Value::as_array_mut) {
            nodes.push(node);
        }
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
        "spec": spec,
        "more": more.collect::<Map<_, _>>(),
    })
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
    json!({"name": node.name, "ready": node.ready, "version": node.version, "address": node.address})
}
