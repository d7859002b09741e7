//! Measurements of a cluster as a whole.

use agentkube_contract::{Node, Sample};

/// `nodes.total` and `nodes.ready` in nodes, and `nodes.ready.ratio` from 0 to 1 (1 for a cluster without nodes: none is missing).
pub fn node_samples(cluster: &str, nodes: &[Node]) -> Vec<Sample> {
    let total = nodes.len() as f64;
    let ready = nodes.iter().filter(|node| node.ready).count() as f64;
    let ratio = if nodes.is_empty() { 1.0 } else { ready / total };
    [("nodes.total", total), ("nodes.ready", ready), ("nodes.ready.ratio", ratio)]
        .map(|(name, value)| Sample { name: name.to_owned(), resource: cluster.to_owned(), value })
        .to_vec()
}
