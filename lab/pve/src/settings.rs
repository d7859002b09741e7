//! What a cluster is made of when it starts, and how fast it is.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::auth::{AclEntry, Token};

/// Which Proxmox VE the cluster says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 8.2: no `message` in bodies of `/api2/json`, no `import` uploads, one privilege for the guest agent.
    V8_2,
    /// 8.4: messages also in bodies of `/api2/json`, one privilege for the guest agent.
    V8_4,
    /// 9.1: `VM.Monitor` is gone, `VM.GuestAgent.*` took its place.
    V9_1,
}

impl Release {
    /// `release` of `GET /version`.
    pub fn release(self) -> &'static str {
        match self {
            Release::V8_2 => "8.2",
            Release::V8_4 => "8.4",
            Release::V9_1 => "9.1",
        }
    }

    /// `version` of `GET /version`.
    pub fn version(self) -> &'static str {
        match self {
            Release::V8_2 => "8.2.7",
            Release::V8_4 => "8.4.14",
            Release::V9_1 => "9.1.4",
        }
    }

    /// Privilege that asking the guest agent takes.
    pub fn agent_privilege(self) -> &'static str {
        if self >= Release::V9_1 { "VM.GuestAgent.Audit" } else { "VM.Monitor" }
    }

    /// Privilege that reading a file through the guest agent takes.
    pub fn file_privilege(self) -> &'static str {
        if self >= Release::V9_1 { "VM.GuestAgent.FileRead" } else { "VM.Monitor" }
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Release::V8_2, Release::V8_4, Release::V9_1];
        let known = || all.map(Release::release).join(", ");
        all.into_iter().find(|own| own.release() == text).ok_or_else(|| format!("the lab knows {}", known()))
    }
}

/// A node of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// CPU threads.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
}

/// A storage of the cluster, present on every node.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Its id.
    pub id: String,
    /// `dir`, `nfs`, `lvmthin`, `rbd`, `lvm` …
    pub kind: String,
    /// Content types, such as `images` and `iso`.
    pub content: Vec<String>,
    /// Whether every node sees the same volumes.
    pub shared: bool,
    /// Capacity in bytes.
    pub total: u64,
}

impl Storage {
    /// Whether files can be uploaded to it: only storages that are directories take them.
    pub fn path_based(&self) -> bool {
        matches!(self.kind.as_str(), "dir" | "nfs" | "cifs" | "cephfs" | "btrfs" | "glusterfs")
    }
}

/// A template VM to start with.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its id.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// Where it is registered.
    pub node: String,
    /// Storage of its disk and cloud-init drive.
    pub storage: String,
    /// Size of its disk in bytes.
    pub disk: u64,
    /// Bridge of `net0`.
    pub bridge: String,
    /// Pool that it belongs to.
    pub pool: Option<String>,
}

/// How long things take, in milliseconds before scaling.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field is named after what takes so long")]
pub struct Durations {
    pub full_clone: (u64, u64),
    pub linked_clone: (u64, u64),
    /// How long one new disk holds the storage's allocation lock.
    pub allocation: u64,
    pub config: u64,
    pub resize: u64,
    pub start: u64,
    pub stop: u64,
    pub shutdown: u64,
    pub destroy: u64,
    pub upload: u64,
    pub delete_volume: u64,
    pub migrate: u64,
    /// How long a new task is `no such task`.
    pub task_hidden: u64,
    /// Period of the broadcast that `/cluster/resources` takes names and power states from.
    pub broadcast: u64,
    /// How long an answer of 401 is held back.
    pub unauthorized: u64,
    /// How long a request or task waits for the lock of a VM.
    pub vm_lock: u64,
    /// The same for both VM locks of a clone.
    pub clone_lock: u64,
    /// How long a task waits for the lock of a storage.
    pub storage_lock: u64,
    /// How long the lock of a shared storage may be held before its holder is killed.
    pub cluster_lock: u64,
    /// How long asking an absent guest agent blocks.
    pub agent_probe: u64,
    /// After how long a node stops waiting for the node it forwarded a request to.
    pub proxy: u64,
    /// How long the HA manager takes to act on a request.
    pub ha: u64,
    /// How long `shutdown` waits for the guest unless told otherwise.
    pub shutdown_timeout: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Durations {
            full_clone: (20_000, 120_000),
            linked_clone: (2_500, 3_500),
            allocation: 1_000,
            config: 300,
            resize: 1_000,
            start: 2_500,
            stop: 1_500,
            shutdown: 6_000,
            destroy: 2_000,
            upload: 800,
            delete_volume: 300,
            migrate: 15_000,
            task_hidden: 250,
            broadcast: 10_000,
            unauthorized: 3_000,
            vm_lock: 10_000,
            clone_lock: 1_000,
            storage_lock: 10_000,
            cluster_lock: 60_000,
            agent_probe: 3_000,
            proxy: 30_000,
            ha: 5_000,
            shutdown_timeout: 60_000,
        }
    }
}

/// Everything a cluster starts with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which Proxmox VE it is.
    pub release: Release,
    /// The cluster's name.
    pub cluster: String,
    /// Its nodes; the first one answers requests that came to no particular endpoint.
    pub nodes: Vec<Node>,
    /// Its storages.
    pub storages: Vec<Storage>,
    /// Ids of its resource pools.
    pub pools: Vec<String>,
    /// Templates.
    pub templates: Vec<Template>,
    /// Bridges that exist on every node.
    pub bridges: Vec<String>,
    /// Roles: name to privileges.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Users, besides `root@pam`.
    pub users: Vec<String>,
    /// API tokens.
    pub tokens: Vec<Token>,
    /// Who has which role where.
    pub acl: Vec<AclEntry>,
    /// Factor on every duration and time-out: 0.1 is ten times as fast as the real thing.
    pub scale: f64,
    /// The durations.
    pub durations: Durations,
    /// Range that `/cluster/nextid` looks in, both ends included.
    pub next_id: (u32, u32),
}

