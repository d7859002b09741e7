//! Faults by name, which befall the running servers at random from a seed: for `agentkube-lab up --faults` and for tests that want
//! bad weather and not one cloud.
//!
//! - [`ALL`]: every fault with a sentence; [`FLAKY`] are those that a patient client survives. `docs/lab-faults.md` lists them.
//! - [`chosen`]: from what was typed to the faults that are meant.
//! - [`Weather`]: lets them strike one after the other until it is dropped.
//!
//! What a test wants exactly once and exactly then, it switches on at the servers themselves.

mod admin;
mod core;
mod pve;
mod toy;

use std::sync::Arc;
use std::time::Duration;

use lab_cluster::AdminCluster;
use lab_core::Core;
use lab_pve::Pve;
use lab_toy::ToyCloud;
use lab_wire::Random;
use tokio::task::JoinHandle;

use crate::Error;
use crate::daemon::Infrastructure;
use crate::shell::Shared;

/// A fault by its name.
#[derive(Debug)]
pub struct Named {
    /// Its name: the system, and what happens.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub says: &'static str,
    /// Whether it passes, so that whoever tries again gets there.
    pub passes: bool,
    strike: fn(&Servers, &mut Random),
    /// Ends what lasts; none for what is used up by itself.
    end: Option<fn(&Servers)>,
}

impl Named {
    /// Whether it can be met by a cluster whose machines are made there.
    fn concerns(&self, machines: Infrastructure) -> bool {
        let elsewhere = match machines {
            Infrastructure::Proxmox => "toy-",
            Infrastructure::Toy => "pve-",
        };
        !self.name.starts_with(elsewhere)
    }
}

/// The name of all faults that pass.
pub const FLAKY: &str = "flaky";

/// Every fault, system by system.
pub fn all() -> impl Iterator<Item = &'static Named> {
    [core::ALL, admin::ALL, pve::ALL, toy::ALL].into_iter().flatten()
}

/// The faults that a text names: names separated by commas, or [`FLAKY`] among them, which leaves out those of an infrastructure on
/// which no machines are made.
pub fn chosen(text: &str, machines: Infrastructure) -> Result<Vec<&'static Named>, Error> {
    let mut chosen: Vec<&'static Named> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let meant: Vec<&'static Named> = all()
            .filter(|fault| fault.name == word || (word == FLAKY && fault.passes && fault.concerns(machines)))
            .collect();
        if meant.is_empty() {
            return Err(Error::Faults(format!("there is no fault `{word}`; `--faults list` prints them")));
        }
        for fault in meant {
            if !chosen.iter().any(|other| other.name == fault.name) {
                chosen.push(fault);
            }
        }
    }
    match chosen.is_empty() {
        true => Err(Error::Faults("no fault is named; `--faults list` prints them".to_owned())),
        false => Ok(chosen),
    }
}

/// The servers that faults are switched on at.
#[derive(Clone)]
pub struct Servers {
    pub(crate) core: Arc<Shared<Core>>,
    pub(crate) admin: Arc<Shared<AdminCluster>>,
    pub(crate) proxmox: Arc<Shared<Pve>>,
    pub(crate) toy: Arc<Shared<ToyCloud>>,
    /// Everything takes so many times less than in the real world.
    pub(crate) scale: u64,
}

impl Servers {
    /// A real time, scaled; never 0.
    fn scaled(&self, millis: u64) -> u64 {
        (millis / self.scale.max(1)).max(1)
    }
}

/// Faults that strike until this is dropped, or told to clear.
pub struct Weather {
    servers: Servers,
    faults: Vec<&'static Named>,
    task: JoinHandle<()>,
}

/// Between two strikes, in real milliseconds before scaling.
const PAUSE: u64 = 4_000;
/// How long lasts what is ended again, likewise.
const LASTS: u64 = 6_000;

