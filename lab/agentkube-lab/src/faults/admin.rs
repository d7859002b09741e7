//! What befalls the admin cluster, Kamaji in it, and the tenants' API servers.

use lab_cluster::api::{Fault, FaultKind};
use lab_cluster::{AdminCluster, AdminFault, Balancer};
use lab_wire::Random;

use super::{Named, Servers, pick};

pub(super) const ALL: &[Named] = &[
    Named {
        name: "admin-lost-replies",
        says: "The admin API server does what it is asked, and the answer never comes.",
        passes: true,
        strike: |servers, _| admin(servers, FaultKind::DropReply),
        end: None,
    },
    Named {
        name: "admin-lost-requests",
        says: "A request never reaches the admin API server.",
        passes: true,
        strike: |servers, _| admin(servers, FaultKind::DropRequest),
        end: None,
    },
    Named {
        name: "admin-errors",
        says: "The admin API server answers with 429, 500 or 503.",
        passes: true,
        strike: |servers, random| {
            let kind = status(random);
            admin(servers, kind);
        },
        end: None,
    },
    Named {
        name: "admin-slow",
        says: "The admin API server takes ten seconds for an answer.",
        passes: true,
        strike: |servers, _| admin(servers, FaultKind::Delay(servers.scaled(10_000))),
        end: None,
    },
    Named {
        name: "admin-conflicts",
        says: "Somebody else changes a control plane just before the next change of one: 409.",
        passes: true,
        strike: |servers, _| fault(servers, Fault::new("PATCH", PLANES, 1, FaultKind::Conflict)),
        end: None,
    },
    Named {
        name: "admin-closed-watches",
        says: "The admin API server closes every watch.",
        passes: true,
        strike: |servers, _| servers.admin.with(|cluster, _, _| cluster.admin_mut().end_watches()),
        end: None,
    },
    Named {
        name: "admin-lost-places",
        says: "The admin API server forgets its history: every watch ends with 410 Gone.",
        passes: true,
        strike: |servers, _| {
            servers.admin.with(|cluster, _, _| {
                cluster.admin_mut().compact();
                cluster.admin_mut().expire_watches();
            });
        },
        end: None,
    },
    Named {
        name: "admin-quota",
        says: "For a while a quota has no room for anything new in the namespaces of clusters: 403.",
        passes: false,
        strike: |servers, _| fault(servers, Fault::new("POST", "/namespaces/k", u32::MAX, FaultKind::Quota)),
        end: Some(|servers| servers.admin.with(|cluster, _, _| cluster.admin_mut().mend())),
    },
    Named {
        name: "admin-missing-verb",
        says: "For a while the agent's role lacks the verb `patch` on control planes: 403.",
        passes: false,
        strike: |servers, _| {
            servers
                .admin
                .with(|cluster, now, _| cluster.withdraw("agentkube", (GROUP, "tenantcontrolplanes"), "patch", now));
        },
        end: Some(|servers| {
            servers
                .admin
                .with(|cluster, now, _| cluster.bestow("agentkube", (GROUP, "tenantcontrolplanes"), "patch", now));
        }),
    },
    Named {
        name: "tenant-lost-replies",
        says: "A tenant's API server does what it is asked, by us or by a machine, and the answer never comes.",
        passes: true,
        strike: |servers, _| tenants(servers, || FaultKind::DropReply),
        end: None,
    },
    Named {
        name: "tenant-errors",
        says: "A tenant's API server answers with 429, 500 or 503.",
        passes: true,
        strike: |servers, random| {
            let kind = status(random);
            tenants(servers, || kind.clone());
        },
        end: None,
    },
    Named {
        name: "kamaji-flapping",
        says: "A control plane's pods are replaced: it is Ready, then not, then Ready again.",
        passes: true,
        strike: |servers, _| planes(servers, |cluster, namespace, name, now, _| cluster.flap(namespace, name, now)),
        end: None,
    },
    Named {
        name: "kamaji-slow-pods",
        says: "The first pods of a new control plane take ten seconds more: it is NotReady first.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::SlowPods(servers.scaled(10_000))),
        end: Some(|servers| switch(servers, AdminFault::SlowPods(0))),
    },
    Named {
        name: "kamaji-late-checksum",
        says: "The checksum of the bootstrap-token phase comes ten seconds later than Ready.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::ChecksumLate(servers.scaled(10_000))),
        end: Some(|servers| switch(servers, AdminFault::ChecksumLate(0))),
    },
    Named {
        name: "kamaji-webhook-down",
        says: "Kamaji's webhooks do not answer for a while: writes of its objects fail with 500.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::WebhooksDown(true)),
        end: Some(|servers| switch(servers, AdminFault::WebhooksDown(false))),
    },
    Named {
        name: "kamaji-late-address",
        says: "The load balancer takes ten seconds more for the address of a new control plane.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::Balancer(Balancer::Late(servers.scaled(10_000)))),
        end: Some(|servers| switch(servers, AdminFault::Balancer(Balancer::Works))),
    },
    Named {
        name: "kamaji-rotated-kubeconfig",
        says: "Kamaji issues new client certificates: the kubeconfig that was read is of yesterday.",
        passes: true,
        strike: |servers, _| {
            planes(servers, |cluster, namespace, name, now, _| cluster.rotate_kubeconfig(namespace, name, now));
        },
        end: None,
    },
    Named {
        name: "kamaji-rotated-ca",
        says: "Kamaji makes a new CA: machines that joined before trust the control plane no more.",
        passes: false,
        strike: |servers, _| {
            planes(servers, |cluster, namespace, name, now, _| {
                if let Err(error) = cluster.rotate_authority(namespace, name, now) {
                    tracing::warn!(%error, "no new CA");
                }
            });
        },
        end: None,
    },
    Named {
        name: "kamaji-forbidden-admin",
        says: "The binding behind `admin.conf` is missing for five seconds: 403 for what was allowed before.",
        passes: true,
        strike: |servers, _| {
            let millis = servers.scaled(5_000);
            planes(servers, |cluster, namespace, name, now, _| cluster.forbid_admin(namespace, name, millis, now));
        },
        end: None,
    },
    Named {
        name: "kamaji-no-signature",
        says: "`cluster-info` carries no signatures for five seconds: no machine can trust it.",
        passes: true,
        strike: |servers, _| {
            let millis = servers.scaled(5_000);
            planes(servers, |cluster, namespace, name, now, random| {
                cluster.withhold_signatures(namespace, name, millis, now, random);
            });
        },
        end: None,
    },
    Named {
        name: "kamaji-stuck-deletion",
        says: "Deletions of control planes do not come to an end for a while.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::DeletionStuck(true)),
        end: Some(|servers| switch(servers, AdminFault::DeletionStuck(false))),
    },
    Named {
        name: "kamaji-stuck-namespaces",
        says: "Namespaces under deletion do not go away for a while.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::NamespacesStuck(true)),
        end: Some(|servers| switch(servers, AdminFault::NamespacesStuck(false))),
    },
    Named {
        name: "kamaji-store-not-ready",
        says: "The DataStore is not ready for a while: no control plane's deletion comes to an end.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::StoreReady(false)),
        end: Some(|servers| switch(servers, AdminFault::StoreReady(true))),
    },
    Named {
        name: "kamaji-paused",
        says: "Somebody stops the reconciliation of the control planes for a while: nothing about them changes, and none goes.",
        passes: true,
        strike: |servers, _| switch(servers, AdminFault::Paused(true)),
        end: Some(|servers| switch(servers, AdminFault::Paused(false))),
    },
    Named {
        name: "kamaji-host-name",
        says: "The load balancer gives host names for a while, which Kamaji does not take.",
        passes: false,
        strike: |servers, _| switch(servers, AdminFault::Balancer(Balancer::Hostname)),
        end: Some(|servers| switch(servers, AdminFault::Balancer(Balancer::Works))),
    },
    Named {
        name: "kamaji-no-address",
        says: "The load balancer has no addresses left: a new control plane never gets one.",
        passes: false,
        strike: |servers, _| switch(servers, AdminFault::Balancer(Balancer::Missing)),
        end: Some(|servers| switch(servers, AdminFault::Balancer(Balancer::Works))),
    },
];

