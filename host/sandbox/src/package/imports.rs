//! What a component imports and exports, and whether its manifest asks for that.

use agentkube_manifest::{Manifest, Offer, Role};
use wasmparser::{Parser, Payload};

use crate::{Error, Result};

/// The version of the contract that this host speaks.
const CONTRACT: &str = "0.1";
/// Interfaces that hold types only.
const TYPES: [&str; 2] = ["agentkube:host/types", "agentkube:provider/types"];
/// What of WASI a component may import: what the standard libraries of most languages drag in, with nothing behind it.
const WASI: [&str; 5] = ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/"];

/// Names of the instances that a component imports and exports.
pub(super) struct Surface {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

impl Surface {
    /// Reads the top level; nested components have worlds of their own.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let malformed = |e: wasmparser::BinaryReaderError| Error::Malformed(e.to_string());
        let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0u32);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(malformed)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        imports.push(import.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        imports.sort_unstable();
        exports.sort_unstable();
        Ok(Surface { imports, exports })
    }

    /// The exported role is the manifest's.
    pub fn check_role(&self, manifest: &Manifest) -> Result<()> {
        if manifest.contract != CONTRACT {
            return Err(Error::UnknownContract { found: manifest.contract.clone() });
        }
        let roles = [Role::JobSource, Role::ControlPlane, Role::NodeProvider];
        let mut exported: Vec<Role> = Vec::new();
        for (interface, version) in self.exports.iter().filter_map(|name| name.split_once('@')) {
            let Some(word) = interface.strip_prefix("agentkube:provider/") else { continue };
            if !fits(version) {
                return Err(Error::UnknownContract { found: format!("{interface}@{version}") });
            }
            exported.extend(roles.iter().filter(|role| role.as_str() == word).copied());
        }
        if exported == [manifest.role] {
            return Ok(());
        }
        let words: Vec<&str> = exported.iter().map(|role| role.as_str()).collect();
        Err(Error::RoleMismatch {
            manifest: manifest.role.as_str().to_owned(),
            exported: if words.is_empty() { "no role".to_owned() } else { words.join(" and ") },
        })
    }

    /// What is exported beside the role is what the manifest's flags say, and only a node provider exports anything beside it.
    pub fn check_offers(&self, manifest: &Manifest) -> Result<()> {
        for offer in Offer::ALL {
            let prefix = format!("agentkube:provider/{}@", offer.as_str());
            let exported = self.exports.iter().any(|name| name.starts_with(&prefix));
            let fits = exported == manifest.offers(offer) && (!exported || manifest.role == Role::NodeProvider);
            if !fits {
                return Err(Error::OfferMismatch {
                    offer: offer.as_str(),
                    exported,
                    role: manifest.role.as_str().to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Every import is asked for by the manifest, or is of the part of WASI that has nothing behind it.
    pub fn check_imports(&self, manifest: &Manifest) -> Result<()> {
        for import in &self.imports {
            let (interface, version) = import.split_once('@').unwrap_or((import, ""));
            if TYPES.contains(&interface) && fits(version) || WASI.iter().any(|prefix| interface.starts_with(prefix)) {
                continue;
            }
            let Some(capability) = interface.strip_prefix("agentkube:host/") else {
                return Err(Error::ImportForbidden(import.clone()));
            };
            if !fits(version) {
                return Err(Error::UnknownContract { found: import.clone() });
            }
            let (covered, remedy) = match capability {
                "http" => (!manifest.needs.http.is_empty(), "its author adds an entry to needs.http".to_owned()),
                "kube" => (!manifest.needs.kube.is_empty(), "its author adds an entry to needs.kube".to_owned()),
                other => (
                    manifest.needs.capabilities.iter().any(|asked| asked == other),
                    format!("its author adds \"{other}\" to needs.capabilities"),
                ),
            };
            if !covered {
                return Err(Error::ImportNotCovered { import: import.clone(), remedy });
            }
        }
        Ok(())
    }
}

fn fits(version: &str) -> bool {
    version.strip_prefix(CONTRACT).is_some_and(|patch| patch.starts_with('.'))
}
