//! The controller: a queue of control planes, a few lanes that reconcile them, and what one reconcile does.

use std::net::Ipv4Addr;

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use super::faults::Balancer;
use super::plane::{Keys, Plane, PlaneKey, Pods, Soot};
use super::{AdminCluster, GROUP, PLANES, STORES, secrets, server, status};
use crate::api::{Change, Resource, WriteBlock};
use crate::pki::PkiError;
use crate::tenant::Tenant;

const FINALIZERS: [&str; 2] = ["finalizer.kamaji.clastix.io", "finalizer.kamaji.clastix.io/soot"];
pub(super) const PAUSED: &str = "kamaji.clastix.io/paused";
const ROTATE: &str = "certs.kamaji.clastix.io/rotate";

enum Event {
    /// A plane leaves the queue for a lane.
    Start(PlaneKey),
    /// The reconcile in this lane ends.
    Finish(usize),
    /// Pods of a plane change.
    Pods(PlaneKey),
    /// A phase of a plane is due.
    Phase(PlaneKey),
}

impl AdminCluster {
    /// Puts a plane into the queue.
    pub(super) fn enqueue(&mut self, key: &PlaneKey, at: Millis) {
        let due = self.queue.entry(key.clone()).or_insert(at);
        *due = (*due).min(at);
    }

    /// When the controller next has something to do.
    pub(super) fn next_event(&self) -> Option<Millis> {
        self.first_event().map(|(at, _)| at)
    }

