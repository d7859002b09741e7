//! `agentkube config check` says what is wrong with a configuration, where, and how to mend it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agentkube_lab::Lab;
use agentkube_lab::daemon::{Infrastructure, Setup, configure};
use agentkube_lab::lab::{Access, Options};
use agentkube_tests::command::{Said, agentkube};
use agentkube_tests::{artifacts, command};
use tempfile::TempDir;

/// Addresses and credentials of a lab that ran for a moment.
fn access() -> &'static Access {
    static ACCESS: OnceLock<Access> = OnceLock::new();
    ACCESS.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Lab::start(Options::scaled(10)).await.unwrap().access().clone() })
    })
}

/// A directory with a good configuration of every connection and plugin. None of the systems in it runs any more: nothing is asked
/// of them.
struct Case {
    directory: TempDir,
    config: PathBuf,
}

impl Case {
    fn new() -> Case {
        let directory = tempfile::tempdir().unwrap();
        let access = access();
        access.write(directory.path()).unwrap();
        let setup = Setup {
            binary: artifacts::daemon(),
            plugins: artifacts::plugins(),
            directory: directory.path().to_owned(),
            infrastructure: Infrastructure::Proxmox,
            agent_token: "agent-token".to_owned(),
            more: String::new(),
        };
        let config = configure(&setup, access).unwrap();
        Case { directory, config }
    }

    /// A text of the configuration, replaced; it must be there.
    #[track_caller]
    fn with(&self, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "the lab's configuration does not hold {from}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
        self
    }

    fn check(&self) -> Said {
        agentkube(["config".as_ref(), "check".as_ref(), "--config".as_ref(), self.config.as_os_str()])
    }

    /// The check must fail with exit code 3, pointing at the place of `¦` in `at`, and say all of `words`.
    #[track_caller]
    fn refuses(&self, at: &str, words: &[&str]) {
        let text = fs::read_to_string(&self.config).unwrap();
        let found = text.find(&at.replace('¦', "")).unwrap_or_else(|| panic!("no {at} in the configuration"));
        let offset = found + at.find('¦').unwrap_or(0);
        let before = &text[..offset];
        let (line, column) = (before.matches('\n').count() + 1, offset - before.rfind('\n').map_or(0, |n| n + 1) + 1);
        self.refuses_with(&[&[&*format!("{}:{line}:{column}:", self.config.display())], words].concat());
    }

