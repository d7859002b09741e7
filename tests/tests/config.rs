//! `agentkube config check` says what is wrong with a configuration, where, and how to mend it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use agentkube_tests::case::{Case, file_line};
use agentkube_tests::command::Said;
use agentkube_tests::{artifacts, command};
use lab_cluster::kubeconfig::{Credential, kubeconfig};
use lab_cluster::pki::Authority;
use serde_json::Value;

fn check(case: &Case) -> Said {
    case.says(&["config", "check"])
}

/// The check must fail with exit code 3, pointing at the place of `¦` in `at`, and say all of `words`.
#[track_caller]
fn refuses_at(case: &Case, at: &str, words: &[&str]) {
    let place = case.place(at);
    refuses(case, &[&[&*place], words].concat());
}

#[track_caller]
fn refuses(case: &Case, words: &[&str]) {
    let said = check(case);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    for word in words {
        assert!(said.complains(word), "`{word}` is missing in: {}", said.err);
    }
    assert!(!case.path("data").exists(), "a check leaves nothing behind");
}

// Checklist 134, 254.
#[test]
fn a_good_configuration_is_called_good_and_nothing_is_left_behind() {
    let case = Case::new();
    // The pinned digest is that of the file, and only the owner may read the file that holds a secret.
    case.with(&file_line("kamaji"), &format!("{}digest = \"sha256:{}\"\n", file_line("kamaji"), digest("kamaji")));
    case.with("secret = { file = \"agent.token\" }", "secret = { value = \"a-secret-token\" }");
    let said = check(&case).ok();
    for line in ["plugin core: ", "plugin machines: ", "plugin planes: ", "all is well"] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    assert!(!case.path("data").exists());
}

fn digest(plugin: &str) -> String {
    let sum = command::run(std::process::Command::new("sha256sum").arg(artifacts::plugin(plugin))).ok();
    sum.split(' ').next().unwrap().to_owned()
}

// Checklist 133.
#[test]
fn a_typo_is_shown_with_its_place_and_what_was_meant() {
    let case = Case::new();
    case.with("heartbeat-ms", "heartbeat-msec");
    refuses_at(
        &case,
        "heartbeat-msec",
        &["CONFIG_INVALID", "unknown field `heartbeat-msec`", "did you mean `heartbeat-ms`?"],
    );
    let case = Case::new();
    case.with("[plugins.core]", "[plugin.core]");
    refuses(&case, &["unknown field `plugin`", "did you mean `plugins`?"]);
}

#[test]
fn a_bad_value_is_shown_with_its_place() {
    let case = Case::new();
    case.with("poll-ms = 250", "poll-ms = \"fast\"");
    refuses_at(&case, "\"fast\"", &["CONFIG_INVALID", "invalid type: string \"fast\""]);
    let case = Case::new();
    case.with("role = \"control-plane\"", "role = \"control-plan\"");
    refuses(&case, &["unknown variant `control-plan`", "did you mean `control-plane`?"]);
    let case = Case::new();
    case.with("installation = \"lab\"", "installation = \"My Lab\"");
    refuses_at(&case, "installation", &["CONFIG_NAME", "installation `My Lab` must be 1 to 40 of a-z, 0-9 and `-`"]);
}

#[test]
fn broken_toml_and_a_missing_file_are_told() {
    let case = Case::new();
    case.with("installation = \"lab\"", "installation = ");
    refuses(&case, &["agentkube.toml:2:", "CONFIG_INVALID"]);
    let said = command::agentkube(["config", "check", "--config", "/nowhere/agentkube.toml"]);
    assert_eq!(said.code, 3);
    assert!(
        said.complains("cannot read /nowhere/agentkube.toml") && said.complains("AGENTKUBE_CONFIG"),
        "{}",
        said.err
    );
}

#[test]
fn a_missing_grant_is_named_with_the_line_that_gives_it() {
    let case = Case::new();
    case.with("[[plugins.machines.grants]]\nconnection = \"pve\"\n", "");
    refuses(&case, &["NOT_GRANTED", "plugin `machines` needs", "[[plugins.machines.grants]]", "connection = \"pve\""]);
    let case = Case::new();
    case.with("connection = \"pve\"\n", "connection = \"pwe\"\n");
    refuses(&case, &["CONFIG_UNKNOWN_CONNECTION", "no connection is named `pwe`", "did you mean `pve`?"]);
    let case = Case::new();
    case.with("range = \"vmids\"\n", "range = \"numbers\"\n");
    refuses(&case, &["CONFIG_UNKNOWN_RANGE", "add it under [ranges]: numbers = "]);
}

// Checklist 11.
#[test]
fn a_token_file_that_cannot_be_read_is_named() {
    let case = Case::new();
    fs::remove_file(case.path("agent.token")).unwrap();
    refuses_at(&case, "[connections.¦core]", &["SECRET_UNREADABLE", "connection `core`", "agent.token"]);
}

