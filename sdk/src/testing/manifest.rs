//! The manifest that is checked in.

use std::path::Path;

use agentkube_manifest::Manifest;

/// Fails when the `manifest.json` beside the package's `Cargo.toml` is not what the code derives; `UPDATE_MANIFEST=1` writes it.
/// Call it in a test: `check_manifest(&manifest(), include_str!("../manifest.json"))`.
///
/// # Panics
///
/// When they differ.
pub fn check_manifest(manifest: &Manifest, checked_in: &str) {
    let derived = serde_json::to_string_pretty(manifest).expect("a manifest is JSON") + "\n";
    if derived == checked_in {
        return;
    }
    if std::env::var_os("UPDATE_MANIFEST").is_some() {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run the test with cargo");
        std::fs::write(Path::new(&package).join("manifest.json"), derived).expect("manifest.json cannot be written");
        return;
    }
    let line = derived.lines().zip(checked_in.lines()).position(|(left, right)| left != right);
    let line = line.unwrap_or_else(|| derived.lines().count().min(checked_in.lines().count())) + 1;
    panic!("manifest.json differs from the code at line {line}; UPDATE_MANIFEST=1 cargo test writes it anew");
}
