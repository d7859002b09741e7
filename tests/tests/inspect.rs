//! `agentkube plugin inspect` says what a plugin is and asks for, without running it.

use std::path::{Path, PathBuf};

use agentkube_tests::artifacts::plugin;
use agentkube_tests::command::{Said, agentkube};
use serde_json::Value;

/// File, role, a sentence that it must say.
const PLUGINS: [(&str, &str, &str); 4] = [
    ("fulcrum", "job-source", "It needs the HTTP connection named at /connection of its configuration"),
    ("kamaji", "control-plane", "It needs the Kubernetes connection named at /connection of its configuration"),
    ("proxmox", "node-provider", "It writes down what it makes, so that nothing is lost or made twice."),
    ("toy-cloud", "node-provider", "It writes down what it makes, so that nothing is lost or made twice."),
];

fn inspect(file: &Path, more: &[&str]) -> Said {
    let words = ["plugin".as_ref(), "inspect".as_ref(), file.as_os_str()].into_iter();
    agentkube(words.chain(more.iter().map(|word| word.as_ref())))
}

/// The lines under a heading.
fn under<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| line.starts_with(' ')).map(str::trim).collect()
}

// Checklist 94, 130.
#[test]
fn every_plugin_says_what_it_is_and_asks_for() {
    for (name, role, sentence) in PLUGINS {
        let file = plugin(name);
        let text = inspect(&file, &[]).ok();
        let json: Value = serde_json::from_str(&inspect(&file, &["-o", "json"]).ok()).unwrap();
        let said = |key: &str| json[key].as_str().unwrap().to_owned();
        assert_eq!(said("role"), role);
        assert!(text.contains(&format!("role      {role}")), "{text}");
        assert!(text.starts_with(&format!("{} {}  ", said("name"), said("version"))), "{text}");
        assert!(text.contains(&format!("digest    {}", said("digest"))), "{text}");
        assert!(text.contains("contract  0.1"), "{text}");
        assert_eq!(said("digest").len(), "sha256:".len() + 64);

        let texts = |key: &str| -> Vec<String> {
            json[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let imports = texts("imports");
        assert_eq!(under(&text, "imports"), imports);
        assert!(imports.iter().any(|import| import.starts_with("agentkube:host/")), "{imports:?}");
        assert!(!imports.iter().any(|import| import.contains("wasi:")), "{name} imports {imports:?}");
        assert_eq!(json["wasi"], false);

        let sentences = texts("asksFor");
        assert!(sentences.iter().any(|said| said.starts_with(sentence)), "{sentences:#?}");
        for said in &sentences {
            assert!(text.contains(said.trim()), "{said} is missing in\n{text}");
        }
    }
}

#[test]
fn the_digest_is_that_of_the_file() {
    let json: Value = serde_json::from_str(&inspect(&plugin("kamaji"), &["-o", "json"]).ok()).unwrap();
    let sums = agentkube_tests::command::run(std::process::Command::new("sha256sum").arg(plugin("kamaji"))).ok();
    assert_eq!(json["digest"].as_str(), sums.split(' ').next().map(|sum| format!("sha256:{sum}")).as_deref());
}

/// The beginning of a component without anything in it.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// A custom section as it stands in a file; name and data are short.
fn section(name: &str, data: &[u8]) -> Vec<u8> {
    let length = |n: usize| u8::try_from(n).ok().filter(|n| *n < 0x80).unwrap();
    let mut section = vec![0, length(1 + name.len() + data.len()), length(name.len())];
    section.extend(name.as_bytes());
    section.extend(data);
    section
}

#[test]
fn what_is_no_plugin_is_refused_with_a_code() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = section("agentkube:manifest", b"{}");
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        ("not wasm", b"#!/bin/sh\n".to_vec(), "NOT_WASM", "this is not WebAssembly"),
        ("core module", b"\0asm\x01\0\0\0".to_vec(), "CORE_MODULE", "`agentkube plugin pack` makes a component of it"),
        ("no manifest", EMPTY.to_vec(), "NO_MANIFEST", "the component holds no section `agentkube:manifest`"),
        (
            "two manifests",
            [EMPTY, &manifest, &manifest].concat(),
            "MANY_MANIFESTS",
            "the component holds 2 manifests; exactly one is allowed",
        ),
        ("bad manifest", [EMPTY, &manifest].concat(), "BAD_MANIFEST", "the manifest cannot be read"),
        ("cut off", [EMPTY, &manifest[..manifest.len() - 1]].concat(), "MALFORMED", "a section is cut off"),
    ];
    for (what, bytes, code, message) in cases {
        let file: PathBuf = directory.path().join(format!("{}.wasm", what.replace(' ', "-")));
        std::fs::write(&file, bytes).unwrap();
        let said = inspect(&file, &[]);
        assert_eq!(said.code, 1, "{what}: {}", said.err);
        assert!(said.complains(code) && said.complains(message), "{what}: {}", said.err);
    }
    let said = inspect(&directory.path().join("nowhere.wasm"), &[]);
    assert!(said.code == 1 && said.complains("cannot read"), "{}", said.err);
}

/// What an author does: a module that was built becomes a plugin, and a manifest that does not cover it is refused.
#[test]
fn a_plugin_that_asks_for_less_than_it_imports_is_not_packed() {
    let directory = tempfile::tempdir().unwrap();
    let file = plugin("toy-cloud");
    let json: Value = serde_json::from_str(&inspect(&file, &["-o", "json"]).ok()).unwrap();
    let mut manifest = json["manifest"].clone();
    let pack = |manifest: &Value| {
        let (path, output) = (directory.path().join("manifest.json"), directory.path().join("packed.wasm"));
        std::fs::write(&path, manifest.to_string()).unwrap();
        let words = ["plugin".as_ref(), "pack".as_ref(), file.as_os_str(), "--manifest".as_ref(), path.as_os_str()];
        let said = agentkube(words.into_iter().chain(["--output".as_ref(), output.as_os_str()]));
        (said, output)
    };
    let (said, output) = pack(&manifest);
    said.ok();
    let packed: Value = serde_json::from_str(&inspect(&output, &["-o", "json"]).ok()).unwrap();
    assert_eq!((&packed["manifest"], &packed["imports"]), (&manifest, &json["imports"]));

    manifest["needs"]["capabilities"].as_array_mut().unwrap().retain(|name| name != "ledger");
    let (said, _) = pack(&manifest);
    assert_eq!(said.code, 1);
    assert!(said.complains("IMPORT_NOT_COVERED") && said.complains("ledger"), "{}", said.err);
}
