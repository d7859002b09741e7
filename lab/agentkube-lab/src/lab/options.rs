//! What a lab is started with.

use std::path::PathBuf;

use lab_cluster::AdminSettings;

use crate::machine::Timings;

/// What a lab is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Real times are divided by this.
    pub scale: u64,
    /// Where addresses, credentials and certificates are written, if anywhere.
    pub directory: Option<PathBuf>,
    /// Which ports the servers take.
    pub ports: Ports,
    /// Seed of every server's randomness.
    pub seed: u64,
    /// Fulcrum Core; its public address is filled in.
    pub core: lab_core::Settings,
    /// The admin cluster. When another lab has its pool of addresses, the next free one is taken.
    pub admin: AdminSettings,
    /// Proxmox VE.
    pub proxmox: lab_pve::Settings,
    /// The toy cloud.
    pub toy: lab_toy::Config,
    /// The machines.
    pub machines: Timings,
    /// The version of kubelet and kubeadm on every image, for user data that install none.
    pub preinstalled: Option<String>,
}

/// Which ports the servers take; 0 is any free one. All listen on 127.0.0.1, the nodes of Proxmox VE from there upwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Fulcrum Core.
    pub core: u16,
    /// API server of the admin cluster.
    pub admin: u16,
    /// Every node of Proxmox VE.
    pub proxmox: u16,
    /// The toy cloud.
    pub toy: u16,
}

impl Ports {
    /// Those that the real systems have.
    pub fn usual() -> Self {
        Ports { core: 3000, admin: 6443, proxmox: 8006, toy: 8080 }
    }
}

impl Options {
    /// A lab in which everything takes a `scale`-th of its real time, on free ports.
    pub fn scaled(scale: u64) -> Self {
        let scale = scale.max(1);
        let toy = lab_toy::Config::default();
        Options {
            scale,
            directory: None,
            ports: Ports::default(),
            seed: 1,
            core: lab_core::Settings::default(),
            admin: AdminSettings { scale, ..AdminSettings::default() },
            proxmox: lab_pve::Settings::default().with_scale(1.0 / scale as f64),
            toy: lab_toy::Config { timings: toy.timings.faster(scale), ..toy },
            machines: Timings::faster(scale),
            preinstalled: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::scaled(10)
    }
}
