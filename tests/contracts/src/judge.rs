//! The rule by which a fault becomes a violation, and the sums.
//!
//! - What the product sends must be right whatever the answer. Its requests are known by their `User-Agent`.
//! - What a test or the lab's own client sends may be wrong if the lab refuses it for that: then the test is about the refusal. The
//!   status tells: 404, 405 or 501 for an operation that does not exist, 400, 413, 415, 422 or 501 for anything else. A wrong
//!   request with another answer is a violation: the real system would have refused it.
//! - An answer must be right always.
//! - A fault that [`deviations`](crate::deviations) lists is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lab_wire::{Exchange, Interface};

use crate::deviations::{Deviation, KNOWN};
use crate::error::Result;
use crate::fault::{Checked, Contract, Fault, Side};
use crate::{Fulcrum, Kamaji, Proxmox};

/// How the product's `User-Agent` begins.
const OURS: &str = "agentkube/";

/// A fault that no deviation explains.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The interface.
    pub interface: Interface,
    /// Operation, or method and path where there is none.
    pub operation: String,
    /// What is wrong.
    pub fault: Fault,
    /// The first exchange in which it was seen.
    pub example: Exchange,
    /// In how many.
    pub seen: usize,
}

/// What was checked of one interface.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Distinct requests that were checked.
    pub requests: usize,
    /// Those of them that the product sent.
    pub ours: usize,
    /// Those that were wrong on purpose, and refused.
    pub refused: usize,
    /// Distinct answers that were checked.
    pub answers: usize,
    /// Exchanges of which a half was too long to be written down.
    pub unchecked: usize,
    /// Operations that were called.
    pub operations: BTreeSet<String>,
    /// Uses of each known deviation, by its place in the table.
    pub deviations: BTreeMap<usize, usize>,
    /// Violations.
    pub violations: usize,
}

/// Checks exchanges, and keeps what it found.
pub struct Judge {
    contracts: PathBuf,
    known: &'static [Deviation],
    /// The schemas that were read so far.
    pub(crate) read: BTreeMap<Interface, Option<Box<dyn Contract>>>,
    /// By interface.
    pub sums: BTreeMap<Interface, Sums>,
    /// Exchanges of systems without a schema in the folder, by interface.
    pub strange: BTreeMap<Interface, usize>,
    violations: BTreeMap<(Interface, String, String), Violation>,
}

impl Judge {
    /// A judge with the schemas of a folder.
    pub fn new(contracts: &Path) -> Self {
        Judge::with(contracts, KNOWN)
    }

    /// A judge that knows other deviations.
    pub fn with(contracts: &Path, known: &'static [Deviation]) -> Self {
        Judge {
            contracts: contracts.to_owned(),
            known,
            read: BTreeMap::new(),
            sums: BTreeMap::new(),
            strange: BTreeMap::new(),
            violations: BTreeMap::new(),
        }
    }

    /// What was found, one for each operation and place.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.violations.values()
    }

    /// The deviations that it knows.
    pub fn known(&self) -> &'static [Deviation] {
        self.known
    }

    /// Checks one exchange.
    pub fn hear(&mut self, exchange: &Exchange) -> Result<()> {
        let interface = &exchange.interface;
        if !self.read.contains_key(interface) {
            let contract = open(&self.contracts, interface)?;
            self.read.insert(interface.clone(), contract);
        }
        let Some(Some(contract)) = self.read.get(interface) else {
            *self.strange.entry(interface.clone()).or_default() += 1;
            return Ok(());
        };
        let checked = contract.check(exchange);
        self.count(exchange, &checked);
        let operation = checked.operation.clone().unwrap_or_else(|| format!("{} {}", exchange.method, exchange.path));
        let ours = exchange.agent.starts_with(OURS);
        let (known, sums) = (self.known, self.sums.entry(interface.clone()).or_default());
        let mut left = Vec::new();
        for fault in &checked.faults {
            let covers =
                |entry: &Deviation| entry.covers(&interface.system, &interface.version, &operation, fault, ours);
            match known.iter().position(covers) {
                Some(at) => *sums.deviations.entry(at).or_default() += 1,
                None => left.push(fault.clone()),
            }
        }
        let mistakes = || left.iter().filter(|fault| fault.side == Side::Request);
        if !ours && mistakes().any(|fault| refuses(checked.status, fault)) {
            sums.refused += 1;
            left.retain(|fault| fault.side == Side::Answer);
        }
        for mut fault in left {
            if fault.side == Side::Request && !ours {
                fault.text = format!("{} (answered with {})", fault.text, checked.status);
            }
            self.add(exchange, &operation, fault);
        }
        Ok(())
    }

    fn count(&mut self, exchange: &Exchange, checked: &Checked) {
        let sums = self.sums.entry(exchange.interface.clone()).or_default();
        sums.requests += usize::from(checked.request);
        sums.ours += usize::from(checked.request && exchange.agent.starts_with(OURS));
        sums.answers += usize::from(checked.answer);
        let whole = checked.request && (checked.answer || checked.operation.is_none() || exchange.answer.is_none());
        sums.unchecked += usize::from(!whole);
        sums.operations.extend(checked.operation.clone());
    }

    fn add(&mut self, exchange: &Exchange, operation: &str, fault: Fault) {
        // The items of a list are alike.
        let place: Vec<&str> =
            fault.place.split('/').map(|part| if part.parse::<u32>().is_ok() { "*" } else { part }).collect();
        let place = format!("{} {} {}", fault.side, place.join("/"), fault.rule);
        let key = (exchange.interface.clone(), operation.to_owned(), place);
        let sums = self.sums.entry(exchange.interface.clone()).or_default();
        let violation = self.violations.entry(key).or_insert_with(|| {
            sums.violations += 1;
            let interface = exchange.interface.clone();
            Violation { interface, operation: operation.to_owned(), fault, example: exchange.clone(), seen: 0 }
        });
        violation.seen += 1;
    }
}

/// Whether a status says that this is what is wrong with the request. 401 and 403 do not: nobody has looked at it then.
fn refuses(status: u16, fault: &Fault) -> bool {
    match fault.rule.as_str() {
        "operation" => [404, 405, 501].contains(&status),
        _ => [400, 413, 415, 422, 501].contains(&status),
    }
}

/// The schemas of an interface, if the folder has any.
fn open(contracts: &Path, interface: &Interface) -> Result<Option<Box<dyn Contract>>> {
    Ok(match interface.system.as_str() {
        "fulcrum" => Some(Box::new(Fulcrum::read(contracts)?)),
        "kamaji" => Some(Box::new(Kamaji::read(contracts, &interface.version)?)),
        // The oldest description at hand; what our requests use of it is the same in 8.2.
        "proxmox" if interface.version == "8.2" => Some(Box::new(Proxmox::read(contracts, "8.4")?)),
        "proxmox" => Some(Box::new(Proxmox::read(contracts, &interface.version)?)),
        _ => None,
    })
}
