//! What the story shows on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Chapter, LABEL, LOOK, MACHINES, Story};
use crate::Error;
use crate::demo::screen::seconds;
use crate::demo::{difference, nodes};

/// How long the first measurements may take, and how long more are waited for.
const MEASURED: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(3));
/// Rows of measurements that are shown.
const SHOWN: usize = 12;
/// Tables of the configuration that another infrastructure may change.
const INFRASTRUCTURE: [&str; 4] = ["connections.", "plugins.machines", "ranges", "permits"];

impl Story<'_> {
    /// The service's properties that the agent wrote.
    pub(super) async fn show_service(&self, service: &str) -> Result<(), Error> {
        let service = self.customer.service(service).await?;
        let property = |name: &str| service.pointer(&format!("/properties/{name}"));
        let text = |name: &str| property(name).and_then(Value::as_str).unwrap_or_default();
        self.screen
            .say(format!("status         {}", service.get("status").and_then(Value::as_str).unwrap_or_default()));
        self.screen.say(format!("apiEndpoint    {}", text("apiEndpoint")));
        for name in ["clusterCa", "kubeconfig"].into_iter().filter(|name| !text(name).is_empty()) {
            self.screen.say(format!("{name:<13}  {} bytes", text(name).len()));
        }
        for (name, node) in property("nodes").and_then(Value::as_object).into_iter().flatten() {
            let pool = node.get("pool").and_then(Value::as_str).unwrap_or_default();
            let ready = if node.get("ready") == Some(&Value::Bool(true)) { "ready" } else { "not ready" };
            self.screen.say(format!("nodes          {name}, pool {pool}, {ready}"));
        }
        match text("apiEndpoint").is_empty() {
            true => Err(Error::Daemon("the completed service has no apiEndpoint".to_owned())),
            false => Ok(()),
        }
    }

    /// Takes the kubeconfig over the command line and lists the nodes with it.
    pub(super) async fn use_kubeconfig(&self, config: &Path, name: &str, path: &Path) -> Result<(), Error> {
        let text = nodes::kubeconfig(&self.tools.binary, config, name).await?;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))?;
        self.screen
            .heading(&format!("`agentkube kubeconfig {name}` hands over the kubeconfig; the nodes, listed with it"));
        let nodes = nodes::list(&text, LABEL).await?;
        let head = ["NAME", "READY", "VERSION", "ADDRESS", "TIER"].map(str::to_owned).to_vec();
        let row = |node: &nodes::Node| {
            let ready = if node.ready { "yes" } else { "no" };
            vec![node.name.clone(), ready.to_owned(), node.version.clone(), node.address.clone(), node.label.clone()]
        };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(nodes.iter().map(row)).collect();
        self.screen.table(&rows);
        match nodes.iter().filter(|node| node.ready).count() {
            MACHINES => Ok(()),
            ready => Err(Error::Daemon(format!("{ready} Ready nodes, {MACHINES} were ordered"))),
        }
    }

    /// Waits for measurements and shows the newest of each.
    pub(super) async fn show_metrics(&self, service: &str) -> Result<(), Error> {
        self.screen.heading("What Core has measured of it");
        let began = Instant::now();
        let mut newest: BTreeMap<(String, String), f64> = BTreeMap::new();
        let mut resources = 0;
        while resources < MACHINES + 1 && began.elapsed() < if newest.is_empty() { MEASURED.0 } else { MEASURED.1 } {
            for entry in self.customer.metrics(service).await?.iter().rev() {
                let text =
                    |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                let value = entry.get("value").and_then(Value::as_f64).unwrap_or_default();
                newest.insert((text("/resourceId"), text("/type/name")), value);
            }
            resources = newest.keys().map(|(resource, _)| resource).collect::<BTreeSet<_>>().len();
            tokio::time::sleep(LOOK).await;
        }
        if newest.is_empty() {
            return Err(Error::Daemon(format!("Core has no measurement within {}", seconds(MEASURED.0))));
        }
        let head = ["RESOURCE", "METRIC", "VALUE"].map(str::to_owned).to_vec();
        let row = |((resource, metric), value): (&(String, String), &f64)| {
            vec![resource.clone(), metric.clone(), format!("{}", (value * 100.0).round() / 100.0)]
        };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(newest.iter().take(SHOWN).map(row)).collect();
        self.screen.table(&rows);
        if newest.len() > SHOWN {
            self.screen.say(format!("and {} more", newest.len() - SHOWN));
        }
        Ok(())
    }

    /// Shows what differs between two configurations, and checks that nothing else does.
    pub(super) fn show_difference(&self, old: &str, new: &str) -> Result<(), Error> {
        let changes = difference::between(old, new);
        let mut table = "";
        for change in changes.iter().filter(|change| !change.line.is_empty()) {
            if change.table != table && !change.line.starts_with('[') {
                self.screen.say(format!("  [{}]", change.table));
            }
            table = &change.table;
            let line: String = change.line.chars().take(110).collect();
            let more = if line.len() < change.line.len() { " …" } else { "" };
            self.screen.say(format!("{} {line}{more}", if change.added { '+' } else { '-' }));
        }
        let foreign: Vec<&str> = difference::tables(&changes)
            .into_iter()
            .filter(|table| !INFRASTRUCTURE.iter().any(|allowed| table.starts_with(allowed)))
            .collect();
        match foreign.is_empty() {
            true => Ok(()),
            false => Err(Error::Daemon(format!("the configurations differ in {} too", foreign.join(", ")))),
        }
    }

    /// What was proved, and how long it took.
    pub(super) fn summary(&self, chapters: &[Chapter]) {
        self.screen.heading("What this showed");
        for sentence in [
            "One order in Core became a Kubernetes cluster with three Ready nodes, through three sandboxed plugins.",
            "Core shows the job as completed only after all of it was observed; its kubeconfig works.",
            "Join token, seed images and user data were gone while the cluster lived.",
            "After the delete nothing was left on any server, and no row in the ledger.",
            "The same order ran on other infrastructure, by a change of configuration alone.",
        ] {
            self.screen.say(format!("- {sentence}"));
        }
        let head = ["", "READY AFTER", "GONE AFTER", "REQUESTS PER MACHINE, TO MAKE", "TO REMOVE"];
        let each = |requests: usize| format!("{:.1}", requests as f64 / MACHINES as f64);
        let row = |chapter: &Chapter| {
            let Chapter { what, ready, deleted, requests: (make, remove) } = chapter;
            vec![(*what).to_owned(), seconds(*ready), seconds(*deleted), each(*make), each(*remove)]
        };
        let rows: Vec<Vec<String>> =
            std::iter::once(head.map(str::to_owned).to_vec()).chain(chapters.iter().map(row)).collect();
        self.screen.table(&rows);
        let total = seconds(self.screen.elapsed());
        self.screen.say(format!(
            "All of it took {total}, in a lab {} times as fast as the real world.",
            self.lab.access().scale
        ));
    }
}
