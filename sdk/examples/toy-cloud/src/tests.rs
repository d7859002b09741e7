//! The provider against a cloud of a few lines, which does what the real one does: orders are not idempotent, lists lag.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use agentkube_sdk::cluster::Shape;
use agentkube_sdk::machine::Lifecycle;
use agentkube_sdk::testing::{Reply, Sent, World, answer, check_manifest, empty, kill_at_every_host_call};
use serde_json::{Value, json};

use super::*;

/// How long a new machine is missing from lists, and how long an operation takes, in milliseconds.
const LAG: u64 = 3_000;
const OPERATION: u64 = 2_000;

#[derive(Clone, Default)]
struct Cloud(Rc<RefCell<Inside>>);

#[derive(Default)]
struct Inside {
    machines: BTreeMap<String, Value>,
    /// When each machine was ordered.
    ordered: BTreeMap<String, u64>,
    /// Operations, and when they end.
    operations: BTreeMap<String, (Value, u64)>,
    ids: u32,
    /// The next so many orders are carried out and their answers lost.
    lose: u32,
    /// The next so many operations fail.
    fail: u32,
    booted_with: Vec<String>,
}

impl Cloud {
    fn serve(&self, world: &World) {
        let (cloud, clock) = (self.clone(), world.clone());
        world.http("cloud", move |request| cloud.0.borrow_mut().handle(request, clock.now()));
    }

    fn states(&self) -> Vec<String> {
        let inside = self.0.borrow();
        inside.machines.values().map(|machine| machine["state"].as_str().unwrap().to_owned()).collect()
    }
}

impl Inside {
    fn begin(&mut self, kind: &str, machine: &str, now: u64) -> Value {
        self.ids += 1;
        let error =
            if self.fail > 0 { json!({ "code": "operation_failed", "message": "no host" }) } else { Value::Null };
        self.fail = self.fail.saturating_sub(1);
        let operation = json!({ "id": format!("op-{}", self.ids), "kind": kind, "machine": machine, "state": "running", "error": error });
        let id = operation["id"].as_str().unwrap().to_owned();
        self.machines.get_mut(machine).unwrap()["operation"] = json!(id);
        self.operations.insert(id, (operation.clone(), now + OPERATION));
        operation
    }

    fn tick(&mut self, now: u64) {
        for (operation, due) in self.operations.values_mut() {
            if operation["state"] != "running" || *due > now {
                continue;
            }
            let failed = !operation["error"].is_null();
            operation["state"] = json!(if failed { "failed" } else { "succeeded" });
            let id = operation["machine"].as_str().unwrap();
            let Some(machine) = self.machines.get_mut(id) else { continue };
            machine["operation"] = Value::Null;
            match (operation["kind"].as_str().unwrap(), failed) {
                ("create", true) => machine["state"] = json!("failed"),
                ("create" | "stop", _) => machine["state"] = json!("stopped"),
                ("start", _) => {
                    machine["state"] = json!("running");
                    self.booted_with.push(machine["user_data"].to_string());
                }
                _ => drop(self.machines.remove(id)),
            }
        }
    }

