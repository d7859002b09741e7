//! Kubernetes by named connection. Objects are any serde types; the data of every Secret comes back as references.
//!
//! ```
//! # use agentkube_sdk::testing::World;
//! # use agentkube_sdk::{Result, kube};
//! # use serde_json::{Value, json};
//! # let world = World::new();
//! # let result: Result<()> = world.run(async {
//! use agentkube_sdk::ledger;
//!
//! let admin = kube::connection("admin");
//! let namespaces = kube::Resource::core("v1", "namespaces");
//! let target = namespaces.target(None, "k0123456789");
//! let item = ledger::intend("namespace", "k0123456789", "").await?;
//! admin.apply(&target, &json!({ "apiVersion": "v1", "kind": "Namespace" }), false, item.entry).await?;
//! let found: Option<Value> = admin.get(&target).await?;
//! assert!(found.is_some());
//! # Ok(())
//! # });
//! # result.unwrap();
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::host::agentkube::host::kube::{
    ListOptions, PatchKind, Preconditions, Propagation, RawResponse, Resource, Target,
};
use crate::{Class, Entry, Fault, Result, backend};

/// A named connection to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    name: String,
}

/// What [`Connection::wait_for`] saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited<T> {
    /// The object as it is now; `None` when it does not exist.
    pub object: Option<T>,
    /// True when the time passed and nothing had changed.
    pub timed_out: bool,
}

/// One page of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The objects.
    pub items: Vec<T>,
    /// Token of the next page; `None` at the end.
    pub continue_token: Option<String>,
}

/// The connection with this name, as the plugin's configuration gives it.
pub fn connection(name: &str) -> Connection {
    Connection { name: name.to_owned() }
}

impl Resource {
    /// A kind of an API group, by its plural in lower case.
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        Resource { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned() }
    }

    /// A kind of the core group.
    pub fn core(version: &str, plural: &str) -> Self {
        Resource::new("", version, plural)
    }

    /// One object of this kind; no namespace for a cluster-scoped kind.
    pub fn target(&self, namespace: Option<&str>, name: &str) -> Target {
        Target { resource: self.clone(), namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }
}

impl Preconditions {
    /// Whatever the object is.
    pub fn none() -> Self {
        Preconditions { uid: None, resource_version: None }
    }

    /// Only the object with this uid, not another of the same name.
    pub fn uid(uid: &str) -> Self {
        Preconditions { uid: Some(uid.to_owned()), resource_version: None }
    }
}

impl ListOptions {
    /// All objects of a namespace (or of all that are granted), 200 on a page.
    pub fn new(namespace: Option<&str>) -> Self {
        ListOptions { namespace: namespace.map(str::to_owned), labels: String::new(), limit: 200, continue_token: None }
    }

    /// Only those that match a label selector.
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.labels = selector.into();
        self
    }
}

impl Connection {
    /// Reads one object; `None` when it does not exist.
    pub async fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<Option<T>> {
        match backend::kube::get(self.name.clone(), target.clone()).await {
            Ok(text) => parse(&text).map(Some),
            Err(fault) if fault.class == Class::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Reads one page.
    pub async fn page<T: DeserializeOwned>(&self, resource: &Resource, options: ListOptions) -> Result<Page<T>> {
        let page = backend::kube::list(self.name.clone(), resource.clone(), options).await?;
        let items = page.items.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        Ok(Page { items, continue_token: page.continue_token })
    }

    /// Reads all pages.
    pub async fn list<T: DeserializeOwned>(&self, resource: &Resource, mut options: ListOptions) -> Result<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let page = self.page(resource, options.clone()).await?;
            items.extend(page.items);
            if page.continue_token.is_none() {
                return Ok(items);
            }
            options.continue_token = page.continue_token;
        }
    }

