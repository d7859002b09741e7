//! Makes the file that is installed: a component with exactly one manifest.

use agentkube_manifest::{Manifest, SECTION};
use wit_component::ComponentEncoder;

use super::section::{custom_section, sections};
use crate::{Error, Result};

/// A component with this manifest, from a core module (built with `wit-bindgen`) or from a component, whose manifest is replaced.
pub fn pack(bytes: &[u8], manifest: &str) -> Result<Vec<u8>> {
    let manifest: Manifest = serde_json::from_str(manifest).map_err(|e| Error::BadManifest(e.to_string()))?;
    let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::BadManifest(e.to_string()))?;
    let component = match sections(bytes) {
        Err(Error::CoreModule) => componentize(bytes)?,
        other => other.map(|_| bytes.to_vec())?,
    };
    let mut packed = component.get(..8).unwrap_or_default().to_vec();
    for section in sections(&component)? {
        if section.custom().is_none_or(|(name, _)| name != SECTION.as_bytes()) {
            packed.extend_from_slice(section.whole);
        }
    }
    packed.extend(custom_section(SECTION, &manifest));
    Ok(packed)
}

fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|e| Error::Pack(format!("{e:#}")))
}