    fn handle(&mut self, request: &Sent, now: u64) -> Reply {
        self.tick(now);
        let refuse = |status, code: &str| answer(status, json!({ "error": { "code": code, "message": "" } }));
        let segments = request.segments();
        match (request.method(), &segments[1..]) {
            ("GET", ["images"]) => answer(200, json!({ "images": [{ "name": "ubuntu" }] })).into(),
            ("POST", ["machines"]) => {
                self.ids += 1;
                let (id, mut machine) = (format!("m-{}", self.ids), request.json());
                let fixed = json!({ "id": id, "state": "creating", "mac": "02:00:00:00:00:01", "addresses": [], "has_user_data": false });
                machine.as_object_mut().unwrap().extend(fixed.as_object().unwrap().clone());
                self.machines.insert(id.clone(), machine);
                self.ordered.insert(id.clone(), now);
                let response = answer(202, self.begin("create", &id, now));
                if self.lose > 0 {
                    self.lose -= 1;
                    return Reply::Lost(response);
                }
                response.into()
            }
            ("GET", ["machines"]) => {
                let wanted = |machine: &Value| {
                    let tags =
                        request.queries().iter().filter_map(|(name, value)| Some((name.strip_prefix("tag.")?, value)));
                    tags.into_iter().all(|(name, value)| machine["tags"][name] == **value)
                };
                let seen =
                    self.machines.iter().filter(|(id, machine)| self.ordered[*id] + LAG <= now && wanted(machine));
                let machines: Vec<&Value> = seen.map(|(_, machine)| machine).collect();
                answer(200, json!({ "machines": machines, "next": null })).into()
            }
            ("GET", ["operations", id]) => answer(200, &self.operations[*id].0).into(),
            (method, ["machines", id, rest @ ..]) => {
                let id = (*id).to_owned();
                let Some(machine) = self.machines.get_mut(&id) else { return refuse(404, "not_found").into() };
                let busy = !machine["operation"].is_null();
                let state = machine["state"].as_str().unwrap().to_owned();
                match (method, rest) {
                    ("GET", []) => answer(200, &*machine).into(),
                    ("PUT", ["user-data"]) if state == "stopped" => {
                        machine["user_data"] = request.json()["user_data"].clone();
                        machine["has_user_data"] = json!(true);
                        empty(204).into()
                    }
                    ("DELETE", ["user-data"]) => {
                        machine["user_data"] = Value::Null;
                        machine["has_user_data"] = json!(false);
                        empty(204).into()
                    }
                    _ if busy => refuse(409, "busy").into(),
                    ("DELETE", []) => {
                        machine["state"] = json!("deleting");
                        answer(202, self.begin("delete", &id, now)).into()
                    }
                    ("POST", ["start"]) if state == "stopped" => {
                        machine["state"] = json!("starting");
                        answer(202, self.begin("start", &id, now)).into()
                    }
                    ("POST", ["stop"]) if state == "running" => {
                        machine["state"] = json!("stopping");
                        answer(202, self.begin("stop", &id, now)).into()
                    }
                    _ => refuse(409, "wrong_state").into(),
                }
            }
            _ => refuse(404, "not_found").into(),
        }
    }
}

fn scene() -> (World, (Cloud, Toy)) {
    let (world, cloud) = (World::new(), Cloud::default());
    let config = json!({ "connection": "cloud", "image": "ubuntu" });
    world.config(config.clone()).manifest(manifest());
    cloud.serve(&world);
    (world, (cloud, Toy::new(serde_json::from_value(config).unwrap()).unwrap()))
}

fn key() -> MachineKey {
    MachineKey { pool: "workers".into(), index: 1, name: "kabcdefghij-workers-01".into() }
}

fn pool() -> Pool {
    let shape = Shape { cores: 2, memory_mib: 4096, disk_gib: None, image: None, networks: vec![] };
    Pool {
        name: "workers".into(),
        provider: None,
        count: 1,
        shape,
        labels: vec![],
        taints: vec![],
        settings: "{}".into(),
    }
}

fn bootstrap() -> Bootstrap {
    Bootstrap { user_data: b"#cloud-config".to_vec(), meta_data: vec![], network_config: None }
}

async fn up(world: &World, toy: &Toy) -> Result<Instance> {
    let found = toy.find(world.a_call(), key()).await?;
    let instance = toy.create(world.a_call(), key(), pool(), found, None).await?;
    let instance = toy.boot(world.a_call(), key(), instance, bootstrap()).await?;
    toy.finish_bootstrap(world.a_call(), key(), instance.clone()).await?;
    Ok(instance)
}

#[test]
fn a_machine_comes_up_and_goes_away() {
    let (world, (cloud, toy)) = scene();
    let instance = world.run(up(&world, &toy)).unwrap();
    assert_eq!((instance.lifecycle, instance.cores), (Lifecycle::Running, 2));
    assert_eq!(cloud.0.borrow().booted_with, [json!(STANDARD.encode("#cloud-config")).to_string()]);
    assert_eq!(world.item("machine", &key().name).unwrap().external_id, Some(instance.id.clone()));
    world.pass(LAG);
    let owned = world.run(toy.list_owned("lab".into(), None)).unwrap();
    assert_eq!((owned.items[0].owner.service.as_str(), &owned.items[0].id), ("svc-1", &instance.id));
    world.run(toy.delete(world.a_call(), key(), Some(instance.id.clone()))).unwrap();
    assert_eq!(world.run(toy.observe(world.a_call(), key(), instance.id)), Ok(None));
    assert!(world.items().is_empty());
    world.run(toy.delete(world.a_call(), key(), None)).unwrap();
}

