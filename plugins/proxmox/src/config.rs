//! What the operator configures, and what one pool may choose.

use std::collections::BTreeMap;

use agentkube_sdk::cluster::Pool;
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::Backoff;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The HTTP connection to the cluster. Endpoints that are labelled with the names of their nodes get the uploads for them.
    pub connection: String,
    /// What machines are cloned from, unless the pool says otherwise.
    pub template: Template,
    /// Templates by the name that a pool's `image` gives. An image that is not named here is the id or the name of a template.
    #[serde(default)]
    pub images: BTreeMap<String, Template>,
    /// Nodes that machines may be made on; empty: the nodes on which the template is. Naming others takes shared storage.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// How machines are spread over the nodes.
    #[serde(default)]
    pub placement: Placement,
    /// How templates are cloned.
    #[serde(default)]
    pub clone: CloneMode,
    /// Storage of the disks; none: the template's. Full clones only.
    #[serde(default)]
    pub storage: Option<String>,
    /// The root disk's key in the template's configuration.
    #[serde(default = "disk")]
    pub disk: String,
    /// Storage that seed images are uploaded to: a directory with content type `iso`, used for nothing else.
    pub seed_storage: String,
    /// Resource pool that machines are made in.
    #[serde(default)]
    pub pool: Option<String>,
    /// Name of the range that VM ids are reserved from.
    pub vmid_range: String,
    /// The network card of machines whose pool names no networks; none: as the template has it.
    #[serde(default)]
    pub card: Option<Card>,
    /// Model, queue and MTU of cards that a pool names by bridge alone.
    #[serde(default)]
    pub card_model: CardModel,
    /// Tags beside our own.
    #[serde(default)]
    pub tags: Vec<String>,
    /// CPU type, such as `host` or `x86-64-v2-AES`; none: the template's.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Least memory under ballooning in MiB, 0 to switch it off; none: as the template has it.
    #[serde(default)]
    pub balloon_mib: Option<u64>,
    /// Whether machines start with their node.
    #[serde(default = "yes")]
    pub onboot: bool,
    /// Whether the guest agent is switched on and asked for addresses.
    #[serde(default = "yes")]
    pub agent: bool,
    /// Whether the guest agent is asked for the end of a machine's first-boot log when its node does not become Ready. Whoever ordered
    /// the cluster sees it. Takes a privilege more: `VM.GuestAgent.FileRead` on 9, nothing beyond `VM.Monitor` on 8.
    #[serde(default)]
    pub bootstrap_log: bool,
    /// Label of the endpoint that takes uploads for a node, `{node}` being its name. A connection without such a label is asked
    /// without one.
    #[serde(default = "endpoint_label")]
    pub endpoint_label: String,
    /// The kubelet's provider id: `{uuid}` is the machine's BIOS UUID, `{vmid}` its number. Empty for none.
    #[serde(default = "provider_id")]
    pub provider_id: String,
    /// Permits to hold while a template is cloned, by what they guard (`template/9000`, `storage/vmdata`); by default each is
    /// named `<connection>/template/<id>` and `<connection>/storage/<id>`.
    #[serde(default)]
    pub permits: BTreeMap<String, String>,
    /// How often is looked, and how long is waited.
    #[serde(default)]
    pub timings: Timings,
}

/// A template, or several of which each node uses its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Template {
    /// The id of one template.
    Vmid(u32),
    /// Templates with all of these tags; each node uses its own if it has one.
    Tagged {
        /// The tags.
        tags: Vec<String>,
    },
    /// Each node's own template.
    PerNode(BTreeMap<String, u32>),
    /// The name of a template.
    Named(String),
}

/// How machines are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// By the machine's index, one node after the other.
    #[default]
    RoundRobin,
    /// On the node with the fewest machines of ours.
    Fewest,
}

/// How templates are cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloneMode {
    /// A copy that stands alone.
    #[default]
    Full,
    /// A layer on the template's disk: fast, and the template cannot be removed while it lives.
    Linked,
}

/// The default network card.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    /// Bridge or virtual network.
    pub bridge: String,
    /// VLAN tag.
    #[serde(default)]
    pub vlan: Option<u32>,
    /// Whether the firewall guards it.
    #[serde(default)]
    pub firewall: bool,
    /// The SDN zone that the bridge or virtual network is in, for the check of privileges.
    #[serde(default = "zone")]
    pub zone: String,
}

