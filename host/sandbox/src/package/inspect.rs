//! What a component is and asks for, without running it.

use agentkube_manifest::{Manifest, SECTION};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::imports::Surface;
use super::section::sections;
use super::sentences::sentences;
use crate::{Error, Result};

/// What a component says about itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Name of the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its role's word.
    pub role: String,
    /// Contract that it was built for.
    pub contract: String,
    /// `sha256:…` of the whole file.
    pub digest: String,
    /// Bytes of the file.
    pub size: usize,
    /// What it imports, sorted.
    pub imports: Vec<String>,
    /// Whether it imports anything of WASI; there is nothing behind it.
    pub wasi: bool,
    /// What it asks for, in sentences.
    pub asks_for: Vec<String>,
    /// The whole manifest.
    pub manifest: Manifest,
}

/// Reads and checks a component. It is safe for bytes from anywhere: nothing is compiled or run.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    let found = sections(bytes)?;
    let manifests: Vec<&[u8]> = found
        .iter()
        .filter_map(|section| section.custom())
        .filter_map(|(name, data)| (name == SECTION.as_bytes()).then_some(data))
        .collect();
    let manifest: Manifest = match manifests.as_slice() {
        [] => return Err(Error::NoManifest { section: SECTION }),
        [one] => parse(one)?,
        more => return Err(Error::ManyManifests(more.len())),
    };
    let surface = Surface::read(bytes)?;
    surface.check_role(&manifest)?;
    surface.check_offers(&manifest)?;
    surface.check_imports(&manifest)?;
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Inspection {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        role: manifest.role.as_str().to_owned(),
        contract: manifest.contract.clone(),
        digest: format!("sha256:{digest}"),
        size: bytes.len(),
        wasi: surface.imports.iter().any(|import| import.starts_with("wasi:")),
        imports: surface.imports,
        asks_for: sentences(&manifest),
        manifest,
    })
}

/// A manifest of another contract may have other fields; that it is of another contract is then the better message.
fn parse(data: &[u8]) -> Result<Manifest> {
    let value: serde_json::Value = serde_json::from_slice(data).map_err(|e| Error::BadManifest(e.to_string()))?;
    match value.get("contract").and_then(serde_json::Value::as_str) {
        Some(contract) if contract != "0.1" => Err(Error::UnknownContract { found: contract.to_owned() }),
        _ => serde_json::from_value(value).map_err(|e| Error::BadManifest(e.to_string())),
    }
}
