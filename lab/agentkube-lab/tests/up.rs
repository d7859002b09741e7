//! The binary: starts, says where everything is, ends on SIGTERM.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn faults_are_listed_and_an_unknown_one_is_refused() {
    let lab = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_agentkube-lab")).args(arguments).output().unwrap();
    let listed = String::from_utf8(lab(&["up", "--faults", "list"]).stdout).unwrap();
    assert!(listed.lines().count() > 25 && listed.contains("pve-lost-replies"), "{listed}");
    let refused = lab(&["up", "--free-ports", "--faults", "pve-lokcs"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`pve-lokcs`"), "{refused:?}");
}

#[test]
fn up_serves_until_it_is_told_to_stop() {
    let directory = std::env::temp_dir().join(format!("agentkube-lab-up-{}", std::process::id()));
    let mut lab = Command::new(env!("CARGO_BIN_EXE_agentkube-lab"))
        .args(["up", "--free-ports", "--scale", "100", "--dir"])
        .arg(&directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Stop it")).collect();
    assert!(said.iter().any(|line| line.contains("Proxmox VE") && line.contains("node pve2")), "{said:?}");

    let file = directory.join("lab.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let access: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let address = access["admin"]["url"].as_str().unwrap().trim_start_matches("https://").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());

    assert!(Command::new("kill").args(["-TERM", &lab.id().to_string()]).status().unwrap().success());
    assert!(lab.wait().unwrap().success());
    assert!(std::net::TcpStream::connect(&address).is_err());
    std::fs::remove_dir_all(directory).unwrap();
}