/// What every card has.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CardModel {
    /// Model, such as `virtio`.
    pub model: String,
    /// MTU; 1 is the bridge's own.
    pub mtu: Option<u32>,
    /// Queues for packets.
    pub queues: Option<u32>,
}

impl Default for CardModel {
    fn default() -> Self {
        CardModel { model: "virtio".to_owned(), mtu: None, queues: None }
    }
}

/// Times in milliseconds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timings {
    /// Between the first looks at a task or state, which begin after one to four times as long; later looks are further apart.
    pub first_poll_ms: u64,
    /// Most between two looks.
    pub longest_poll_ms: u64,
    /// After how long a request that was sent is over on their side, and its task can be seen.
    pub visibility_ms: u64,
    /// How long a task may be unknown after it was started.
    pub task_grace_ms: u64,
    /// How long `boot` waits for the guest agent to tell addresses; 0: not at all.
    pub agent_ms: u64,
    /// Between two questions to the guest agent.
    pub agent_poll_ms: u64,
    /// How long a guest may take to shut down before it is forced.
    pub shutdown_ms: u64,
    /// Before a clone that met a lock is tried again.
    pub lock_retry_ms: u64,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            first_poll_ms: 500,
            longest_poll_ms: 4_000,
            visibility_ms: 5_000,
            task_grace_ms: 10_000,
            agent_ms: 0,
            agent_poll_ms: 5_000,
            shutdown_ms: 60_000,
            lock_retry_ms: 5_000,
        }
    }
}

impl Timings {
    /// How tasks and states are looked at.
    pub(crate) fn poll(&self) -> Backoff {
        Backoff::growing(self.first_poll_ms, self.longest_poll_ms)
    }
}

/// What one pool may choose: its `settings`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Another template.
    pub template: Option<Template>,
    /// Another storage for the disks.
    pub storage: Option<String>,
    /// Other nodes.
    pub nodes: Option<Vec<String>>,
    /// Another way of spreading.
    pub placement: Option<Placement>,
    /// Another way of cloning.
    pub clone: Option<CloneMode>,
    /// Tags beside those of the configuration.
    pub tags: Vec<String>,
    /// Another CPU type.
    pub cpu: Option<String>,
}

fn disk() -> String {
    "scsi0".to_owned()
}

fn yes() -> bool {
    true
}

fn zone() -> String {
    "localnetwork".to_owned()
}

fn endpoint_label() -> String {
    "{node}".to_owned()
}

fn provider_id() -> String {
    "proxmox://{uuid}".to_owned()
}

/// What holds for one machine: the configuration with what its pool chose.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub template: Template,
    pub storage: Option<String>,
    pub nodes: Vec<String>,
    pub placement: Placement,
    pub clone: CloneMode,
    pub tags: Vec<String>,
    pub cpu: Option<String>,
}

impl Config {
    /// Finds what the schema cannot say.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Fault::invalid("BAD_CONFIG", what).scope(Scope::Provider));
        if self.clone == CloneMode::Linked && self.storage.is_some() {
            return bad(
                "storage: linked clones lie on the template's storage; leave it out or clone in full".to_owned()
            );
        }
        if let Some(tag) = self.tags.iter().find(|tag| !is_tag(tag)) {
            return bad(format!("tags: `{tag}` is no tag (letters, digits and _ + . -)"));
        }
        if !self.disk.starts_with(['s', 'v', 'i']) || !self.disk.ends_with(|c: char| c.is_ascii_digit()) {
            return bad(format!("disk: `{}` is no drive such as `scsi0`", self.disk));
        }
        Ok(())
    }

    /// What holds for the machines of a pool.
    pub(crate) fn choice(&self, pool: &Pool) -> Result<Choice> {
        let settings: Settings = pool.settings()?;
        let image = pool.shape.image.as_ref().map(|image| match (self.images.get(image), image.parse()) {
            (Some(template), _) => template.clone(),
            (None, Ok(vmid)) => Template::Vmid(vmid),
            (None, Err(_)) => Template::Named(image.clone()),
        });
        let clone = settings.clone.unwrap_or(self.clone);
        if settings.storage.is_some() && clone == CloneMode::Linked {
            let message = format!("storage of pool `{}`: linked clones lie on the template's storage", pool.name);
            return Err(Fault::invalid("BAD_SETTINGS", message));
        }
        let storage = settings.storage.or_else(|| self.storage.clone()).filter(|_| clone == CloneMode::Full);
        if let Some(tag) = settings.tags.iter().find(|tag| !is_tag(tag)) {
            return Err(Fault::invalid("BAD_SETTINGS", format!("tags of pool `{}`: `{tag}` is no tag", pool.name)));
        }
        // They stand among the options of a card, where a comma would begin another one.
        let odd = |name: &&str| !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if let Some(name) = pool.shape.networks.iter().map(|card| card.network.as_str()).find(odd) {
            let message = format!("networks of pool `{}`: `{}` is no bridge", pool.name, name.escape_debug());
            return Err(Fault::invalid("BAD_SETTINGS", message));
        }
        Ok(Choice {
            template: settings.template.or(image).unwrap_or_else(|| self.template.clone()),
            storage,
            nodes: settings.nodes.unwrap_or_else(|| self.nodes.clone()),
            placement: settings.placement.unwrap_or(self.placement),
            clone,
            tags: self.tags.iter().cloned().chain(settings.tags).collect(),
            cpu: settings.cpu.or_else(|| self.cpu.clone()),
        })
    }

    /// Name of the permit that guards this.
    pub(crate) fn permit(&self, what: String) -> String {
        self.permits.get(&what).cloned().unwrap_or_else(|| format!("{}/{what}", self.connection))
    }
}