#[test]
fn another_file_than_the_pinned_one_is_refused() {
    let case = Case::new();
    let (right, wrong) = (digest("fulcrum"), "0".repeat(64));
    case.with(&file_line("fulcrum"), &format!("{}digest = \"sha256:{wrong}\"\n", file_line("fulcrum")));
    let message = format!("has the digest sha256:{right}, not sha256:{wrong}");
    refuses_at(&case, "digest = ", &["PLUGIN_DIGEST", &message, "plugin inspect"]);
}

#[test]
fn a_plugin_in_a_role_that_it_does_not_have_is_refused() {
    let case = Case::new();
    case.with("role = \"node-provider\"", "role = \"control-plane\"");
    case.with("range = \"vmids\"\n", "tenant-addresses = [\"127.0.0.0/8\"]\n");
    refuses_at(&case, "proxmox.wasm\"\n¦role", &["PLUGIN_ROLE", "has the role node-provider"]);
    let case = Case::new();
    case.with("fulcrum.wasm", "absent.wasm");
    refuses(&case, &["PLUGIN_UNREADABLE", "absent.wasm"]);
}

// Checklist 146.
#[test]
fn a_section_that_its_plugin_cannot_read_points_at_the_key() {
    let case = Case::new();
    case.with("config = { connection = \"core\" }", "config = { connection = \"core\", sizes = 5 }");
    refuses_at(&case, "¦sizes = 5", &["PLUGIN_CONFIG", "plugin `core`: configuration at /sizes"]);
    let case = Case::new();
    case.with("config = { connection = \"core\" }", "config = { connection = \"core\", sizez = {} }");
    refuses_at(&case, "¦sizez = {}", &["unknown key `sizez`; did you mean `sizes`?"]);
    // All of it at once, each with its place.
    case.with("sizez = {}", "sizez = {}, metrics = 7, properties = { nodez = \"n\" }");
    for (at, words) in [
        ("¦sizez = {}", "plugin `core`: configuration at /sizez: unknown key `sizez`"),
        ("¦metrics = 7", "plugin `core`: configuration at /metrics: 7 is not of type \"array\""),
        ("¦nodez = ", "plugin `core`: configuration at /properties/nodez: unknown key `nodez`; did you mean `nodes`?"),
    ] {
        refuses(&case, &["PLUGIN_CONFIG", &format!("{} {words}", case.place(at))]);
    }
}

#[test]
fn numbers_without_sense_are_told_with_what_they_can_be() {
    let case = Case::new();
    case.with("poll-ms = 250", "poll-ms = 0");
    case.with("heartbeat-ms = 1000", "heartbeat-ms = -5");
    case.with("\"pve/template/9000\" = 4", "\"pve/template/9000\" = 0");
    for (at, words) in [
        ("[engine]\n¦poll-ms = 0", "`engine.poll-ms` is 0; it can be 10 to 3600000"),
        ("heartbeat-ms = -5", "`engine.heartbeat-ms` is -5; it can be 100 to 3600000"),
        ("\"pve/template/9000\"", "`permits.pve/template/9000` is 0; it can be 1 to 100000"),
    ] {
        refuses(&case, &["CONFIG_INVALID", &format!("{} {words}", case.place(at))]);
    }
    let case = Case::new();
    case.with("retry-base-ms = 50", "retry-base-ms = 5000");
    refuses_at(&case, "retry-cap-ms", &["CONFIG_INVALID", "`retry-base-ms` (5000), is longer than the longest"]);
}

/// What a start would refuse, the check and the doctor call so too, and neither leaves a trace.
#[test]
fn what_keeps_a_daemon_from_starting_is_found_by_whoever_looks() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let long = format!("admin-socket = \"{}.sock\"\n", "s".repeat(110));
    for (from, to, at, code, words) in [
        (
            "data-dir = \"data\"",
            "data-dir = \"/proc/x\"",
            "data-dir",
            "DATA_DIR",
            "cannot use the data directory /proc/x",
        ),
        ("data-dir = \"data\"", "data-dir = \"agent.token\"", "data-dir", "DATA_DIR", "Not a directory"),
        ("data-dir", &format!("{long}data-dir"), "admin-socket", "SOCKET", "a socket's can have 107"),
        (
            "data-dir",
            "admin-socket = \"nowhere/a.sock\"\ndata-dir",
            "admin-socket",
            "SOCKET",
            "No such file or directory",
        ),
        (
            "data-dir",
            "admin-socket = \"agent.token\"\ndata-dir",
            "admin-socket",
            "SOCKET",
            "what is there is no socket",
        ),
        ("listen = \"127.0.0.1:0\"", &address, "listen", "LISTEN", "Address already in use"),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"192.0.2.1:9180\"",
            "listen",
            "LISTEN",
            "cannot listen on 192.0.2.1:9180",
        ),
        (
            "listen = \"127.0.0.1:0\"",
            "listen = \"localhost\"",
            "\"localhost\"",
            "CONFIG_INVALID",
            "invalid socket address",
        ),
    ] {
        let case = Case::new();
        case.with(from, to);
        refuses_at(&case, at, &[code, words]);
        let run = case.says(&["run"]);
        assert!(
            run.code == 3 && run.complains(code) && run.complains(&case.place(at)) && run.complains(words),
            "{}",
            run.err
        );
        // Without plugins, which would be compiled each time.
        fs::write(&case.config, case.text().replace(".wasm\"", ".gone\"")).unwrap();
        let doctor = case.says(&["doctor"]);
        let line = doctor.out.lines().find(|line| line.starts_with("error") && line.contains(&format!(" {code}: ")));
        assert!(doctor.code == 1 && line.is_some_and(|line| line.contains(words)), "{words}: {}", doctor.out);
        assert!(!case.path("data").exists(), "{words}");
    }
}

