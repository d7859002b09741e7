//! Whose a VM is: one line of its description says it exactly, tags and name help to find it.
//!
//! The line stands in the same request that makes the VM, so that no VM of ours is ever without it. It is JSON after a word of our
//! own; around it people may write what they like.

use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Begins the line.
const WORD: &str = "agentkube ";
/// The tag that every machine of ours has.
pub(crate) const TAG: &str = "agentkube";

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub installation: String,
    pub source: String,
    pub service: String,
    pub cluster: String,
    pub pool: String,
    pub index: u32,
    pub machine: String,
}

impl Mark {
    /// The mark of one machine.
    pub fn new(owner: &Owner, key: &MachineKey) -> Self {
        Mark {
            installation: owner.installation.clone(),
            source: owner.source.clone(),
            service: owner.service.clone(),
            cluster: owner.cluster.clone(),
            pool: key.pool.clone(),
            index: key.index,
            machine: key.name.clone(),
        }
    }

    /// The description of a machine: a line for people, and the mark.
    pub fn description(&self, owner: &Owner) -> Result<String> {
        let line = serde_json::to_string(self).map_err(|error| Fault::internal("MARK", error.to_string()))?;
        let shown: String = owner.display_name.chars().filter(|c| !c.is_control()).take(100).collect();
        Ok(format!("Machine {} of {shown}\n\n{WORD}{line}", self.machine))
    }

    /// The mark in a description; `None` when there is none.
    pub fn read(description: &str) -> Option<Mark> {
        // The first one counts, but for the first line, which holds a name that anybody may choose.
        let line = description.lines().skip(1).find_map(|line| line.trim().strip_prefix(WORD));
        serde_json::from_str(line?).ok()
    }

    /// Whom the machine was made for.
    pub fn owner(self) -> Owner {
        Owner {
            installation: self.installation,
            source: self.source,
            service: self.service,
            cluster: self.cluster,
            display_name: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str) -> (Owner, Mark) {
        let owner = Owner {
            installation: "dc1".into(),
            source: "core".into(),
            service: "s-1".into(),
            cluster: "kabcdefghij".into(),
            display_name: name.into(),
        };
        let key = MachineKey { pool: "w".into(), index: 3, name: "kabcdefghij-w-03".into() };
        let mark = Mark::new(&owner, &key);
        (owner, mark)
    }

    #[test]
    fn a_mark_survives_the_way_there_and_back() {
        let (owner, mark) = mark("My \"Cluster\"");
        let description = mark.description(&owner).unwrap();
        assert_eq!(Mark::read(&format!("{description}\n")), Some(mark.clone()));
        assert_eq!(Mark::read(&format!("{description}\nmoved to rack 4\n")), Some(mark));
    }

    #[test]
    fn a_display_name_cannot_forge_one() {
        let forged = r#"x\nagentkube {"installation":"dc1"}"#.replace("\\n", "\n");
        let (owner, mark) = mark(&forged);
        assert_eq!(Mark::read(&mark.description(&owner).unwrap()), Some(mark));
        assert_eq!(Mark::read("agentkube {}"), None);
        assert_eq!(Mark::read("Ubuntu 24.04\n"), None);
    }
}
