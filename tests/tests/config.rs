//! `agentkube config check` says what is wrong with a configuration, where, and how to mend it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use agentkube_tests::case::{Case, file_line};
use agentkube_tests::command::Said;
use agentkube_tests::{artifacts, command};

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
    refuses(&case, &["PLUGIN_CONFIG", "plugin `core`: configuration at", "sizez"]);
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

/// Compiling the plugins takes seconds; a check is for every keystroke.
#[test]
fn a_check_compiles_nothing() {
    let case = Case::new();
    let began = std::time::Instant::now();
    check(&case).ok();
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(3), "{took:?}");
}