fn status(random: &mut Random) -> FaultKind {
    let code = pick(random, &[429, 500, 503]).copied().unwrap_or(503);
    FaultKind::Status { code, retry_after: random.one_in(2).then_some(1) }
}

const GROUP: &str = "kamaji.clastix.io";
const PLANES: &str = "/tenantcontrolplanes";

fn admin(servers: &Servers, kind: FaultKind) {
    fault(servers, Fault::new("", "/", 1, kind));
}

fn fault(servers: &Servers, fault: Fault) {
    servers.admin.with(|cluster, _, _| cluster.admin_mut().fault(fault));
}

fn switch(servers: &Servers, fault: AdminFault) {
    servers.admin.with(|cluster, _, _| cluster.fault(fault));
}

fn planes(servers: &Servers, act: impl Fn(&mut AdminCluster, &str, &str, u64, &mut Random)) {
    servers.admin.with(|cluster, now, random| {
        let keys: Vec<(String, String)> = cluster.tenants().map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|(namespace, name)| act(cluster, namespace, name, now, random));
    });
}

fn tenants(servers: &Servers, kind: impl Fn() -> FaultKind) {
    planes(servers, |cluster, namespace, name, _, _| {
        if let Some(tenant) = cluster.tenant_mut(namespace, name) {
            tenant.api_mut().fault(Fault::new("", "/", 1, kind()));
        }
    });
}