impl Weather {
    /// Faults that strike one at a time, chosen by the seed, with pauses of up to eight seconds before scaling.
    pub fn start(servers: Servers, faults: Vec<&'static Named>, seed: u64) -> Self {
        let task = tokio::spawn(strike(servers.clone(), faults.clone(), Random::new(seed)));
        Weather { servers, faults, task }
    }

    /// No more faults; what lasts is ended.
    pub fn clear(self) {
        drop(self);
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.task.abort();
        self.faults.iter().filter_map(|fault| fault.end).for_each(|end| end(&self.servers));
        self.servers.core.with(|core, _, _| core.clear_faults());
        self.servers.toy.with(|toy, _, _| toy.heal());
    }
}

async fn strike(servers: Servers, faults: Vec<&'static Named>, mut random: Random) {
    loop {
        let pause = servers.scaled(PAUSE / 4 + random.below(PAUSE * 7 / 4));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let Some(fault) = faults.get(random.below(faults.len() as u64) as usize) else { return };
        tracing::info!(fault = fault.name, "a fault strikes");
        (fault.strike)(&servers, &mut random);
        if let Some(end) = fault.end {
            tokio::time::sleep(Duration::from_millis(servers.scaled(1 + random.below(LASTS)))).await;
            end(&servers);
        }
    }
}

/// One of several.
fn pick<'a, T>(random: &mut Random, among: &'a [T]) -> Option<&'a T> {
    among.get(random.below(among.len() as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_sentences_are_sentences() {
        let names: Vec<&str> = all().map(|fault| fault.name).collect();
        let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.len() >= 25, "{names:?}");
        for fault in all() {
            assert!(fault.says.ends_with('.') && fault.says.len() > 20, "{}", fault.name);
        }
    }

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        let on = |text: &str, machines| {
            chosen(text, machines).map(|faults| faults.iter().map(|fault| fault.name).collect::<Vec<_>>())
        };
        let names = |text: &str| on(text, Infrastructure::Proxmox);
        assert_eq!(names("pve-slow-tasks, core-errors,pve-slow-tasks").unwrap(), ["pve-slow-tasks", "core-errors"]);
        let flaky = names("flaky").unwrap();
        assert!(flaky.contains(&"pve-lost-replies") && !flaky.contains(&"pve-foreign-ids"), "{flaky:?}");
        assert_eq!(names("flaky,pve-foreign-ids").unwrap().len(), flaky.len() + 1);
        assert_eq!(names("flaky,core-errors").unwrap(), flaky);
        assert!(!flaky.iter().any(|name| name.starts_with("toy-")), "{flaky:?}");
        let toy = on("flaky", Infrastructure::Toy).unwrap();
        assert!(toy.contains(&"toy-errors") && !toy.iter().any(|name| name.starts_with("pve-")), "{toy:?}");
        assert_eq!(names("toy-errors").unwrap(), ["toy-errors"], "whoever names it means it");
        assert!(names("core-eror").unwrap_err().to_string().contains("`core-eror`"));
        assert!(names(" , ").is_err());
    }

    #[test]
    fn the_page_lists_every_fault() {
        let page = include_str!("../../../docs/lab-faults.md");
        for fault in all() {
            let row = format!("| `{}` | {} |", fault.name, fault.says);
            assert!(page.contains(&row), "docs/lab-faults.md lacks this row, or says it otherwise:\n{row}");
        }
    }

    #[test]
    fn every_fault_that_a_test_meets_has_a_name_or_is_always_there() {
        let page = include_str!("../../../docs/faults.md");
        let mut rows = 0;
        for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [_, _, by] = cells[..] else { panic!("not three cells: {row}") };
            rows += 1;
            for word in by.split(", ").filter(|word| *word != "always") {
                let name = word.trim_matches('`');
                assert!(all().any(|fault| fault.name == name), "no fault is called {word}:\n{row}");
            }
        }
        assert!(rows >= 100, "{rows}");
    }
}
