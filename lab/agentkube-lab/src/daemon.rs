//! The real `agentkube`, with a configuration written for a lab, as a child process.
//!
//! The lab knows the daemon only from outside: a binary, a configuration file, an admin socket.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Error;
use crate::lab::Access;

/// Where the machines of the clusters are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Infrastructure {
    /// Proxmox VE.
    #[default]
    Proxmox,
    /// The toy cloud.
    Toy,
}

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `agentkube` binary.
    pub binary: PathBuf,
    /// Directory with `fulcrum.wasm`, `kamaji.wasm`, `proxmox.wasm`, `toy-cloud.wasm`.
    pub plugins: PathBuf,
    /// Directory of everything that is written; the lab's files (`lab.json` …) are there too.
    pub directory: PathBuf,
    /// Where machines are made.
    pub infrastructure: Infrastructure,
    /// The agent's token at Core.
    pub agent_token: String,
    /// More lines of configuration, at the end.
    pub more: String,
}

/// How long the daemon may take to start, to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Manifests of the network add-on that the lab's clusters get: a DaemonSet that says of itself that it is a network.
const NETWORK: &str = include_str!("network.yaml");

/// Writes the configuration and all that belongs to it; gives its path.
pub fn configure(setup: &Setup, access: &Access) -> Result<PathBuf, Error> {
    let directory = &setup.directory;
    put(&directory.join("agent.token"), &setup.agent_token)?;
    fs::create_dir_all(directory.join("network")).map_err(|source| file_error(directory, source))?;
    put(&directory.join("network/daemonset.yaml"), NETWORK)?;
    let path = directory.join("agentkube.toml");
    put(&path, &text(setup, access))?;
    Ok(path)
}

fn text(setup: &Setup, access: &Access) -> String {
    let plugin = |name: &str| setup.plugins.join(format!("{name}.wasm")).display().to_string();
    let (pve_urls, first) = (&access.proxmox.endpoints, access.proxmox.token.clone());
    let endpoints: Vec<String> =
        pve_urls.iter().map(|e| format!("{{ url = \"{}\", label = \"{}\" }}", e.url, e.label)).collect();
    let nodes = match setup.infrastructure {
        Infrastructure::Proxmox => format!(
            r#"[connections.pve]
kind = "http"
endpoints = [{endpoints}]
addresses = ["127.0.0.0/8"]
tls = {{ ca-file = "ca.crt" }}
auth = {{ kind = "header", name = "Authorization", template = "PVEAPIToken={first}={{secret}}", secret = {{ file = "proxmox.secret" }} }}

[plugins.machines]
file = "{file}"
role = "node-provider"
config = {{ connection = "pve", template = 9000, seed-storage = "seeds", pool = "agentkube", vmid-range = "vmids", bootstrap-log = true, nodes = ["pve1", "pve2"], timings = {{ first-poll-ms = 50, longest-poll-ms = 1000, visibility-ms = {visibility} }} }}

[[plugins.machines.grants]]
connection = "pve"

[[plugins.machines.grants]]
range = "vmids"

[ranges]
vmids = "20000-29999"

# Clones of one template at the same time; its storage bears so many before its lock times out.
[permits]
"pve/template/9000" = 4
"#,
            endpoints = endpoints.join(", "),
            file = plugin("proxmox"),
            visibility = 10_500 / access.scale.max(1),
        ),
        Infrastructure::Toy => format!(
            r#"[connections.toy]
kind = "http"
endpoints = [{{ url = "{url}" }}]
addresses = ["127.0.0.0/8"]
tls = {{ fingerprint = "{fingerprint}" }}
auth = {{ kind = "bearer", secret = {{ file = "toy.token" }} }}

[plugins.machines]
file = "{file}"
role = "node-provider"
config = {{ connection = "toy", image = "debian-13", visibility-ms = {visibility} }}

[[plugins.machines.grants]]
connection = "toy"
"#,
            url = access.toy.url,
            fingerprint = access.toy.fingerprint,
            file = plugin("toy-cloud"),
            visibility = 5_000 / access.scale.max(1),
        ),
    };
    format!(
        r#"# Written for a lab that runs {scale} times as fast as the real world.
installation = "lab"
data-dir = "data"
listen = "127.0.0.1:0"

[connections.core]
kind = "http"
endpoints = [{{ url = "{core}" }}]
addresses = ["127.0.0.0/8"]
tls = {{ ca-file = "ca.crt" }}
auth = {{ kind = "bearer", secret = {{ file = "agent.token" }} }}

[connections.admin]
kind = "kube"
addresses = ["127.0.0.0/8"]
kubernetes = {{ kubeconfig = {{ file = "agent.kubeconfig" }} }}

[plugins.core]
file = "{fulcrum}"
role = "job-source"
config = {{ connection = "core" }}

[[plugins.core.grants]]
connection = "core"

# The owner's kubeconfig may be written into the service's property.
[[plugins.core.grants]]
pass = "kube-secret"
from = ["planes"]
to = ["core"]

[plugins.planes]
file = "{kamaji}"
role = "control-plane"
config = {{ connection = "admin" }}

[[plugins.planes.grants]]
connection = "admin"
kube = [
  {{ group = "kamaji.clastix.io", resources = ["tenantcontrolplanes"], verbs = ["*"] }},
  {{ group = "kamaji.clastix.io", resources = ["datastores"], verbs = ["get"] }},
  {{ resources = ["namespaces"], verbs = ["get", "list", "watch", "create", "delete"] }},
  {{ resources = ["secrets"], verbs = ["get"], names = ["*-admin-kubeconfig"] }},
  {{ resources = ["services"], verbs = ["get"] }},
]

[[plugins.planes.grants]]
tenant-addresses = ["127.0.0.0/8"]

{nodes}
[defaults]
addons = ["network"]

[addons.network]
path = "network"
phase = "network"

[tenants]
poll-ms = {poll}
signature-settle-ms = {settle}

[engine]
poll-ms = 250
heartbeat-ms = 1000
measure-ms = 1000
retry-base-ms = 50
retry-cap-ms = 1000
{more}"#,
        scale = access.scale,
        core = access.core.url,
        fulcrum = plugin("fulcrum"),
        kamaji = plugin("kamaji"),
        poll = (1_000 / access.scale).max(20),
        settle = (2_000 / access.scale).max(20),
        more = setup.more,
    )
}

