//! The provider against an API server double whose `TenantControlPlane`s are moved on as Kamaji would.

use agentkube_sdk::cluster::{Cluster, ControlPlaneWish, Network};
use agentkube_sdk::control_plane::{Phase, Stage};
use agentkube_sdk::kube::{Resource, Target};
use agentkube_sdk::ledger::State;
use agentkube_sdk::prelude::*;
use agentkube_sdk::testing::{World, check_manifest, kill_at_every_host_call};
use serde_json::{Value, json};

mod fence;
mod preflight;

use crate::{Config, Kamaji, manifest, mark, tenant_control_planes};

const NAME: &str = "kabcdefghij";

fn provider(more: Value) -> Kamaji {
    let mut config = json!({ "connection": "admin" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(config).unwrap();
    Kamaji::new(config).unwrap()
}

fn wanted() -> Cluster {
    Cluster {
        version: "v1.35.2".into(),
        network: Network {
            pod_cidrs: vec!["10.244.0.0/16".into()],
            service_cidrs: vec!["10.96.0.0/16".into()],
            domain: "cluster.local".into(),
        },
        control_plane: ControlPlaneWish { provider: None, replicas: 2, cert_sans: vec![], settings: "{}".into() },
        pools: vec![],
        addons: vec![],
        powered: true,
        more: vec![],
    }
}

fn object_target() -> Target {
    tenant_control_planes().target(Some(NAME), NAME)
}

fn namespace_target() -> Target {
    Resource::core("v1", "namespaces").target(None, NAME)
}

fn world() -> World {
    let world = World::new();
    world.config(json!({ "connection": "admin" })).manifest(manifest());
    world
}

/// What Kamaji does after `ms`: sets the status as it stands at that moment of a rollout.
fn later(world: &World, ms: u64, status: Value) {
    world.after(ms, move |world| {
        world.change_object("admin", &object_target(), |object| {
            let mut status = status.clone();
            status["observedGeneration"] = object["metadata"]["generation"].clone();
            object["status"] = status;
        });
    });
}

fn serving(word: &str, checksum: &str) -> Value {
    json!({
        "controlPlaneEndpoint": "10.0.0.9:6443",
        "kubernetesResources": {
            "version": { "status": word, "version": if word == "Ready" { json!("v1.35.2") } else { json!(null) } },
            "deployment": { "readyReplicas": 2 },
        },
        "kubeconfig": { "admin": { "secretName": format!("{NAME}-admin-kubeconfig") } },
        "kubeadmPhase": { "bootstrapToken": { "checksum": checksum } },
    })
}

/// A rollout as it goes: NotReady first, then Ready before the kubeadm phases, then joinable.
fn rollout(world: &World) {
    later(world, 2_000, json!({ "kubernetesResources": { "version": { "status": "NotReady" } } }));
    later(world, 9_000, serving("Provisioning", ""));
    later(world, 15_000, serving("Ready", ""));
    later(world, 40_000, serving("Ready", "abc"));
}

#[test]
fn the_manifest_is_what_the_code_says() {
    check_manifest(&manifest(), include_str!("../../manifest.json"));
}

#[test]
fn every_measurement_is_documented() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    let samples = world.run(provider.metrics(world.a_call())).unwrap();
    let (page, install) = (include_str!("../../../../docs/kamaji.md"), include_str!("../../../../docs/fulcrum.md"));
    assert_eq!(samples.len(), 3);
    for Sample { name, .. } in &samples {
        assert!(page.contains(&format!("`{name}`")) && install.contains(name), "{name}");
    }
}

/// The host checks them with all else that an order says.
#[test]
fn settings_that_cannot_be_are_refused_by_their_schema() {
    let schema = manifest().settings_schema;
    assert_eq!(schema["properties"]["overrides"]["type"], json!(["object", "null"]));
    assert!(schema["properties"]["data-store"]["pattern"].is_string());
}

// Checklist 13, 21, 25, 26, 35, 58, 84, 91, 104, 209, 210, 213, 215.
#[test]
fn a_control_plane_is_claimed_then_joinable_then_ready() {
    let (world, provider) = (world(), provider(json!({})));
    let claimed = world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    assert_eq!(claimed.phase, Phase::Provisioning);
    let object = world.object("admin", &object_target()).unwrap();
    assert_eq!(object["spec"]["kubernetes"]["version"], "v1.35.2");
    assert_eq!(object["spec"]["controlPlane"]["service"]["serviceType"], "LoadBalancer");
    assert_eq!(object["spec"]["addons"]["konnectivity"]["server"]["port"], 8132);
    let admission = object["spec"]["kubernetes"]["admissionControllers"].as_array().unwrap();
    assert!(admission.contains(&json!("NodeRestriction")));
    assert!(mark::read(&object).unwrap().is("lab", "core", "svc-1"));

    rollout(&world);
    let began = world.now();
    let joinable = world.run(provider.ensure(world.a_call(), wanted(), Stage::Joinable)).unwrap();
    assert!(world.now() - began >= 40_000, "Ready alone is not joinable");
    assert_eq!(joinable.endpoint.as_deref(), Some("10.0.0.9:6443"));
    let ready = world.run(provider.ensure(world.a_call(), wanted(), Stage::Ready)).unwrap();
    assert_eq!((ready.phase, ready.version.as_deref()), (Phase::Ready, Some("v1.35.2")));
}

// Invariants 1 and 9. Checklist 149.
#[test]
fn a_claim_that_is_killed_anywhere_makes_one_control_plane() {
    let scene = || (world(), provider(json!({})));
    let calls = kill_at_every_host_call(
        scene,
        async |world: &World, provider: &Kamaji| provider.ensure(world.a_call(), wanted(), Stage::Claimed).await,
        |world, _, result| {
            result.unwrap();
            assert_eq!(world.objects("admin", &tenant_control_planes()).len(), 1);
            assert_eq!(world.item("control-plane", NAME).unwrap().state, State::Live);
        },
    );
    assert!(calls >= 6, "{calls}");
}

#[test]
fn a_control_plane_of_somebody_else_is_left_alone() {
    let (world, provider) = (world(), provider(json!({ "namespace": "shared" })));
    let target = tenant_control_planes().target(Some("shared"), NAME);
    let mut theirs = Owner { installation: "other".into(), ..world.a_call().owner };
    theirs.source = "core".into();
    let object =
        json!({ "kind": "TenantControlPlane", "metadata": mark::metadata(&theirs, Some("shared"), NAME), "spec": {} });
    world.put_object("admin", &target, object);
    let before = world.object("admin", &target);
    for fault in [
        world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap_err(),
        world.run(provider.delete(world.a_call())).unwrap_err(),
        world.run(provider.observe(world.a_call())).unwrap_err(),
    ] {
        assert_eq!((fault.class, fault.code.as_str()), (Class::Conflict, "FOREIGN_CONTROL_PLANE"));
    }
    assert_eq!(world.object("admin", &target), before);
}

#[test]
fn a_missing_address_is_said_with_what_to_look_at() {
    let (world, provider) = (world(), provider(json!({ "address-timeout-ms": 30_000 })));
    let fault = world.run(provider.ensure(world.a_call(), wanted(), Stage::Joinable)).unwrap_err();
    assert_eq!(fault.code, "NO_LOAD_BALANCER_ADDRESS");
    assert!(fault.message.contains(&format!("Service {NAME}/{NAME}")) && fault.retry_after_ms.is_none(), "{fault}");
    let service = Resource::core("v1", "services").target(Some(NAME), NAME);
    let ingress = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": "lb.example" }] } } });
    world.put_object("admin", &service, ingress);
    let fault = world.run(provider.ensure(world.a_call(), wanted(), Stage::Joinable)).unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (Class::Unsupported, "LOAD_BALANCER_HOSTNAME"));
    assert!(fault.message.contains("lb.example"), "{}", fault.message);
    world.forbid("admin", &service.resource, "get");
    let fault = world.run(provider.ensure(world.a_call(), wanted(), Stage::Joinable)).unwrap_err();
    assert_eq!(fault.code, "NO_LOAD_BALANCER_ADDRESS", "without the right to look the text is more general");

    world.change_object("admin", &object_target(), |object| {
        object["spec"]["controlPlane"]["service"]["serviceType"] = json!("NodePort");
    });
    let settings = r#"{"service-type":"NodePort"}"#.to_owned();
    let control_plane = ControlPlaneWish { settings, ..wanted().control_plane };
    let wish = Cluster { control_plane, ..wanted() };
    let fault = world.run(provider.ensure(world.a_call(), wish, Stage::Joinable)).unwrap_err();
    assert_eq!(fault.code, "NO_ADDRESS");
    assert!(fault.message.contains("overrides.networkProfile.address"), "{fault}");
}

