//! Building: the host, the lab, the plugins and the tests' guests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, Profile, Result, cargo, root, target};

/// The target of our own components: no WASI, so that their imports are their capabilities.
const WASM: &str = "wasm32-unknown-unknown";
/// The target of components by authors who use the standard library's WASI.
const WASI: &str = "wasm32-wasip2";

/// Package, folder, name of the component.
const PLUGINS: [(&str, &str, &str); 4] = [
    ("agentkube-plugin-fulcrum", "plugins/fulcrum", "fulcrum"),
    ("agentkube-plugin-kamaji", "plugins/kamaji", "kamaji"),
    ("agentkube-plugin-proxmox", "plugins/proxmox", "proxmox"),
    ("agentkube-plugin-toy", "sdk/examples/toy-cloud", "toy-cloud"),
];

/// Host, lab, plugins, guests: what the tests and the measurements start and load.
pub fn everything(profile: Profile) -> Result {
    host(profile)?;
    plugins(profile)?;
    guests(profile)
}

/// The daemon and the lab.
pub fn host(profile: Profile) -> Result {
    // The whole workspace, so that dependencies get the features that the tests build them with, and are built once.
    let mut command = cargo();
    command.args(["build", "--workspace", "--bins"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    run::run(&mut command)
}

/// The plugins, packed with their manifests.
pub fn plugins(profile: Profile) -> Result {
    let packages: Vec<&str> = PLUGINS.iter().map(|(package, ..)| *package).collect();
    compile(&packages, WASM)?;
    for (package, folder, name) in PLUGINS {
        let manifest = root().join(folder).join("manifest.json");
        pack(profile, &module(package, WASM), &manifest, &target().join("plugins").join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// What the tests load beside the plugins: one guest in each of the two targets.
pub fn guests(profile: Profile) -> Result {
    let manifest = root().join("tests/guests/spike/manifest.json");
    for (wasm, name) in [(WASM, "spike"), (WASI, "spike-wasip2")] {
        compile(&["guest-spike"], wasm)?;
        pack(profile, &module("guest-spike", wasm), &manifest, &target().join("guests").join(format!("{name}.wasm")))?;
    }
    Ok(())
}

fn compile(packages: &[&str], wasm: &'static str) -> Result {
    let flags = prepare(wasm)?;
    let mut command = cargo();
    command.args(["build", "--target", wasm, "--profile", "plugin", "--lib"]).args(&flags);
    for package in packages {
        command.args(["--package", package]);
    }
    if !flags.is_empty() {
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
    }
    run::run(&mut command)
}

fn module(package: &str, wasm: &str) -> PathBuf {
    target().join(wasm).join("plugin").join(format!("{}.wasm", package.replace('-', "_")))
}

fn pack(profile: Profile, module: &Path, manifest: &Path, output: &Path) -> Result {
    let folder = output.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut command = Command::new(profile.folder().join("agentkube"));
    command.args(["plugin", "pack"]).arg(module).arg("--manifest").arg(manifest).arg("--output").arg(output);
    run::run(&mut command)
}

/// Makes the target usable; gives the extra flags for cargo where the standard library must be built from its source.
fn prepare(wasm: &'static str) -> std::result::Result<Vec<&'static str>, String> {
    let library = Command::new("rustc").args(["--print", "target-libdir", "--target", wasm]).output();
    let has_library = library.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        })
    });
    if has_library {
        return Ok(Vec::new());
    }
    eprintln!("The Rust target {wasm} is missing; adding it: rustup target add {wasm}");
    let added = Command::new("rustup").args(["target", "add", wasm]).status().is_ok_and(|status| status.success());
    if added {
        return Ok(Vec::new());
    }
    if wasm == WASM && Command::new("wasm-ld-19").arg("--version").output().is_ok() {
        eprintln!("rustup cannot add it; building the standard library from its source with wasm-ld-19");
        return Ok(vec!["-Zbuild-std=std,panic_abort"]);
    }
    Err(format!(
        "the Rust target {wasm} is missing and `rustup target add {wasm}` failed; install it, or on Debian the packages \
         rustc-web, cargo-web, rust-web-src and lld-19"
    ))
}