#[test]
fn programs_get_the_same_as_json() {
    let case = Case::new();
    let json = |said: &Said| -> Value {
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err))
    };
    let good = case.says(&["config", "check", "-o", "json"]);
    let answer = json(&good);
    assert_eq!((good.code, &answer["ok"], &answer["installation"]), (0, &Value::Bool(true), &Value::from("lab")));
    assert_eq!(answer["plugins"][0]["name"], "core");
    assert_eq!(answer["plugins"][0]["role"], "job-source");
    case.with("poll-ms = 250", "poll-ms = 0");
    let bad = case.says(&["config", "check", "-o", "json"]);
    let error = &json(&bad)["error"];
    assert_eq!((bad.code, &error["code"]), (3, &Value::from("CONFIG_INVALID")));
    let place = format!("{}:{}:{}:", error["file"].as_str().unwrap(), error["line"], error["column"]);
    assert_eq!(place, case.place("[engine]\n¦poll-ms"));
    // So does whoever reads the log of a daemon that does not start: a single line.
    let run = case.says(&["run", "--log-format", "json"]);
    let line: Value = serde_json::from_str(run.err.trim()).unwrap_or_else(|_| panic!("{}", run.err));
    assert_eq!((run.code, &line["level"], &line["code"]), (3, &Value::from("ERROR"), &Value::from("CONFIG_INVALID")));
    assert!(line["message"].as_str().unwrap().contains("`engine.poll-ms` is 0"), "{line}");
    let version = command::agentkube(["version", "-o", "json"]);
    assert_eq!(json(&version)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_secret_may_stand_in_the_file_only_when_nobody_else_can_read_it() {
    let case = Case::new();
    case.with("secret = { file = \"agent.token\" }", "secret = { value = \"a-secret-token\" }");
    mode(&case.config, 0o644);
    let said = check(&case);
    assert!(!said.complains("a-secret-token"), "the secret itself is shown: {}", said.err);
    refuses_at(&case, "auth = ", &["CONFIG_SECRET_EXPOSED", "others than its owner may read this file", "chmod 600"]);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_grant_of_secrets_names_them_and_so_does_the_hint() {
    let case = Case::new();
    case.with(", names = [\"*-admin-kubeconfig\"]", "");
    refuses_at(
        &case,
        "¦[[plugins.planes.grants]]\nconnection",
        &["BAD_GRANT", "Secrets are granted by name", "names = ["],
    );
    let case = Case::new();
    case.with("  { resources = [\"secrets\"], verbs = [\"get\"], names = [\"*-admin-kubeconfig\"] },\n", "");
    case.with(
        "  { resources = [\"namespaces\"], verbs = [\"get\", \"list\", \"watch\", \"create\", \"delete\"] },\n",
        "",
    );
    refuses(
        &case,
        &[
            "NOT_GRANTED",
            "[[plugins.planes.grants]]",
            "resources = [\"namespaces\"], verbs = [\"get\", \"list\", \"watch\", \"create\", \"delete\"]",
            "resources = [\"secrets\"], verbs = [\"get\"], names = [",
        ],
    );
}

#[test]
fn a_kubeconfig_of_the_super_admins_is_taken_and_told() {
    let case = Case::new();
    assert!(!check(&case).ok().contains("SUPER_ADMIN"));
    let now = agentkube_lab::Clock::real().now();
    let authority = Authority::new("admin", now).unwrap();
    let pair = authority.client("kubernetes-super-admin", &["system:masters"], now).unwrap();
    let credential = Credential::Certificate(pair);
    let text = kubeconfig("admin", "https://127.0.0.1:1", authority.certificate(), "super", &credential);
    fs::write(case.path("agent.kubeconfig"), text).unwrap();
    let said = check(&case).ok();
    let line = said.lines().find(|line| line.starts_with("warning")).unwrap_or_else(|| panic!("{said}"));
    for words in ["connection admin", "SUPER_ADMIN: ", "system:masters", "To mend: make a service account"] {
        assert!(line.contains(words), "{line}");
    }
    assert!(said.contains("all is well"));
    assert!(case.says(&["config", "check", "-o", "json"]).ok().contains("\"SUPER_ADMIN\""));
    assert!(case.says(&["doctor"]).out.contains("warning  connection admin  SUPER_ADMIN: "));
}

/// Compiling the plugins takes seconds; a check is for every keystroke.
#[test]
fn a_check_compiles_nothing() {
    let case = Case::new();
    let began = std::time::Instant::now();
    check(&case).ok();
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(3), "{took:?}");
}