// Checklist 36, 150, 163; deletion order.
#[test]
fn deleting_goes_object_first_and_namespace_last() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    world.change_object("admin", &object_target(), |object| {
        object["metadata"]["finalizers"] = json!(["finalizer.kamaji.clastix.io"]);
    });
    world.after(20_000, |world| {
        assert!(world.object("admin", &namespace_target()).is_some(), "the finalizer still needs the namespace");
        world.remove_object("admin", &object_target());
    });
    world.run(provider.delete(world.a_call())).unwrap();
    assert!(world.object("admin", &object_target()).is_none());
    assert!(world.object("admin", &namespace_target()).is_none());
    assert!(world.items().iter().all(|item| item.state == State::Gone));
    world.run(provider.delete(world.a_call())).unwrap();
}

#[test]
fn a_deletion_that_hangs_names_its_finalizers() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    world.change_object("admin", &object_target(), |object| {
        object["metadata"]["finalizers"] = json!(["finalizer.kamaji.clastix.io"]);
        object["spec"]["dataStore"] = json!("gone");
    });
    let fault = world.run(provider.delete(world.a_call())).unwrap_err();
    assert_eq!(fault.code, "DELETION_STUCK");
    assert!(
        fault.message.contains("finalizer.kamaji.clastix.io") && fault.message.contains("DataStore gone"),
        "{fault}"
    );
    world.change_object("admin", &object_target(), |object| {
        object["metadata"]["annotations"]["kamaji.clastix.io/paused"] = json!("");
    });
    let fault = world.run(provider.delete(world.a_call())).unwrap_err();
    assert!(fault.message.contains("remove the annotation kamaji.clastix.io/paused"), "{fault}");
}

