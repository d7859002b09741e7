//! What cannot be used refuses the start with one clear message and a stable code; what may come back leaves the daemon trying.

use std::fs;
use std::path::Path;

use agentkube_tests::artifacts::plugin;
use agentkube_tests::case::{Case, file_line};
use agentkube_tests::command::{Said, agentkube};
use serde_json::{Value, json};

/// Number, content and place of the top-level sections of a component.
fn sections(bytes: &[u8]) -> Vec<(u8, &[u8], std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let (mut length, mut shift, mut header) = (0_usize, 0, 1);
        loop {
            let byte = bytes[at + header];
            length |= usize::from(byte & 0x7f) << shift;
            (shift, header) = (shift + 7, header + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((bytes[at], &bytes[at + header..at + header + length], at..at + header + length));
        at += header + length;
    }
    found
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap());
    out
}

const NAME: &str = "agentkube:manifest";

/// A component with these manifests instead of its own.
fn with_manifests(bytes: &[u8], manifests: &[&Value]) -> Vec<u8> {
    let mut out = bytes[..8].to_vec();
    let mark = [leb(NAME.len()), NAME.as_bytes().to_vec()].concat();
    for (id, content, place) in sections(bytes) {
        if id != 0 || !content.starts_with(&mark) {
            out.extend(&bytes[place]);
        }
    }
    for manifest in manifests {
        let content = [mark.clone(), manifest.to_string().into_bytes()].concat();
        out.push(0);
        out.extend(leb(content.len()));
        out.extend(content);
    }
    out
}

fn manifest(bytes: &[u8]) -> Value {
    let mark = [leb(NAME.len()), NAME.as_bytes().to_vec()].concat();
    let found =
        sections(bytes).into_iter().find_map(|(id, content, _)| content.strip_prefix(&*mark).filter(|_| id == 0));
    serde_json::from_slice(found.unwrap()).unwrap()
}

/// One message, with its code and what it must say, and nothing that a program blurts out when it breaks.
#[track_caller]
fn refused(what: &str, said: &Said, exit: i32, code: &str, words: &[&str]) {
    assert_eq!(said.code, exit, "{what}: {}{}", said.out, said.err);
    for word in [&[code], words].concat() {
        assert!(said.complains(word), "{what}: `{word}` is missing in: {}", said.err);
    }
    let lines = said.err.lines().filter(|line| line.trim() == code).count();
    assert_eq!(lines, 1, "{what}: one message with its code: {}", said.err);
    for word in ["panicked", "RUST_BACKTRACE", "SIG"] {
        assert!(!said.err.contains(word), "{what}: {}", said.err);
    }
}

/// What must be refused everywhere that a component is read: by the check, by the daemon, by the look at a file.
#[track_caller]
fn component(what: &str, bytes: &[u8], code: &str, words: &[&str]) {
    let case = Case::new();
    let file = case.path("bad.wasm");
    fs::write(&file, bytes).unwrap();
    case.with(&file_line("fulcrum"), "file = \"bad.wasm\"\n");
    refused(what, &case.says(&["config", "check"]), 3, code, words);
    refused(what, &case.says(&["run"]), 3, code, words);
    let place = case.place("[plugins.core]\n¦file");
    assert!(case.says(&["run"]).complains(&place), "{what}: the message points at {place}");
}

fn inspect(file: &Path) -> Said {
    agentkube(["plugin".as_ref(), "inspect".as_ref(), file.as_os_str()])
}

#[test]
fn what_is_no_component_is_refused() {
    let whole = fs::read(plugin("fulcrum")).unwrap();
    component("a text", b"#!/bin/sh\n", "NOT_WASM", &["this is not WebAssembly"]);
    component("an empty file", b"", "NOT_WASM", &["this is not WebAssembly: the file is empty"]);
    component("zeros", &vec![0; 100 << 20], "NOT_WASM", &["this is not WebAssembly"]);
    let module = [b"\0asm\x01\0\0\0".as_slice(), &[1, 4, 1, 0x60, 0, 0]].concat();
    component("a core module", &module, "CORE_MODULE", &["this is a core module, not a component", "plugin pack"]);
    component("half of one", &whole[..whole.len() / 2], "MALFORMED", &["the component is malformed"]);
    component("all but a byte", &whole[..whole.len() - 1], "MALFORMED", &["the component is malformed"]);
}

