//! A line for each fault that a test put into the lab: what the user saw of it and what it left behind.
//!
//! `cargo xtask test --report faults` gathers the lines and prints them as a table.

use std::io::Write;
use std::path::PathBuf;

use lab_core::store::JobStatus;

use crate::{Found, Scene, wait};

/// How a job is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It completes.
    Completed,
    /// It fails, and its text begins with this code.
    Failed(&'static str),
}

/// One fault. It must be brought to its end with [`Row::seen`] and [`Row::left_nothing`]; a test that dies before that leaves a line
/// that says so.
#[derive(Debug)]
pub struct Row {
    fault: &'static str,
    at: &'static str,
    seen: Vec<String>,
    left: Option<String>,
}

impl Row {
    /// A fault by its name in `docs/faults.md`, and where it is injected, such as `POST /jobs/{id}/claim`.
    pub fn of(fault: &'static str, at: &'static str) -> Self {
        Row { fault, at, seen: Vec::new(), left: None }
    }

    /// Waits for the end of a service's newest job, which must be this one, and notes what its owner sees of it in Core.
    pub async fn seen(&mut self, scene: &Scene, service: &str, ends: Ends) {
        let what = format!("the job of service {service} to end");
        let job = wait::until(&what, || scene.newest_job(service).filter(|job| !job.status.active())).await;
        let seen = match ends {
            Ends::Completed => {
                assert_eq!(job.status, JobStatus::Completed, "{} failed: {}", job.action, job.error);
                format!("{} completed", job.action)
            }
            Ends::Failed(code) => {
                assert_eq!(job.status, JobStatus::Failed, "{} did not fail", job.action);
                assert!(job.error.starts_with(code), "{} failed with another code: {}", job.action, job.error);
                format!("{} failed: {}", job.action, job.error)
            }
        };
        self.seen.push(seen);
    }

    /// Something else that the user saw: the status of the agent, a line of `doctor`.
    pub fn also(&mut self, seen: impl Into<String>) {
        self.seen.push(seen.into());
    }

    /// Deletes the service if it is still there, and looks for what is left: in the lab, not in the journal. Then the line is written.
    pub async fn left_nothing(self, scene: &Scene, service: &str) {
        if scene.service(service).status != "Deleted" {
            scene.customer.delete(service).await.unwrap();
            scene.completed(service).await;
        }
        self.nothing(scene);
    }

    /// The same for a fault whose services are gone already, or that had none.
    pub fn nothing(mut self, scene: &Scene) {
        assert_eq!(scene.found(), Found::nothing());
        assert_eq!(scene.lab.proxmox(|pve| pve.leftovers()), Vec::<String>::new());
        let rows = scene.ask("ledger");
        assert_eq!(rows.as_array().map(Vec::len), Some(0), "{rows}");
        self.left = Some("nothing".to_owned());
    }

    fn line(&self) -> String {
        let seen = if self.seen.is_empty() { "-".to_owned() } else { self.seen.join("; ") };
        let left = self.left.as_deref().unwrap_or("UNEXPECTED: the test failed");
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        [self.fault, self.at, &plain(&seen), left, &test].join("\t")
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let Some(folder) = std::env::var_os("AGENTKUBE_REPORT").map(PathBuf::from) else { return };
        let file = std::fs::File::options().create(true).append(true).open(folder.join("faults.tsv"));
        // One write: lines of tests that end at the same time stay whole.
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{}\n", self.line()).as_bytes())) {
            eprintln!("no line for `{}` in the report: {error}", self.fault);
        }
    }
}
