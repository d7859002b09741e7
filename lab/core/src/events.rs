//! `/events`: what happened, in order. Agents may not read it.

use crate::auth::Scope;
use crate::call::{Call, Reply};
use crate::errors::Error;
use crate::paging::{Filter, Filters, Key, Sorts, page};
use crate::store::Event;
use crate::{Core, views};

const FILTERS: &Filters<Event> = &[
    ("initiatorType", Filter::Exact(|_| "user".to_owned())),
    ("initiatorId", Filter::Id(|row| row.initiator.clone())),
    ("type", Filter::Contains(|row| row.kind.clone())),
];

const SORTS: &Sorts<Event> =
    &[("createdAt", |row| row.meta.created.into()), ("sequenceNumber", |row| Key::Number(row.sequence as f64))];

impl Core {
    pub(crate) fn events_route(&mut self, call: &mut Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", []) => {
                call.identity.may("read", "event_entry", &Scope::everybody())?;
                let own = call.identity.participant.clone();
                let seen =
                    self.store.events.iter().filter(|row| own.is_none() || own == row.provider || own == row.consumer);
                page(call, seen, FILTERS, SORTS, |row| views::event(&self.store, row))
            }
            // Leases are for other systems: all that is left of them here is that agents may not have one.
            ("POST", [action @ ("lease" | "ack")]) => {
                call.identity.may(action, "event_entry", &Scope::everybody())?;
                Err(Error::NoRoute)
            }
            (_, [] | ["lease" | "ack"]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }

    /// Records an event.
    pub(crate) fn record(&mut self, call: &mut Call<'_>, kind: &str, entity: &str, scope: &Scope) {
        self.sequence += 1;
        let mut participants = scope.participants.iter().cloned();
        let event = Event {
            meta: call.meta(),
            sequence: self.sequence,
            kind: kind.to_owned(),
            initiator: call.identity.token.clone(),
            entity: entity.to_owned(),
            provider: participants.next(),
            consumer: participants.next(),
            agent: scope.agent.clone(),
        };
        self.store.events.place(event);
    }
}