    /// Creates an object; `conflict` (`ALREADY_EXISTS`) when it exists.
    pub async fn create<T: DeserializeOwned>(
        &self,
        target: &Target,
        object: &impl Serialize,
        entry: Entry,
    ) -> Result<T> {
        parse(&backend::kube::create(self.name.clone(), target.clone(), print(object)?, entry).await?)
    }

    /// Applies server-side with the plugin's own field manager; `force` takes fields over from other managers. A uid in the
    /// object's metadata makes it fail with `conflict` when the object is another one.
    pub async fn apply(
        &self,
        target: &Target,
        object: &impl Serialize,
        force: bool,
        entry: Entry,
    ) -> Result<serde_json::Value> {
        parse(&backend::kube::apply(self.name.clone(), target.clone(), print(object)?, force, entry).await?)
    }

    /// Patches an object.
    pub async fn patch(
        &self,
        target: &Target,
        kind: PatchKind,
        patch: &impl Serialize,
        preconditions: Preconditions,
        entry: Entry,
    ) -> Result<serde_json::Value> {
        self.patch_subresource(target, None, kind, patch, preconditions, entry).await
    }

    /// Patches an object or one of its subresources (`status`, `scale`).
    pub async fn patch_subresource(
        &self,
        target: &Target,
        subresource: Option<&str>,
        kind: PatchKind,
        patch: &impl Serialize,
        preconditions: Preconditions,
        entry: Entry,
    ) -> Result<serde_json::Value> {
        let subresource = subresource.map(str::to_owned);
        let (name, target, patch) = (self.name.clone(), target.clone(), print(patch)?);
        parse(&backend::kube::patch(name, target, subresource, kind, patch, preconditions, entry).await?)
    }

    /// Asks for deletion; a missing object is success. It is finished when [`get`](Connection::get) gives `None`, not before.
    pub async fn delete(
        &self,
        target: &Target,
        preconditions: Preconditions,
        propagation: Propagation,
        entry: Entry,
    ) -> Result<()> {
        backend::kube::delete(self.name.clone(), target.clone(), preconditions, propagation, entry).await
    }

    /// Returns when the object's resourceVersion differs from `known` (`None`: when it exists), when it is gone, or after
    /// `timeout_ms`.
    pub async fn wait_for<T: DeserializeOwned>(
        &self,
        target: &Target,
        known: Option<&str>,
        timeout_ms: u32,
    ) -> Result<Waited<T>> {
        let known = known.map(str::to_owned);
        let waited = backend::kube::wait_for(self.name.clone(), target.clone(), known, timeout_ms).await?;
        let object = waited.object.as_deref().map(parse).transpose()?;
        Ok(Waited { object, timed_out: waited.timed_out })
    }

    /// Whether the server would let this connection do something; only what the manifest asks for can be asked about. No
    /// namespace: in all of them, or a cluster-scoped kind.
    pub async fn may(&self, verb: &str, resource: &Resource, namespace: Option<&str>) -> Result<bool> {
        let namespace = namespace.map(str::to_owned);
        backend::kube::may(self.name.clone(), verb.to_owned(), resource.clone(), namespace).await
    }

    /// The object as [`create`](Connection::create) would leave it, after defaults, validation and webhooks; it is not made.
    pub async fn rehearse<T: DeserializeOwned>(&self, target: &Target, object: &impl Serialize) -> Result<T> {
        parse(&backend::kube::rehearse(self.name.clone(), target.clone(), print(object)?).await?)
    }

    /// Reads a raw path such as `/readyz` or `/version`; any status is an answer.
    pub async fn raw_get(&self, path: &str) -> Result<RawResponse> {
        backend::kube::raw_get(self.name.clone(), path.to_owned()).await
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Fault::internal("UNEXPECTED_OBJECT", format!("the object is not what was expected: {error}")))
}

fn print(object: &impl Serialize) -> Result<String> {
    serde_json::to_string(object).map_err(|error| Fault::internal("OBJECT_UNWRITABLE", error.to_string()))
}
