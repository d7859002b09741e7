use std::collections::BTreeMap;

use agentkube_contract::{Cluster, MachineKey, Owner, ServiceKey};

use super::{Action, Known, KnownMachine, Plan, Providers};

fn owner() -> Owner {
    let key = ServiceKey { source: "core".into(), service: "s1".into() };
    Owner { cluster: "kabc".into(), ..Owner::new("dc1", &key, "shop") }
}

fn cluster(pools: &[(&str, u32)]) -> Cluster {
    let pools: Vec<serde_json::Value> = pools
        .iter()
        .map(
            |(name, count)| serde_json::json!({"name": name, "count": count, "shape": {"cores": 2, "memoryMib": 2048}}),
        )
        .collect();
    let wanted = serde_json::from_value(serde_json::json!({ "version": "v1.35.2", "pools": pools })).unwrap();
    providers(false).resolve(&wanted).unwrap()
}

fn providers(at_create: bool) -> Providers {
    Providers {
        control_planes: BTreeMap::from([("cp".to_owned(), 30)]),
        nodes: BTreeMap::from([("iron".to_owned(), at_create)]),
        default_control_plane: Some("cp".into()),
        default_nodes: Some("iron".into()),
    }
}

fn known(machines: &[(&str, u32)]) -> Known {
    Known {
        machines: machines
            .iter()
            .map(|(pool, index)| KnownMachine {
                key: MachineKey::new("kabc", pool, *index),
                provider: "iron".into(),
                external_id: Some(format!("vm-{index}")),
            })
            .collect(),
        control_plane: Some("cp".into()),
        ..Known::default()
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.machines().map(|machine| machine.key.name.as_str()).collect()
}

#[test]
fn a_create_reads_as_promised() {
    let plan = Plan::create(&owner(), &cluster(&[("w", 2)]), &Known::default(), &providers(false), "abcdef");
    let expected = "\
create of kabc: 17 steps
   1  control-plane/claim  [cp]
   2  control-plane/joinable  [cp]  after 1
   3  control-plane/ready  [cp]  after 2
   4  tenant/open  after 2
   5  addons/apply  after 4
   6  tenant/join-token  after 4
   7  machine/kabc-w-01/create  [iron]  after 1
   8  machine/kabc-w-01/boot  [iron]  after 7, 6
   9  machine/kabc-w-01/node  after 8, 5
  10  machine/kabc-w-01/finish  [iron]  after 9
  11  machine/kabc-w-02/create  [iron]  after 1
  12  machine/kabc-w-02/boot  [iron]  after 11, 6
  13  machine/kabc-w-02/node  after 12, 5
  14  machine/kabc-w-02/finish  [iron]  after 13
  15  tenant/revoke-token  after 9, 13
  16  addons/healthy  after 9, 13, 5
  17  health  after 3, 5, 16, 15, 10, 14
";
    assert_eq!(plan.to_string(), expected);
}

/// Planned on a thread that others wait for: what grows with the square of the machines would stop them all.
#[test]
fn the_largest_cluster_is_planned_and_planned_again() {
    let pools = [("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000), ("e", 1000)];
    let plan = Plan::create(&owner(), &cluster(&pools), &Known::default(), &providers(false), "abcdef");
    assert_eq!((plan.machines().count(), plan.steps.len()), (5000, 9 + 4 * 5000));
    let all: Vec<(&str, u32)> = pools.iter().flat_map(|(pool, count)| (1..=*count).map(|n| (*pool, n))).collect();
    let again = Plan::create(&owner(), &cluster(&pools), &known(&all), &providers(false), "abcdef");
    assert_eq!(names(&again), names(&plan));
}

#[cfg(not(feature = "sabotage-undo"))]
#[test]
fn a_delete_removes_machines_first_also_those_only_intended() {
    let mut known = known(&[("w", 1), ("w", 4)]);
    known.machines[1].external_id = None;
    known.tokens = vec!["abcdef".into()];
    let plan = Plan::delete(&owner(), &known);
    let expected = "\
delete of kabc: 3 steps
   1  machine/kabc-w-01/delete  [iron]
   2  machine/kabc-w-04/delete  [iron]
   3  control-plane/delete  [cp]  after 1, 2
";
    assert_eq!(plan.to_string(), expected);
    assert_eq!(Plan::delete(&owner(), &Known::default()).steps, []);
}

#[test]
fn indices_never_move_and_the_lowest_free_one_is_next() {
    let plan = |wanted: &[(&str, u32)], known: &Known| {
        Plan::create(&owner(), &cluster(wanted), known, &providers(false), "abcdef")
    };
    // A gap is filled; nobody moves up.
    let seen = known(&[("w", 1), ("w", 3)]);
    assert_eq!(names(&plan(&[("w", 3)], &seen)), ["kabc-w-01", "kabc-w-02", "kabc-w-03"]);
    // While a Node of that name lives the index is taken.
    let seen = Known { nodes: ["kabc-w-02".to_owned()].into(), ..seen };
    assert_eq!(names(&plan(&[("w", 3)], &seen)), ["kabc-w-01", "kabc-w-03", "kabc-w-04"]);
    // A restart plans the same machines, whichever rows exist by then.
    assert_eq!(names(&plan(&[("w", 3)], &known(&[("w", 2)]))), ["kabc-w-01", "kabc-w-02", "kabc-w-03"]);
}

#[test]
fn machines_too_many_and_pools_that_are_gone_are_removed() {
    let known = known(&[("w", 1), ("w", 2), ("old", 1)]);
    let plan = Plan::create(&owner(), &cluster(&[("w", 1)]), &known, &providers(false), "abcdef");
    assert_eq!(names(&plan), ["kabc-w-01"]);
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).filter(|id| id.contains("delete")).collect();
    assert_eq!(ids, ["machine/kabc-w-02/delete", "machine/kabc-old-01/delete"]);
}

#[test]
fn data_at_creation_makes_machines_wait_for_the_join_material() {
    let plan = Plan::create(&owner(), &cluster(&[("w", 1)]), &Known::default(), &providers(true), "abcdef");
    let create = plan.steps.iter().find(|step| step.id == "machine/kabc-w-01/create").unwrap();
    assert_eq!(create.after, ["tenant/join-token"]);
}

#[test]
fn a_token_that_lives_is_used_again() {
    let known = Known { tokens: vec!["zzzzzz".into()], ..Known::default() };
    let plan = Plan::create(&owner(), &cluster(&[("w", 1)]), &known, &providers(false), "abcdef");
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains("zzzzzz") && !text.contains("abcdef"), "{text}");
}

#[test]
fn each_step_comes_after_those_it_waits_for() {
    let plan = Plan::create(&owner(), &cluster(&[("a", 3), ("b", 2)]), &Known::default(), &providers(true), "abcdef");
    for (position, step) in plan.steps.iter().enumerate() {
        for id in &step.after {
            assert!(plan.steps[..position].iter().any(|before| &before.id == id), "{} after {id}", step.id);
        }
    }
}

#[test]
fn a_cluster_without_machines_needs_no_token() {
    let plan = Plan::create(&owner(), &cluster(&[]), &Known::default(), &providers(false), "abcdef");
    assert!(!plan.to_string().contains("token"));
    assert_eq!(plan.steps.last().unwrap().after, ["control-plane/ready", "addons/apply"]);
}

#[test]
fn words_of_jobs_are_read_back() {
    for word in ["create", "update", "start", "stop", "delete", "upgrade"] {
        assert_eq!(Action::parse(word).text(), word);
    }
    assert!(!Action::parse("explode").supported());
}

// Checklist 91.
#[test]
fn a_version_that_the_provider_does_not_make_is_a_mistake() {
    let mistakes = |version: &str| {
        let wanted = Cluster { version: version.to_owned(), ..cluster(&[("w", 1)]) };
        providers(false).mistakes(&wanted)
    };
    let told = mistakes("v1.2.0");
    assert_eq!((told.len(), told[0].path.as_str(), told[0].code.as_str()), (1, "version", "VERSION_TOO_OLD"));
    assert_eq!(told[0].text, "v1.2.0 is too old; v1.30 is the oldest that `cp` makes");
    assert!(mistakes("v1.30.0").is_empty() && mistakes("latest").is_empty(), "what is no version is told elsewhere");
}