#[test]
fn a_namespace_that_does_not_go_says_what_is_left_in_it() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    world.change_object("admin", &namespace_target(), |object| {
        object["metadata"]["finalizers"] = json!(["example.org/hold"]);
        let text = "Some resources are remaining: widgets.example.org has 1 resource instances";
        object["status"]["phase"] = json!("Terminating");
        object["status"]["conditions"] =
            json!([{ "type": "NamespaceContentRemaining", "status": "True", "message": text }]);
    });
    let fault = world.run(provider.delete(world.a_call())).unwrap_err();
    assert_eq!(fault.code, "DELETION_STUCK");
    assert!(fault.message.contains("widgets.example.org has 1"), "{fault}");
    let fault = world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap_err();
    assert_eq!((fault.class, fault.code.as_str()), (Class::Busy, "BEING_DELETED"), "{fault}");
}

// Checklist 38, 40.
#[test]
fn a_rollout_is_no_degradation_while_others_serve() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    let phase = |status: Value| {
        world.change_object("admin", &object_target(), |object| object["status"] = status);
        world.run(provider.observe(world.a_call())).unwrap().unwrap().phase
    };
    let mut rolling = serving("Unknown", "abc");
    rolling["kubernetesResources"]["version"]["version"] = json!("v1.35.2");
    assert_eq!(phase(rolling.clone()), Phase::Ready);
    rolling["kubernetesResources"]["version"]["status"] = json!("NotReady");
    rolling["kubernetesResources"]["deployment"]["readyReplicas"] = json!(0);
    assert_eq!(phase(rolling), Phase::Degraded);
}

