//! `[bootstrap]`: what first-boot data holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[bootstrap]`: what first-boot data holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BootstrapSettings {
    /// A file with a template of your own; without it the built-in one is used.
    pub template: Option<PathBuf>,
    /// How containerd, kubelet and kubeadm get onto a machine.
    pub install: Install,
    /// For `install = "packages"`.
    pub packages: Packages,
    /// For `install = "artifacts"`: files from anywhere, each with its checksum.
    pub artifacts: Vec<Artifact>,
    /// By registry (`docker.io`): where images are pulled from instead.
    pub registries: BTreeMap<String, Registry>,
    /// The proxy that machines use.
    pub proxy: Option<Proxy>,
    /// The pause image, where the default one is out of reach.
    pub sandbox_image: Option<String>,
    /// Further users of the machine.
    pub users: Vec<User>,
    /// Time servers; none: as the image has it.
    pub ntp: Vec<String>,
    /// Further files.
    pub files: Vec<ExtraFile>,
    /// Shell commands before anything of ours runs.
    pub pre_commands: Vec<String>,
    /// Shell commands after the join, before the traces are removed.
    pub post_commands: Vec<String>,
    /// Checks of kubeadm that may fail, such as `Swap`.
    pub ignore_preflight_errors: Vec<String>,
    /// Further arguments of the kubelet.
    pub kubelet_arguments: BTreeMap<String, String>,
    /// How often a machine tries to join before it gives up.
    pub join_attempts: u32,
    /// Seconds between two tries.
    pub join_pause_seconds: u32,
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        BootstrapSettings {
            template: None,
            install: Install::default(),
            packages: Packages::default(),
            artifacts: Vec::new(),
            registries: BTreeMap::new(),
            proxy: None,
            sandbox_image: None,
            users: Vec::new(),
            ntp: Vec::new(),
            files: Vec::new(),
            pre_commands: Vec::new(),
            post_commands: Vec::new(),
            ignore_preflight_errors: Vec::new(),
            kubelet_arguments: BTreeMap::new(),
            join_attempts: 20,
            join_pause_seconds: 15,
        }
    }
}

/// How containerd, kubelet and kubeadm get onto a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Install {
    /// The image holds them, in the cluster's minor version: the fastest way.
    #[default]
    Preinstalled,
    /// From the Kubernetes project's apt repository, pinned to the cluster's version.
    Packages,
    /// From the configured files.
    Artifacts,
}

/// `[bootstrap.packages]`: the apt repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Packages {
    /// Base of the repository; `/v1.MINOR/deb/` is appended. See https://kubernetes.io/blog/2023/08/15/pkgs-k8s-io-introduction/.
    pub repository: String,
    /// A file with the repository's public key, ASCII-armoured. Needed: a machine trusts no key that it downloads itself.
    pub key: Option<PathBuf>,
    /// containerd's package, with `=VERSION` where it is to be pinned.
    pub containerd: String,
}

impl Default for Packages {
    fn default() -> Self {
        Packages {
            repository: "https://pkgs.k8s.io/core:/stable:".to_owned(),
            key: None,
            containerd: "containerd".to_owned(),
        }
    }
}

/// One file to download.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Artifact {
    /// `https://…`.
    pub url: String,
    /// Its SHA-256, 64 hex digits. A file with another one is not used.
    pub sha256: String,
    /// Where it goes: a file, or with `unpack` a directory.
    pub path: PathBuf,
    /// Its mode, octal.
    #[serde(default = "executable")]
    pub mode: String,
    /// It is a gzipped tar archive, unpacked into `path`.
    #[serde(default)]
    pub unpack: bool,
    /// Kubernetes versions that it is for; none: all.
    #[serde(default)]
    pub versions: Vec<String>,
}

/// `[bootstrap.registries."docker.io"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registry {
    /// The registry itself, tried last; none: as containerd knows it.
    #[serde(default)]
    pub server: Option<String>,
    /// Mirrors, tried in order.
    pub mirrors: Vec<String>,
    /// A file with the CA of the mirrors, PEM.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// `[bootstrap.proxy]`. The cluster's own networks and its endpoint never go through it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Proxy {
    /// For http.
    pub http: Option<String>,
    /// For https.
    pub https: Option<String>,
    /// What goes straight: hosts, domains, CIDRs.
    pub none: Vec<String>,
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Name.
    pub name: String,
    /// Public keys.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// A rule for sudo, such as `ALL=(ALL) NOPASSWD:ALL`.
    #[serde(default)]
    pub sudo: Option<String>,
    /// Further groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A further file of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExtraFile {
    /// Absolute.
    pub path: PathBuf,
    /// What it holds.
    pub content: String,
    /// Its mode, octal.
    #[serde(default = "plain")]
    pub mode: String,
}

fn executable() -> String {
    "0755".to_owned()
}

fn plain() -> String {
    "0644".to_owned()
}
