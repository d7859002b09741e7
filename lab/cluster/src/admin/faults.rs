//! What tests break, and the operations that a test makes Kamaji do.

use std::sync::atomic::Ordering;

use lab_wire::{Millis, Random};
use serde_json::{Value, json};

use super::AdminCluster;
use super::controller::PAUSED;
use super::definitions::{GROUP, PLANES, STORES};
use super::plane::{Keys, PlaneKey};
use super::secrets::KubeconfigFlaw;
use super::soot;
use crate::pki::PkiError;

/// How the load balancer behaves for control planes that have no address yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// An address after the usual time.
    #[default]
    Works,
    /// No address, ever.
    Missing,
    /// An address after this time (not scaled), for planes that ask from now on.
    Late(Millis),
    /// A host name, which Kamaji does not take.
    Hostname,
}

/// A fault that stays until it is set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminFault {
    /// How the load balancer behaves.
    Balancer(Balancer),
    /// Kamaji's webhooks do not answer: writes of its objects fail with 500.
    WebhooksDown(bool),
    /// Deletions do not come to an end.
    DeletionStuck(bool),
    /// The binding for `admin.conf` comes this much later (not scaled) to planes that become Ready from now on.
    AdminForbidden(Millis),
    /// What is wrong with kubeconfigs written from now on.
    Kubeconfig(KubeconfigFlaw),
    /// The first pods of planes made from now on need this much longer (not scaled): they are NotReady meanwhile.
    SlowPods(Millis),
    /// So many planes that become Ready from now on have their pods replaced at once: Ready, Unknown, Ready, and NotReady in
    /// between with one replica.
    Flaps(u32),
    /// The checksum of the bootstrap-token phase comes this much later (not scaled) to planes that become Ready from now on.
    ChecksumLate(Millis),
    /// `cluster-info` of planes that become Ready from now on stays unsigned for this long (not scaled).
    SignaturesLate(Millis),
    /// Every control plane has the annotation that stops its reconciliation, that of its deletion too; or none has it.
    Paused(bool),
    /// Namespaces under deletion do not go away.
    NamespacesStuck(bool),
    /// Whether the DataStore `default` is ready.
    StoreReady(bool),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub balancer: Balancer,
    pub deletion_stuck: bool,
    pub admin_forbidden: Millis,
    pub kubeconfig: KubeconfigFlaw,
    pub slow_pods: Millis,
    pub flaps: u32,
    pub checksum_late: Millis,
    pub signatures_late: Millis,
}

impl AdminCluster {
    /// Switches a fault. Faults of single requests are switched on the API servers: see [`crate::api::Fault`].
    pub fn fault(&mut self, fault: AdminFault) {
        match fault {
            AdminFault::Balancer(balancer) => self.faults.balancer = balancer,
            AdminFault::WebhooksDown(down) => self.webhooks_down.store(down, Ordering::Relaxed),
            AdminFault::DeletionStuck(stuck) => self.faults.deletion_stuck = stuck,
            AdminFault::AdminForbidden(ms) => self.faults.admin_forbidden = ms,
            AdminFault::Kubeconfig(flaw) => self.faults.kubeconfig = flaw,
            AdminFault::SlowPods(ms) => self.faults.slow_pods = ms,
            AdminFault::Flaps(count) => self.faults.flaps = count,
            AdminFault::ChecksumLate(ms) => self.faults.checksum_late = ms,
            AdminFault::SignaturesLate(ms) => self.faults.signatures_late = ms,
            AdminFault::Paused(paused) => self.pause(paused),
            AdminFault::NamespacesStuck(stuck) => self.api.hold_namespaces(stuck),
            AdminFault::StoreReady(ready) => self.set_store(ready),
        }
    }

    fn pause(&mut self, paused: bool) {
        let keys: Vec<PlaneKey> = self.planes.keys().cloned().collect();
        for (namespace, name) in keys {
            let now = self.cursor;
            self.api.edit((GROUP, PLANES), (&namespace, &name), now, &mut Random::new(0), |object| {
                let annotations = &mut object["metadata"]["annotations"];
                match (paused, annotations.as_object_mut()) {
                    (true, _) => annotations[PAUSED] = "".into(),
                    (false, Some(annotations)) => drop(annotations.remove(PAUSED)),
                    (false, None) => {}
                }
            });
        }
    }