/// The token that the lab gives to AgentKube.
pub const TOKEN: &str = "agentkube@pve!lab";
/// Its secret.
pub const TOKEN_SECRET: &str = "6a1f0c2e-5b7d-4c55-9a3e-2f4b8d1c7e90";
/// A token without limits, for tests and for whoever looks at the lab.
pub const ROOT_TOKEN: &str = "root@pam!lab";
/// Its secret.
pub const ROOT_TOKEN_SECRET: &str = "0d9b6b1e-88a4-4f0e-8a57-b7c2f1f3a611";
/// The pool that machines are made in.
pub const POOL: &str = "agentkube";
/// The pool of the templates.
pub const TEMPLATE_POOL: &str = "templates";

impl Default for Settings {
    fn default() -> Self {
        Settings::new(Release::V9_1)
    }
}

const GIB: u64 = 1 << 30;

impl Settings {
    /// Two nodes, shared disks, one template, and the least privileges that making machines takes.
    pub fn new(release: Release) -> Self {
        let node = |name: &str| Node { name: name.to_owned(), cpus: 64, memory: 512 * GIB };
        let storage = |id: &str, kind: &str, content: &[&str], shared| Storage {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: content.iter().map(|&c| c.to_owned()).collect(),
            shared,
            total: 16 * 1024 * GIB,
        };
        let user = "agentkube@pve".to_owned();
        let (roles, acl) = least_privileges(release, &[&user, TOKEN]);
        Settings {
            release,
            cluster: "lab".to_owned(),
            nodes: vec![node("pve1"), node("pve2")],
            storages: vec![
                storage("local", "dir", &["iso", "vztmpl"], false),
                storage("seeds", "dir", &["iso"], true),
                storage("vmdata", "rbd", &["images", "rootdir"], true),
            ],
            pools: vec![POOL.to_owned(), TEMPLATE_POOL.to_owned()],
            templates: vec![Template {
                vmid: 9000,
                name: "ubuntu-24.04-kube".to_owned(),
                node: "pve1".to_owned(),
                storage: "vmdata".to_owned(),
                disk: 8 * GIB,
                bridge: "vmbr0".to_owned(),
                pool: Some(TEMPLATE_POOL.to_owned()),
            }],
            bridges: vec!["vmbr0".to_owned(), "vmbr1".to_owned()],
            roles,
            users: vec![user],
            tokens: vec![
                Token { id: TOKEN.to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: true, expire: None },
                Token { id: ROOT_TOKEN.to_owned(), secret: ROOT_TOKEN_SECRET.to_owned(), privsep: false, expire: None },
            ],
            acl,
            scale: 1.0,
            durations: Durations::default(),
            next_id: (100, 999_999),
        }
    }

    /// The same cluster with disks local to each node (LVM-thin): a template then serves its own node only.
    pub fn with_local_disks(mut self) -> Self {
        for storage in self.storages.iter_mut().filter(|storage| storage.id == "vmdata") {
            storage.kind = "lvmthin".to_owned();
            storage.shared = false;
        }
        self
    }

    /// The same cluster at another speed.
    pub fn with_scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// A duration at this cluster's speed.
    pub(crate) fn scaled(&self, millis: u64) -> u64 {
        (millis as f64 * self.scale).round() as u64
    }

    pub(crate) fn storage(&self, id: &str) -> Option<&Storage> {
        self.storages.iter().find(|storage| storage.id == id)
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Roles and access list for making machines and nothing else, the same for a user and its privilege-separated token.
fn least_privileges(release: Release, who: &[&str]) -> (BTreeMap<String, Vec<String>>, Vec<AclEntry>) {
    let mut workers = vec!["VM.Allocate", "VM.Audit", "VM.PowerMgmt", "Pool.Audit"];
    workers.extend(["VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk"]);
    workers.extend(["VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"]);
    workers.push(release.agent_privilege());
    if release.file_privilege() != release.agent_privilege() {
        workers.push(release.file_privilege());
    }
    let grants: [(&str, &str, Vec<&str>); 5] = [
        ("/pool/agentkube", "AgentKubeWorkers", workers),
        ("/pool/templates", "AgentKubeTemplates", vec!["VM.Audit", "VM.Clone"]),
        ("/storage/vmdata", "AgentKubeDisks", vec!["Datastore.AllocateSpace", "Datastore.Audit"]),
        (
            "/storage/seeds",
            "AgentKubeSeeds",
            vec!["Datastore.AllocateTemplate", "Datastore.Allocate", "Datastore.Audit"],
        ),
        ("/sdn/zones/localnetwork/vmbr0", "AgentKubeNetwork", vec!["SDN.Use"]),
    ];
    let mut roles = BTreeMap::new();
    let mut acl = Vec::new();
    for (path, role, privileges) in grants {
        roles.insert(role.to_owned(), privileges.into_iter().map(str::to_owned).collect());
        for &who in who {
            acl.push(AclEntry { path: path.to_owned(), who: who.to_owned(), role: role.to_owned(), propagate: true });
        }
    }
    (roles, acl)
}
