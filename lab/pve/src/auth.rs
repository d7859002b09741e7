//! Who asks, and what they may do: API tokens, roles, the access list, pools.

use std::collections::{BTreeMap, BTreeSet};

use lab_wire::{Millis, Request};

use crate::form::percent_decode;
use crate::settings::Settings;
use crate::store::Store;

/// An API token.
#[derive(Clone, Debug)]
pub struct Token {
    /// `user@realm!name`.
    pub id: String,
    /// The secret, a UUID.
    pub secret: String,
    /// Whether the token has only what the access list gives to the token itself (and to its user).
    pub privsep: bool,
    /// When it expires, in seconds since 1970.
    pub expire: Option<u64>,
}

/// One line of the access list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Such as `/pool/workers`.
    pub path: String,
    /// A user or a token.
    pub who: String,
    /// Name of the role.
    pub role: String,
    /// Whether it reaches below the path.
    pub propagate: bool,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `user@realm` or `user@realm!token`.
    pub id: String,
    privsep: bool,
}

impl Identity {
    /// The user without the token.
    pub fn user(&self) -> &str {
        self.id.split_once('!').map_or(self.id.as_str(), |(user, _)| user)
    }

    /// `root@pam` by its own password: a token of root is not enough for what only root may do.
    pub fn is_root(&self) -> bool {
        self.id == "root@pam"
    }

    /// What acts without anybody asking, such as the HA manager.
    pub(crate) fn system() -> Self {
        Identity { id: "root@pam".to_owned(), privsep: false }
    }
}

/// Reads the `Authorization` header. The error is the reason phrase of the 401.
pub fn authenticate(settings: &Settings, request: &Request, now: Millis) -> Result<Identity, &'static str> {
    let header = request.header_value("authorization").ok_or("No ticket")?;
    let header = percent_decode(header);
    let token =
        header.strip_prefix("PVEAPIToken=").or_else(|| header.strip_prefix("PVEAPIToken ")).ok_or("No ticket")?;
    let (id, secret) = token.rsplit_once('=').ok_or("Authentication failed!")?;
    let token = settings.tokens.iter().find(|known| known.id == id).ok_or("Authentication failed!")?;
    let fresh = token.expire.is_none_or(|expire| expire == 0 || now / 1000 < expire);
    if token.secret != secret || !fresh {
        return Err("Authentication failed!");
    }
    Ok(Identity { id: token.id.clone(), privsep: token.privsep })
}

/// Privileges on one path, each with whether it propagates.
pub type Privileges = BTreeMap<String, bool>;

/// Answers what an identity may do.
pub struct Access<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) store: &'a Store,
    pub(crate) withheld: &'a BTreeSet<String>,
}

impl Access<'_> {
    /// Everything that `who` may do at `path`.
    pub fn privileges(&self, who: &Identity, path: &str) -> Privileges {
        let user = who.user();
        let mut privileges = if user == "root@pam" { self.everything() } else { self.granted(user, path) };
        if who.privsep {
            let own = self.granted(&who.id, path);
            privileges.retain(|name, _| own.contains_key(name));
        }
        privileges.retain(|name, _| !self.withheld.contains(name) || user == "root@pam");
        privileges
    }

    /// Whether `who` has `privilege` at `path`.
    pub fn has(&self, who: &Identity, path: &str, privilege: &str) -> bool {
        self.privileges(who, path).contains_key(privilege)
    }

    /// Whether `who` has one of `privileges` at `path`.
    pub fn has_any(&self, who: &Identity, path: &str, privileges: &[&str]) -> bool {
        let held = self.privileges(who, path);
        privileges.iter().any(|&privilege| held.contains_key(privilege))
    }

    /// Demands all of `privileges`; the error is the text of the 403.
    pub fn check(&self, who: &Identity, path: &str, privileges: &[&str]) -> Result<(), String> {
        let held = self.privileges(who, path);
        match privileges.iter().find(|&&privilege| !held.contains_key(privilege)) {
            Some(missing) => Err(format!("Permission check failed ({path}, {missing})")),
            None => Ok(()),
        }
    }

    /// Demands one of `privileges`.
    pub fn check_any(&self, who: &Identity, path: &str, privileges: &[&str]) -> Result<(), String> {
        if self.has_any(who, path, privileges) {
            return Ok(());
        }
        Err(format!("Permission check failed ({path}, {})", privileges.join("|")))
    }

    /// What `GET /access/permissions` shows: every path that says something about `who`.
    pub fn map(&self, who: &Identity) -> BTreeMap<String, Privileges> {
        let mut paths: BTreeSet<String> = ["/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"]
            .iter()
            .map(|&path| path.to_owned())
            .chain(self.settings.acl.iter().map(|entry| entry.path.clone()))
            .collect();
        paths.extend(self.store.vms().filter(|vm| vm.pool.is_some()).map(|vm| format!("/vms/{}", vm.vmid)));
        paths
            .into_iter()
            .map(|path| {
                let privileges = self.privileges(who, &path);
                (path, privileges)
            })
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect()
    }

    fn everything(&self) -> Privileges {
        let known = self.settings.roles.values().flatten().cloned();
        let more = ["Sys.Audit", "Sys.Modify", "Sys.Console", "Pool.Allocate", "Pool.Audit", "VM.Migrate", "SDN.Audit"]
            .into_iter()
            .chain(["VM.Allocate", "VM.Audit", "VM.Clone", "VM.PowerMgmt", "SDN.Use", "Datastore.Allocate"])
            .chain(["VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType"])
            .chain(["VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "Datastore.Audit"])
            .chain(["Datastore.AllocateSpace", "Datastore.AllocateTemplate"])
            .map(str::to_owned);
        let agent: &[&str] = match self.settings.release.agent_privilege() {
            "VM.Monitor" => &["VM.Monitor"],
            _ => &[
                "VM.GuestAgent.Audit",
                "VM.GuestAgent.FileRead",
                "VM.GuestAgent.FileWrite",
                "VM.GuestAgent.Unrestricted",
            ],
        };
        known.chain(more).chain(agent.iter().map(|&name| name.to_owned())).map(|name| (name, true)).collect()
    }

    /// What the access list gives, the pool of a VM included: its roles reach the VM as if they were granted there.
    fn granted(&self, who: &str, path: &str) -> Privileges {
        let mut roles = self.roles(who, path);
        if let Some(vmid) = path.strip_prefix("/vms/").and_then(|id| id.parse().ok())
            && let Some(pool) = self.store.vm(vmid).and_then(|vm| vm.pool.as_deref())
        {
            roles.extend(self.roles(who, &format!("/pool/{pool}")));
        }
        let mut privileges = Privileges::new();
        for (role, propagate) in roles {
            for name in self.settings.roles.get(&role).into_iter().flatten() {
                *privileges.entry(name.clone()).or_insert(false) |= propagate;
            }
        }
        privileges
    }

    /// Roles at a path: those of the deepest path that has any replace what was inherited.
    fn roles(&self, who: &str, path: &str) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let mut prefixes = vec!["/".to_owned()];
        let mut prefix = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            prefix.push('/');
            prefix.push_str(part);
            prefixes.push(prefix.clone());
        }
        for prefix in prefixes {
            let exact = prefix == path;
            let here: BTreeMap<String, bool> = self
                .settings
                .acl
                .iter()
                .filter(|entry| entry.who == who && entry.path == prefix && (exact || entry.propagate))
                .map(|entry| (entry.role.clone(), entry.propagate))
                .collect();
            if !here.is_empty() {
                found = here;
            }
        }
        found
    }
}
