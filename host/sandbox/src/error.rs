//! What can go wrong before a plugin runs. Trouble of a running plugin is a [`Fault`](agentkube_contract::Fault) instead.

/// `Result` with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a plugin, a connection or the sandbox itself cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {message}", .path.display())]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        message: String,
    },
    /// The file is larger than any plugin.
    #[error("{} has {size} bytes; a plugin has at most {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: std::path::PathBuf,
        /// Its bytes.
        size: u64,
        /// Most bytes that are read.
        limit: u64,
    },
    /// There is nothing in the file.
    #[error("this is not WebAssembly: the file is empty")]
    Empty,
    /// The file is no WebAssembly.
    #[error("this is not WebAssembly")]
    NotWasm,
    /// A core module where a component is needed.
    #[error("this is a core module, not a component; `agentkube plugin pack` makes a component of it")]
    CoreModule,
    /// The component cannot be read.
    #[error("the component is malformed: {0}")]
    Malformed(String),
    /// There is no manifest.
    #[error("the component holds no section `{section}`; `agentkube plugin pack` adds it")]
    NoManifest {
        /// Name of the section.
        section: &'static str,
    },
    /// There are several manifests, and so nobody knows which one was reviewed.
    #[error("the component holds {0} manifests; exactly one is allowed")]
    ManyManifests(usize),
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {0}")]
    BadManifest(String),
    /// It was built for a contract that this host does not speak.
    #[error("the plugin speaks contract {found}; this host speaks 0.1")]
    UnknownContract {
        /// What the manifest or the interface says.
        found: String,
    },
    /// The manifest's role and the exported interface differ.
    #[error("the manifest says role {manifest}, the component exports {exported}")]
    RoleMismatch {
        /// The manifest's word.
        manifest: String,
        /// What the component exports.
        exported: String,
    },
    /// The manifest's flags and the optional exports differ, or the role has no such exports.
    #[error(
        "a plugin exports `{offer}` beside the role node-provider exactly when its manifest has that flag; this one is a {role}, \
         and the interface is {}", if *exported { "exported" } else { "not exported" }
    )]
    OfferMismatch {
        /// The optional interface.
        offer: &'static str,
        /// Whether the component exports it.
        exported: bool,
        /// The manifest's role.
        role: String,
    },
    /// The component imports what its manifest does not ask for: the author's to mend.
    #[error("the component imports {import}, which its manifest does not ask for; {remedy}")]
    ImportNotCovered {
        /// The import.
        import: String,
        /// The line of the manifest that would cover it.
        remedy: String,
    },
    /// The component imports what no plugin may have.
    #[error("the component imports {0}, which no plugin may have")]
    ImportForbidden(String),
    /// Functions that it imports or exports have other types than the contract's.
    #[error("the component does not fit contract 0.1: {0}")]
    ContractMismatch(String),
    /// A core module could not be made a component.
    #[error("the module cannot be made a component: {0}")]
    Pack(String),
    /// The plugin's configuration does not fit the schema in its manifest.
    #[error("{}", told(.plugin, .mistakes))]
    PluginConfig {
        /// Configured name.
        plugin: String,
        /// All that is wrong.
        mistakes: Vec<ConfigMistake>,
    },
    /// The plugin needs what the operator did not grant.
    #[error("plugin `{plugin}` needs {need}; grant it with:\n{line}")]
    NotGranted {
        /// Configured name.
        plugin: String,
        /// What it needs and why.
        need: String,
        /// The line of configuration that grants it.
        line: String,
    },
    /// A grant says nothing that can be understood.
    #[error("plugin `{plugin}`: grant {index}: {message}")]
    BadGrant {
        /// Configured name.
        plugin: String,
        /// Number of the grant, from 1.
        index: usize,
        /// What is wrong.
        message: String,
    },
    /// A connection's configuration cannot be used.
    #[error("connection `{connection}`: {message}")]
    Connection {
        /// Its name.
        connection: String,
        /// What is wrong.
        message: String,
    },
    /// A secret cannot be read.
    #[error("{what}: {message}")]
    Secret {
        /// Where it should come from; never the value.
        what: String,
        /// Why not.
        message: String,
    },
    /// The runtime refused.
    #[error("{what}: {message}")]
    Runtime {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        message: String,
    },
}

/// One thing that is wrong in a plugin's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// JSON pointer of the place; of the key itself when nothing knows it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ConfigMistake {
    /// The mistake, as it is told of a plugin.
    pub fn of(&self, plugin: &str) -> String {
        let ConfigMistake { path, message } = self;
        let path = if path.is_empty() { "/" } else { path };
        format!("plugin `{plugin}`: configuration at {path}: {message}")
    }
}

fn told(plugin: &str, mistakes: &[ConfigMistake]) -> String {
    mistakes.iter().map(|mistake| mistake.of(plugin)).collect::<Vec<_>>().join("\n")
}

impl Error {
    /// A stable word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Unreadable { .. } => "PLUGIN_UNREADABLE",
            Error::TooLarge { .. } => "PLUGIN_TOO_LARGE",
            Error::Empty | Error::NotWasm => "NOT_WASM",
            Error::CoreModule => "CORE_MODULE",
            Error::Malformed(_) => "MALFORMED",
            Error::NoManifest { .. } => "NO_MANIFEST",
            Error::ManyManifests(_) => "MANY_MANIFESTS",
            Error::BadManifest(_) => "BAD_MANIFEST",
            Error::UnknownContract { .. } => "UNKNOWN_CONTRACT",
            Error::RoleMismatch { .. } => "ROLE_MISMATCH",
            Error::OfferMismatch { .. } => "OFFER_MISMATCH",
            Error::ImportNotCovered { .. } => "IMPORT_NOT_COVERED",
            Error::ImportForbidden(_) => "IMPORT_FORBIDDEN",
            Error::ContractMismatch(_) => "CONTRACT_MISMATCH",
            Error::Pack(_) => "PACK",
            Error::PluginConfig { .. } => "PLUGIN_CONFIG",
            Error::NotGranted { .. } => "NOT_GRANTED",
            Error::BadGrant { .. } => "BAD_GRANT",
            Error::Connection { .. } => "CONNECTION",
            Error::Secret { .. } => "SECRET",
            Error::Runtime { .. } => "RUNTIME",
        }
    }

    /// A failure of the runtime.
    pub(crate) fn runtime(what: &'static str, error: impl std::fmt::Display) -> Self {
        Error::Runtime { what, message: format!("{error:#}") }
    }
}
