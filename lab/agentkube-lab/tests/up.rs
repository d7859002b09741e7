//! The binary: starts, says where everything is, ends on SIGTERM.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[test]
fn faults_are_listed_and_an_unknown_one_is_refused() {
    let lab = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_agentkube-lab")).args(arguments).output().unwrap();
    let listed = String::from_utf8(lab(&["up", "--faults", "list"]).stdout).unwrap();
    assert!(listed.lines().count() > 25 && listed.contains("pve-lost-replies"), "{listed}");
    let refused = lab(&["up", "--free-ports", "--faults", "pve-lokcs"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`pve-lokcs`"), "{refused:?}");
}

/// Starts a lab in a directory; gives what it says until it is up, or how it was refused.
fn up(directory: &Path, more: &[&str]) -> (Child, Vec<String>) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_agentkube-lab"))
        .args(["up", "--free-ports", "--scale", "100", "--dir"])
        .arg(directory)
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.by_ref().take_while(|line| !line.starts_with("Stop it")).collect();
    (lab, said)
}

fn stop(mut lab: Child) {
    assert!(Command::new("kill").args(["-TERM", &lab.id().to_string()]).status().unwrap().success());
    assert!(lab.wait().unwrap().success());
}

#[test]
fn a_directory_is_not_taken_from_a_lab_that_runs_and_a_second_one_says_that_all_is_new() {
    let place = tempfile::tempdir().unwrap();
    let (first, said) = up(place.path(), &["--faults", "flaky", "--machines", "toy"]);
    let listed = |prefix: &str| said.iter().any(|line| line.trim_start().starts_with(prefix));
    assert!(listed("toy-errors") && !listed("pve-errors"), "{said:?}");
    let access = std::fs::read(place.path().join("lab.json")).unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_agentkube-lab"))
        .args(["up", "--free-ports", "--dir"])
        .arg(place.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("LAB_DIR_IN_USE: "), "{second:?}");
    assert_eq!(std::fs::read(place.path().join("lab.json")).unwrap(), access, "the first one's files are as they were");
    stop(first);
    let (next, said) = up(place.path(), &[]);
    assert!(said.iter().any(|line| line.contains("An earlier lab of this directory is gone")), "{said:?}");
    stop(next);
}

#[test]
fn up_serves_until_it_is_told_to_stop() {
    let directory = std::env::temp_dir().join(format!("agentkube-lab-up-{}", std::process::id()));
    let (lab, said) = up(&directory, &[]);
    assert!(said.iter().any(|line| line.contains("Proxmox VE") && line.contains("node pve2")), "{said:?}");

    let file = directory.join("lab.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let access: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let address = access["admin"]["url"].as_str().unwrap().trim_start_matches("https://").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());

    stop(lab);
    assert!(std::net::TcpStream::connect(&address).is_err());
    std::fs::remove_dir_all(directory).unwrap();
}
