//! What is found before the first machine, each with its code and what to do.

use lab_pve::{Fault as Trouble, On, Release};

use super::*;

/// Every privilege of docs/proxmox.md, but for the one that asking the guest agent takes.
const PRIVILEGES: [&str; 16] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.PowerMgmt",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "Pool.Audit",
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
];

fn spread() -> Value {
    let mut config = config();
    config["nodes"] = json!(["pve1", "pve2"]);
    config
}

fn found(world: &World, plugin: &Proxmox) -> Vec<Finding> {
    world.run(plugin.preflight()).unwrap()
}

fn bad(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity != Severity::Ok).collect()
}

/// Codes of what is not well, once each.
fn codes(findings: &[Finding]) -> Vec<&str> {
    let mut codes: Vec<&str> = bad(findings).into_iter().map(|finding| finding.code.as_str()).collect();
    codes.dedup();
    codes
}

/// The codes that a cluster and a configuration of its own give.
fn of(cluster: Cluster, config: Value, trouble: impl FnOnce(&mut Pve)) -> Vec<Finding> {
    let (world, (lab, plugin)) = scene_of(cluster, config);
    lab.with(trouble);
    found(&world, &plugin)
}

#[test]
fn a_cluster_that_is_well_has_nothing_to_be_done() {
    for release in [Release::V8_2, Release::V8_4, Release::V9_1] {
        let findings = of(Cluster::new(release), spread(), |_| {});
        assert!(bad(&findings).is_empty(), "{release:?}: {findings:#?}");
        for code in ["VERSION", "CLOCK", "PRIVILEGES", "TEMPLATE", "POOL", "SEED_STORAGE", "DISK_STORAGE", "BRIDGE"] {
            assert!(findings.iter().any(|finding| finding.code == code), "{code}: {findings:#?}");
        }
    }
}

#[test]
fn each_privilege_that_is_missing_is_named_and_nothing_else() {
    for release in [Release::V8_4, Release::V9_1] {
        let (world, (lab, plugin)) = scene_of(Cluster::new(release), spread());
        for privilege in PRIVILEGES.into_iter().chain(["SDN.Use", release.agent_privilege()]) {
            lab.with(|pve| pve.fault(Trouble::Withhold(privilege.into(), true)));
            let findings = found(&world, &plugin);
            let missing = bad(&findings);
            assert!(!missing.is_empty(), "{privilege} is not missed");
            for finding in missing {
                assert_eq!(
                    (finding.code.as_str(), finding.severity),
                    ("PRIVILEGE_MISSING", Severity::Error),
                    "{findings:#?}"
                );
                let names = format!("the token lacks {privilege} on ");
                assert!(finding.message.starts_with(&names) && finding.remedy.contains(privilege), "{finding:?}");
            }
            lab.with(|pve| pve.fault(Trouble::Withhold(privilege.into(), false)));
        }
    }
}

/// What the token of the lab holds is what is asked for with every option switched on, and no more.
#[test]
fn every_privilege_that_the_token_has_is_asked_for() {
    for release in [Release::V8_4, Release::V9_1] {
        let cluster = Cluster::new(release);
        for privilege in cluster.roles.values().flatten() {
            let known = PRIVILEGES.contains(&privilege.as_str())
                || [release.agent_privilege(), release.file_privilege(), "SDN.Use"].contains(&privilege.as_str());
            assert!(known, "{privilege} is not needed");
        }
    }
}

#[test]
fn a_privilege_on_one_path_does_not_count_on_another() {
    let mut cluster = Cluster::default();
    cluster.acl.retain(|entry| entry.path != "/pool/templates");
    let findings = of(cluster, config(), |_| {});
    let paths: Vec<&str> = bad(&findings).iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(paths.len(), 2, "{findings:#?}");
    assert!(paths.iter().all(|message| message.contains("on /vms/9000")), "{paths:?}");
}

