//! What the first look finds.

use agentkube_sdk::kube::Resource;
use agentkube_sdk::prelude::*;
use agentkube_sdk::testing::World;
use serde_json::{Value, json};

use super::{provider, world};
use crate::manifest::{DIAGNOSTICS, RULES, raw};
use crate::{mark, tenant_control_planes};

/// An admin cluster as it should be; its API server is at 10.0.0.10.
fn well() -> World {
    let world = world();
    world.raw_paths("admin", answers("v1.34.2"));
    let store = json!({
        "spec": { "driver": "etcd", "endpoints": ["etcd-0.etcd.kamaji-system.svc:2379"] }, "status": { "ready": true, "usedBy": [] }
    });
    world.put_object("admin", &stores().target(None, "default"), store);
    let begun = world.now();
    world.rehearsals("admin", move |object| {
        let mut object = object.clone();
        object["metadata"]["creationTimestamp"] = json!(stamp(begun));
        Ok(object)
    });
    world
}

fn stores() -> Resource {
    Resource::new("kamaji.clastix.io", "v1alpha1", "datastores")
}

/// `ms` as an API server writes it.
fn stamp(ms: u64) -> String {
    let (days, seconds) = ((ms / 86_400_000) as i64 + 719_468, ms / 1000 % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (y, m, d) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 }, day - (153 * month + 2) / 5 + 1);
    let y = if m <= 2 { y + 1 } else { y };
    format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn answers(version: &str) -> impl Fn(&str) -> (u16, String) + 'static {
    let version = json!({ "gitVersion": version }).to_string();
    move |path| match path {
        raw::VERSION => (200, version.clone()),
        raw::KINDS => {
            let kinds = json!({ "resources": [{ "name": "tenantcontrolplanes" }, { "name": "datastores" }] });
            (200, kinds.to_string())
        }
        raw::SERVERS => (200, json!({ "subsets": [{ "addresses": [{ "ip": "10.0.0.10" }] }] }).to_string()),
        _ => (404, String::new()),
    }
}

/// Codes of what is not well, with the whole findings for messages.
fn trouble(world: &World, config: Value) -> (Vec<String>, Vec<Finding>) {
    let findings = world.run(provider(config).preflight()).unwrap();
    let bad = findings.iter().filter(|finding| finding.severity != Severity::Ok);
    (bad.map(|finding| finding.code.clone()).collect(), findings)
}

fn codes(world: &World, config: Value) -> Vec<String> {
    trouble(world, config).0
}

#[test]
fn a_good_admin_cluster_has_nothing_to_complain_about() {
    let (bad, findings) = trouble(&well(), json!({}));
    assert_eq!(bad, Vec::<String>::new(), "{findings:?}");
    let all: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let wanted = [
        "ADMIN_REACHABLE",
        "KAMAJI_FOUND",
        "RIGHTS_COMPLETE",
        "DATASTORE_READY",
        "DATASTORE_SEPARATE",
        "WEBHOOK_ANSWERS",
        "CLOCK_AGREES",
        "LOAD_BALANCER_UNTRIED",
    ];
    assert_eq!(all, wanted);
}

#[test]
fn the_one_verb_that_is_missing_is_named() {
    for (group, plural, verbs) in RULES.iter().chain(&DIAGNOSTICS) {
        for verb in *verbs {
            let world = well();
            world.forbid("admin", &Resource::new(group, "v1", plural), verb);
            let (bad, findings) = trouble(&world, json!({}));
            assert_eq!(bad, ["VERB_MISSING"], "{verb} {plural}");
            let finding = findings.iter().find(|finding| finding.code == "VERB_MISSING").unwrap();
            let line = format!("{{ apiGroups: [\"{group}\"], resources: [\"{plural}\"], verbs: [\"{verb}\"] }}");
            assert!(finding.message.contains(&format!("may not {verb} {plural}")), "{}", finding.message);
            assert!(finding.remedy.contains(&line), "{}", finding.remedy);
        }
    }
    let world = well();
    world.forbid("admin", &Resource::core("v1", "namespaces"), "delete");
    assert_eq!(codes(&world, json!({ "namespace": "shared" })), Vec::<String>::new(), "a shared one is not deleted");
}

// Checklist 206.
#[test]
fn servers_and_kinds_that_are_not_as_they_should_be_are_told_apart() {
    let with = |answer: fn(&str) -> Option<(u16, String)>| {
        let world = well();
        let usual = answers("v1.34.2");
        world.raw_paths("admin", move |path| answer(path).unwrap_or_else(|| usual(path)));
        codes(&world, json!({}))
    };
    assert_eq!(with(|path| (path == raw::VERSION).then(|| (401, String::new()))), ["ADMIN_UNAUTHORIZED"]);
    assert_eq!(with(|path| (path == raw::VERSION).then(|| (503, String::new()))), ["ADMIN_UNWELL"]);
    let world = well();
    world.raw_paths("admin", answers("v1.31.4"));
    assert_eq!(codes(&world, json!({})), ["ADMIN_OLD"]);
    assert_eq!(with(|path| (path == raw::KINDS).then(|| (404, String::new()))), ["KAMAJI_MISSING"]);
    let other = |path: &str| match path {
        raw::KINDS => Some((404, String::new())),
        raw::GROUP => Some((200, json!({ "preferredVersion": { "version": "v1" } }).to_string())),
        _ => None,
    };
    assert_eq!(with(other), ["KAMAJI_VERSION"]);
    let half = |path: &str| {
        (path == raw::KINDS).then(|| (200, json!({ "resources": [{ "name": "tenantcontrolplanes" }] }).to_string()))
    };
    assert_eq!(with(half), ["KAMAJI_MISSING"]);
}

