//! What must be so before the first machine: each thing looked at gives a finding, with a code and what to do.
//!
//! A thing that cannot be seen for want of a privilege is not called missing: the privilege is named, once, and what depends on it
//! is left out.

mod clock;
mod nodes;
mod privileges;
mod range;
mod templates;

use std::collections::BTreeSet;

use agentkube_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{at, fetch, opened};
use crate::{Proxmox, faults};

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct PoolEntry {
    poolid: String,
}

/// What a look has found so far.
#[derive(Default)]
struct Look {
    findings: Vec<Finding>,
    /// Privileges that the token lacks, with their paths.
    lacking: BTreeSet<(String, &'static str)>,
}

impl Look {
    fn ok(&mut self, code: &str, message: String) {
        self.findings.push(Finding::ok(code, message));
    }

    fn warning(&mut self, code: &str, message: String, remedy: &str) {
        self.findings.push(Finding::warning(code, message, remedy));
    }

    fn error(&mut self, code: &str, message: String, remedy: &str) {
        self.findings.push(Finding::error(code, message, remedy));
    }

    /// What could not be looked at. Only what stands in the way of work, too, is an error: a cluster that does not answer, or does not
    /// take the token.
    fn fault(&mut self, fault: &Fault) {
        let remedy = faults::cure(&fault.code).unwrap_or(match fault.class {
            Class::Timeout => {
                "see the load of the nodes and what stands in between; the cluster is asked again by itself"
            }
            _ => "look again when the cluster answers",
        });
        // The text of a failure ends with what to do; here that has a place of its own.
        let message = fault.message.strip_suffix(remedy).and_then(|rest| rest.strip_suffix("; "));
        let message = message.unwrap_or(&fault.message);
        match fault.class {
            Class::Unauthorized | Class::Denied | Class::Unavailable | Class::Timeout | Class::Busy => {
                self.error(&fault.code, message.to_owned(), remedy);
            }
            _ => self.warning(&fault.code, format!("could not be looked at: {message}"), remedy),
        }
    }

    fn lacks(&self, path: &str, privilege: &'static str) -> bool {
        self.lacking.contains(&(path.to_owned(), privilege))
    }
}

impl Proxmox {
    /// Reachability, version, clock, privileges one by one, templates, pool, range of ids, nodes with their endpoints, storages and
    /// bridges.
    pub(crate) async fn look_before(&self) -> Result<Vec<Finding>> {
        let mut look = Look::default();
        if let Some(major) = self.reached(&mut look).await
            && let Err(fault) = self.look_around(&mut look, major).await
        {
            look.fault(&fault);
        }
        Ok(look.findings)
    }

    /// The major version, when the cluster answers and takes the token.
    async fn reached(&self, look: &mut Look) -> Option<u32> {
        let response = match self.api.get(at!("version")).send().await {
            Ok(response) => response,
            Err(fault) => {
                let check = "check the connection's endpoints and addresses, and its CA file or fingerprint";
                look.findings.push(Finding::unreached("UNREACHABLE", "the cluster", &fault, check));
                return None;
            }
        };
        let version: Version = match opened(&response) {
            Ok(version) => version,
            Err(fault) => {
                look.fault(&fault);
                return None;
            }
        };
        let number = version.version;
        let major: u32 = number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        match major {
            8 | 9 => look.ok("VERSION", format!("Proxmox VE {number}")),
            10.. => {
                let remedy = "versions 8 and 9 are supported";
                look.warning("VERSION_UNTRIED", format!("Proxmox VE {number} was never tried"), remedy);
            }
            _ => {
                let remedy = "upgrade the cluster to version 8 or 9";
                look.error("VERSION_UNSUPPORTED", format!("Proxmox VE {number} is too old"), remedy);
                return None;
            }
        }
        clock::compare(look, response.header("date"));
        Some(major)
    }

    async fn look_around(&self, look: &mut Look, major: u32) -> Result<()> {
        let all = self.api.resources(None).await?;
        let templates = self.seen_templates(&all).await?;
        self.privileges(look, major, &templates).await?;
        self.templates(look, &all, &templates);
        self.pool(look).await?;
        self.range(look, &all).await;
        self.nodes(look, &all, &templates).await;
        Ok(())
    }

    /// The pool, which privileges can be given on without its being there.
    async fn pool(&self, look: &mut Look) -> Result<()> {
        let Some(pool) = &self.config.pool else { return Ok(()) };
        if look.lacks(&format!("/pool/{pool}"), "Pool.Audit") {
            return Ok(());
        }
        let pools: Vec<PoolEntry> = fetch(self.api.get(at!("pools"))).await?;
        if pools.iter().any(|entry| entry.poolid == *pool) {
            look.ok("POOL", format!("pool {pool} is there"));
        } else {
            let remedy = "make it (`pvesh create /pools --poolid …`), or name another in `pool`";
            look.error("POOL_UNKNOWN", format!("pool {pool} does not exist"), remedy);
        }
        Ok(())
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes >> 20),
        gib => format!("{gib} GiB"),
    }
}

/// True for what is switched on, and for what does not stand there.
fn unless_off(value: &Value) -> bool {
    value.is_null() || crate::api::is_set(value)
}