    fn first_event(&self) -> Option<(Millis, Event)> {
        let busy = |key: &PlaneKey| self.lanes.iter().any(|(_, other)| other == key);
        let start = (self.lanes.len() < self.settings.max_concurrent_reconciles.max(1))
            .then(|| self.queue.iter().filter(|(key, _)| !busy(key)).min_by_key(|(_, at)| **at))
            .flatten()
            .map(|(key, at)| ((*at).max(self.cursor), Event::Start(key.clone())));
        let finish = self.lanes.iter().enumerate().min_by_key(|(_, (at, _))| *at);
        let finish = finish.map(|(lane, (at, _))| (*at, Event::Finish(lane)));
        let pods = self.planes.iter().filter_map(|(key, plane)| Some((plane.pods.timer()?, key))).min();
        let phase = self.planes.iter().filter_map(|(key, plane)| Some((plane.soot?.next()?, key))).min();
        [
            finish,
            pods.map(|(at, key)| (at, Event::Pods(key.clone()))),
            phase.map(|(at, key)| (at, Event::Phase(key.clone()))),
            start,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Handles every event up to now, in the order of their times.
    pub(super) fn run_controller(&mut self, now: Millis, random: &mut Random) {
        self.notice(now);
        while let Some((at, event)) = self.first_event().filter(|(at, _)| *at <= now) {
            self.cursor = self.cursor.max(at);
            match event {
                Event::Start(key) => {
                    self.queue.remove(&key);
                    let cost = self.cost(&key, at);
                    self.lanes.push((at + cost, key));
                }
                Event::Finish(lane) => {
                    let (_, key) = self.lanes.swap_remove(lane);
                    // A certificate that cannot be made is tried again like any other failed reconcile.
                    if self.reconcile(&key, at, random).is_err() {
                        self.retry(&key, at);
                    }
                }
                Event::Pods(key) => {
                    if let Some(plane) = self.planes.get_mut(&key)
                        && plane.pods.advance(at)
                    {
                        if plane.pods.is_rolled_out() {
                            let version = plane.pods.version.clone();
                            plane.tenant.api_mut().set_version(&version);
                        }
                        self.enqueue(&key, at);
                    }
                }
                Event::Phase(key) => self.run_phases(&key, at, random),
            }
            self.notice(at);
        }
        self.cursor = self.cursor.max(now);
    }

    pub(super) fn tick_tenants(&mut self, now: Millis, random: &mut Random) {
        let mut changed = Vec::new();
        for (key, plane) in &mut self.planes {
            plane.tenant.tick(&plane.keys.authority, now, random);
            let checksum = plane.tenant.bootstrap_checksum().map(str::to_owned);
            if plane.phases_done && plane.checksum != checksum {
                plane.checksum = checksum;
                changed.push(key.clone());
            }
        }
        for key in changed {
            self.enqueue(&key, now);
        }
    }

    /// Reads what changed in the admin cluster and queues the planes that it is about.
    fn notice(&mut self, now: Millis) {
        if self.seen == self.api.store().revision() {
            return;
        }
        let planes = Resource::new(GROUP, PLANES);
        let secrets = Resource::new("", "secrets");
        let mut touched = Vec::new();
        let mut gone = Vec::new();
        let mut rotated = Vec::new();
        for record in self.api.store().since(self.seen).into_iter().flatten() {
            let key = key_of(&record.object);
            if record.resource == planes {
                if record.change == Change::Deleted {
                    gone.push(key);
                } else if record.before.as_ref().is_none_or(|before| matters(before) != matters(&record.object)) {
                    touched.push(key);
                }
            } else if record.resource == secrets {
                let asked = record.object["metadata"]["annotations"][ROTATE] == "";
                if asked || record.change == Change::Deleted {
                    rotated.push((record.object.clone(), asked));
                }
            }
        }
        self.seen = self.api.store().revision();
        for key in gone {
            // Another object of that name may already be there: only the plane of the one that went is dropped.
            if self.api.get(GROUP, PLANES, &key.0, &key.1).is_none() {
                self.planes.remove(&key);
                self.queue.remove(&key);
            }
        }
        for key in touched {
            self.enqueue(&key, now);
        }
        for (secret, asked) in rotated {
            self.rotate_secret(&secret, asked, now);
        }
    }

    fn rotate_secret(&mut self, secret: &Value, asked: bool, now: Millis) {
        let owner = secret["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default();
        let (namespace, name) = key_of(secret);
        let key = (namespace, owner.to_owned());
        let Some(plane) = self.planes.get_mut(&key) else { return };
        match name.strip_prefix(&format!("{owner}-")) {
            Some("admin-kubeconfig") => {
                plane.keys.admin = None;
                plane.keys.super_admin = None;
            }
            Some("api-server-certificate") => plane.keys.serving = None,
            _ if asked => return,
            _ => {}
        }
        self.enqueue(&key, now);
    }

    /// How long the reconcile that starts now keeps its lane.
    fn cost(&self, key: &PlaneKey, now: Millis) -> Millis {
        let timings = &self.settings.timings;
        let Some(object) = self.api.get(GROUP, PLANES, &key.0, &key.1) else { return self.settings.scaled(0) };
        let deleting = object["metadata"]["deletionTimestamp"].is_string();
        let plane = self.planes.get(key);
        let balanced = object["spec"]["controlPlane"]["service"]["serviceType"] == "LoadBalancer";
        let refused = balanced && matches!(self.faults.balancer, Balancer::Missing | Balancer::Hostname);
        let reachable = !refused && plane.map_or(!balanced, |plane| plane.address_at > 0 && now >= plane.address_at);
        self.settings.scaled(match plane {
            _ if deleting && self.can_remove(key) => timings.removal,
            _ if deleting => timings.reconcile / 10,
            Some(plane) if plane.is_set_up => timings.reconcile,
            _ if reachable => timings.setup,
            _ => timings.reconcile,
        })
    }

    fn retry(&mut self, key: &PlaneKey, now: Millis) {
        let at = now + self.settings.scaled(self.settings.timings.retry);
        self.enqueue(key, at);
    }

    fn reconcile(&mut self, key: &PlaneKey, now: Millis, random: &mut Random) -> Result<(), PkiError> {
        let Some(object) = self.api.get(GROUP, PLANES, &key.0, &key.1).cloned() else { return Ok(()) };
        let metadata = &object["metadata"];
        if metadata["annotations"].get(PAUSED).is_some() {
            return Ok(());
        }
        if metadata["deletionTimestamp"].is_string() {
            self.remove(key, now, random);
            return Ok(());
        }
        let uid = metadata["uid"].as_str().unwrap_or_default();
        if self.planes.get(key).is_none_or(|plane| plane.uid != uid) {
            let plane = self.new_plane(&object, now, random)?;
            self.planes.insert(key.clone(), plane);
            self.set_finalizers(key, &FINALIZERS[..1], now, random);
        }
        let Some(endpoint) = self.expose(key, &object, now, random) else {
            self.retry(key, now);
            return Ok(());
        };
        self.settle(key, &object, &endpoint, now, random)
    }

    fn new_plane(&mut self, object: &Value, now: Millis, random: &mut Random) -> Result<Plane, PkiError> {
        let number = self.next_tenant;
        self.next_tenant += 1;
        let version = object["spec"]["kubernetes"]["version"].as_str().unwrap_or_default();
        let tenant = Tenant::new(version, self.settings.pace(), server::first_stream(number), now, random);
        Ok(Plane {
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            number,
            port: object["spec"]["networkProfile"]["port"].as_u64().unwrap_or(6443) as u16,
            address: None,
            address_at: 0,
            is_set_up: false,
            keys: Keys::new(now)?,
            pods: Pods::default(),
            tenant,
            soot: None,
            phases_done: false,
            checksum: None,
        })
    }

    /// The Service and its address. `None` while there is none: Kamaji then goes no further and tries again.
    fn expose(&mut self, key: &PlaneKey, object: &Value, now: Millis, random: &mut Random) -> Option<String> {
        let service = object["spec"]["controlPlane"]["service"]["serviceType"].as_str().unwrap_or_default();
        let given = object["spec"]["networkProfile"]["address"].as_str().and_then(|a| a.parse::<Ipv4Addr>().ok());
        let balanced = service == "LoadBalancer";
        let balancer = self.faults.balancer;
        let delay = match balancer {
            Balancer::Late(ms) => ms,
            _ => self.settings.scaled(self.settings.timings.balancer),
        };
        let plane = self.planes.get_mut(key)?;
        plane.port = object["spec"]["networkProfile"]["port"].as_u64().unwrap_or(6443) as u16;
        if plane.address_at == 0 {
            plane.address_at = if balanced { now + delay } else { now };
            secrets::service(&mut self.api, object, None, now, random);
        }
        let refused = balanced && matches!(balancer, Balancer::Missing | Balancer::Hostname);
        if plane.address.is_none() && now >= plane.address_at && !refused && (service != "NodePort" || given.is_some())
        {
            plane.address = Some(given.unwrap_or_else(|| self.settings.address(self.next_address)));
            self.next_address += u32::from(given.is_none());
        }
        let Some(address) = plane.address else {
            if balanced && balancer == Balancer::Hostname {
                let name = json!({"hostname": format!("{}.balancer.lab.test", key.1)});
                secrets::service(&mut self.api, object, Some(name), now, random);
            }
            return None;
        };
        let port = plane.port;
        let ingress = balanced.then(|| json!({"ip": address.to_string()}));
        secrets::service(&mut self.api, object, ingress, now, random);
        Some(format!("{address}:{port}"))
    }

    /// Everything after the address: keys, Secrets, pods, status.
    fn settle(
        &mut self,
        key: &PlaneKey,
        object: &Value,
        endpoint: &str,
        now: Millis,
        random: &mut Random,
    ) -> Result<(), PkiError> {
        let rollout = self.settings.scaled(self.settings.timings.rollout);
        let flaw = self.faults.kubeconfig;
        let slow = self.faults.slow_pods;
        let Some(plane) = self.planes.get_mut(key) else { return Ok(()) };
        let spec = &object["spec"];
        let first = !plane.is_set_up;
        plane.keys.issue(serving_names(object, endpoint), now)?;
        plane.is_set_up = true;
        plane.pods.follow(spec, now, if first { rollout + slow } else { rollout });
        let limits = &spec["writePermissions"];
        plane.tenant.api_mut().set_write_block(WriteBlock {
            creation: limits["blockCreation"] == true,
            update: limits["blockUpdate"] == true,
            deletion: limits["blockDeletion"] == true,
        });
        secrets::write(&mut self.api, object, plane, endpoint, flaw, now, random)?;
        secrets::deployment(&mut self.api, object, plane, now, random);
        let installed = object["status"]["kubernetesResources"]["version"]["version"].as_str().unwrap_or_default();
        let state = status::state(spec, plane, installed);
        let soot = match state {
            "Ready" | "WriteLimited" if plane.soot.is_none() => Some(true),
            "NotReady" | "Sleeping" if plane.soot.is_some() => Some(false),
            _ => None,
        };
        let generation = object["metadata"]["generation"].clone();
        let mut done = object.clone();
        status::write(&mut done, plane, endpoint, now);
        self.api.edit((GROUP, PLANES), (&key.0, &key.1), now, random, |live| {
            live["status"] = done["status"].clone();
            live["status"]["observedGeneration"] = generation;
        });
        match soot {
            Some(true) => {
                self.start_soot(key, now, random);
                if self.faults.flaps > 0 {
                    self.faults.flaps -= 1;
                    self.flap(&key.0, &key.1, now);
                }
            }
            Some(false) => {
                if let Some(plane) = self.planes.get_mut(key) {
                    plane.soot = None;
                }
                self.set_finalizers(key, &FINALIZERS[..1], now, random);
            }
            None => {}
        }
        self.mark_rotations(key, now, random);
        if first {
            self.count_users(now, random);
        }
        Ok(())
    }

    fn start_soot(&mut self, key: &PlaneKey, now: Millis, random: &mut Random) {
        let timings = self.settings.timings;
        let late = self.faults.admin_forbidden;
        let (checksum_late, signatures_late) = (self.faults.checksum_late, self.faults.signatures_late);
        let at = |ms: Millis| Some(now + self.settings.scaled(ms));
        let Some(plane) = self.planes.get_mut(key) else { return };
        plane.soot = Some(if plane.phases_done {
            Soot::default()
        } else {
            Soot {
                info: at(timings.phase_info),
                config: at(timings.phase_config),
                admin: at(timings.phase_admin).map(|at| at + late),
                checksum: at(timings.phase_checksum).map(|at| at + checksum_late),
            }
        });
        if signatures_late > 0 {
            plane.tenant.withhold_signatures(now + signatures_late, now, random);
        }
        self.set_finalizers(key, &FINALIZERS, now, random);
    }

    /// A rotation that was asked for by annotation is answered there with its time.
    fn mark_rotations(&mut self, key: &PlaneKey, now: Millis, random: &mut Random) {
        for suffix in ["admin-kubeconfig", "api-server-certificate"] {
            let name = format!("{}-{suffix}", key.1);
            self.api.edit(("", "secrets"), (&key.0, &name), now, random, |secret| {
                if secret["metadata"]["annotations"][ROTATE] == "" {
                    secret["metadata"]["annotations"][ROTATE] = rfc3339(now).into();
                }
            });
        }
    }

    fn set_finalizers(&mut self, key: &PlaneKey, ours: &[&str], now: Millis, random: &mut Random) {
        self.api.edit((GROUP, PLANES), (&key.0, &key.1), now, random, |object| {
            let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            all.retain(|f| !FINALIZERS.iter().any(|other| f == other));
            all.extend(ours.iter().map(|f| Value::from(*f)));
            object["metadata"]["finalizers"] = all.into();
        });
    }

    /// Whether Kamaji can remove a plane: its data store is there and ready, and the namespace still takes objects.
    fn can_remove(&self, key: &PlaneKey) -> bool {
        let Some(object) = self.api.get(GROUP, PLANES, &key.0, &key.1) else { return false };
        let store = self.api.get(GROUP, STORES, "", object["spec"]["dataStore"].as_str().unwrap_or_default());
        let namespace = self.api.get("", "namespaces", "", &key.0);
        let open = namespace.is_some_and(|namespace| !namespace["metadata"]["deletionTimestamp"].is_string());
        open && !self.faults.deletion_stuck && store.is_some_and(|store| store["status"]["ready"] == true)
    }

    /// The finalizers' work. A namespace that is already being deleted wedges it: nothing can be written there any more.
    fn remove(&mut self, key: &PlaneKey, now: Millis, random: &mut Random) {
        if !self.can_remove(key) {
            self.retry(key, now);
            return;
        }
        let secret = format!("{}-datastore-config", key.1);
        self.api.edit(("", "secrets"), (&key.0, &secret), now, random, |secret| {
            secret["metadata"]["finalizers"] = json!([])
        });
        self.set_finalizers(key, &[], now, random);
        if self.api.get(GROUP, PLANES, &key.0, &key.1).is_none() {
            self.planes.remove(key);
        }
        self.count_users(now, random);
    }

    /// `usedBy` of every data store.
    fn count_users(&mut self, now: Millis, random: &mut Random) {
        let planes = self.api.objects(GROUP, PLANES, None);
        for store in self.api.objects(GROUP, STORES, None) {
            let name = store["metadata"]["name"].as_str().unwrap_or_default();
            let users: Vec<String> = planes
                .iter()
                .filter(|plane| plane["spec"]["dataStore"] == name)
                .map(|plane| key_of(plane))
                .map(|(namespace, name)| format!("{namespace}/{name}"))
                .collect();
            self.api.edit((GROUP, STORES), ("", name), now, random, |store| store["status"]["usedBy"] = users.into());
        }
    }
}

/// (namespace, name) of an object.
pub fn key_of(object: &Value) -> PlaneKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// What of an object makes the controller look: its own finalizers and status do not.
fn matters(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!([object["spec"], metadata["annotations"], metadata["labels"], metadata["deletionTimestamp"]])
}

fn serving_names(object: &Value, endpoint: &str) -> Vec<String> {
    let (namespace, name) = key_of(object);
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let mut names: Vec<String> = [
        host,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        &name,
        &format!("{name}.{namespace}"),
        &format!("{name}.{namespace}.svc"),
    ]
    .map(str::to_owned)
    .to_vec();
    let more = object["spec"]["networkProfile"]["certSANs"].as_array().into_iter().flatten();
    names.extend(more.filter_map(Value::as_str).map(str::to_owned));
    names
}
