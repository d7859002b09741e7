//! Ledger, references and reservations in memory. They outlive a sandbox, as a journal outlives its process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Mutex;

use agentkube_contract::{
    Answer, EntryId, Fault, Holder, Item, Ledger, Locator, Reference, References, Reservations, Result, State, Stock,
};
use async_trait::async_trait;

#[derive(Default)]
pub struct Stores {
    pub items: Mutex<Vec<(Holder, Item)>>,
    pub references: Mutex<Vec<(Holder, Locator)>>,
    /// Values of ranges that were in use by others.
    pub burnt: Mutex<Vec<(String, String)>>,
}

impl Stores {
    pub fn item(&self, entry: EntryId) -> Item {
        self.items.lock().unwrap()[entry as usize - 1].1.clone()
    }

    fn change(&self, holder: &Holder, entry: EntryId, change: impl FnOnce(&mut Item)) -> Result<()> {
        match self.items.lock().unwrap().get_mut((entry as usize).wrapping_sub(1)) {
            Some((of, item)) if of.service == holder.service && of.plugin == holder.plugin => {
                change(item);
                Ok(())
            }
            _ => Err(Fault::invalid("NO_SUCH_ENTRY", "the entry is not yours")),
        }
    }
}

#[async_trait]
impl Ledger for Stores {
    async fn intend(&self, holder: &Holder, kind: &str, name: &str, detail: &str) -> Result<Item> {
        let mut items = self.items.lock().unwrap();
        let same =
            |(of, item): &&(Holder, Item)| of.service == holder.service && item.kind == kind && item.name == name;
        if let Some((_, item)) = items.iter().find(same) {
            return Ok(item.clone());
        }
        let item = Item {
            entry: items.len() as u64 + 1,
            kind: kind.to_owned(),
            name: name.to_owned(),
            detail: detail.to_owned(),
            state: State::Intended,
            external_id: None,
            note: None,
            last_answer: None,
            in_doubt: None,
        };
        items.push((holder.clone(), item.clone()));
        Ok(item)
    }

    async fn note(&self, holder: &Holder, entry: EntryId, note: Vec<u8>) -> Result<()> {
        self.change(holder, entry, |item| item.note = Some(note))
    }

    async fn created(&self, holder: &Holder, entry: EntryId, id: &str) -> Result<()> {
        self.change(holder, entry, |item| {
            item.state = State::Live;
            item.external_id = Some(id.to_owned());
        })
    }

    async fn gone(&self, holder: &Holder, entry: EntryId) -> Result<()> {
        self.change(holder, entry, |item| item.state = State::Gone)
    }

    async fn mine(&self, holder: &Holder, kind: &str) -> Result<Vec<Item>> {
        let items = self.items.lock().unwrap();
        let mine = items.iter().filter(|(of, item)| of.service == holder.service && item.kind == kind);
        Ok(mine.map(|(_, item)| item.clone()).collect())
    }

    async fn sent(&self, holder: &Holder, entry: EntryId, request: &str) -> Result<()> {
        self.change(holder, entry, |item| item.in_doubt = Some(request.to_owned()))
    }

    async fn answered(&self, holder: &Holder, entry: EntryId, answer: Answer) -> Result<()> {
        self.change(holder, entry, |item| {
            item.in_doubt = None;
            item.last_answer = Some(answer);
        })
    }

    async fn unsent(&self, holder: &Holder, entry: EntryId, _: &str) -> Result<()> {
        self.change(holder, entry, |item| item.in_doubt = None)
    }
}

#[async_trait]
impl Reservations for Stores {
    async fn take(&self, _: &Holder, range: &str, entry: EntryId) -> Result<String> {
        let burnt = self.burnt.lock().unwrap().iter().filter(|(of, _)| of == range).count();
        Ok(format!("{range}-{entry}-{burnt}"))
    }

    async fn look(&self, range: &str) -> Result<Stock> {
        Ok(Stock { first: format!("{range}-1"), last: format!("{range}-9"), free: 9 })
    }

    async fn reject(&self, _: &Holder, range: &str, _: EntryId, value: &str) -> Result<()> {
        self.burnt.lock().unwrap().push((range.to_owned(), value.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl References for Stores {
    async fn put(&self, holder: &Holder, locator: &Locator) -> Result<Reference> {
        let mut references = self.references.lock().unwrap();
        references.push((holder.clone(), locator.clone()));
        Ok(Reference(format!("ref-{}", references.len())))
    }

    async fn get(&self, holder: &Holder, reference: &Reference) -> Result<Option<(String, Locator)>> {
        let number: usize = reference.0.trim_start_matches("ref-").parse().unwrap_or(0);
        let references = self.references.lock().unwrap();
        let found = references.get(number.wrapping_sub(1)).filter(|(of, _)| of.service == holder.service);
        Ok(found.map(|(of, locator)| (of.plugin.clone(), locator.clone())))
    }
}
