//! The manifest: what a plugin says about itself and asks for, readable without running it.
//!
//! It is JSON in exactly one custom section, [`SECTION`], at the top level of the component. The host reads it before anything
//! runs; a plugin can then do what its manifest asks *and* its operator granted, nothing else.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Name of the custom section.
pub const SECTION: &str = "agentkube:manifest";

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Name of the plugin: `toy-cloud`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Which role it exports.
    pub role: Role,
    /// Version of the contract that it was built for: `0.1`.
    pub contract: String,
    /// JSON Schema of its configuration.
    pub config_schema: Value,
    /// JSON Schema of the `settings` of a pool or control plane that only this provider knows; `null` for none.
    #[serde(default)]
    pub settings_schema: Value,
    /// What it needs.
    pub needs: Needs,
    /// What it can do beyond what every plugin of its role must: `bootstrap-at-create`, `clone-linked`, `static-address` …, and the
    /// names of the optional interfaces that it exports ([`Offer`]).
    #[serde(default)]
    pub flags: Vec<String>,
    /// Of a control-plane provider: the oldest Kubernetes that it makes, as the minor number of a v1 (`30` for v1.30). An order for an
    /// older one is refused before anything is made. Left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_minor: Option<u32>,
}

/// A role, named as its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Where jobs come from.
    JobSource,
    /// Who runs control planes.
    ControlPlane,
    /// Who makes machines.
    NodeProvider,
}

impl Role {
    /// The role's word: `node-provider`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::JobSource => "job-source",
            Role::ControlPlane => "control-plane",
            Role::NodeProvider => "node-provider",
        }
    }
}

/// An optional interface that a node provider may export beside its role, named as its interface. The manifest has a flag of the same
/// name exactly when the component exports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It shows the log of a machine's first boot.
    BootstrapLog,
    /// It renders first-boot data of its own.
    JoinMaterial,
}

impl Offer {
    /// All of them.
    pub const ALL: [Offer; 2] = [Offer::BootstrapLog, Offer::JoinMaterial];

    /// The word of the interface and of the flag: `bootstrap-log`.
    pub fn as_str(self) -> &'static str {
        match self {
            Offer::BootstrapLog => "bootstrap-log",
            Offer::JoinMaterial => "join-material",
        }
    }
}

impl Manifest {
    /// Whether it says that the component exports this beside its role.
    pub fn offers(&self, offer: Offer) -> bool {
        self.flags.iter().any(|flag| flag == offer.as_str())
    }
}

/// What a plugin needs. A capability that is not named here is not linked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Needs {
    /// HTTP connections, by the part that the plugin's configuration gives them.
    pub http: Vec<HttpNeed>,
    /// Kubernetes connections.
    pub kube: Vec<KubeNeed>,
    /// Other interfaces it imports: `ledger`, `permits`, `reservations`, `clock`, `random`, `log`, `config`, `secrets`, `files`.
    pub capabilities: Vec<String>,
}

/// Use of one HTTP connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpNeed {
    /// JSON pointer into the plugin's configuration at which the connection's name stands: `/connection`.
    pub connection: String,
    /// Why, in words for the operator.
    pub purpose: String,
    /// False: the plugin works without it.
    #[serde(default = "yes")]
    pub required: bool,
    /// The requests it sends.
    pub requests: Vec<RequestNeed>,
}

/// A family of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestNeed {
    /// Upper-case method.
    pub method: String,
    /// Path template: `/nodes/{node}/qemu/{vmid}/config`; `{name}` stands for one segment.
    pub path: String,
    /// Whether the request changes something there; by default every method but GET and HEAD does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<bool>,
}

impl RequestNeed {
    /// Whether a request of this family has an effect.
    pub fn has_effect(&self) -> bool {
        self.effect.unwrap_or(!matches!(self.method.as_str(), "GET" | "HEAD"))
    }

    /// Whether a request is of this family; see [`path_fits`].
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method == method && path_fits(&self.path, path)
    }
}

/// Whether a path fits a template such as `/nodes/{node}/qemu`. They are compared segment by segment, still percent-encoded, so that an
/// encoded slash never becomes a separator; dot segments fit nothing.
pub fn path_fits(template: &str, path: &str) -> bool {
    let (mut template, mut actual) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), actual.next()) {
            (None, None) => return true,
            (_, Some(a)) if is_dots(a) => return false,
            (Some(t), Some(a)) if t.starts_with('{') && t.ends_with('}') => {
                if a.is_empty() {
                    return false;
                }
            }
            (Some(t), Some(a)) if t == a => {}
            _ => return false,
        }
    }
}

/// `.`, `..` and their percent-encoded forms.
fn is_dots(segment: &str) -> bool {
    const FORMS: [&str; 6] = [".", "..", "%2e", "%2e%2e", ".%2e", "%2e."];
    FORMS.iter().any(|form| form.eq_ignore_ascii_case(segment))
}

/// Use of one Kubernetes connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeNeed {
    /// JSON pointer into the plugin's configuration at which the connection's name stands.
    pub connection: String,
    /// Why, in words for the operator.
    pub purpose: String,
    /// False: the plugin works without it.
    #[serde(default = "yes")]
    pub required: bool,
    /// What it does there.
    pub rules: Vec<KubeRule>,
    /// Raw paths that it reads: `/version`.
    #[serde(default)]
    pub raw: Vec<String>,
}

/// One rule, in the words of RBAC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeRule {
    /// API group; empty for core.
    pub group: String,
    /// Plurals; a subresource as `tenantcontrolplanes/scale`.
    pub resources: Vec<String>,
    /// `get`, `list`, `watch`, `create`, `patch`, `delete` (an apply is a `patch`).
    pub verbs: Vec<String>,
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(method: &str, path: &str) -> RequestNeed {
        RequestNeed { method: method.into(), path: path.into(), effect: None }
    }

    #[test]
    fn a_template_matches_whole_segments_only() {
        let need = need("DELETE", "/nodes/{node}/qemu/{vmid}");
        assert!(need.matches("DELETE", "/nodes/pve1/qemu/104"));
        for (method, path) in [
            ("GET", "/nodes/pve1/qemu/104"),
            ("DELETE", "/nodes/pve1/qemu"),
            ("DELETE", "/nodes/pve1/qemu/"),
            ("DELETE", "/nodes/pve1/qemu/104/config"),
            ("DELETE", "/nodes//qemu/104"),
            ("DELETE", "/nodes/../qemu/104"),
            ("DELETE", "/nodes/%2E%2e/qemu/104"),
        ] {
            assert!(!need.matches(method, path), "{method} {path}");
        }
    }

    #[test]
    fn effects_follow_the_method_unless_said_otherwise() {
        assert!(need("POST", "/x").has_effect());
        assert!(!need("GET", "/x").has_effect());
        assert!(!RequestNeed { effect: Some(false), ..need("POST", "/search") }.has_effect());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let json = serde_json::json!({"method": "GET", "path": "/", "efect": true});
        assert!(serde_json::from_value::<RequestNeed>(json).is_err());
    }
}