#[test]
fn renewal_is_refused_with_the_command_that_does_it() {
    let (world, provider) = (world(), provider(json!({})));
    let fault = world.run(provider.rotate(world.a_call())).unwrap_err();
    assert_eq!(fault.code, "UNSUPPORTED");
    assert!(fault.message.contains("certs.kamaji.clastix.io/rotate"), "{fault}");
}

// Checklist 39.
#[test]
fn what_is_ours_is_listed_even_when_only_its_namespace_is_left() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    let list = || {
        let (mut found, mut page) = (Vec::new(), None);
        loop {
            let answer = world.run(provider.list_owned("lab".into(), page)).unwrap();
            found.extend(answer.items.into_iter().map(|item| item.kind));
            page = answer.next;
            if page.is_none() {
                return found;
            }
        }
    };
    assert_eq!(list(), ["control-plane", "namespace"]);
    world.remove_object("admin", &object_target());
    assert_eq!(list(), ["namespace"]);
}

// Invariant 5. Checklist 214.
#[test]
fn kubeconfigs_are_references() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    later(&world, 1_000, serving("Ready", "abc"));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Ready)).unwrap();
    let fault = world.run(provider.kubeconfig(world.a_call())).unwrap_err();
    assert_eq!(fault.code, "KUBECONFIG_MISSING");
    let target = Resource::core("v1", "secrets").target(Some(NAME), &format!("{NAME}-admin-kubeconfig"));
    let data = json!({ "admin.conf": "b3duZXI=", "super-admin.conf": "b3BlcmF0b3I=" });
    world.put_object("admin", &target, json!({ "kind": "Secret", "data": data }));
    let configs = world.run(provider.kubeconfig(world.a_call())).unwrap();
    assert_ne!(configs.operator, configs.owner);
    assert!(!configs.operator.contains("b3BlcmF0b3I"), "a guest must not see it");
    assert_eq!(world.value(&configs.owner).as_deref(), Some("owner"));
}

#[test]
fn an_owner_never_gets_the_super_admins_kubeconfig() {
    let config: Config =
        serde_json::from_value(json!({ "connection": "admin", "owner-key": "super-admin.conf" })).unwrap();
    assert_eq!(Kamaji::new(config).err().unwrap().code, "BAD_CONFIG");
}

// Invariant 9. Checklist 37, 84: what a cluster chooses is applied to a living object, with its uid.
#[test]
fn a_change_is_applied_to_the_object_that_is_there() {
    let (world, provider) = (world(), provider(json!({})));
    world.run(provider.ensure(world.a_call(), wanted(), Stage::Claimed)).unwrap();
    let uid = world.object("admin", &object_target()).unwrap()["metadata"]["uid"].clone();
    let mut more = wanted();
    more.control_plane.replicas = 3;
    more.control_plane.settings =
        r#"{"overrides":{"controlPlane":{"deployment":{"strategy":{"type":"Recreate"}}}}}"#.into();
    world.run(provider.ensure(world.a_call(), more, Stage::Claimed)).unwrap();
    let object = world.object("admin", &object_target()).unwrap();
    assert_eq!(object["spec"]["controlPlane"]["deployment"]["replicas"], 3);
    assert_eq!(object["spec"]["controlPlane"]["deployment"]["strategy"]["type"], "Recreate");
    assert_eq!(object["metadata"]["uid"], uid);
}
