//! What we own, or mean to own: written before the effect, so that nothing is ever lost or made twice.
//!
//! The pattern: [`intend`]; *find* unless the item [is fresh](Item::is_fresh); send the request with the entry;
//! [write down](Item::write_note) what a second run must know; [`created`](Item::created) with the id; and [`gone`](Item::gone)
//! when it is deleted.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::bindings::host::agentkube::host::ledger::{Answer, Item, State};
use crate::{Entry, Fault, Result, backend};

/// What a second run must know, stored as JSON with the number of its shape.
///
/// ```
/// # let world = agentkube_sdk::testing::World::new();
/// use agentkube_sdk::ledger::{self, Note};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct Started {
///     operation: String,
/// }
/// impl Note for Started {
///     const SCHEMA: u32 = 1;
/// }
///
/// # let result: agentkube_sdk::Result<()> = world.run(async {
/// let item = ledger::intend("machine", "kabc-workers-01", "").await?;
/// assert_eq!(item.read_note::<Started>()?, None);
/// item.write_note(&Started { operation: "op-7".into() }).await?;
///
/// let again = ledger::intend("machine", "kabc-workers-01", "").await?;
/// assert_eq!(again.read_note::<Started>()?, Some(Started { operation: "op-7".into() }));
/// # Ok(())
/// # });
/// # result.unwrap();
/// ```
pub trait Note: Serialize + DeserializeOwned {
    /// Number of the shape; raise it when the shape changes.
    const SCHEMA: u32;

    /// Understands a note that another version wrote. By default: not.
    fn migrate(schema: u32, data: Value) -> Option<Self> {
        let _ = (schema, data);
        None
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    schema: u32,
    data: &'a T,
}

#[derive(Deserialize)]
struct Read {
    schema: u32,
    data: Value,
}

/// Declares what is about to be made. Idempotent by (service, kind, name): a second call gives the item as it is. An item that is
/// gone becomes intended again.
pub async fn intend(kind: &str, name: &str, detail: &str) -> Result<Item> {
    backend::ledger::intend(kind.to_owned(), name.to_owned(), detail.to_owned()).await
}

/// All items of one kind of this service that are not gone, oldest first.
pub async fn mine(kind: &str) -> Result<Vec<Item>> {
    backend::ledger::mine(kind.to_owned()).await
}

/// Stores up to 64 KiB with the entry; durable when it returns.
pub async fn note(entry: Entry, note: Vec<u8>) -> Result<()> {
    backend::ledger::note(entry, note).await
}

/// The thing exists, with this id; durable when it returns. A different id for a live entry is a conflict.
pub async fn created(entry: Entry, external_id: &str) -> Result<()> {
    backend::ledger::created(entry, external_id.to_owned()).await
}

/// The thing is gone for good. A second call does nothing.
pub async fn gone(entry: Entry) -> Result<()> {
    backend::ledger::gone(entry).await
}

impl Item {
    /// Nothing that names this entry was ever sent: there is nothing to find, and it can be made at once.
    pub fn is_fresh(&self) -> bool {
        self.state == State::Intended
            && self.external_id.is_none()
            && self.note.is_none()
            && self.last_answer.is_none()
            && self.in_doubt.is_none()
    }

    /// A request was sent, and nobody knows whether it took effect: there is no answer, or one that does not tell (408, 500, 502,
    /// 504). Find out what exists before sending another.
    pub fn in_doubt(&self) -> bool {
        let silent = |answer: &Answer| matches!(answer.status, 408 | 500 | 502 | 504);
        self.in_doubt.is_some() || self.last_answer.as_ref().is_some_and(silent)
    }

    /// It exists, with an external id.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// The body of the last answer as JSON, when the last request that named the entry succeeded (2xx) and was like `request`:
    /// `POST /v1/machines`, as the host wrote it down. `None` when there is no such answer or it is no such JSON.
    pub fn answer_to<T: DeserializeOwned>(&self, request: &str) -> Option<T> {
        let answer = self.last_answer.as_ref().filter(|answer| answer.request == request)?;
        if !(200..300).contains(&answer.status) {
            return None;
        }
        serde_json::from_slice(&answer.body).ok()
    }

    /// The note, if there is one. Fails with `NOTE_SCHEMA` when another version of the plugin wrote it in a shape that this one does
    /// not understand.
    pub fn read_note<T: Note>(&self) -> Result<Option<T>> {
        let Some(bytes) = &self.note else { return Ok(None) };
        let unreadable =
            |why: String| Fault::internal("NOTE_SCHEMA", format!("note of {} `{}`: {why}", self.kind, self.name));
        let read: Read = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if read.schema != T::SCHEMA {
            let why = format!("it has shape {}, and this version of the plugin reads shape {}", read.schema, T::SCHEMA);
            return T::migrate(read.schema, read.data).map(Some).ok_or_else(|| unreadable(why));
        }
        serde_json::from_value(read.data).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Stores a note; durable when it returns.
    pub async fn write_note<T: Note>(&self, data: &T) -> Result<()> {
        let bytes = serde_json::to_vec(&Written { schema: T::SCHEMA, data })
            .map_err(|error| Fault::internal("NOTE_UNWRITABLE", error.to_string()))?;
        note(self.entry, bytes).await
    }

    /// The thing exists, with this id.
    pub async fn created(&self, external_id: &str) -> Result<()> {
        created(self.entry, external_id).await
    }

    /// The thing is gone for good.
    pub async fn gone(&self) -> Result<()> {
        gone(self.entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old(String);

    impl Note for Old {
        const SCHEMA: u32 = 1;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        task: String,
    }

    impl Note for New {
        const SCHEMA: u32 = 2;

        fn migrate(schema: u32, data: Value) -> Option<Self> {
            let Old(task) = (schema == 1).then(|| serde_json::from_value(data).ok())??;
            Some(New { task })
        }
    }

    #[test]
    fn a_note_of_another_shape_is_migrated_or_refused() {
        let world = World::new();
        let item = world.run(intend("machine", "a", "")).unwrap();
        world.run(item.write_note(&Old("op-7".into()))).unwrap();
        let item = world.item("machine", "a").unwrap();
        assert_eq!(item.read_note(), Ok(Some(New { task: "op-7".into() })));
        world.run(item.write_note(&New { task: "op-8".into() })).unwrap();
        let item = world.item("machine", "a").unwrap();
        assert_eq!(item.read_note::<Old>().unwrap_err().code, "NOTE_SCHEMA");
    }

    #[test]
    fn an_answer_that_does_not_tell_leaves_doubt() {
        let world = World::new();
        let mut item = world.run(intend("machine", "a", "")).unwrap();
        assert!(item.is_fresh() && !item.in_doubt());
        let answer = |status| Answer { request: "POST /x".into(), status, body: b"7".to_vec(), at_ms: 0 };
        for (status, doubt, value) in [(500, true, None), (422, false, None), (201, false, Some(7))] {
            item.last_answer = Some(answer(status));
            assert_eq!((item.in_doubt(), item.answer_to::<u8>("POST /x")), (doubt, value), "{status}");
        }
    }
}
