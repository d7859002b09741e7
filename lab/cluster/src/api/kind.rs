//! What the server knows about one kind.

use serde_json::Value;

/// Where objects of a kind are stored: all versions of a kind share one table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group, `""` for core.
    pub group: String,
    /// Plural name.
    pub plural: String,
}

impl Resource {
    /// Names a resource.
    pub fn new(group: &str, plural: &str) -> Self {
        Resource { group: group.to_owned(), plural: plural.to_owned() }
    }
}

/// One served version of one kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group, `""` for core.
    pub group: String,
    /// Version, such as `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// `deployment`.
    pub singular: String,
    /// Short names that kubectl accepts.
    pub short: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is a subresource, so that a write of the object leaves the status alone.
    pub status: bool,
    /// JSON pointers of (wanted replicas, observed replicas, selector), when there is a scale subresource.
    pub scale: Option<(String, String, String)>,
    /// Further subresources that take a POST or PUT.
    pub actions: Vec<&'static str>,
    /// Whether `metadata.generation` counts changes of the object.
    pub generation: bool,
    /// Nothing is stored: a POST is a question.
    pub question: bool,
    /// Whether the kind comes from a CustomResourceDefinition (or is served like one).
    pub custom: bool,
    /// Columns of a custom kind: `additionalPrinterColumns` as written.
    pub columns: Vec<Value>,
    /// Structural schema of a custom kind, if it has one.
    pub schema: Option<Value>,
}

impl Kind {
    /// The table that holds the objects.
    pub fn resource(&self) -> Resource {
        Resource::new(&self.group, &self.plural)
    }

    /// `apps/v1`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Verbs that discovery announces.
    pub fn verbs(&self) -> &'static [&'static str] {
        if self.question {
            &["create"]
        } else {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
    }
}
