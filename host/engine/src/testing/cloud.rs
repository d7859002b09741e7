//! What exists outside: the truth that tests judge by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use agentkube_contract::{Cluster, Fault, Job, Settlement};

use super::Kill;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vm {
    pub id: String,
    pub name: String,
    pub booted: bool,
    pub seed: bool,
    pub with_data: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ControlPlaneObject {
    pub installation: String,
    pub tokens: BTreeSet<String>,
    pub nodes: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Pending,
    Processing,
    Completed,
    Failed,
    TimedOut,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeJob {
    pub job: Job,
    pub state: JobState,
    pub settlement: Option<Settlement>,
    pub late: Option<Settlement>,
    /// How often its state became final by our word.
    pub settled: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub vms: Vec<Vm>,
    pub control_planes: BTreeMap<String, ControlPlaneObject>,
    pub jobs: Vec<FakeJob>,
    pub log: Vec<String>,
    pub next_id: u32,
    /// (call, how often still, fault, whether the effect happens all the same)
    pub faults: Vec<(String, u32, Fault, bool)>,
    pub hold: BTreeSet<String>,
    pub samples: usize,
    /// Names of measurements that the source does not know, and how many of those it was given.
    pub unknown: Vec<String>,
    pub asked_in_vain: usize,
    pub at_work: usize,
    pub most_at_work: usize,
    pub disabled: bool,
    /// What machines wrote during their first boot, by name; those that are not here have no log to show.
    pub logs: BTreeMap<String, String>,
    /// Machines that boot and never join.
    pub never_join: BTreeSet<String>,
    /// Machines of which the provider says that they failed.
    pub failed: BTreeSet<String>,
    /// Everything that the renderer put into first-boot data and every token secret: must not be found in the journal.
    pub secrets: BTreeSet<String>,
}

/// The outside world; survives the lives of the engine.
#[derive(Default)]
pub(crate) struct Cloud {
    pub truth: Mutex<Truth>,
    pub kill: Mutex<Arc<Kill>>,
    pub bootstrap_at_create: bool,
    /// The provider renders first-boot data itself.
    pub renders: bool,
}

pub(crate) fn cluster(machines: u32) -> Cluster {
    serde_json::from_value(serde_json::json!({
        "version": "v1.35.2",
        "pools": [{"name": "w", "count": machines, "shape": {"cores": 2, "memoryMib": 2048}}],
        "addons": ["network"],
    }))
    .unwrap()
}

impl Cloud {
    pub fn with_create(machines: u32) -> Arc<Cloud> {
        let cloud = Arc::new(Cloud::default());
        cloud.ask("j1", "s1", "create", Some(cluster(machines)));
        cloud
    }

    pub fn ask(&self, id: &str, service: &str, action: &str, wanted: Option<Cluster>) {
        let job = Job {
            id: id.into(),
            service: service.into(),
            service_name: "shop".into(),
            group: service.into(),
            action: action.into(),
            priority: 1,
            created_ms: 0,
            wanted,
            mistakes: Vec::new(),
            problem: None,
            more: Vec::new(),
        };
        let job = FakeJob { job, state: JobState::Pending, settlement: None, late: None, settled: 0 };
        self.truth.lock().unwrap().jobs.push(job);
    }

    pub fn job(&self, id: &str) -> FakeJob {
        self.truth.lock().unwrap().jobs.iter().find(|job| job.job.id == id).unwrap().clone()
    }

    pub fn over(&self, id: &str) -> bool {
        matches!(self.job(id).state, JobState::Completed | JobState::Failed)
    }

    pub fn time_out(&self, id: &str) {
        let mut truth = self.truth.lock().unwrap();
        let job = truth.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
        if matches!(job.state, JobState::Pending | JobState::Processing) {
            job.state = JobState::TimedOut;
        }
    }

    pub fn fail(&self, call: &str, times: u32, fault: Fault) {
        self.truth.lock().unwrap().faults.push((call.into(), times, fault, false));
    }

    /// The effect happens and the answer is lost.
    pub fn lose_answer(&self, call: &str, times: u32, fault: Fault) {
        self.truth.lock().unwrap().faults.push((call.into(), times, fault, true));
    }

    /// Calls of this name wait until they are let go.
    pub fn hold(&self, call: &str, held: bool) {
        let mut truth = self.truth.lock().unwrap();
        if held {
            truth.hold.insert(call.into());
        } else {
            truth.hold.remove(call);
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.truth.lock().unwrap().log.clone()
    }

    /// What is wrong with the world when a cluster of that many machines is to stand.
    pub fn flaws_standing(&self, machines: usize) -> Vec<String> {
        let truth = self.truth.lock().unwrap();
        let mut flaws = Vec::new();
        let mut check = |ok: bool, what: String| {
            if !ok {
                flaws.push(what);
            }
        };
        let names: BTreeSet<&String> = truth.vms.iter().map(|vm| &vm.name).collect();
        check(names.len() == truth.vms.len(), format!("machines twice: {:?}", truth.vms));
        check(names.len() == machines, format!("{} machines", names.len()));
        check(truth.control_planes.len() == 1, format!("{} control planes", truth.control_planes.len()));
        for (name, object) in &truth.control_planes {
            check(object.tokens.is_empty(), format!("live tokens of {name}: {:?}", object.tokens));
            check(object.nodes.len() == machines, format!("nodes of {name}: {:?}", object.nodes));
        }
        check(truth.vms.iter().all(|vm| vm.booted && !vm.seed), format!("seeds or stopped: {:?}", truth.vms));
        flaws
    }

    /// What is left when nothing should be.
    pub fn flaws_empty(&self) -> Vec<String> {
        let truth = self.truth.lock().unwrap();
        let mut flaws = Vec::new();
        if !truth.vms.is_empty() {
            flaws.push(format!("machines left: {:?}", truth.vms));
        }
        if !truth.control_planes.is_empty() {
            flaws.push(format!("control planes left: {:?}", truth.control_planes));
        }
        flaws
    }
}