    fn set_store(&mut self, ready: bool) {
        let Some(store) = self.api.get(GROUP, STORES, "", "default") else { return };
        let mut store = (**store).clone();
        let (status, reason) = if ready { ("True", "Valid") } else { ("False", "Unreachable") };
        store["status"]["ready"] = ready.into();
        store["status"]["conditions"][0]["status"] = status.into();
        store["status"]["conditions"][0]["reason"] = reason.into();
        store["status"]["conditions"][0]["message"] = if ready { "" } else { "dial tcp: connection refused" }.into();
        // An object that is there needs no new uid, so no randomness.
        self.api.put(store, self.cursor, &mut Random::new(0));
    }

    /// Takes a verb on a kind out of a ClusterRole.
    pub fn withdraw(&mut self, role: &str, (group, plural): (&str, &str), verb: &str, now: Millis) {
        self.change_role(role, now, |rules| {
            for rule in rules.iter_mut().filter(|rule| about(rule, group, plural)) {
                if let Some(verbs) = rule["verbs"].as_array_mut() {
                    verbs.retain(|each| each != verb);
                }
            }
        });
    }

    /// Gives a ClusterRole a verb on a kind.
    pub fn bestow(&mut self, role: &str, (group, plural): (&str, &str), verb: &str, now: Millis) {
        let rule = json!({"apiGroups": [group], "resources": [plural], "verbs": [verb]});
        self.change_role(role, now, |rules| rules.push(rule));
    }

    fn change_role(&mut self, role: &str, now: Millis, change: impl FnOnce(&mut Vec<Value>)) {
        let place = ("rbac.authorization.k8s.io", "clusterroles");
        self.api.edit(place, ("", role), now, &mut Random::new(0), |role| {
            if let Some(rules) = role["rules"].as_array_mut() {
                change(rules);
            }
        });
    }

    /// Replaces the pods of a control plane: Ready, Unknown, Ready; with one replica it is NotReady in between.
    pub fn flap(&mut self, namespace: &str, name: &str, now: Millis) {
        let key = (namespace.to_owned(), name.to_owned());
        let duration = self.settings.scaled(self.settings.timings.rollout);
        if let Some(plane) = self.planes.get_mut(&key) {
            plane.pods.restart(now, duration);
            if plane.pods.desired == 1 {
                plane.pods.ready = 0;
            }
            self.enqueue(&key, now);
        }
    }

    /// Issues new client certificates: the kubeconfig Secret and its checksum change.
    pub fn rotate_kubeconfig(&mut self, namespace: &str, name: &str, now: Millis) {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(plane) = self.planes.get_mut(&key) {
            plane.keys.admin = None;
            plane.keys.super_admin = None;
            self.enqueue(&key, now);
        }
    }

    /// Replaces the cluster's CA: every certificate and the hash that joins pin change.
    pub fn rotate_authority(&mut self, namespace: &str, name: &str, now: Millis) -> Result<(), PkiError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(plane) = self.planes.get_mut(&key) {
            plane.keys = Keys::new(now)?;
            if let Some(soot) = &mut plane.soot {
                soot.info = Some(now);
            }
            self.enqueue(&key, now);
        }
        Ok(())
    }

    /// Takes the signatures out of `cluster-info` and signs no more for `ms`.
    pub fn withhold_signatures(&mut self, namespace: &str, name: &str, ms: Millis, now: Millis, random: &mut Random) {
        if let Some(tenant) = self.tenant_mut(namespace, name) {
            tenant.withhold_signatures(now + ms, now, random);
        }
    }

    /// Takes the rights of `admin.conf` away for `ms`.
    pub fn forbid_admin(&mut self, namespace: &str, name: &str, ms: Millis, now: Millis) {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(plane) = self.planes.get_mut(&key) {
            let group = "rbac.authorization.k8s.io";
            plane.tenant.api_mut().discard(group, "clusterrolebindings", "", "kubeadm:cluster-admins", now);
            if let Some(soot) = &mut plane.soot {
                soot.admin = Some(now + ms);
            }
        }
    }

    /// `host:port` at which a tenant is reached, once it has an address.
    pub fn endpoint(&self, namespace: &str, name: &str) -> Option<String> {
        let plane = self.planes.get(&(namespace.to_owned(), name.to_owned()))?;
        plane.address.map(|_| soot::endpoint(plane))
    }
}

fn about(rule: &Value, group: &str, plural: &str) -> bool {
    let has =
        |field: &str, value: &str| rule[field].as_array().is_some_and(|list| list.iter().any(|each| each == value));
    has("apiGroups", group) && has("resources", plural)
}