#[test]
fn killed_anywhere_it_makes_one_machine() {
    let call = async |world: &World, (_, toy): &(Cloud, Toy)| up(world, toy).await;
    let calls = kill_at_every_host_call(scene, call, |_, (cloud, _), result| {
        assert_eq!(result.unwrap().lifecycle, Lifecycle::Running);
        assert_eq!(cloud.states(), ["running"]);
        assert_eq!(cloud.0.borrow().booted_with.len(), 1);
        assert!(cloud.0.borrow().machines.values().all(|machine| machine["has_user_data"] == false));
    });
    assert!(calls > 10, "{calls} host calls");
}

#[test]
fn killed_anywhere_it_deletes_and_forgets() {
    let scene = || {
        let (world, (cloud, toy)) = scene();
        world.run(up(&world, &toy)).unwrap();
        world.pass(LAG);
        (world, (cloud, toy))
    };
    let call = async |world: &World, (_, toy): &(Cloud, Toy)| toy.delete(world.a_call(), key(), None).await;
    kill_at_every_host_call(scene, call, |world, (cloud, _), result| {
        result.unwrap();
        assert_eq!((cloud.states().len(), world.items().len()), (0, 0));
    });
}

#[test]
fn a_lost_order_is_found_again_although_lists_lag() {
    let (world, (cloud, toy)) = scene();
    cloud.0.borrow_mut().lose = 1;
    let fault = world.run(toy.create(world.a_call(), key(), pool(), None, None)).unwrap_err();
    assert_eq!(fault.outcome, Outcome::Unknown);
    world.run(toy.create(world.a_call(), key(), pool(), None, None)).unwrap();
    assert_eq!((cloud.states(), world.sent("POST", "/v1/machines")), (vec!["stopped".to_owned()], 1));
}

#[test]
fn a_failed_machine_is_deleted_and_another_made() {
    let (world, (cloud, toy)) = scene();
    cloud.0.borrow_mut().fail = 1;
    let fault = world.run(toy.create(world.a_call(), key(), pool(), None, None)).unwrap_err();
    assert_eq!((fault.code.as_str(), fault.scope), ("OPERATION_FAILED", Scope::Machine));
    assert!(fault.message.contains("no host") && cloud.states().is_empty());
    world.run(toy.create(world.a_call(), key(), pool(), None, None)).unwrap();
    assert_eq!(cloud.states(), ["stopped"]);
}

#[test]
fn a_machine_that_vanished_is_made_again() {
    let (world, (cloud, toy)) = scene();
    let first = world.run(up(&world, &toy)).unwrap();
    cloud.0.borrow_mut().machines.clear();
    let second = world.run(up(&world, &toy)).unwrap();
    assert_ne!(first.id, second.id);
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let (world, (cloud, toy)) = scene();
    let instance = world.run(up(&world, &toy)).unwrap();
    cloud.0.borrow_mut().machines.get_mut(&instance.id).unwrap()["tags"]["service"] = json!("another");
    let before = world.requests().len();
    for fault in [
        world.run(toy.delete(world.a_call(), key(), Some(instance.id.clone()))).unwrap_err(),
        world.run(toy.power(world.a_call(), key(), instance.id.clone(), PowerAction::Stop)).unwrap_err(),
        world.run(toy.finish_bootstrap(world.a_call(), key(), instance.clone())).unwrap_err(),
    ] {
        assert_eq!(fault.code, "NOT_OURS");
    }
    assert!(world.requests()[before..].iter().all(|request| request.method() == "GET"));
    assert_eq!(cloud.states(), ["running"]);
}

#[test]
fn power_ends_in_the_state_that_was_asked_for() {
    let (world, (cloud, toy)) = scene();
    let id = world.run(up(&world, &toy)).unwrap().id;
    for (action, state) in [
        (PowerAction::Reboot, "running"),
        (PowerAction::Shutdown, "stopped"),
        (PowerAction::Stop, "stopped"),
        (PowerAction::Start, "running"),
    ] {
        world.run(toy.power(world.a_call(), key(), id.clone(), action)).unwrap();
        assert_eq!(cloud.states(), [state]);
    }
}

#[test]
fn preflight_names_the_images_that_there_are() {
    let (world, (_, mut toy)) = scene();
    assert_eq!(world.run(toy.preflight()).unwrap()[0].severity, Severity::Ok);
    toy.config.image = "debian".into();
    let finding = world.run(toy.preflight()).unwrap().remove(0);
    assert_eq!((finding.severity, finding.remedy.as_str()), (Severity::Error, "set `image` to one of: ubuntu"));
}

#[test]
fn the_manifest_is_what_the_code_says() {
    check_manifest(&manifest(), include_str!("../manifest.json"));
}
