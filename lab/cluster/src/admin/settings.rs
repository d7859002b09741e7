//! How the admin cluster behaves.

use std::net::Ipv4Addr;

use lab_wire::Millis;

use crate::tenant::Pace;

/// Settings of an admin cluster.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Kubernetes version of the admin cluster itself.
    pub version: String,
    /// Real times are divided by this; at least 1.
    pub scale: u64,
    /// Kamaji's `--max-concurrent-tcp-reconciles`.
    pub max_concurrent_reconciles: usize,
    /// First two octets of the loopback addresses that play load balancers: `127.x`. Two labs on one machine take
    /// different ones.
    pub pool: [u8; 2],
    /// Kamaji's times, unscaled.
    pub timings: Timings,
}

impl Default for AdminSettings {
    fn default() -> Self {
        AdminSettings {
            version: "v1.34.2".to_owned(),
            scale: 10,
            max_concurrent_reconciles: 1,
            pool: [127, 64],
            timings: Timings::default(),
        }
    }
}

impl AdminSettings {
    /// A real time, scaled; never 0.
    pub fn scaled(&self, ms: Millis) -> Millis {
        (ms / self.scale.max(1)).max(1)
    }

    /// The pace of the tenants.
    pub fn pace(&self) -> Pace {
        Pace::scaled(self.scale)
    }

    /// The n-th address of the pool; network and broadcast addresses are left out.
    pub fn address(&self, n: u32) -> Ipv4Addr {
        let [a, b] = self.pool;
        let n = n % (254 * 254);
        Ipv4Addr::new(a, b, (n / 254 + 1) as u8, (n % 254 + 1) as u8)
    }
}

/// What Kamaji takes its time for, in real milliseconds. A hundred control planes on one etcd took 7.5 minutes one after the
/// other in Kamaji's own benchmark: about 4.5 s each, most of it in the one reconcile lane.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// First full reconcile: data store, certificates, kubeconfigs, Deployment.
    pub setup: Millis,
    /// Any other reconcile.
    pub reconcile: Millis,
    /// Reconcile that removes a control plane and its data.
    pub removal: Millis,
    /// A reconcile that failed is tried again after this.
    pub retry: Millis,
    /// The load balancer gives an address.
    pub balancer: Millis,
    /// Pods of a new Deployment, or of a rollout, are Ready.
    pub rollout: Millis,
    /// After Ready: cluster-info and its roles.
    pub phase_info: Millis,
    /// After Ready: kubelet-config and kubeadm-config.
    pub phase_config: Millis,
    /// After Ready: the binding that makes `admin.conf` an administrator, and the add-ons.
    pub phase_admin: Millis,
    /// After Ready: the checksum of the bootstrap-token phase in the status.
    pub phase_checksum: Millis,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            setup: 4500,
            reconcile: 300,
            removal: 3000,
            retry: 1000,
            balancer: 2000,
            rollout: 8000,
            phase_info: 1500,
            phase_config: 2500,
            phase_admin: 5000,
            phase_checksum: 7000,
        }
    }
}
