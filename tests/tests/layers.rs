//! What may know of what: the host knows no product, and neither host nor lab depends on the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agentkube_tests::artifacts::workspace;
use serde_json::Value;

/// Anywhere in a word but the last, which is too short for that.
const PRODUCTS: [&str; 4] = ["fulcrum", "kamaji", "proxmox", "vsphere"];
const WHOLE: &str = "maas";

fn names_product(text: &str) -> bool {
    let lower = text.to_lowercase();
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    PRODUCTS.iter().any(|product| lower.contains(product)) || lower.split(word).any(|part| part == WHOLE)
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

// Checklist 73, 94, 130.
#[test]
fn the_host_names_no_product() {
    let mut all = Vec::new();
    files(&workspace().join("host"), &mut all);
    assert!(all.len() > 50, "{} files", all.len());
    let mut named = Vec::new();
    for path in all {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let lines = text.lines().enumerate().filter(|(_, line)| names_product(line));
        named.extend(lines.map(|(n, line)| format!("{}:{}: {line}", path.display(), n + 1)));
    }
    assert!(named.is_empty(), "the host knows no product:\n{}", named.join("\n"));
    assert!(
        names_product("a ProxMox") && names_product("to MAAS.") && !names_product("maasai"),
        "the search finds nothing"
    );
}

/// Folder of each package of the workspace, and the folders of those that it depends on, for whatever purpose.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let said = agentkube_tests::command::run(&mut command).ok();
    let metadata: Value = serde_json::from_str(&said).unwrap();
    let root = format!("{}/", metadata["workspace_root"].as_str().unwrap());
    let folder = |path: &str| path.strip_prefix(&root).unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let manifest = folder(package["manifest_path"].as_str().unwrap());
            let paths = package["dependencies"].as_array().unwrap().iter().filter_map(|d| d["path"].as_str());
            (manifest.trim_end_matches("/Cargo.toml").to_owned(), paths.map(folder).collect())
        })
        .collect()
}

// Checklist 73.
#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    let allowed: [(&str, &[&str]); 6] = [
        ("host/contract", &["sdk/manifest"]),
        ("host/engine", &["host/contract"]),
        ("host/kubernetes", &["host/contract"]),
        ("host/sandbox", &["host/contract", "sdk/manifest"]),
        ("host/agentkube", &["host/contract", "host/engine", "host/kubernetes", "host/sandbox", "sdk/manifest"]),
        ("sdk/manifest", &[]),
    ];
    for (package, may) in allowed {
        let has = all.get(package).unwrap_or_else(|| panic!("no package in {package}"));
        for one in has {
            assert!(may.contains(&one.as_str()), "{package} depends on {one}");
        }
    }
    for (package, has) in &all {
        if package.starts_with("lab/") {
            let beyond: Vec<_> = has.iter().filter(|one| !one.starts_with("lab/")).collect();
            assert!(beyond.is_empty(), "{package} depends on {beyond:?}");
        }
        if package.starts_with("host/") || package.starts_with("sdk") {
            let lab: Vec<_> = has.iter().filter(|one| one.starts_with("lab/")).collect();
            assert!(lab.is_empty(), "{package} depends on {lab:?}");
        }
        if package.starts_with("plugins/") || package.starts_with("sdk/examples/") {
            let host: Vec<_> = has.iter().filter(|one| one.starts_with("host/")).collect();
            assert!(host.is_empty(), "{package} depends on {host:?}");
        }
    }
    assert!(all.keys().filter(|package| package.starts_with("host/")).count() >= 5, "{all:?}");
}