#[test]
fn a_doctor_names_the_plugin_that_is_none_and_looks_at_the_others() {
    let case = Case::new();
    fs::write(case.path("bad.wasm"), "").unwrap();
    case.with(&file_line("fulcrum"), "file = \"bad.wasm\"\n");
    let said = case.says(&["doctor"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let about = |start: &str| said.out.lines().filter(|line| line.contains(start)).collect::<Vec<_>>();
    let [line] = about(" plugin core ")[..] else { panic!("{}", said.out) };
    assert!(line.starts_with("error") && line.contains("NOT_WASM: ") && line.contains("the file is empty"), "{line}");
    // The others are looked at all the same; that nobody answers them is found by each.
    assert!(about(" plugin planes ").len() > 2 && about(" plugin machines ").len() > 1, "{}", said.out);
    assert!(about("NOT_CONNECTED: ").len() >= 3, "{}", said.out);
}

/// Its frame is whole and its manifest is right: only what reads the code sees it.
#[test]
fn a_component_whose_code_is_damaged_is_refused() {
    let mut bytes = fs::read(plugin("fulcrum")).unwrap();
    let module = sections(&bytes).into_iter().filter(|(id, ..)| *id == 1).max_by_key(|(_, content, _)| content.len());
    let place = module.unwrap().2;
    let middle = (place.start + place.end) / 2;
    bytes[middle..middle + 64].fill(0xff);
    component("damaged code", &bytes, "MALFORMED", &["the component is malformed"]);
}

#[test]
fn a_manifest_that_is_not_that_of_the_component_is_refused() {
    let bytes = fs::read(plugin("fulcrum")).unwrap();
    let good = manifest(&bytes);
    let with = |changes: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        changes(&mut manifest);
        with_manifests(&bytes, &[&manifest])
    };
    component("no manifest", &with_manifests(&bytes, &[]), "NO_MANIFEST", &["holds no section `agentkube:manifest`"]);
    component("two", &with_manifests(&bytes, &[&good, &good]), "MANY_MANIFESTS", &["2 manifests; exactly one"]);
    component(
        "no JSON object",
        &with_manifests(&bytes, &[&json!(7)]),
        "BAD_MANIFEST",
        &["the manifest cannot be read"],
    );
    let words = ["the manifest says role node-provider, the component exports job-source"];
    component("another role", &with(&|m| m["role"] = json!("node-provider")), "ROLE_MISMATCH", &words);
    let words = ["the plugin speaks contract 0.9; this host speaks 0.1"];
    component("another version", &with(&|m| m["contract"] = json!("0.9")), "UNKNOWN_CONTRACT", &words);
    let fewer = with(&|m| m["needs"]["capabilities"].as_array_mut().unwrap().retain(|name| name != "config"));
    let words = ["imports agentkube:host/config@0.1", "its author adds \"config\" to needs.capabilities"];
    component("an import too many", &fewer, "IMPORT_NOT_COVERED", &words);
}

#[test]
fn the_same_is_said_of_a_file_that_is_only_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.wasm");
    let whole = fs::read(plugin("fulcrum")).unwrap();
    for (bytes, code) in [
        (b"#!/bin/sh\n".to_vec(), "NOT_WASM"),
        (Vec::new(), "NOT_WASM"),
        (vec![0; 100 << 20], "NOT_WASM"),
        (b"\0asm\x01\0\0\0".to_vec(), "CORE_MODULE"),
        (whole[..whole.len() / 2].to_vec(), "MALFORMED"),
        (with_manifests(&whole, &[]), "NO_MANIFEST"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(code, &inspect(&file), 1, code, &["bad.wasm"]);
    }
    refused("a directory", &inspect(directory.path()), 1, "PLUGIN_UNREADABLE", &["it is no plain file"]);
    refused("endless", &inspect(Path::new("/dev/zero")), 1, "PLUGIN_UNREADABLE", &["it is no plain file"]);
}

/// The same by the check and by the daemon, and pointing at the same place.
#[track_caller]
fn configuration(what: &str, case: &Case, code: &str, words: &[&str]) {
    refused(what, &case.says(&["config", "check"]), 3, code, words);
    refused(what, &case.says(&["run"]), 3, code, words);
    let doctor = case.says(&["doctor"]);
    assert_eq!(doctor.code, 1, "{what}: {}{}", doctor.out, doctor.err);
    assert!(doctor.out.lines().any(|line| line.starts_with("error") && line.contains(code)), "{what}: {}", doctor.out);
}

#[test]
fn a_configuration_that_cannot_be_used_refuses_the_start() {
    let case = Case::new();
    case.with("heartbeat-ms", "heartbeat-msec");
    configuration(
        "a typo",
        &case,
        "CONFIG_INVALID",
        &["unknown field `heartbeat-msec`", "did you mean `heartbeat-ms`?"],
    );
    let case = Case::new();
    case.with("[[plugins.machines.grants]]\nconnection = \"pve\"\n", "");
    let words = ["plugin `machines` needs", "[[plugins.machines.grants]]", "connection = \"pve\""];
    configuration("a missing grant", &case, "NOT_GRANTED", &words);
    let case = Case::new();
    fs::remove_file(case.path("agent.token")).unwrap();
    configuration("no token file", &case, "SECRET_UNREADABLE", &["connection `core`", "agent.token"]);
    fs::create_dir(case.path("agent.token")).unwrap();
    configuration("a token that is a directory", &case, "SECRET_UNREADABLE", &["connection `core`", "agent.token"]);
    let case = Case::new();
    case.with(&file_line("fulcrum"), &format!("{}digest = \"sha256:{}\"\n", file_line("fulcrum"), "0".repeat(64)));
    configuration("another file", &case, "PLUGIN_DIGEST", &["has the digest sha256:", "plugin inspect"]);
    let case = Case::new();
    case.with("role = \"node-provider\"", "role = \"control-plane\"");
    case.with("range = \"vmids\"\n", "tenant-addresses = [\"127.0.0.0/8\"]\n");
    configuration("a plugin in another's place", &case, "PLUGIN_ROLE", &["has the role node-provider"]);
    let case = Case::new();
    case.with("tls = { ca-file = \"ca.crt\" }", "tls = { fingerprint = \"abcd\" }");
    configuration("no fingerprint", &case, "CONNECTION", &["tls.fingerprint is not a SHA-256 in hex (64 digits)"]);
}

/// Nothing of it is looked at, and so no doctor can say more.
#[test]
fn a_configuration_that_is_not_there_is_told() {
    for command in ["run", "doctor"] {
        let said = agentkube([command, "--config", "/nowhere/agentkube.toml"]);
        let exit = if command == "doctor" { 2 } else { 3 };
        refused(command, &said, exit, "CONFIG_UNREADABLE", &["cannot read /nowhere/agentkube.toml"]);
    }
}

/// Starts the daemon, waits until it answers, and kills it.
fn run_once(case: &Case) {
    let binary = agentkube_tests::artifacts::daemon();
    agentkube_lab::daemon::Daemon::start(&binary, &case.config).unwrap().kill();
}

/// None of the systems runs, and yet it starts: they may come back. What the journal says of itself is another matter.
#[test]
fn a_journal_that_is_damaged_or_anothers_refuses_the_start() {
    let case = Case::new();
    run_once(&case);
    case.with("installation = \"lab\"", "installation = \"other\"");
    let words =
        ["belongs to installation `lab`, and the configuration says `other`", "put the old `installation` back"];
    refused("another installation", &case.says(&["run"]), 3, "JOURNAL_INSTALLATION", &words);
    assert!(case.says(&["run"]).complains(&case.place("installation")));
    let doctor = case.says(&["doctor"]);
    assert!(doctor.out.contains("JOURNAL_INSTALLATION: ") && doctor.code == 1, "{}", doctor.out);
    case.with("installation = \"other\"", "installation = \"lab\"");

    let journal = case.path("data/journal.db");
    for end in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(journal.with_extension(end));
    }
    fs::write(&journal, "this was a journal once, and somebody wrote over it\n".repeat(200)).unwrap();
    let before = fs::read(&journal).unwrap();
    let words = ["the journal", "journal.db is damaged", "put back a copy of it"];
    refused("a broken journal", &case.says(&["run"]), 3, "JOURNAL_BROKEN", &words);
    let doctor = case.says(&["doctor"]);
    assert!(doctor.out.contains("JOURNAL_BROKEN: ") && doctor.code == 1, "{}", doctor.out);
    assert_eq!(fs::read(&journal).unwrap(), before, "it is left for somebody to look at");
}
