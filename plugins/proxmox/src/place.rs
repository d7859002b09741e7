//! Where a machine is made, and from which template.

use agentkube_sdk::prelude::*;

use crate::api::Resource;
use crate::config::{Choice, Placement, Template};
use crate::mark::TAG;

/// What to clone, and to where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The template.
    pub template: u32,
    /// The node that the template is on.
    pub source: String,
    /// The node that the machine is to be on.
    pub target: String,
}

/// Chooses for the machine with this index, by what `/cluster/resources` shows.
pub(crate) fn choose(all: &[Resource], choice: &Choice, index: u32) -> Result<Place> {
    let templates = templates(all, &choice.template)?;
    let mut nodes = choice.nodes.clone();
    if nodes.is_empty() {
        nodes = templates.iter().map(|(node, _)| node.clone()).collect();
        nodes.sort();
        nodes.dedup();
    }
    if let Template::PerNode(own) = &choice.template {
        nodes.retain(|node| own.contains_key(node));
    }
    let online = |node: &&String| {
        all.iter().any(|entry| entry.kind == "node" && entry.node == **node && entry.status == "online")
    };
    let online: Vec<&String> = nodes.iter().filter(online).collect();
    let turn = (index as usize).checked_rem(online.len()).unwrap_or(0);
    let round = online.iter().cycle().skip(turn).take(online.len());
    let machines =
        |node: &str| all.iter().filter(|entry| entry.node == node && !entry.template && entry.tagged(TAG)).count();
    let target = match choice.placement {
        Placement::RoundRobin => round.into_iter().next(),
        // Of nodes with as many, the one whose turn it is.
        Placement::Fewest => round.into_iter().min_by_key(|node| machines(node)),
    };
    let target = target.ok_or_else(|| {
        let message = format!("none of the nodes {} is online", nodes.join(", "));
        Fault::unavailable("NO_NODE_ONLINE", message).scope(Scope::Pool)
    })?;
    let own = templates.iter().find(|(node, _)| node == *target).or(templates.first());
    let (source, template) = own.ok_or_else(|| missing(&choice.template))?.clone();
    Ok(Place { template, source, target: (*target).clone() })
}

/// The templates that are meant, with their nodes.
pub(crate) fn templates(all: &[Resource], wanted: &Template) -> Result<Vec<(String, u32)>> {
    let meant = |entry: &Resource, vmid: u32| match wanted {
        Template::Vmid(own) => *own == vmid,
        Template::PerNode(own) => own.get(&entry.node) == Some(&vmid),
        Template::Tagged { tags } => entry.template && !tags.is_empty() && tags.iter().all(|tag| entry.tagged(tag)),
        Template::Named(name) => entry.template && entry.name.as_ref() == Some(name),
    };
    let mut found: Vec<(String, u32, bool)> = all
        .iter()
        .filter_map(|entry| {
            entry.vm().filter(|vmid| meant(entry, *vmid)).map(|vmid| (entry.node.clone(), vmid, entry.template))
        })
        .collect();
    found.sort();
    if let Some((node, vmid, _)) = found.iter().find(|(_, _, template)| !template) {
        let message = format!("VM {vmid} on {node} is no template: convert it, or name another");
        return Err(Fault::invalid("NOT_A_TEMPLATE", message).scope(Scope::Pool));
    }
    if found.is_empty() {
        return Err(missing(wanted));
    }
    Ok(found.into_iter().map(|(node, vmid, _)| (node, vmid)).collect())
}

fn missing(wanted: &Template) -> Fault {
    let which = match wanted {
        Template::Vmid(vmid) => format!("template {vmid}"),
        Template::PerNode(own) => format!("any of the templates {:?}", own.values().collect::<Vec<_>>()),
        Template::Tagged { tags } => format!("a template with the tags {}", tags.join(", ")),
        Template::Named(name) => format!("a template named `{name}`"),
    };
    let message =
        format!("{which} is not there, or the token may not see it (VM.Audit and VM.Clone on it or its pool)");
    Fault::invalid("TEMPLATE_MISSING", message).scope(Scope::Pool)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::CloneMode;

    fn cluster() -> Vec<Resource> {
        let entries = json!([
            {"type": "node", "node": "a", "status": "online"}, {"type": "node", "node": "b", "status": "online"},
            {"type": "node", "node": "c", "status": "offline"},
            {"type": "qemu", "vmid": 9000, "node": "a", "template": 1, "tags": "kube", "name": "t"},
            {"type": "qemu", "vmid": 9001, "node": "b", "template": 1, "tags": "kube"},
            {"type": "qemu", "vmid": 100, "node": "a", "tags": "agentkube;x"},
            {"type": "qemu", "vmid": 101, "node": "a", "tags": "x"},
        ]);
        serde_json::from_value(entries).unwrap()
    }

    fn choice(template: Template, nodes: &[&str]) -> Choice {
        Choice {
            template,
            storage: None,
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            placement: Placement::RoundRobin,
            clone: CloneMode::Full,
            tags: vec![],
            cpu: None,
        }
    }

    fn place(template: u32, source: &str, target: &str) -> Place {
        Place { template, source: source.into(), target: target.into() }
    }

    #[test]
    fn machines_go_round_the_nodes_that_are_online() {
        let choice = choice(Template::Vmid(9000), &["c", "b", "a"]);
        assert_eq!(choose(&cluster(), &choice, 0), Ok(place(9000, "a", "b")));
        assert_eq!(choose(&cluster(), &choice, 1), Ok(place(9000, "a", "a")));
        assert_eq!(choose(&cluster(), &choice, 2), Ok(place(9000, "a", "b")));
    }

    #[test]
    fn a_template_alone_keeps_machines_on_its_node() {
        for index in 0..3 {
            assert_eq!(choose(&cluster(), &choice(Template::Vmid(9000), &[]), index), Ok(place(9000, "a", "a")));
        }
    }

    #[test]
    fn each_node_uses_its_own_template() {
        let tagged = Template::Tagged { tags: vec!["kube".into()] };
        assert_eq!(choose(&cluster(), &choice(tagged, &[]), 1), Ok(place(9001, "b", "b")));
        let own = Template::PerNode(BTreeMap::from([("a".into(), 9000), ("b".into(), 9001)]));
        assert_eq!(choose(&cluster(), &choice(own.clone(), &["a", "b"]), 1), Ok(place(9001, "b", "b")));
        assert_eq!(choose(&cluster(), &choice(own, &["a"]), 1), Ok(place(9000, "a", "a")));
        assert_eq!(choose(&cluster(), &choice(Template::Named("t".into()), &[]), 1), Ok(place(9000, "a", "a")));
    }

    #[test]
    fn the_emptiest_node_is_taken_when_asked_for() {
        let mut choice = choice(Template::Vmid(9000), &["a", "b"]);
        choice.placement = Placement::Fewest;
        for index in 0..2 {
            assert_eq!(choose(&cluster(), &choice, index).unwrap().target, "b");
        }
    }

    #[test]
    fn what_cannot_be_placed_says_why() {
        let code = |choice: &Choice| choose(&cluster(), choice, 0).unwrap_err().code;
        assert_eq!(code(&choice(Template::Vmid(7), &[])), "TEMPLATE_MISSING");
        assert_eq!(code(&choice(Template::Vmid(100), &[])), "NOT_A_TEMPLATE");
        assert_eq!(code(&choice(Template::Vmid(9000), &["c"])), "NO_NODE_ONLINE");
    }
}
