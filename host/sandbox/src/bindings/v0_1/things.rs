//! Conversions of machines, conditions and ledger rows.

use agentkube_contract::{Address, Condition, Instance, Item, Lifecycle, State};

use super::capability::ledger;
use super::common::{all, same_cases};
use super::job_source_world::agentkube::provider::types as wit;

same_cases!(wit::Lifecycle, Lifecycle, Creating Stopped Running Deleting Failed Unknown);
same_cases!(ledger::State, State, Intended Live Gone);

impl From<wit::Instance> for Instance {
    fn from(i: wit::Instance) -> Self {
        Instance {
            id: i.id,
            provider_id: i.provider_id,
            lifecycle: i.lifecycle.into(),
            location: i.location,
            macs: i.macs,
            addresses: i.addresses.into_iter().map(|a| Address { mac: a.mac, ip: a.ip }).collect(),
            cores: i.cores,
            memory_mib: i.memory_mib,
            more: i.more,
        }
    }
}

impl From<&Instance> for wit::Instance {
    fn from(i: &Instance) -> Self {
        wit::Instance {
            id: i.id.clone(),
            provider_id: i.provider_id.clone(),
            lifecycle: i.lifecycle.into(),
            location: i.location.clone(),
            macs: i.macs.clone(),
            addresses: all(&i.addresses),
            cores: i.cores,
            memory_mib: i.memory_mib,
            more: i.more.clone(),
        }
    }
}

impl From<&Address> for wit::Address {
    fn from(a: &Address) -> Self {
        wit::Address { mac: a.mac.clone(), ip: a.ip.clone() }
    }
}

impl From<wit::Condition> for Condition {
    fn from(c: wit::Condition) -> Self {
        Condition { name: c.name, status: c.status, reason: c.reason, message: c.message }
    }
}

impl From<&Condition> for wit::Condition {
    fn from(c: &Condition) -> Self {
        wit::Condition { name: c.name.clone(), status: c.status, reason: c.reason.clone(), message: c.message.clone() }
    }
}

impl From<Item> for ledger::Item {
    fn from(item: Item) -> Self {
        ledger::Item {
            entry: item.entry,
            kind: item.kind,
            name: item.name,
            detail: item.detail,
            state: item.state.into(),
            external_id: item.external_id,
            note: item.note,
            last_answer: item.last_answer.map(|answer| ledger::Answer {
                request: answer.request,
                status: answer.status,
                body: answer.body,
                at_ms: answer.at,
            }),
            in_doubt: item.in_doubt,
        }
    }
}