/// Writes a file that only we can read.
pub(crate) fn put(path: &Path, content: &str) -> Result<(), Error> {
    let _ = fs::remove_file(path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.display().to_string(), source }
}

/// A running daemon. Dropping it kills it, as a crash would.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts the daemon with a configuration, its log going to `agentkube.log` beside it, and waits until it answers.
    pub fn start(binary: &Path, config: &Path) -> Result<Daemon, Error> {
        let directory = config.parent().unwrap_or(Path::new("."));
        let log = directory.join("agentkube.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).map_err(|e| file_error(&log, e))?;
        let child = Command::new(binary)
            .args(["run", "--log-format", "json", "--config"])
            .arg(config)
            .env("AGENTKUBE_LOG", "info,kube_client=off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|source| file_error(binary, source))?;
        let mut daemon = Daemon { child, socket: directory.join("data/agentkube.sock"), log };
        let began = Instant::now();
        loop {
            if daemon.ask("status").is_ok() {
                return Ok(daemon);
            }
            if let Ok(Some(status)) = daemon.child.try_wait() {
                return Err(Error::Daemon(format!("agentkube ended at once ({status}):\n{}", daemon.log_tail(20))));
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Daemon(format!("agentkube does not answer:\n{}", daemon.log_tail(20))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks a question without parameters over the admin socket.
    pub fn ask(&self, question: &str) -> Result<Value, Error> {
        let failed = |error: std::io::Error| Error::Daemon(format!("the admin socket: {error}"));
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(format!("{{\"ask\":\"{question}\"}}\n").as_bytes()).map_err(failed)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(failed)?;
        let reply: Value = serde_json::from_str(&line).unwrap_or_default();
        match reply.get("ok") {
            Some(answer) => Ok(answer.clone()),
            None => Err(Error::Daemon(format!("the daemon answered {line}"))),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Kills it at once, as a crash would.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it with SIGTERM; gives how long that took.
    pub fn terminate(mut self) -> Result<Duration, Error> {
        let began = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err(Error::Daemon("SIGTERM could not be sent".to_owned()));
        }
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                return Err(Error::Daemon(format!("agentkube does not end after SIGTERM:\n{}", self.log_tail(20))));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(began.elapsed())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
