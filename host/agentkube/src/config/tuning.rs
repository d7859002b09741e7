//! Times and sizes that an operator may choose. Which of them make sense, [`super::numbers`] says.

use std::path::PathBuf;
use std::time::Duration;

use agentkube_engine::{KubeconfigDelivery, OnFailure, Settings};
use serde::Deserialize;

/// `[engine]`: how jobs are carried out. Times are milliseconds; what is left out keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct EngineTuning {
    /// What becomes of a create that fails: `undo` (default) or `keep`.
    pub on_failure: Option<OnFailureWord>,
    /// How owners get the kubeconfig: `property` (default), which consumer and provider can read there, or `none`.
    pub kubeconfig_delivery: Option<DeliveryWord>,
    /// Between two polls of a source.
    pub poll_ms: Option<u64>,
    /// Between two heartbeats.
    pub heartbeat_ms: Option<u64>,
    /// Between two looks at what plugins need, while all is well; after a look that found an error it is `retry-base-ms`, doubled up
    /// to `retry-cap-ms`.
    pub preflight_ms: Option<u64>,
    /// Between two rounds of measurements; 0 for none.
    pub measure_ms: Option<u64>,
    /// Longest time for a control plane to come up.
    pub control_plane_ms: Option<u64>,
    /// Longest time for a machine to be made or deleted.
    pub machine_ms: Option<u64>,
    /// Longest time from a machine's boot to its Ready node.
    pub node_ms: Option<u64>,
    /// Longest time for add-ons to become available.
    pub addons_ms: Option<u64>,
    /// Longest time for a whole create.
    pub create_ms: Option<u64>,
    /// Life of a join token.
    pub token_ms: Option<u64>,
    /// First pause before a step is tried again.
    pub retry_base_ms: Option<u64>,
    /// Longest such pause.
    pub retry_cap_ms: Option<u64>,
    /// Steps at work at the same time, over all services.
    pub steps: Option<usize>,
    /// Steps at work with one provider.
    pub per_provider: Option<usize>,
    /// Services at work.
    pub services: Option<usize>,
}

/// See [`OnFailure`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailureWord {
    /// Remove what was made.
    Undo,
    /// Keep it.
    Keep,
}

/// See [`KubeconfigDelivery`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryWord {
    /// A property of the service.
    Property,
    /// Only the command line hands it over.
    None,
}

impl EngineTuning {
    /// The engine's settings.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if let Some(word) = self.on_failure {
            settings.on_failure = match word {
                OnFailureWord::Undo => OnFailure::Undo,
                OnFailureWord::Keep => OnFailure::Keep,
            };
        }
        settings.kubeconfig_delivery = match self.kubeconfig_delivery {
            None | Some(DeliveryWord::Property) => KubeconfigDelivery::Property,
            Some(DeliveryWord::None) => KubeconfigDelivery::None,
        };
        let times = &mut settings.times;
        let fields = [
            (&mut times.poll, self.poll_ms),
            (&mut times.control_plane, self.control_plane_ms),
            (&mut times.machine, self.machine_ms),
            (&mut times.node, self.node_ms),
            (&mut times.addons, self.addons_ms),
            (&mut times.create, self.create_ms),
            (&mut times.token, self.token_ms),
            (&mut settings.retry.base, self.retry_base_ms),
            (&mut settings.retry.cap, self.retry_cap_ms),
        ];
        for (field, value) in fields {
            if let Some(ms) = value {
                *field = Duration::from_millis(ms);
            }
        }
        if let Some(ms) = self.measure_ms {
            settings.times.measure = (ms > 0).then(|| Duration::from_millis(ms));
        }
        let limits = &mut settings.limits;
        let fields = [
            (&mut limits.steps, self.steps),
            (&mut limits.per_provider, self.per_provider),
            (&mut limits.services, self.services),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                *field = value;
            }
        }
        settings
    }

    /// Whether owners get the kubeconfig by a property of the service.
    pub fn delivers_kubeconfig(&self) -> bool {
        !matches!(self.kubeconfig_delivery, Some(DeliveryWord::None))
    }

    /// Time between two looks at what plugins need, while all is well; 5 minutes.
    pub fn preflight(&self) -> Duration {
        Duration::from_millis(self.preflight_ms.unwrap_or(300_000))
    }

    /// Time from heartbeat to heartbeat; 10 s.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.unwrap_or(10_000))
    }
}

/// `[sandbox]`: what a plugin call may use. What is left out keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SandboxTuning {
    /// Instances from a preallocated pool: faster to make, more address space.
    pub pooling: bool,
    /// Memory of one call in MiB.
    pub memory_mib: Option<usize>,
    /// Calls of one plugin at the same time.
    pub concurrent: Option<usize>,
    /// Milliseconds for calls that carry no deadline of their own.
    pub call_timeout_ms: Option<u64>,
}

impl SandboxTuning {
    /// The sandbox's settings, with its cache in the data directory.
    pub fn settings(&self, cache: PathBuf) -> agentkube_sandbox::Settings {
        let mut settings =
            agentkube_sandbox::Settings { cache: Some(cache), pooling: self.pooling, ..Default::default() };
        if let Some(mib) = self.memory_mib {
            settings.limits.memory = mib << 20;
        }
        if let Some(calls) = self.concurrent {
            settings.limits.concurrent = calls;
        }
        if let Some(ms) = self.call_timeout_ms {
            settings.call_timeout = Duration::from_millis(ms);
        }
        settings
    }
}
