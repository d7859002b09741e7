//! What `/metrics` shows. Labels are names from the configuration and codes, never ids: their number is bounded.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use agentkube_engine::{Event, Kind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    plugin: String,
    export: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    plugin: String,
    export: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    plugin: String,
    limit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    connection: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    connection: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabels {
    plugin: String,
    capability: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    plugin: String,
    severity: String,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Mutex<Registry>,
    jobs: Family<JobLabels, Counter>,
    steps: Family<StepLabels, Counter>,
    step_seconds: Histogram,
    calls: Family<OutcomeLabels, Counter>,
    call_seconds: Family<CallLabels, Histogram>,
    limits: Family<LimitLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<ConnectionLabels, Histogram>,
    handshakes: Family<ConnectionLabels, Counter>,
    denials: Family<DenialLabels, Counter>,
    heartbeat_age: Family<SourceLabels, Gauge<f64, AtomicU64>>,
    findings: Family<FindingLabels, Gauge<i64, AtomicI64>>,
    held: Family<SourceLabels, Gauge<i64, AtomicI64>>,
    running: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("agentkube");
        let metrics = Metrics {
            jobs: Family::default(),
            steps: Family::default(),
            step_seconds: Histogram::new(exponential_buckets(0.05, 2.0, 16)),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_1, 4.0, 12))),
            limits: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 3.0, 10))),
            handshakes: Family::default(),
            denials: Family::default(),
            heartbeat_age: Family::default(),
            findings: Family::default(),
            held: Family::default(),
            running: Gauge::default(),
            registry: Mutex::new(Registry::default()),
        };
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Which AgentKube this is", Info::new(version));
        registry.register("jobs", "Jobs that ended, by outcome", metrics.jobs.clone());
        registry.register("steps", "Steps that ended, by step and outcome", metrics.steps.clone());
        registry.register_with_unit("step_duration", "Time of a step", Unit::Seconds, metrics.step_seconds.clone());
        registry.register("plugin_calls", "Plugin calls that ended, by export and outcome", metrics.calls.clone());
        registry.register_with_unit(
            "plugin_call_duration",
            "Time of a plugin call",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register("plugin_limits_hit", "Limits that plugin calls ran into", metrics.limits.clone());
        registry.register("requests", "Requests of a connection, by status or fault", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time of a request",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("tls_handshakes", "TLS handshakes begun", metrics.handshakes.clone());
        registry.register("denials", "What policy refused", metrics.denials.clone());
        registry.register_with_unit(
            "heartbeat_age",
            "Time since the last accepted heartbeat",
            Unit::Seconds,
            metrics.heartbeat_age.clone(),
        );
        let what = "What preflight found last, by plugin and severity";
        registry.register("preflight_findings", what, metrics.findings.clone());
        let what = "1 while no new job of the source is taken because preflight found errors";
        registry.register("source_held", what, metrics.held.clone());
        registry.register("steps_running", "Steps at work", metrics.running.clone());
        Metrics { registry: Mutex::new(registry), ..metrics }
    }

    /// An event of the engine.
    pub fn event(&self, event: &Event) {
        if event.step.is_empty() {
            return;
        }
        let step = family(&event.step);
        let outcome = match event.kind {
            Kind::Started => {
                self.running.inc();
                return;
            }
            Kind::Succeeded => "succeeded",
            Kind::Failed => "failed",
            Kind::Retrying => "retried",
            _ => return,
        };
        self.running.dec();
        self.steps.get_or_create(&StepLabels { step, outcome: outcome.to_owned() }).inc();
        if let Some(took) = event.duration {
            self.step_seconds.observe(Duration::from_millis(took).as_secs_f64());
        }
    }

    /// A job ended.
    pub fn job(&self, outcome: &str) {
        self.jobs.get_or_create(&JobLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Age of a source's last accepted heartbeat.
    pub fn heartbeat_age(&self, source: &str, age: Duration) {
        self.heartbeat_age.get_or_create(&SourceLabels { source: source.to_owned() }).set(age.as_secs_f64());
    }

    /// What preflight found last with one plugin.
    pub fn findings(&self, plugin: &str, severity: &str, count: usize) {
        let labels = FindingLabels { plugin: plugin.to_owned(), severity: severity.to_owned() };
        self.findings.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether new jobs of a source are left alone for now.
    pub fn held(&self, source: &str, held: bool) {
        self.held.get_or_create(&SourceLabels { source: source.to_owned() }).set(i64::from(held));
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// `machine/k1-w-00/create` is counted as `machine/create`.
fn family(step: &str) -> String {
    match step.split('/').collect::<Vec<_>>().as_slice() {
        [first, _, last] => format!("{first}/{last}"),
        _ => step.to_owned(),
    }
}

impl agentkube_sandbox::Metrics for Metrics {
    fn call(&self, plugin: &str, export: &str, outcome: &str, limit: Option<&str>, took: Duration) {
        let (plugin, export) = (plugin.to_owned(), export.to_owned());
        self.call_seconds
            .get_or_create(&CallLabels { plugin: plugin.clone(), export: export.clone() })
            .observe(took.as_secs_f64());
        if let Some(limit) = limit {
            self.limits.get_or_create(&LimitLabels { plugin: plugin.clone(), limit: limit.to_owned() }).inc();
        }
        self.calls.get_or_create(&OutcomeLabels { plugin, export, outcome: outcome.to_owned() }).inc();
    }

    fn request(&self, connection: &str, outcome: &str, took: Duration) {
        let connection = connection.to_owned();
        self.request_seconds
            .get_or_create(&ConnectionLabels { connection: connection.clone() })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { connection, outcome: outcome.to_owned() }).inc();
    }

    fn handshake(&self, connection: &str) {
        self.handshakes.get_or_create(&ConnectionLabels { connection: connection.to_owned() }).inc();
    }

    fn denial(&self, plugin: &str, what: &str) {
        let labels = DenialLabels { plugin: plugin.to_owned(), capability: what.to_owned() };
        self.denials.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use agentkube_sandbox::Metrics as _;

    use super::*;

    #[test]
    fn what_happened_is_shown() {
        let metrics = Metrics::new();
        metrics.call("pve-a", "node-provider.create", "ok", Some("memory"), Duration::from_millis(3));
        metrics.request("pve", "200", Duration::from_millis(3));
        metrics.job("completed");
        metrics.heartbeat_age("core", Duration::from_secs(4));
        metrics.findings("pve-a", "error", 2);
        metrics.held("core", true);
        let text = metrics.text();
        for line in [
            "agentkube_plugin_calls_total{plugin=\"pve-a\",export=\"node-provider.create\",outcome=\"ok\"} 1",
            "agentkube_plugin_limits_hit_total{plugin=\"pve-a\",limit=\"memory\"} 1",
            "agentkube_requests_total{connection=\"pve\",outcome=\"200\"} 1",
            "agentkube_jobs_total{outcome=\"completed\"} 1",
            "agentkube_heartbeat_age_seconds{source=\"core\"} 4.0",
            "agentkube_preflight_findings{plugin=\"pve-a\",severity=\"error\"} 2",
            "agentkube_source_held{source=\"core\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn machines_do_not_make_labels() {
        assert_eq!(family("machine/k1-w-00/create"), "machine/create");
        assert_eq!(family("control-plane/ready"), "control-plane/ready");
    }
}
