//! A tenant cluster: an API server and the controllers that run behind it.
//!
//! - `bootstrap`: signs `cluster-info` for every token, cleans up ended tokens, and wipes signatures now and then.
//! - `certificates`: approves and signs the client certificates of kubelets.
//! - `nodes`: leases, readiness, taints. A Node becomes Ready only once the tenant has a DaemonSet that mounts
//!   `/etc/cni/net.d` from the host: that is how network add-ons install themselves.
//! - `workloads`: status of DaemonSets, Deployments, StatefulSets and Jobs.

mod bootstrap;
mod certificates;
pub mod jws;
mod nodes;
mod workloads;

use std::collections::BTreeMap;

use lab_wire::{Answer, Millis, Random, Request, Server, StreamId};

use crate::api::{ApiServer, BootstrapToken, Settings, bootstrap_tokens};
use crate::pki::Authority;

pub use nodes::has_network;

/// How long the controllers of a tenant take, ms.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A token or a changed `cluster-info` is signed this much later.
    pub sign: Millis,
    /// Kamaji looks at a changed `cluster-info` up to this much later (and at least a tenth of it).
    pub observe: Millis,
    /// A certificate signing request is answered this much later.
    pub certificate: Millis,
    /// A node becomes Ready this much after its network add-on is there.
    pub network: Millis,
    /// A node whose lease was not renewed for this long becomes Unknown.
    pub lease: Millis,
}

impl Pace {
    /// The times of a real cluster, divided.
    pub fn scaled(scale: u64) -> Self {
        let of = |ms: Millis| (ms / scale.max(1)).max(1);
        Pace { sign: of(500), observe: of(1500), certificate: of(500), network: of(5000), lease: of(40_000) }
    }
}

/// A tenant cluster.
pub struct Tenant {
    api: ApiServer,
    pace: Pace,
    /// Revision up to which the controllers have looked.
    seen: u64,
    bootstrap: bootstrap::Bootstrap,
    certificates: BTreeMap<String, Millis>,
    nodes: nodes::Nodes,
}

impl Tenant {
    /// A tenant of a Kubernetes version; its streams are numbered from `first_stream`.
    pub fn new(version: &str, pace: Pace, first_stream: StreamId, now: Millis, random: &mut Random) -> Self {
        let settings = Settings {
            version: version.to_owned(),
            bootstrap_tokens: true,
            history: 1_000,
            first_stream,
            ..Settings::default()
        };
        let mut api = ApiServer::new(settings, now, random);
        api.set_admission(Box::new(nodes::Kubelets));
        Tenant {
            api,
            pace,
            seen: 0,
            bootstrap: bootstrap::Bootstrap::default(),
            certificates: BTreeMap::new(),
            nodes: nodes::Nodes::default(),
        }
    }

    /// Its API server.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Its API server, to change things from outside.
    pub fn api_mut(&mut self) -> &mut ApiServer {
        &mut self.api
    }

    /// Bootstrap tokens that stand and have not ended.
    pub fn live_tokens(&self, now: Millis) -> Vec<BootstrapToken> {
        bootstrap_tokens(self.api.store()).into_iter().filter(|token| token.is_live(now)).collect()
    }

    /// Digest of `cluster-info` as it was before Kamaji's phase last looked at it; `None` before the first time.
    pub fn bootstrap_checksum(&self) -> Option<&str> {
        self.bootstrap.checksum.as_deref()
    }

    /// From now on Kamaji's phase watches `cluster-info`, and has just seen it.
    pub fn watch_cluster_info(&mut self) {
        self.bootstrap.see(&self.api);
    }

    /// No signature stands in `cluster-info` before this time.
    pub fn withhold_signatures(&mut self, until: Millis, now: Millis, random: &mut Random) {
        self.bootstrap.withhold(&mut self.api, until, now, random);
    }

    /// Handles a request to the API server.
    pub fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.api.handle(request, now, random)
    }

    /// Runs the controllers: at once when nothing changed and no timer is due.
    pub fn tick(&mut self, authority: &Authority, now: Millis, random: &mut Random) {
        let due = self.own_timer().is_some_and(|at| at <= now);
        if self.seen != self.api.store().revision() || due {
            // Controllers write what other controllers read: a second round lets them settle within one tick.
            for _ in 0..3 {
                self.seen = self.api.store().revision();
                self.bootstrap.run(&mut self.api, &self.pace, now, random);
                certificates::run(&mut self.certificates, &mut self.api, authority, &self.pace, now, random);
                self.nodes.run(&mut self.api, &self.pace, now, random);
                workloads::run(&mut self.api, now, random);
                if self.seen == self.api.store().revision() {
                    break;
                }
            }
        }
        self.api.tick(now, random);
    }

    fn own_timer(&self) -> Option<Millis> {
        let certificates = self.certificates.values().copied().min();
        [self.bootstrap.timer(), certificates, self.nodes.timer(&self.pace)].into_iter().flatten().min()
    }

    /// When [`Tenant::tick`] has something to do.
    pub fn next_timer(&self) -> Option<Millis> {
        let changed = (self.seen != self.api.store().revision()).then_some(0);
        [changed, self.own_timer(), self.api.next_timer()].into_iter().flatten().min()
    }
}
