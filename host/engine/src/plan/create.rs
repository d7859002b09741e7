//! The plan that makes a cluster, or finishes one.

use std::collections::{BTreeMap, BTreeSet};

use agentkube_contract::{Cluster, MachineKey, Owner, Pool};

use super::{Action, Known, Machine, Plan, Providers, Work};

impl Plan {
    /// Steps from what is known to what is wanted. `token` is the public half of the join token, used when none lives.
    pub fn create(owner: &Owner, wanted: &Cluster, known: &Known, providers: &Providers, token: &str) -> Plan {
        let mut plan = Plan::new(Action::Create, &owner.cluster);
        let control_plane = wanted.control_plane.provider.as_deref();
        let token = known.tokens.first().map_or(token, String::as_str);

        // The fence comes before anything else is made.
        plan.add("control-plane/claim", Work::ClaimControlPlane, control_plane, &[]);
        plan.add("control-plane/joinable", Work::ControlPlaneJoinable, control_plane, &["control-plane/claim"]);
        plan.add("control-plane/ready", Work::ControlPlaneReady, control_plane, &["control-plane/joinable"]);
        plan.add("tenant/open", Work::OpenTenant, None, &["control-plane/joinable"]);
        plan.add("addons/apply", Work::ApplyAddons, None, &["tenant/open"]);

        let (machines, surplus) = machines(owner, wanted, known, providers);
        if !machines.is_empty() {
            plan.add("tenant/join-token", Work::JoinToken(token.to_owned()), None, &["tenant/open"]);
        }
        let mut nodes = Vec::new();
        let mut last = Vec::new();
        for machine in &machines {
            let provider = Some(machine.provider.as_str());
            let step = |what: &str| format!("machine/{}/{what}", machine.key.name);
            let before_create = if machine.bootstrap_at_create { "tenant/join-token" } else { "control-plane/claim" };
            let create = plan.add(step("create"), Work::CreateMachine(machine.clone()), provider, &[before_create]);
            let work = Work::BootMachine(machine.clone());
            let boot = plan.add(step("boot"), work, provider, &[&create, "tenant/join-token"]);
            let node = plan.add(step("node"), Work::AwaitNode(machine.clone()), None, &[&boot, "addons/apply"]);
            last.push(plan.add(step("finish"), Work::FinishMachine(machine.clone()), provider, &[&node]));
            nodes.push(node);
        }
        for machine in surplus {
            let step = |what: &str| format!("machine/{}/{what}", machine.key.name);
            let provider = machine.provider.clone();
            let work = Work::DeleteMachine(machine.clone());
            let delete = plan.add(step("delete"), work, Some(&provider), &["control-plane/claim"]);
            last.push(plan.add(step("remove-node"), Work::RemoveNode(machine), None, &[&delete, "tenant/open"]));
        }
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        if !nodes.is_empty() {
            plan.add("tenant/revoke-token", Work::RevokeToken(token.to_owned()), None, &nodes);
            // Without nodes nothing of an add-on can run.
            let after: Vec<&str> = nodes.iter().copied().chain(["addons/apply"]).collect();
            plan.add("addons/healthy", Work::AddonsHealthy, None, &after);
        }
        let mut after = vec!["control-plane/ready", "addons/apply", "addons/healthy", "tenant/revoke-token"];
        after.extend(last.iter().map(String::as_str));
        plan.add("health", Work::Health, None, &after);
        plan
    }
}

/// The machines that the cluster is to have, and those that it has too many of.
fn machines(owner: &Owner, wanted: &Cluster, known: &Known, providers: &Providers) -> (Vec<Machine>, Vec<Machine>) {
    let mut keep = Vec::new();
    let mut surplus = Vec::new();
    let mut rows: BTreeMap<&str, Vec<&super::KnownMachine>> = BTreeMap::new();
    for machine in &known.machines {
        rows.entry(&machine.key.pool).or_default().push(machine);
    }
    for pool in &wanted.pools {
        let mut mine = rows.remove(pool.name.as_str()).unwrap_or_default();
        mine.sort_by_key(|machine| machine.key.index);
        let count = pool.count as usize;
        for (position, machine) in mine.iter().enumerate() {
            let machine = known_machine(machine, providers);
            if position < count { keep.push(machine) } else { surplus.push(machine) }
        }
        let indices = free_indices(owner, pool, known, &mine).take(count.saturating_sub(mine.len()));
        keep.extend(indices.map(|index| new_machine(owner, pool, index, providers)));
    }
    // Of pools that are no longer wanted.
    surplus.extend(rows.into_values().flatten().map(|machine| known_machine(machine, providers)));
    keep.sort_by(|a, b| a.key.cmp(&b.key));
    (keep, surplus)
}

/// Indices, lowest first, that neither a row nor a Node of the pool has. They never move: a machine keeps its index when
/// one before it goes.
fn free_indices<'a>(
    owner: &'a Owner,
    pool: &'a Pool,
    known: &'a Known,
    mine: &[&super::KnownMachine],
) -> impl Iterator<Item = u32> + use<'a> {
    let taken: BTreeSet<u32> = mine.iter().map(|machine| machine.key.index).collect();
    (1..).filter(move |index| {
        !taken.contains(index) && !known.nodes.contains(&MachineKey::new(&owner.cluster, &pool.name, *index).name)
    })
}

fn new_machine(owner: &Owner, pool: &Pool, index: u32, providers: &Providers) -> Machine {
    let provider = pool.provider.clone().unwrap_or_default();
    Machine {
        key: MachineKey::new(&owner.cluster, &pool.name, index),
        bootstrap_at_create: providers.nodes.get(&provider).copied().unwrap_or(false),
        provider,
        external_id: None,
    }
}

fn known_machine(machine: &super::KnownMachine, providers: &Providers) -> Machine {
    Machine {
        key: machine.key.clone(),
        provider: machine.provider.clone(),
        external_id: machine.external_id.clone(),
        bootstrap_at_create: providers.nodes.get(&machine.provider).copied().unwrap_or(false),
    }
}