    #[track_caller]
    fn refuses_with(&self, words: &[&str]) {
        let said = self.check();
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        for word in words {
            assert!(said.complains(word), "`{word}` is missing in: {}", said.err);
        }
        assert!(!self.path("data").exists(), "a check leaves nothing behind");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

// Checklist 134, 254.
#[test]
fn a_good_configuration_is_called_good_and_nothing_is_left_behind() {
    let case = Case::new();
    // The pinned digest is that of the file, and only the owner may read the file that holds a secret.
    case.with(&file_line("kamaji"), &format!("{}digest = \"sha256:{}\"\n", file_line("kamaji"), digest("kamaji")));
    case.with("secret = { file = \"agent.token\" }", "secret = { value = \"a-secret-token\" }");
    let said = case.check().ok();
    for line in ["plugin core: ", "plugin machines: ", "plugin planes: ", "all is well"] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    assert!(!case.path("data").exists());
}

/// The line of the lab's configuration that names a plugin's file.
fn file_line(plugin: &str) -> String {
    format!("file = \"{}\"\n", artifacts::plugin(plugin).display())
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
    case.refuses(
        "heartbeat-msec",
        &["CONFIG_INVALID", "unknown field `heartbeat-msec`", "did you mean `heartbeat-ms`?"],
    );
    let case = Case::new();
    case.with("[plugins.core]", "[plugin.core]");
    case.refuses_with(&["unknown field `plugin`", "did you mean `plugins`?"]);
}

#[test]
fn a_bad_value_is_shown_with_its_place() {
    let case = Case::new();
    case.with("poll-ms = 250", "poll-ms = \"fast\"");
    case.refuses("\"fast\"", &["CONFIG_INVALID", "invalid type: string \"fast\""]);
    let case = Case::new();
    case.with("role = \"control-plane\"", "role = \"control-plan\"");
    case.refuses_with(&["unknown variant `control-plan`", "did you mean `control-plane`?"]);
    let case = Case::new();
    case.with("installation = \"lab\"", "installation = \"My Lab\"");
    case.refuses("installation", &["CONFIG_NAME", "installation `My Lab` must be 1 to 40 of a-z, 0-9 and `-`"]);
}

#[test]
fn broken_toml_and_a_missing_file_are_told() {
    let case = Case::new();
    case.with("installation = \"lab\"", "installation = ");
    case.refuses_with(&["agentkube.toml:2:", "CONFIG_INVALID"]);
    let said = agentkube(["config", "check", "--config", "/nowhere/agentkube.toml"]);
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
    case.refuses_with(&[
        "PLUGIN_REFUSED",
        "plugin `machines` needs",
        "[[plugins.machines.grants]]",
        "connection = \"pve\"",
    ]);
    let case = Case::new();
    case.with("connection = \"pve\"\n", "connection = \"pwe\"\n");
    case.refuses_with(&["CONFIG_UNKNOWN_CONNECTION", "no connection is named `pwe`", "did you mean `pve`?"]);
    let case = Case::new();
    case.with("range = \"vmids\"\n", "range = \"numbers\"\n");
    case.refuses_with(&["CONFIG_UNKNOWN_RANGE", "add it under [ranges]: numbers = "]);
}

// Checklist 11.
#[test]
fn a_token_file_that_cannot_be_read_is_named() {
    let case = Case::new();
    fs::remove_file(case.path("agent.token")).unwrap();
    case.refuses("[connections.¦core]", &["CONNECTION", "connection `core`", "agent.token"]);
}

#[test]
fn another_file_than_the_pinned_one_is_refused() {
    let case = Case::new();
    let (right, wrong) = (digest("fulcrum"), "0".repeat(64));
    case.with(&file_line("fulcrum"), &format!("{}digest = \"sha256:{wrong}\"\n", file_line("fulcrum")));
    let message = format!("has the digest sha256:{right}, not sha256:{wrong}");
    case.refuses("digest = ", &["PLUGIN_DIGEST", &message, "plugin inspect"]);
}

#[test]
fn a_plugin_in_a_role_that_it_does_not_have_is_refused() {
    let case = Case::new();
    case.with("role = \"node-provider\"", "role = \"control-plane\"");
    case.with("range = \"vmids\"\n", "tenant-addresses = [\"127.0.0.0/8\"]\n");
    case.refuses("proxmox.wasm\"\n¦role", &["PLUGIN_ROLE", "has the role node-provider"]);
    let case = Case::new();
    case.with("fulcrum.wasm", "absent.wasm");
    case.refuses_with(&["absent.wasm"]);
}

// Checklist 146.
#[test]
fn a_section_that_its_plugin_cannot_read_points_at_the_key() {
    let case = Case::new();
    case.with("config = { connection = \"core\" }", "config = { connection = \"core\", sizes = 5 }");
    case.refuses("¦sizes = 5", &["PLUGIN_REFUSED", "plugin `core`: configuration at /sizes"]);
    let case = Case::new();
    case.with("config = { connection = \"core\" }", "config = { connection = \"core\", sizez = {} }");
    case.refuses_with(&["PLUGIN_REFUSED", "plugin `core`: configuration at", "sizez"]);
}

#[test]
fn a_secret_may_stand_in_the_file_only_when_nobody_else_can_read_it() {
    let case = Case::new();
    case.with("secret = { file = \"agent.token\" }", "secret = { value = \"a-secret-token\" }");
    mode(&case.config, 0o644);
    let said = case.check();
    assert!(!said.complains("a-secret-token"), "the secret itself is shown: {}", said.err);
    case.refuses("auth = ", &["CONFIG_SECRET_EXPOSED", "others than its owner may read this file", "chmod 600"]);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
