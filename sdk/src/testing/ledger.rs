//! The ledger, with the doubt that lost answers leave.

use crate::bindings::host::agentkube::host::ledger::{Answer, Item, State};
use crate::{Entry, Fault, Result};

/// All rows; the entry's number is the index plus one.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: Vec<Item>,
    /// Requests that were sent and not answered; an answer settles its own, a `created` or `gone` all of an entry.
    doubts: Vec<(Entry, String)>,
}

/// Longest note and longest body that is kept.
const LIMIT: usize = 64 * 1024;

impl Ledger {
    fn row(&mut self, entry: Entry) -> Result<&mut Item> {
        let row = self.rows.iter_mut().find(|row| row.entry == entry);
        row.ok_or_else(|| Fault::denied("NOT_YOUR_ENTRY", format!("there is no ledger entry {entry} of this service")))
    }

    pub(crate) fn check(&self, entry: Entry) -> Result<()> {
        match self.rows.iter().find(|row| row.entry == entry) {
            Some(row) if row.state == State::Gone => {
                Err(Fault::invalid("ENTRY_GONE", format!("ledger entry {entry} is gone: intend it again")))
            }
            Some(_) => Ok(()),
            None => Err(Fault::denied("NOT_YOUR_ENTRY", format!("there is no ledger entry {entry} of this service"))),
        }
    }

    pub(crate) fn intend(&mut self, kind: &str, name: &str, detail: &str) -> Result<Item> {
        if let Some(row) = self.rows.iter_mut().find(|row| row.kind == kind && row.name == name) {
            if row.state == State::Gone {
                *row = fresh(row.entry, kind, name, detail);
            }
            return Ok(row.clone());
        }
        let row = fresh(self.rows.len() as Entry + 1, kind, name, detail);
        self.rows.push(row.clone());
        Ok(row)
    }

    pub(crate) fn note(&mut self, entry: Entry, note: Vec<u8>) -> Result<()> {
        if note.len() > LIMIT {
            return Err(Fault::invalid("NOTE_TOO_LONG", format!("a note has at most {LIMIT} bytes")));
        }
        self.row(entry)?.note = Some(note);
        Ok(())
    }

    pub(crate) fn created(&mut self, entry: Entry, id: &str) -> Result<()> {
        let row = self.row(entry)?;
        match (&row.external_id, row.state) {
            (_, State::Gone) => {
                return Err(Fault::conflict("ENTRY_GONE", format!("ledger entry {entry} is gone: intend it again")));
            }
            (Some(other), State::Live) if other != id => {
                return Err(Fault::conflict("OTHER_ID", format!("ledger entry {entry} is `{other}` already")));
            }
            _ => {}
        }
        row.external_id = Some(id.to_owned());
        row.state = State::Live;
        self.settle(entry, None);
        Ok(())
    }

    pub(crate) fn gone(&mut self, entry: Entry) -> Result<()> {
        self.row(entry)?.state = State::Gone;
        self.settle(entry, None);
        Ok(())
    }

    pub(crate) fn mine(&self, kind: &str) -> Vec<Item> {
        self.alive().into_iter().filter(|row| row.kind == kind).collect()
    }

    pub(crate) fn alive(&self) -> Vec<Item> {
        self.rows.iter().filter(|row| row.state != State::Gone).cloned().collect()
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<Item> {
        self.rows.iter().find(|row| row.kind == kind && row.name == name).cloned()
    }

    pub(crate) fn sent(&mut self, entry: Entry, request: &str) -> Result<()> {
        self.settle(entry, Some(request));
        self.doubts.push((entry, request.to_owned()));
        self.row(entry)?.in_doubt = Some(request.to_owned());
        Ok(())
    }

    pub(crate) fn answered(&mut self, entry: Entry, mut answer: Answer) {
        answer.body.truncate(LIMIT);
        self.settle(entry, Some(&answer.request));
        if let Ok(row) = self.row(entry) {
            row.last_answer = Some(answer);
        }
    }

    /// The request did not leave after all.
    pub(crate) fn unsent(&mut self, entry: Entry, request: &str) {
        self.settle(entry, Some(request));
    }

    fn settle(&mut self, entry: Entry, request: Option<&str>) {
        self.doubts.retain(|(of, line)| *of != entry || request.is_some_and(|request| request != line));
        let left = self.doubts.iter().rev().find(|(of, _)| *of == entry).map(|(_, line)| line.clone());
        if let Ok(row) = self.row(entry) {
            row.in_doubt = left;
        }
    }
}

fn fresh(entry: Entry, kind: &str, name: &str, detail: &str) -> Item {
    Item {
        entry,
        kind: kind.to_owned(),
        name: name.to_owned(),
        detail: detail.to_owned(),
        state: State::Intended,
        external_id: None,
        note: None,
        last_answer: None,
        in_doubt: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Reply, World, answer};
    use crate::{Outcome, http, ledger};

    #[test]
    fn a_lost_answer_leaves_doubt_until_the_thing_is_known() {
        let world = World::new();
        world.http("cloud", |request| match request.path() {
            "/lost" => Reply::Lost(answer(200, json!(1))),
            "/deaf" => Reply::NotConnected,
            _ => answer(201, json!({ "id": "m-1" })).into(),
        });
        world.run(async {
            let entry = ledger::intend("machine", "a", "").await.unwrap().entry;
            let fault = http::post("cloud", "/deaf").entry(entry).send().await.unwrap_err();
            assert_eq!(fault.outcome, Outcome::NotApplied);
            assert!(ledger::intend("machine", "a", "").await.unwrap().is_fresh());

            let fault = http::post("cloud", "/lost").entry(entry).send().await.unwrap_err();
            assert_eq!(fault.outcome, Outcome::Unknown);
            assert_eq!(ledger::intend("machine", "a", "").await.unwrap().in_doubt.as_deref(), Some("POST /lost"));

            http::post("cloud", "/fine").entry(entry).send().await.unwrap();
            let item = ledger::intend("machine", "a", "").await.unwrap();
            assert!(item.in_doubt(), "the answer to another request settles nothing");
            item.created("m-1").await.unwrap();
            assert!(!ledger::intend("machine", "a", "").await.unwrap().in_doubt());
            assert_eq!(item.answer_to::<serde_json::Value>("POST /fine"), Some(json!({ "id": "m-1" })));
            assert_eq!(item.answer_to::<serde_json::Value>("POST /lost"), None);
        });
    }

    #[test]
    fn an_effect_without_an_entry_is_refused() {
        let world = World::new();
        world.http("cloud", |_| answer(200, json!(null)));
        let fault = world.run(async { http::post("cloud", "/x").send().await.unwrap_err() });
        assert_eq!((fault.code.as_str(), world.sent("POST", "/x")), ("NO_LEDGER_ENTRY", 0));
    }

    #[test]
    fn a_row_that_is_gone_can_be_intended_again() {
        let world = World::new();
        world.run(async {
            let item = ledger::intend("machine", "a", "").await.unwrap();
            item.created("m-1").await.unwrap();
            assert_eq!(item.created("m-2").await.unwrap_err().code, "OTHER_ID");
            item.gone().await.unwrap();
            assert!(ledger::mine("machine").await.unwrap().is_empty());
            let again = ledger::intend("machine", "a", "").await.unwrap();
            assert!(again.is_fresh() && again.entry == item.entry);
        });
    }
}
