//! What a plugin says about itself and asks for.
//!
//! ```
//! use agentkube_sdk::manifest::{HttpUse, KubeUse};
//! # use agentkube_sdk::prelude::*;
//! # use agentkube_sdk::control_plane::{Kubeconfigs, Stage, Status};
//! # use agentkube_sdk::cluster::Cluster;
//! # struct Planes;
//! # impl ControlPlane for Planes {
//! #   type Config = ();
//! #   fn new(_: ()) -> Result<Self> { Ok(Planes) }
//! #   async fn preflight(&self) -> Result<Vec<Finding>> { Ok(vec![]) }
//! #   async fn ensure(&self, _: Call, _: Cluster, _: Stage) -> Result<Status> { Err(Fault::unsupported("X", "")) }
//! #   async fn observe(&self, _: Call) -> Result<Option<Status>> { Ok(None) }
//! #   async fn delete(&self, _: Call) -> Result<()> { Ok(()) }
//! #   async fn list_owned(&self, _: String, _: Option<String>) -> Result<OwnedPage> { Err(Fault::unsupported("X", "")) }
//! #   async fn kubeconfig(&self, _: Call) -> Result<Kubeconfigs> { Err(Fault::unsupported("X", "")) }
//! # }
//!
//! pub fn manifest() -> Manifest {
//!     agentkube_sdk::manifest!(ControlPlane for Planes, "planes")
//!         .kube(
//!             KubeUse::new("/connection", "runs control planes")
//!                 .rule("example.org", &["planes"], &["get", "list", "watch", "create", "patch", "delete"])
//!                 .raw("/version"),
//!         )
//!         .http(HttpUse::new("/probe", "looks from outside").get("/healthz").optional())
//!         .capabilities(&["ledger", "clock", "random"])
//!         .build()
//! }
//! # assert_eq!(manifest().role.as_str(), "control-plane");
//! # assert_eq!(manifest().needs.capabilities, ["clock", "config", "ledger", "log", "random"]);
//! ```

use agentkube_manifest::{HttpNeed, KubeNeed, KubeRule, Needs, RequestNeed};
pub use agentkube_manifest::{Manifest, Offer, Role, SECTION};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// Begins the manifest of a plugin: `manifest!(NodeProvider for Toy, "toy")`. Version and description are the package's own. What a
/// node provider offers beside its role is said as in [`export!`](crate::export!): `manifest!(NodeProvider + BootstrapLog for Toy, "toy")`.
#[macro_export]
macro_rules! manifest {
    ($role:ident $(+ $offer:ident)* for $provider:ty, $name:expr) => {
        $crate::manifest::Builder::new::<<$provider as $crate::$role>::Config>(
            $crate::manifest::Role::$role,
            $name,
            env!("CARGO_PKG_VERSION"),
            env!("CARGO_PKG_DESCRIPTION"),
        )
        $(.offer($crate::manifest::Offer::$offer))*
    };
}

/// A manifest that is being written.
#[derive(Clone, Debug)]
pub struct Builder(Manifest);

