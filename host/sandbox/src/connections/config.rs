//! How connections are configured. The binary reads TOML into these; nothing here opens anything.

use std::path::PathBuf;

use serde::Deserialize;

/// One connection: a named way out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConnectionConfig {
    /// What it speaks.
    pub kind: Kind,
    /// Where it goes, in order of preference. Kubernetes connections may take it from `kubernetes` instead.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Address ranges that are not public and may yet be reached: `["10.0.0.0/8"]`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// How the other side is verified, and what we show it.
    #[serde(default)]
    pub tls: Tls,
    /// The credential.
    #[serde(default)]
    pub auth: Auth,
    /// Sizes and times.
    #[serde(default)]
    pub limits: ConnectionLimits,
    /// For kind `kube`: where server, CA and credential come from, unless `endpoints`, `tls` and `auth` give them.
    #[serde(default)]
    pub kubernetes: Option<Kubernetes>,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// HTTP/1.1.
    Http,
    /// The API of a Kubernetes server.
    Kube,
}

/// One address of the other side.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// `https://host:port/base`.
    pub url: String,
    /// By which a request may ask for this one.
    #[serde(default)]
    pub label: Option<String>,
}

/// How the other side is verified, and what we show it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the only authorities that are trusted; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate (DER) in hex, with or without colons; then nothing else is checked.
    pub fingerprint: Option<String>,
    /// PEM file of our certificate and its chain.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key_file: Option<PathBuf>,
    /// Name that the certificate must carry, when it is not the one in the URL.
    pub server_name: Option<String>,
}

/// The credential of a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "kind")]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        secret: SecretSource,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// User name.
        user: String,
        /// Password.
        secret: SecretSource,
    },
    /// Any header.
    Header {
        /// Its name: `Authorization`.
        name: String,
        /// Its value, in which `{secret}` stands for the secret.
        template: String,
        /// The secret.
        secret: SecretSource,
    },
}

/// Where a secret comes from; exactly one of the three.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretSource {
    /// A file; read again when it changes. White space around the secret is cut off.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// The secret itself; only in a configuration file of mode 0600.
    Value(String),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretSource::File(path) => write!(f, "file {}", path.display()),
            SecretSource::Env(name) => write!(f, "environment variable {name}"),
            SecretSource::Value(_) => f.write_str("a value in the configuration"),
        }
    }
}

/// Sizes and times of a connection.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConnectionLimits {
    /// Milliseconds for one exchange.
    pub timeout_ms: u64,
    /// Milliseconds for making a connection to one endpoint, TLS included.
    pub connect_timeout_ms: u64,
    /// Bytes of a request's body.
    pub request_bytes: usize,
    /// Bytes of an answer's body, decompressed.
    pub response_bytes: usize,
    /// Exchanges at the same time; more wait.
    pub concurrent: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            timeout_ms: 30_000,
            connect_timeout_ms: 5_000,
            request_bytes: 16 << 20,
            response_bytes: 16 << 20,
            concurrent: 64,
        }
    }
}

/// Where a Kubernetes connection takes server, CA and credential from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kubernetes {
    /// A kubeconfig file. Credentials by exec or auth provider are not supported: use a token file.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Its context; none: the current one.
        #[serde(default)]
        context: Option<String>,
    },
    /// The service account of the pod that we run in.
    InCluster,
}
