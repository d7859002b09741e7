//! Addresses and credentials of a running lab, and the files that hold them.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use lab_cluster::AdminCluster;
use lab_wire::{Millis, Random};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Error;

/// How to reach everything. Written as `lab.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Real times are divided by this.
    pub scale: u64,
    /// The CA of all servers but the tenants, which have one each; PEM, also in `ca.crt`.
    pub ca: String,
    /// Fulcrum Core.
    pub core: CoreAccess,
    /// The admin cluster.
    pub admin: AdminAccess,
    /// Proxmox VE.
    pub proxmox: ProxmoxAccess,
    /// The toy cloud.
    pub toy: ToyAccess,
}

/// How to reach Fulcrum Core.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreAccess {
    /// `https://host:port`, without `/api/v1`.
    pub url: String,
    /// The first administrator's token.
    pub admin_token: String,
}

/// How to reach the admin cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminAccess {
    /// `https://host:port`.
    pub url: String,
    /// kubeconfig of an administrator; also in `admin.kubeconfig`.
    pub kubeconfig: String,
    /// kubeconfig of a service account that may do what an agent needs and no more; also in `agent.kubeconfig`.
    pub agent_kubeconfig: String,
}

/// How to reach Proxmox VE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProxmoxAccess {
    /// Node and `https://host:port` of each.
    pub endpoints: Vec<Endpoint>,
    /// Id of the token that may make machines and nothing else.
    pub token: String,
    /// Its secret.
    pub secret: String,
}

/// One address of a system that has several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its label.
    pub label: String,
    /// `https://host:port`.
    pub url: String,
}

/// How to reach the toy cloud.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToyAccess {
    /// `https://host:port`.
    pub url: String,
    /// Its bearer token.
    pub token: String,
    /// SHA-256 of its certificate, for clients that pin it.
    pub fingerprint: String,
}

impl AdminAccess {
    /// Credentials of an administrator and of an agent. `ca` is that of the certificate which is shown at `url`.
    pub(super) fn of(
        cluster: &mut AdminCluster,
        url: String,
        ca: &str,
        now: Millis,
        random: &mut Random,
    ) -> Result<Self, Error> {
        let every = ["get", "list", "watch", "create", "patch", "delete"];
        let rules = json!([
            { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch", "create", "delete"] },
            { "apiGroups": ["kamaji.clastix.io"], "resources": ["tenantcontrolplanes"], "verbs": every },
            { "apiGroups": ["kamaji.clastix.io"], "resources": ["datastores"], "verbs": ["get"] },
            { "apiGroups": [""], "resources": ["secrets", "services"], "verbs": ["get"] },
            { "apiGroups": [""], "resources": ["endpoints"], "resourceNames": ["kubernetes"], "verbs": ["get"] },
        ]);
        let administrator = cluster.administrator(now)?;
        let agent = cluster.service_account("agentkube", rules, now, random);
        Ok(AdminAccess {
            kubeconfig: cluster.kubeconfig(&url, ca, "kubernetes-admin", &administrator),
            agent_kubeconfig: cluster.kubeconfig(&url, ca, "agentkube", &agent),
            url,
        })
    }
}

impl ProxmoxAccess {
    pub(super) fn of(addresses: &[(String, SocketAddr)]) -> Self {
        let endpoint = |(label, address): &(String, SocketAddr)| Endpoint {
            label: label.clone(),
            url: format!("https://{address}"),
        };
        ProxmoxAccess {
            endpoints: addresses.iter().map(endpoint).collect(),
            token: lab_pve::TOKEN.to_owned(),
            secret: lab_pve::TOKEN_SECRET.to_owned(),
        }
    }
}

impl Access {
    /// Writes `lab.json`, `ca.crt`, the two kubeconfigs and one file per token, readable by their owner alone.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::File { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        let files: [(&str, &str); 7] = [
            ("lab.json", &json),
            ("ca.crt", &self.ca),
            ("admin.kubeconfig", &self.admin.kubeconfig),
            ("agent.kubeconfig", &self.admin.agent_kubeconfig),
            ("core-admin.token", &self.core.admin_token),
            ("proxmox.secret", &self.proxmox.secret),
            ("toy.token", &self.toy.token),
        ];
        for (name, content) in files {
            let path = directory.join(name);
            // A file of an earlier lab may have other permissions: it is made anew.
            let _ = fs::remove_file(&path);
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// The addresses for people, one a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("Fulcrum Core    {}  token {}", self.core.url, self.core.admin_token),
            format!("admin cluster   {}  admin.kubeconfig", self.admin.url),
        ];
        for endpoint in &self.proxmox.endpoints {
            let (url, token, secret) = (&endpoint.url, &self.proxmox.token, &self.proxmox.secret);
            lines.push(format!("Proxmox VE      {url}  node {}, token {token}={secret}", endpoint.label));
        }
        lines.push(format!("toy cloud       {}  token {}", self.toy.url, self.toy.token));
        lines
    }
}
