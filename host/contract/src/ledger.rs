//! What we own, or mean to own, and the durable stores beside it. The engine's journal implements these traits; the sandbox
//! offers them to plugins.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Millis, Result, ServiceKey};

/// A ledger entry's number.
pub type EntryId = u64;

/// For whom a row is kept: one plugin working for one service. `service` is `None` for work that concerns no one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Configured name of the plugin.
    pub plugin: String,
    /// Digest of its component, kept with notes so that another version can tell them apart.
    pub digest: String,
    /// Whom the work is for.
    pub service: Option<ServiceKey>,
}

/// State of a ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Declared; nothing is known to exist.
    Intended,
    /// It exists.
    Live,
    /// It is gone for good.
    Gone,
}

/// The last answer to a request that named a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Method and path of the request.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// At most [`Answer::LIMIT`] bytes.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Millis,
}

impl Answer {
    /// Longest body that is kept, in bytes.
    pub const LIMIT: usize = 64 * 1024;
}

/// A ledger row as its holder sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub entry: EntryId,
    /// `machine`, `seed` … as the plugin names kinds.
    pub kind: String,
    /// Unique within service, plugin and kind.
    pub name: String,
    /// What the plugin said when it declared it.
    pub detail: String,
    /// Where it stands.
    pub state: State,
    /// The provider's id.
    pub external_id: Option<String>,
    /// What a second run must know.
    pub note: Option<Vec<u8>>,
    /// The last answer.
    pub last_answer: Option<Answer>,
    /// A request that was sent and whose answer is not known.
    pub in_doubt: Option<String>,
}

/// The ledger.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Declares what is about to be made; idempotent by (service, plugin, kind, name).
    async fn intend(&self, holder: &Holder, kind: &str, name: &str, detail: &str) -> Result<Item>;
    /// Stores a note; durable when it returns.
    async fn note(&self, holder: &Holder, entry: EntryId, note: Vec<u8>) -> Result<()>;
    /// The thing exists, with this id; durable when it returns.
    async fn created(&self, holder: &Holder, entry: EntryId, external_id: &str) -> Result<()>;
    /// The thing is gone for good; its reservations are released.
    async fn gone(&self, holder: &Holder, entry: EntryId) -> Result<()>;
    /// All rows of one kind that are not gone, oldest first.
    async fn mine(&self, holder: &Holder, kind: &str) -> Result<Vec<Item>>;

    /// A request that names the row is about to leave; durable when it returns. Fails when the row is not the holder's.
    async fn sent(&self, holder: &Holder, entry: EntryId, request: &str) -> Result<()>;
    /// Its answer; durable when it returns.
    async fn answered(&self, holder: &Holder, entry: EntryId, answer: Answer) -> Result<()>;
    /// It did not leave after all: no connection could be made.
    async fn unsent(&self, holder: &Holder, entry: EntryId, request: &str) -> Result<()>;
}

/// What a range holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Its first value.
    pub first: String,
    /// Its last value.
    pub last: String,
    /// How many are neither reserved nor burnt.
    pub free: u64,
}

/// Values from configured ranges, each handed to one ledger row.
#[async_trait]
pub trait Reservations: Send + Sync {
    /// The value reserved for the row; idempotent.
    async fn take(&self, holder: &Holder, range: &str, entry: EntryId) -> Result<String>;
    /// What the range holds.
    async fn look(&self, range: &str) -> Result<Stock>;
    /// The value is in use by somebody else.
    async fn reject(&self, holder: &Holder, range: &str, entry: EntryId, value: &str) -> Result<()>;
}

/// The name of a secret value that may be passed on and not seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(pub String);

/// Where the value behind a [`Reference`] is read, each time it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Locator {
    /// A value within the JSON answer of a GET.
    Http {
        /// Connection name.
        connection: String,
        /// Path below its base.
        path: String,
        /// Query parameters.
        query: Vec<(String, String)>,
        /// JSON pointer of the value.
        pointer: String,
    },
    /// A key of a Kubernetes Secret.
    KubeSecret {
        /// Connection name.
        connection: String,
        /// Namespace of the Secret.
        namespace: String,
        /// Its name.
        name: String,
        /// The key within its data.
        key: String,
    },
    /// A secret that the operator named.
    Named {
        /// Its name in the configuration.
        name: String,
    },
}

/// The store of references: a guest sees only the name, the locator stays here.
#[async_trait]
pub trait References: Send + Sync {
    /// The reference of a locator, for this holder; the same locator gives the same reference.
    async fn put(&self, holder: &Holder, locator: &Locator) -> Result<Reference>;
    /// The locator and the plugin that it was made for. `None` when there is none, or when it is bound to another service.
    async fn get(&self, holder: &Holder, reference: &Reference) -> Result<Option<(String, Locator)>>;
}