#[test]
fn without_the_agent_its_privilege_is_not_asked_for() {
    for release in [Release::V8_4, Release::V9_1] {
        let mut config = config();
        config["agent"] = json!(false);
        let privilege = Trouble::Withhold(release.agent_privilege().into(), true);
        let findings = of(Cluster::new(release), config, |pve| pve.fault(privilege));
        assert!(bad(&findings).is_empty(), "{findings:#?}");
    }
}

#[test]
fn a_cluster_that_is_not_reached_or_refuses_the_token_says_so() {
    assert_eq!(
        codes(&of(Cluster::default(), config(), |pve| pve.fault(Trouble::TokenRefused(true)))),
        ["TOKEN_REFUSED"]
    );
    let findings = of(Cluster::default(), config(), |pve| pve.fault(Trouble::NodeOffline("pve1".into(), true)));
    assert_eq!(codes(&findings), ["UNREACHABLE"]);
    assert!(bad(&findings).iter().all(|finding| !finding.remedy.is_empty()));
}

#[test]
fn clocks_that_differ_are_told() {
    let severity = |seconds: i64| {
        let findings = of(Cluster::default(), config(), |pve| pve.fault(Trouble::ClockAhead(seconds)));
        let finding = bad(&findings).first().map(|finding| (finding.code.clone(), finding.severity));
        finding.unwrap_or(("CLOCK".to_owned(), Severity::Ok))
    };
    assert_eq!(severity(5), ("CLOCK".to_owned(), Severity::Ok));
    assert_eq!(severity(-90), ("CLOCK_SKEW".to_owned(), Severity::Warning));
    assert_eq!(severity(3600), ("CLOCK_SKEW".to_owned(), Severity::Error));
}

#[test]
fn templates_are_looked_at() {
    let with = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        of(Cluster::default(), config, |_| {})
    };
    let elsewhere = with("template", json!("debian"));
    assert_eq!(codes(&elsewhere), ["TEMPLATE_MISSING"]);
    assert_eq!(codes(&with("images", json!({ "old": { "tags": ["none"] } }))), ["TEMPLATE_MISSING"]);
    assert_eq!(codes(&with("disk", json!("virtio0"))), ["NO_SUCH_DISK"]);
    let ordinary = of(Cluster::default(), config(), |pve| {
        pve.fault(Trouble::Vanish(9000));
        pve.fault(Trouble::ForeignVm(9000, "pve1".into()));
    });
    // Another's VM is as invisible as one that does not exist.
    assert_eq!(codes(&ordinary), ["PRIVILEGE_MISSING"], "{ordinary:#?}");
}

#[test]
fn storages_are_looked_at() {
    let with = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        of(Cluster::default(), config, |_| {})
    };
    assert!(codes(&with("seed-storage", json!("vmdata"))).contains(&"SEED_STORAGE_UNFIT"));
    assert!(codes(&with("storage", json!("seeds"))).contains(&"DISK_STORAGE_UNFIT"));
    for (storage, words) in [("seeds", "for seed images"), ("vmdata", "no room for one more machine")] {
        let full = of(Cluster::default(), config(), |pve| pve.fault(Trouble::StorageFull(storage.into(), true)));
        assert_eq!(codes(&full), ["STORAGE_FULL"]);
        assert!(bad(&full)[0].message.contains(words), "{full:#?}");
    }
    let local = of(Cluster::default().with_local_disks(), spread(), |_| {});
    assert_eq!(codes(&local), ["STORAGE_IS_LOCAL"]);
    assert!(bad(&local)[0].message.starts_with("pve2 cannot get clones"), "{local:#?}");
}