impl Builder {
    /// [`manifest!`](crate::manifest!) is the shorter way.
    pub fn new<Config: JsonSchema>(role: Role, name: &str, version: &str, description: &str) -> Self {
        Builder(Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            role,
            contract: "0.1".to_owned(),
            config_schema: schema_for!(Config).to_value(),
            settings_schema: Value::Null,
            needs: Needs {
                // Every plugin reads its configuration, and logs its panics.
                capabilities: vec!["config".to_owned(), "log".to_owned()],
                ..Needs::default()
            },
            flags: Vec::new(),
            oldest_minor: None,
        })
    }

    /// Asks for an HTTP connection.
    pub fn http(mut self, need: HttpUse) -> Self {
        self.0.needs.http.push(need.0);
        self
    }

    /// Asks for a Kubernetes connection.
    pub fn kube(mut self, need: KubeUse) -> Self {
        self.0.needs.kube.push(need.0);
        self
    }

    /// Asks for other interfaces: `ledger`, `permits`, `reservations`, `clock`, `random`, `secrets`, `files`. (`log` and `config` are
    /// asked for already.)
    pub fn capabilities(mut self, names: &[&str]) -> Self {
        let all = &mut self.0.needs.capabilities;
        all.extend(names.iter().map(|name| (*name).to_owned()));
        all.sort();
        all.dedup();
        self
    }

    /// The shape of the `settings` of a pool or control plane that only this provider knows.
    pub fn settings<Settings: JsonSchema>(mut self) -> Self {
        self.0.settings_schema = schema_for!(Settings).to_value();
        self
    }

    /// Something that it can do beyond what every plugin of its role must: `bootstrap-at-create`, `static-address` …
    pub fn flag(mut self, flag: &str) -> Self {
        self.0.flags.push(flag.to_owned());
        self
    }

    /// The oldest Kubernetes that a control-plane provider makes: `30` for v1.30. Orders for older ones are refused by the host.
    pub fn oldest_minor(mut self, minor: u32) -> Self {
        self.0.oldest_minor = Some(minor);
        self
    }

    /// An optional interface that it exports beside its role; [`manifest!`](crate::manifest!) calls this.
    pub fn offer(self, offer: Offer) -> Self {
        self.flag(offer.as_str())
    }

    /// The manifest.
    pub fn build(self) -> Manifest {
        self.0
    }
}

/// Use of one HTTP connection.
#[derive(Clone, Debug)]
pub struct HttpUse(HttpNeed);

impl HttpUse {
    /// The connection whose name stands at this JSON pointer of the plugin's configuration, and why it is needed.
    pub fn new(connection: &str, purpose: &str) -> Self {
        HttpUse(HttpNeed {
            connection: connection.to_owned(),
            purpose: purpose.to_owned(),
            required: true,
            requests: Vec::new(),
        })
    }

    /// The plugin works without it.
    pub fn optional(mut self) -> Self {
        self.0.required = false;
        self
    }

    /// GETs of this path template.
    pub fn get(self, path: &str) -> Self {
        self.request("GET", path, None)
    }

    /// POSTs of this path template.
    pub fn post(self, path: &str) -> Self {
        self.request("POST", path, None)
    }

    /// PUTs of this path template.
    pub fn put(self, path: &str) -> Self {
        self.request("PUT", path, None)
    }

    /// PATCHes of this path template.
    pub fn patch(self, path: &str) -> Self {
        self.request("PATCH", path, None)
    }

    /// DELETEs of this path template.
    pub fn delete(self, path: &str) -> Self {
        self.request("DELETE", path, None)
    }

    /// Requests whose method suggests an effect and that have none, such as a search by POST.
    pub fn without_effect(self, method: &str, path: &str) -> Self {
        self.request(method, path, Some(false))
    }

    fn request(mut self, method: &str, path: &str, effect: Option<bool>) -> Self {
        self.0.requests.push(RequestNeed { method: method.to_owned(), path: path.to_owned(), effect });
        self
    }
}

/// Use of one Kubernetes connection.
#[derive(Clone, Debug)]
pub struct KubeUse(KubeNeed);

impl KubeUse {
    /// The connection whose name stands at this JSON pointer of the plugin's configuration, and why it is needed.
    pub fn new(connection: &str, purpose: &str) -> Self {
        KubeUse(KubeNeed {
            connection: connection.to_owned(),
            purpose: purpose.to_owned(),
            required: true,
            rules: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// The plugin works without it.
    pub fn optional(mut self) -> Self {
        self.0.required = false;
        self
    }

    /// One rule in the words of RBAC; an apply is a `patch`, a wait a `watch`.
    pub fn rule(mut self, group: &str, resources: &[&str], verbs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.0.rules.push(KubeRule { group: group.to_owned(), resources: owned(resources), verbs: owned(verbs) });
        self
    }

    /// A raw path that it reads.
    pub fn raw(mut self, path: &str) -> Self {
        self.0.raw.push(path.to_owned());
        self
    }
}
