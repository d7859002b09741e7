//! Preflight: whether everything that plugins need is there, looked at when the daemon starts and again and again.
//!
//! While something stands in the way of work, the job sources concerned are told `Error` with every heartbeat and no new job of theirs is
//! taken; what runs goes on. The daemon looks again with growing pauses, and lets go by itself once all is well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentkube_contract::{Class, Clock, Fault, Finding, Millis, Random, Severity};
use agentkube_engine::Engine;
use agentkube_manifest::Role;
use agentkube_sandbox::Plugin;
use futures::future::join_all;
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::metrics::Metrics;
use crate::config::Config;

/// Time for one plugin's look.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one plugin found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Look {
    /// When, in milliseconds since the epoch.
    pub at: Millis,
    /// What it found.
    pub findings: Vec<Finding>,
}

impl Look {
    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    fn fails(&self) -> bool {
        self.errors().next().is_some()
    }
}

/// Which plugins there are, and what depends on each.
#[derive(Clone, Debug, Default)]
struct Parties {
    sources: Vec<String>,
    /// Providers of each role, and the one for clusters that name none.
    providers: Vec<(Vec<String>, Option<String>)>,
}

/// When to look again.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    /// After a look that found no error.
    well: Duration,
    /// After the first that did.
    first: Duration,
    /// Longest after a row of those.
    longest: Duration,
}

/// What is known of all plugins.
pub struct Preflight {
    parties: Parties,
    pauses: Pauses,
    looks: Mutex<BTreeMap<String, Look>>,
    again: Notify,
}

impl Preflight {
    /// Nothing is known yet.
    pub fn new(config: &Config) -> Self {
        let of = |role: Role| -> Vec<String> {
            config.plugins.iter().filter(|(_, plugin)| plugin.role == role).map(|(name, _)| name.clone()).collect()
        };
        let retry = config.engine.settings().retry;
        let parties = Parties {
            sources: of(Role::JobSource),
            providers: vec![
                (of(Role::ControlPlane), config.defaults.control_plane.clone()),
                (of(Role::NodeProvider), config.defaults.node_provider.clone()),
            ],
        };
        let pauses = Pauses { well: config.engine.preflight(), first: retry.base, longest: retry.cap };
        Preflight { parties, pauses, looks: Mutex::default(), again: Notify::new() }
    }

    /// What each plugin found last; empty before the first look is over.
    pub fn looks(&self) -> BTreeMap<String, Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every plugin was looked at once.
    pub fn looked(&self) -> bool {
        !self.looks.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Why no job of this source can be worked on; empty when nothing is in the way.
    pub fn against(&self, source: &str) -> Vec<String> {
        self.parties.against(source, &self.looks())
    }

    /// Why no new job is taken of each source that is held for it.
    pub fn held(&self) -> BTreeMap<String, Vec<String>> {
        let looks = self.looks();
        let all = self.parties.sources.iter().map(|source| (source.clone(), self.parties.against(source, &looks)));
        all.filter(|(_, reasons)| !reasons.is_empty()).collect()
    }

    /// Looks again soon: something happened.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// Looks until the process ends; the engine's sources start held.
    pub async fn watch(
        self: Arc<Self>,
        plugins: Arc<BTreeMap<String, Arc<Plugin>>>,
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) {
        let mut failures = 0_u32;
        loop {
            let looks = join_all(plugins.iter().map(async |(name, plugin)| {
                let findings = look(plugin).await;
                (name.clone(), Look { at: clock.now(), findings })
            }));
            let looks: BTreeMap<String, Look> = looks.await.into_iter().collect();
            failures = if looks.values().any(Look::fails) { failures.saturating_add(1) } else { 0 };
            self.learn(looks, &metrics);
            for source in &self.parties.sources {
                engine.hold(source, !self.against(source).is_empty());
            }
            let pause = self.pauses.after(failures, random.as_ref());
            tokio::select! {
                () = clock.sleep(pause) => {}
                () = self.again.notified() => {}
            }
        }
    }

    /// Keeps what was found, and says what is new.
    fn learn(&self, looks: BTreeMap<String, Look>, metrics: &Metrics) {
        let before = std::mem::replace(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner), looks.clone());
        for (name, look) in &looks {
            let known = before.get(name).map(|look| look.findings.as_slice()).unwrap_or_default();
            look.findings.iter().filter(|finding| !known.contains(finding)).for_each(|finding| say(name, finding));
            for (word, severity) in [("ok", Severity::Ok), ("warning", Severity::Warning), ("error", Severity::Error)] {
                let count = look.findings.iter().filter(|finding| finding.severity == severity).count();
                metrics.findings(name, word, count);
            }
        }
        for source in &self.parties.sources {
            let now = !self.parties.against(source, &looks).is_empty();
            metrics.held(source, now);
            let was = before.is_empty() || !self.parties.against(source, &before).is_empty();
            match (was, now) {
                (true, false) => info!(source, "preflight found all that is needed: jobs are taken"),
                (false, true) => error!(source, "preflight found errors: no new job is taken until they are mended"),
                (true, true) if before.is_empty() => error!(source, "preflight found errors: no job is taken yet"),
                _ => {}
            }
        }
    }
}