// Checklist 203.
#[test]
fn the_data_store_is_looked_at() {
    let put = |change: fn(&mut Value)| {
        let world = well();
        world.change_object("admin", &stores().target(None, "default"), change);
        trouble(&world, json!({}))
    };
    let (bad, findings) = put(|store| {
        store["status"] = json!({ "ready": false, "conditions": [
            { "status": "False", "reason": "Refused", "message": "certificate expired" }] });
    });
    assert_eq!(bad, ["DATASTORE_NOT_READY"]);
    assert!(findings.iter().any(|finding| finding.message.contains("certificate expired")), "{findings:?}");
    for endpoint in ["10.0.0.10:2379", "127.0.0.1:2379", "etcd-0.kube-system.svc:2379", "[::1]:2379"] {
        let world = well();
        world.change_object("admin", &stores().target(None, "default"), |store| {
            store["spec"]["endpoints"] = json!([endpoint]);
        });
        assert_eq!(codes(&world, json!({})), ["DATASTORE_IS_ADMIN_ETCD"], "{endpoint}");
    }
    assert_eq!(codes(&well(), json!({ "data-store": "fast" })), ["DATASTORE_MISSING"]);
    let world = well();
    world.remove_object("admin", &stores().target(None, "default"));
    assert_eq!(codes(&world, json!({})), ["DATASTORE_UNNAMED"]);
}

#[test]
fn the_webhook_the_template_and_the_clock_are_tried_without_effect() {
    let with = |answer: fn() -> Fault| {
        let world = well();
        world.rehearsals("admin", move |_| Err(answer()));
        let bad = codes(&world, json!({}));
        assert_eq!(world.objects("admin", &tenant_control_planes()).len(), 0);
        bad
    };
    assert_eq!(with(|| Fault::unavailable("WEBHOOK_UNAVAILABLE", "connection refused")), ["WEBHOOK_DOWN"]);
    assert_eq!(with(|| Fault::invalid("ADMISSION_DENIED", "no such CIDR")), ["TEMPLATE_REFUSED"]);
    assert_eq!(with(|| Fault::not_found("NOT_FOUND", "namespaces")), ["NAMESPACE_MISSING"]);
    let quota = || Fault::exhausted("QUOTA_EXCEEDED", "count/tcp");
    assert!(with(quota).is_empty(), "no control plane would stand in the namespace that was tried");
    let world = well();
    world.rehearsals("admin", move |_| Err(quota()));
    assert_eq!(codes(&world, json!({ "namespace": "tenants" })), ["QUOTA_EXCEEDED"]);
    assert_eq!(with(|| Fault::denied("KUBE_NOT_GRANTED", "namespaces = [\"default\"]")), ["WEBHOOK_UNTRIED"]);
    for (late, severity) in [(60_000, Severity::Warning), (600_000, Severity::Error)] {
        let world = well();
        let then = stamp(world.now() - late);
        world.rehearsals("admin", move |_| Ok(json!({ "metadata": { "creationTimestamp": then } })));
        let (bad, findings) = trouble(&world, json!({}));
        assert_eq!(bad, ["CLOCK_SKEW"]);
        assert!(findings.iter().any(|finding| finding.severity == severity), "{findings:?}");
    }
}

#[test]
fn what_can_be_known_of_addresses_is_told() {
    let plane = |status: Value| {
        let world = well();
        let target = tenant_control_planes().target(Some("a"), "a");
        let spec = json!({ "controlPlane": { "service": { "serviceType": "LoadBalancer" } } });
        world.put_object("admin", &target, json!({ "spec": spec, "status": status }));
        let (bad, findings) = trouble(&world, json!({}));
        assert_eq!(mark::name(&world.object("admin", &target).unwrap()), "a");
        bad.first().cloned().unwrap_or_else(|| findings.last().unwrap().code.clone())
    };
    let ingress =
        |ingress: Value| json!({ "kubernetesResources": { "service": { "loadBalancer": { "ingress": [ingress] } } } });
    assert_eq!(plane(ingress(json!({ "ip": "10.0.0.9" }))), "LOAD_BALANCER_WORKS");
    assert_eq!(plane(ingress(json!({ "hostname": "lb.example" }))), "LOAD_BALANCER_HOSTNAME");
    assert_eq!(plane(json!({})), "LOAD_BALANCER_SILENT");
    let node_port = json!({ "service-type": "NodePort" });
    assert_eq!(codes(&well(), node_port), ["NODE_PORT_ADDRESS", "NODE_PORT_RANGE", "NODE_PORT_KONNECTIVITY"]);
    let complete = json!({
        "service-type": "NodePort", "port": 31443, "konnectivity": false,
        "overrides": { "networkProfile": { "address": "10.0.0.10" } }
    });
    assert_eq!(codes(&well(), complete), Vec::<String>::new());
    assert_eq!(codes(&well(), json!({ "service-type": "ClusterIP" })), ["CLUSTER_IP_UNROUTED"]);
    let routed = json!({ "service-type": "ClusterIP", "overrides": { "controlPlane": { "ingress": { "hostname": "a.example" } } } });
    assert_eq!(codes(&well(), routed), Vec::<String>::new());
}
