//! How long the life of a machine takes.

use lab_wire::Millis;

/// Durations in milliseconds before scaling. The defaults are those of a prepared image on quiet hardware.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Everything is so many times faster.
    pub scale: u64,
    /// From power on until the first-boot data are read.
    pub firmware: Millis,
    /// From then until the guest agent answers.
    pub agent: Millis,
    /// What installing takes before the first `kubeadm join`.
    pub install: Millis,
    /// Between two tries of discovery (kubeadm's is 5 s).
    pub discovery_pause: Millis,
    /// How long the certificate of the kubelet is waited for (kubeadm's is 5 min).
    pub tls_bootstrap: Millis,
    /// Between two looks at a certificate signing request.
    pub certificate_pause: Millis,
    /// Between two renewals of the lease (kubelet's is 10 s).
    pub heartbeat: Millis,
    /// Between two reports of an unchanged status (kubelet's is 5 min).
    pub status: Millis,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            scale: 1,
            firmware: 10_000,
            agent: 5_000,
            install: 20_000,
            discovery_pause: 5_000,
            tls_bootstrap: 300_000,
            certificate_pause: 1_000,
            heartbeat: 10_000,
            status: 300_000,
        }
    }
}

impl Timings {
    /// The defaults, so many times faster.
    pub fn faster(scale: u64) -> Self {
        Timings { scale: scale.max(1), ..Timings::default() }
    }

    /// A duration after scaling.
    pub fn scaled(&self, time: Millis) -> Millis {
        time / self.scale.max(1)
    }
}
