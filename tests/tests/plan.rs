//! `agentkube plan`, as the documentation shows it.

use std::fs;

use agentkube_lab::daemon::Daemon;
use agentkube_tests::artifacts;
use agentkube_tests::case::Case;

/// The first block of this kind after a heading of the page of the command line.
fn block(heading: &str, kind: &str) -> String {
    let page = fs::read_to_string(artifacts::workspace().join("docs/cli.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, block) = section.split_once(&format!("\n```{kind}\n")).unwrap();
    block.split_once("\n```").unwrap().0.to_owned()
}

/// A daemon with the names that the documentation uses.
fn documented() -> Case {
    let case = Case::new();
    let text = case.text().replace("plugins.planes", "plugins.kamaji").replace("[\"planes\"]", "[\"kamaji\"]");
    let text =
        text.replace("plugins.machines", "plugins.pve").replace("installation = \"lab\"", "installation = \"dc1\"");
    fs::write(&case.config, text).unwrap();
    case
}

// Checklist 134, 146.
#[test]
fn the_documented_description_has_the_documented_plan() {
    let case = documented();
    let daemon = Daemon::start(&artifacts::daemon(), &case.config).unwrap();
    let (file, text) = (case.path("shop.json"), block("Plan", "json"));
    fs::write(&file, &text).unwrap();
    let file = file.display().to_string();
    let said = case.says(&["plan", &file]).ok();
    let shown = block("Plan", "console");
    assert_eq!(format!("$ agentkube plan shop.json\n{}", said.trim_end()), shown);
    assert!(case.says(&["plan", &file, "-o", "json"]).ok().contains("\"steps\""));
    // What every cluster gets belongs to it, named or not.
    fs::write(&file, text.replace("\"addons\": [\"network\"]", "\"addons\": []")).unwrap();
    assert_eq!(case.says(&["plan", &file]).ok(), said);

    for (from, to, words) in [
        ("\"memoryMib\"", "\"memory\"", vec!["DESCRIPTION", "unknown field `memory`", "memoryMib"]),
        ("\"v1.35.2\"", "\"1.35\"", vec!["BAD_PROPERTIES", "version: VERSION: ", "v1.35.2"]),
        ("\"pve\"", "\"nobody\"", vec!["BAD_PROPERTIES", "UNKNOWN_PROVIDER"]),
        ("{", "[", vec!["DESCRIPTION", "no JSON", "holds the description of one cluster"]),
    ] {
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let said = case.says(&["plan", &file]);
        assert_eq!(said.code, 1, "{}", said.out);
        words.iter().for_each(|word| assert!(said.complains(word), "`{word}` is missing in: {}", said.err));
    }
    daemon.kill();
}

#[test]
fn a_file_that_is_not_there_is_called_so() {
    let said = Case::new().says(&["plan", "/nonexist.json"]);
    assert_eq!(said.code, 1);
    for words in ["FILE", "cannot read /nonexist.json: No such file", "holds the description of one cluster"] {
        assert!(said.complains(words), "`{words}` is missing in: {}", said.err);
    }
}

/// A daemon that was started a moment ago is waited for; one that is not there is not.
#[test]
fn a_daemon_that_is_being_started_is_waited_for() {
    let case = Case::new();
    let binary = artifacts::daemon();
    let began = std::time::Instant::now();
    let said = case.says(&["status"]);
    assert!(said.code == 1 && said.complains("NO_DAEMON") && began.elapsed().as_secs() < 5, "{}", said.err);
    // Not for the first time, when plugins are compiled, which takes longer than anybody waits.
    Daemon::start(&binary, &case.config).unwrap().kill();
    fs::remove_file(case.path("data/lock")).unwrap();
    let mut child = std::process::Command::new(binary);
    child.args(["run", "--config"]).arg(&case.config).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    while !case.path("data/lock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let said = case.says(&["doctor"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        said.out.contains(" by the running daemon: ") && !said.out.contains("DAEMON_SILENT"),
        "{}{}",
        said.out,
        said.err
    );
}
