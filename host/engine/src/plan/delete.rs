//! The plan that removes everything that exists or may exist: for a delete, and for the undo of a create.

use agentkube_contract::Owner;

use super::{Action, Known, Machine, Plan, Work};

impl Plan {
    /// Machines first, all at once; then the control plane, which their nodes need until they are gone.
    pub fn delete(owner: &Owner, known: &Known) -> Plan {
        let mut plan = Plan::new(Action::Delete, &owner.cluster);
        let machines: Vec<String> = known
            .machines
            .iter()
            .filter(|_| !cfg!(feature = "sabotage-undo"))
            .map(|machine| {
                let work = Work::DeleteMachine(Machine {
                    key: machine.key.clone(),
                    provider: machine.provider.clone(),
                    external_id: machine.external_id.clone(),
                    bootstrap_at_create: false,
                });
                plan.add(format!("machine/{}/delete", machine.key.name), work, Some(&machine.provider), &[])
            })
            .collect();
        if let Some(provider) = &known.control_plane {
            let after: Vec<&str> = machines.iter().map(String::as_str).collect();
            plan.add("control-plane/delete", Work::DeleteControlPlane(known.tokens.clone()), Some(provider), &after);
        }
        plan
    }

    /// The plan before the plan, when a service is to go of which the journal knows nothing.
    pub(crate) fn recover(owner: &Owner) -> Plan {
        let mut plan = Plan::new(Action::Delete, &owner.cluster);
        plan.add("ledger/recover", Work::RecoverLedger, None, &[]);
        plan
    }
}
