//! The state machine.

use std::collections::{BTreeMap, BTreeSet};

use lab_wire::{Answer, GuestReport, Hypervisor, MachineEvent, Millis, Random, Request, Server};
use serde_json::Value;

use crate::api;
use crate::config::Config;
use crate::error::Refusal;
use crate::fault::{Fault, Faults, Mishap};
use crate::log::{Entry, Outcome};
use crate::machine::{Machine, State};
use crate::operation::{Kind, Operation, Progress};

/// A toy cloud.
pub struct ToyCloud {
    pub(crate) config: Config,
    machines: BTreeMap<String, Machine>,
    operations: BTreeMap<String, Operation>,
    /// The operations that run, by the time at which they end.
    running: BTreeSet<(Millis, String)>,
    /// Not yet handed to the machines.
    events: Vec<MachineEvent>,
    faults: Faults,
    log: Vec<Entry>,
    /// The second that requests are counted in, and how many came in it.
    second: (u64, u32),
}

impl ToyCloud {
    /// An empty cloud.
    pub fn new(config: Config) -> Self {
        ToyCloud {
            config,
            machines: BTreeMap::new(),
            operations: BTreeMap::new(),
            running: BTreeSet::new(),
            events: Vec::new(),
            faults: Faults::default(),
            log: Vec::new(),
            second: (0, 0),
        }
    }

    /// All machines, also those being made or deleted.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// One operation.
    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// Every request so far, oldest first.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Switches a fault on.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Switches all faults off.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// A machine disappears, as if somebody had deleted it in another way.
    pub fn vanish(&mut self, id: &str) {
        if self.machines.remove(id).is_some() {
            self.events.push(MachineEvent::Destroyed { id: id.to_owned() });
        }
    }

    pub(crate) fn machine_mut(&mut self, id: &str) -> Option<&mut Machine> {
        self.machines.get_mut(id)
    }

    pub(crate) fn insert(&mut self, machine: Machine) {
        self.machines.insert(machine.id.clone(), machine);
    }

    /// Starts an operation on a machine that exists and gives what the API shows of it.
    pub(crate) fn begin(
        &mut self,
        machine: &str,
        kind: Kind,
        mishap: Option<&Mishap>,
        now: Millis,
        random: &mut Random,
    ) -> Value {
        let timings = self.config.timings;
        let mut duration = match kind {
            Kind::Create => timings.create,
            Kind::Start => timings.start,
            Kind::Stop => timings.stop,
            Kind::Delete => timings.delete,
        };
        let failure = match mishap {
            Some(Mishap::FailOperation(message)) => Some(message.clone()),
            Some(Mishap::SlowOperation(factor)) => {
                duration = duration.saturating_mul(*factor);
                None
            }
            _ => None,
        };
        let operation = Operation {
            id: format!("op-{}", random.token(10)),
            kind,
            machine: machine.to_owned(),
            progress: Progress::Running { failure },
            started: now,
        };
        if let Some(machine) = self.machines.get_mut(machine) {
            machine.operation = Some(operation.id.clone());
        }
        let view = operation.view();
        self.running.insert((now + duration, operation.id.clone()));
        self.operations.insert(operation.id.clone(), operation);
        view
    }

    /// Ends one operation: what it was to do becomes true, or not.
    fn end(&mut self, id: &str) {
        let Some(operation) = self.operations.get_mut(id) else { return };
        let Progress::Running { failure } = &operation.progress else { return };
        let failure = failure.clone();
        operation.progress = match &failure {
            Some(message) => Progress::Failed(message.clone()),
            None => Progress::Succeeded,
        };
        let Some(machine) = self.machines.get_mut(&operation.machine) else {
            operation.progress = Progress::Failed("the machine is gone".to_owned());
            return;
        };
        machine.operation = None;
        machine.state = match (operation.kind, failure.is_some()) {
            (Kind::Create, true) => State::Failed,
            (Kind::Create, false) | (Kind::Start, true) | (Kind::Stop, false) => State::Stopped,
            (Kind::Start, false) | (Kind::Stop, true) => State::Running,
            (Kind::Delete, true) => State::Failed,
            (Kind::Delete, false) => State::Deleting,
        };
        let id = machine.id.clone();
        match (operation.kind, failure) {
            (_, Some(_)) | (Kind::Create, _) => {}
            (Kind::Start, None) => self.events.push(MachineEvent::Started(machine.boot())),
            (Kind::Stop, None) => {
                machine.guest = GuestReport::default();
                self.events.push(MachineEvent::Stopped { id });
            }
            (Kind::Delete, None) => {
                self.machines.remove(&id);
                self.events.push(MachineEvent::Destroyed { id });
            }
        }
    }

    fn admit(&mut self, request: &Request, now: Millis) -> Result<(), Refusal> {
        let bearer = request.header_value("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer != Some(self.config.token.as_str()) {
            return Err(Refusal::unauthorized());
        }
        let second = now / 1000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        match self.config.quota.requests_per_second {
            Some(limit) if self.second.1 > limit => Err(Refusal::too_many_requests()),
            _ => Ok(()),
        }
    }
}

impl Server for ToyCloud {
    fn handle(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        self.tick(now, random);
        let mishap = self.faults.take(request);
        let result = match (self.admit(request, now), &mishap) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Some(Mishap::Refuse(status))) => Err(Refusal::mishap(*status)),
            (Ok(()), mishap) => api::route(self, request, mishap.as_ref(), now, random),
        };
        let response = result.unwrap_or_else(|refusal| refusal.response());
        let outcome = match mishap {
            Some(Mishap::DropReply) => Outcome::Lost(response.status),
            _ => Outcome::Answered(response.status),
        };
        self.log.push(Entry { at: now, method: request.method.clone(), path: request.path.clone(), outcome });
        match mishap {
            Some(Mishap::DropReply) => Answer::Drop,
            Some(Mishap::Delay(late)) => Answer::At(now + late, response),
            _ => Answer::Now(response),
        }
    }

    fn tick(&mut self, now: Millis, _random: &mut Random) {
        while let Some((until, id)) = self.running.pop_first() {
            if until > now {
                self.running.insert((until, id));
                return;
            }
            self.end(&id);
        }
    }

    fn next_timer(&self) -> Option<Millis> {
        self.running.first().map(|(until, _)| *until)
    }
}

impl Hypervisor for ToyCloud {
    fn machine_events(&mut self) -> Vec<MachineEvent> {
        std::mem::take(&mut self.events)
    }

    fn guest_report(&mut self, id: &str, report: GuestReport, _now: Millis) {
        if let Some(machine) = self.machines.get_mut(id).filter(|machine| machine.state == State::Running) {
            machine.guest = report;
        }
    }
}

#[cfg(test)]
mod tests;