#[test]
fn nodes_pools_and_bridges_are_looked_at() {
    let with = |key: &str, value: Value| {
        let mut config = spread();
        config[key] = value;
        of(Cluster::default(), config, |_| {})
    };
    assert_eq!(codes(&with("nodes", json!(["pve1", "pve7"]))), ["NODE_UNKNOWN"]);
    assert_eq!(codes(&with("nodes", json!([]))), Vec::<&str>::new());
    let offline = of(Cluster::default(), spread(), |pve| pve.fault(Trouble::NodeOffline("pve2".into(), true)));
    assert_eq!(codes(&offline), ["NODE_OFFLINE"]);
    let mut cluster = Cluster::default();
    cluster.pools.retain(|pool| pool != "agentkube");
    assert_eq!(codes(&of(cluster, config(), |_| {})), ["POOL_UNKNOWN"]);
    let mut cluster = Cluster::default();
    cluster.bridges.retain(|bridge| bridge != "vmbr0");
    assert_eq!(codes(&of(cluster, config(), |_| {})), ["BRIDGE_UNKNOWN"]);
}

#[test]
fn the_range_of_ids_is_looked_at() {
    let with = |values: Vec<String>| {
        let (world, (_, plugin)) = scene_of(Cluster::default(), config());
        world.range("vmid", values);
        found(&world, &plugin)
    };
    let numbers = |range: std::ops::Range<u32>| range.map(|number| number.to_string()).collect::<Vec<_>>();
    for (values, code) in [
        (numbers(90..200), "VMID_RANGE_UNFIT"),
        (vec!["10.0.0.10".to_owned(), "10.0.0.99".to_owned()], "VMID_RANGE_UNFIT"),
        (vec!["999999999".to_owned(), "1000000000".to_owned()], "VMID_RANGE_UNFIT"),
        // The template has this number.
        (numbers(9000..9001), "VMID_RANGE_FULL"),
        (numbers(8990..9010), "VMID_RANGE_SHARED"),
    ] {
        assert_eq!(codes(&with(values.clone())), [code], "{values:?}");
    }
    let shared = with(numbers(8990..9010));
    assert!(bad(&shared)[0].message.contains("such as 9000 ("), "{:?}", bad(&shared));
    assert_eq!(bad(&shared)[0].severity, Severity::Warning, "the others are passed over");

    let (world, (_, plugin)) = scene();
    world.range("vmid", 104..106);
    for index in 0..2 {
        world.run(made(&world, &plugin, index)).unwrap();
    }
    assert_eq!(codes(&found(&world, &plugin)), ["VMID_RANGE_FULL"]);

    let mut elsewhere = config();
    elsewhere["vmid-range"] = json!("other");
    assert_eq!(codes(&of(Cluster::default(), elsewhere, |_| {})), ["VMID_RANGE_MISSING"]);
}

#[test]
fn a_finding_says_what_to_do_once_and_on_which_node() {
    let refused = of(Cluster::default(), config(), |pve| pve.fault(Trouble::TokenRefused(true)));
    assert!(!bad(&refused)[0].message.contains(&bad(&refused)[0].remedy), "{refused:#?}");
    let mut config = spread();
    config["storage"] = json!("seeds");
    let unfit: Vec<String> = of(Cluster::default(), config, |_| {})
        .into_iter()
        .filter(|finding| finding.code == "DISK_STORAGE_UNFIT")
        .map(|finding| finding.message)
        .collect();
    assert!(unfit.len() == 2 && unfit[0].contains("on pve1") && unfit[1].contains("on pve2"), "{unfit:?}");
}

#[test]
fn a_node_without_an_endpoint_of_its_own_is_told() {
    let (world, (lab, plugin)) = scene_of(Cluster::default(), spread());
    lab.0.labelled.set(false);
    assert_eq!(codes(&found(&world, &plugin)), ["NO_ENDPOINT_OF_NODE"]);
}

#[test]
fn what_cannot_be_looked_at_is_a_finding_of_its_own() {
    let findings = of(Cluster::default(), spread(), |pve| {
        pve.fault(Trouble::Status(On::new("GET", "/nodes/pve2/storage", 1), 595, "No route to host".into()));
    });
    assert_eq!(codes(&findings), ["NODE_UNREACHABLE"]);
    assert!(findings.iter().any(|finding| finding.message.contains("on pve1 takes disks")), "the rest is looked at");
}