fn is_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+.-".contains(c))
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::cluster::Shape;
    use serde_json::{Value, json};

    use super::*;

    fn config(more: Value) -> serde_json::Result<Config> {
        let mut config =
            json!({ "connection": "pve", "template": 9000, "seed-storage": "seeds", "vmid-range": "vmid" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(config)
    }

    fn pool(image: Option<&str>, settings: Value) -> Pool {
        let image = image.map(str::to_owned);
        let shape = Shape { cores: 1, memory_mib: 1024, disk_gib: None, image, networks: vec![] };
        let (name, settings) = ("w".to_owned(), settings.to_string());
        Pool { name, provider: None, count: 1, shape, labels: vec![], taints: vec![], settings }
    }

    #[test]
    fn templates_are_named_in_four_ways() {
        let own = Template::PerNode(BTreeMap::from([("pve1".to_owned(), 9000)]));
        for (given, meant) in [
            (json!(9000), Template::Vmid(9000)),
            (json!("ubuntu"), Template::Named("ubuntu".to_owned())),
            (json!({ "tags": ["kube"] }), Template::Tagged { tags: vec!["kube".to_owned()] }),
            (json!({ "pve1": 9000 }), own),
        ] {
            assert_eq!(config(json!({ "template": given })).unwrap().template, meant);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(config(json!({ "storge": "x" })).is_err());
        assert!(config(json!({})).unwrap().check().is_ok());
        for bad in
            [json!({ "clone": "linked", "storage": "vmdata" }), json!({ "tags": ["a b"] }), json!({ "disk": "root" })]
        {
            assert_eq!(config(bad).unwrap().check().unwrap_err().code, "BAD_CONFIG");
        }
    }

    #[test]
    fn a_pool_chooses_before_the_configuration_does() {
        let config = config(json!({ "images": { "noble": 9001 }, "storage": "a", "tags": ["x"] })).unwrap();
        let template = |image, settings| config.choice(&pool(image, settings)).unwrap().template;
        assert_eq!(template(None, json!({})), Template::Vmid(9000));
        assert_eq!(template(Some("noble"), json!({})), Template::Vmid(9001));
        assert_eq!(template(Some("9002"), json!({})), Template::Vmid(9002));
        assert_eq!(template(Some("jammy"), json!({})), Template::Named("jammy".to_owned()));
        assert_eq!(template(Some("noble"), json!({ "template": 9003 })), Template::Vmid(9003));
        let linked = config.choice(&pool(None, json!({ "clone": "linked", "tags": ["y"] }))).unwrap();
        assert_eq!((linked.storage, linked.tags), (None, vec!["x".to_owned(), "y".to_owned()]));
        for bad in [json!({ "clne": 1 }), json!({ "clone": "linked", "storage": "b" })] {
            assert_eq!(config.choice(&pool(None, bad)).unwrap_err().code, "BAD_SETTINGS");
        }
        let mut injected = pool(None, json!({}));
        let card = agentkube_sdk::cluster::Card {
            network: "vmbr0,tag=7".to_owned(),
            vlan: None,
            firewall: false,
            address: None,
        };
        injected.shape.networks = vec![card];
        assert_eq!(config.choice(&injected).unwrap_err().code, "BAD_SETTINGS");
        assert_eq!(config.permit("template/9000".to_owned()), "pve/template/9000");
    }
}