impl Parties {
    fn against(&self, source: &str, looks: &BTreeMap<String, Look>) -> Vec<String> {
        let fails = |name: &str| looks.get(name).is_some_and(Look::fails);
        let mut guilty: Vec<&str> = Vec::new();
        if fails(source) {
            guilty.push(source);
        }
        for (providers, default) in &self.providers {
            let failing: Vec<&str> = providers.iter().map(String::as_str).filter(|name| fails(name)).collect();
            // One of several is in the way of those clusters alone that name it.
            let all = failing.len() == providers.len();
            if all || default.as_deref().is_some_and(|name| failing.contains(&name)) {
                guilty.extend(failing);
            }
        }
        let errors = guilty.iter().filter_map(|name| Some((*name, looks.get(*name)?)));
        errors
            .flat_map(|(name, look)| {
                look.errors().map(move |finding| format!("plugin {name}: {}: {}", finding.code, finding.message))
            })
            .collect()
    }
}

impl Pauses {
    fn after(&self, failures: u32, random: &dyn Random) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return self.well };
        let factor = 1_u32.checked_shl(doublings.min(31)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(factor).min(self.longest);
        // A quarter less at most, so that daemons that failed together do not come back together.
        let quarter = u64::try_from(pause.as_millis() / 4).unwrap_or(u64::MAX);
        pause.saturating_sub(Duration::from_millis(random.below(quarter.saturating_add(1))))
    }
}

/// One plugin's look. That it could not look is a finding too.
pub async fn look(plugin: &Arc<Plugin>) -> Vec<Finding> {
    let asked = async {
        if let Some(role) = plugin.job_source() {
            return role.preflight().await;
        }
        if let Some(role) = plugin.control_plane() {
            return role.preflight().await;
        }
        match plugin.node_provider() {
            Some(role) => role.preflight().await,
            None => Ok(Vec::new()),
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(fault)) => vec![unlooked(fault)],
        Err(_) => vec![unlooked(Fault::new(
            Class::Timeout,
            "PREFLIGHT_TIMEOUT",
            format!("preflight did not end within {} s", PATIENCE.as_secs()),
        ))],
    }
}

/// Why a plugin could not look, as a finding.
fn unlooked(fault: Fault) -> Finding {
    let remedy = match fault.class {
        Class::Unauthorized => "renew the credential of the connection: its file is read again when it changes",
        Class::Unavailable | Class::Timeout | Class::Busy => {
            "see what the connection's own finding says; the daemon looks again by itself"
        }
        Class::Denied => "grant what the message names",
        _ => "see the message; it may be a defect of the plugin",
    };
    let Fault { code, message, .. } = fault;
    Finding { code, severity: Severity::Error, message, remedy: remedy.to_owned() }
}

fn say(plugin: &str, finding: &Finding) {
    let Finding { code, message, remedy, .. } = finding;
    match finding.severity {
        Severity::Ok => {}
        Severity::Warning => warn!(plugin, code, remedy, "{message}"),
        Severity::Error => error!(plugin, code, remedy, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(severity: Severity) -> Look {
        let finding = Finding { code: "CODE".into(), severity, message: "what".into(), remedy: "do".into() };
        Look { at: 1, findings: vec![finding] }
    }

    fn looks(failing: &[&str]) -> BTreeMap<String, Look> {
        ["core", "other", "planes", "pve-a", "pve-b"]
            .into_iter()
            .map(|name| {
                let severity = if failing.contains(&name) { Severity::Error } else { Severity::Warning };
                (name.to_owned(), found(severity))
            })
            .collect()
    }

    fn parties(default: Option<&str>) -> Parties {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Parties {
            sources: names(&["core", "other"]),
            providers: vec![(names(&["planes"]), None), (names(&["pve-a", "pve-b"]), default.map(str::to_owned))],
        }
    }

    #[test]
    fn an_error_is_in_the_way_of_those_who_need_what_failed() {
        let blocked = |default: Option<&str>, failing: &[&str]| {
            let (parties, looks) = (parties(default), looks(failing));
            ["core", "other"].map(|source| !parties.against(source, &looks).is_empty())
        };
        assert_eq!(blocked(None, &[]), [false, false], "warnings are in nobody's way");
        assert_eq!(blocked(None, &["core"]), [true, false], "a source is in its own way alone");
        assert_eq!(blocked(None, &["planes"]), [true, true], "the only provider of its role");
        assert_eq!(blocked(None, &["pve-a"]), [false, false], "one of two");
        assert_eq!(blocked(Some("pve-a"), &["pve-b"]), [false, false]);
        assert_eq!(blocked(Some("pve-a"), &["pve-a"]), [true, true], "the one that is taken when none is named");
        assert_eq!(blocked(None, &["pve-a", "pve-b"]), [true, true], "all of a role");
        assert_eq!(parties(None).against("core", &looks(&["planes"])), ["plugin planes: CODE: what"]);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        struct Least;
        impl Random for Least {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(0);
            }
            fn below(&self, _: u64) -> u64 {
                0
            }
        }
        let seconds = Duration::from_secs;
        let pauses = Pauses { well: seconds(300), first: seconds(1), longest: seconds(60) };
        let after = [0, 1, 2, 5, 7, 90].map(|failures| pauses.after(failures, &Least).as_secs());
        assert_eq!(after, [300, 1, 2, 16, 60, 60]);
    }
}
