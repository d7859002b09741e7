//! Scripts as bootstraps are written.

use super::*;

fn joins(script: &str, disk: &mut Disk) -> Vec<JoinCommand> {
    let mut script = Script::new(script);
    std::iter::from_fn(|| script.next_join(disk)).collect()
}

#[test]
fn a_join_is_recognised_with_the_loop_around_it() {
    let cases: [(&str, Option<u32>, Millis); 8] = [
        (
            "sh -c 'n=0; until kubeadm join --config /j; do n=$((n+1)); [ \"$n\" -lt 12 ] || exit 1; sleep 20; done'",
            Some(12),
            20_000,
        ),
        ("kubeadm join --config /j", Some(1), 0),
        ("for i in 1 2 3; do kubeadm join --config /j && break; sleep 5; done", Some(3), 5000),
        ("for i in $(seq 1 20); do\n  if kubeadm join --config /j; then\n break\n fi\n sleep 2s\ndone", Some(20), 2000),
        ("for i in {1..4}; do /usr/bin/kubeadm join --config /j; done", Some(4), 0),
        ("until kubeadm join --config /j; do sleep 10; done", None, 10_000),
        ("sudo timeout 300 kubeadm join --config /j", Some(1), 0),
        ("bash -euo pipefail -c 'while ! kubeadm join --config /j; do sleep 1; done'", None, 1000),
    ];
    for (script, attempts, pause) in cases {
        let found = joins(script, &mut Disk::default());
        let arguments = vec!["--config".to_owned(), "/j".to_owned()];
        assert_eq!(found, [JoinCommand { arguments, attempts, pause }], "{script}");
    }
    assert!(
        joins("echo kubeadm; kubeadm init; # kubeadm join\ncat <<E\nkubeadm join\nE\n", &mut Disk::default())
            .is_empty()
    );
}

#[test]
fn files_that_are_delivered_run_and_bring_their_variables() {
    let mut disk = Disk::default();
    disk.files.write("/etc/agentkube/versions", "KUBERNETES_VERSION=v1.35.2\nTOKEN=abc\n", "0644");
    disk.files.write(
        "/opt/up",
        "#!/bin/sh\n. /etc/agentkube/versions\nkubeadm join 10.0.0.1:6443 --token \"$TOKEN\"\n",
        "0755",
    );
    let found = joins("/opt/up --now", &mut disk);
    assert_eq!(found[0].arguments, ["10.0.0.1:6443", "--token", "abc"]);
    assert_eq!(disk.kubernetes.as_deref(), Some("v1.35.2"));
    disk.files.write("/loop", "#!/bin/sh\n/loop\n", "0755");
    assert!(joins("/loop", &mut disk).is_empty());
}

#[test]
fn versions_are_read_from_what_is_installed() {
    let installed = |script: &str| {
        let mut disk = Disk::default();
        joins(script, &mut disk);
        disk.kubernetes
    };
    assert_eq!(installed("apt-get install -y kubelet=1.34.1-1.1 kubeadm=1.34.1-1.1").as_deref(), Some("v1.34.1"));
    assert_eq!(
        installed("curl -LO https://dl.k8s.io/release/v1.35.0/bin/linux/amd64/kubelet").as_deref(),
        Some("v1.35.0")
    );
    assert_eq!(installed("export KUBERNETES_VERSION=\"v1.33.4\"").as_deref(), Some("v1.33.4"));
    assert_eq!(installed("apt-get install kubelet"), None);
}

#[test]
fn files_go_and_change() {
    let mut disk = Disk::default();
    for path in ["/etc/j.yaml", "/var/lib/cloud/instances/i/user-data.txt", "/var/log/cloud-init.log", "/a", "/b", "/c"]
    {
        disk.files.write(path, "secret", "0600");
    }
    disk.instance = Some("i".into());
    let script = "rm -f /etc/j.yaml\ntruncate -s 0 /a\n: > /b\nshred -zu /c\nkubeadm join x\ncloud-init clean --logs\n";
    let mut script = Script::new(script);
    assert!(script.next_join(&mut disk).is_some());
    assert!(disk.files.get("/etc/j.yaml").is_none() && disk.files.get("/c").is_none());
    assert_eq!((disk.files.text("/a"), disk.files.text("/b")), (Some(String::new()), Some(String::new())));
    assert!(disk.files.get("/var/lib/cloud/instances/i/user-data.txt").is_some());
    assert!(script.next_join(&mut disk).is_none());
    assert_eq!((disk.files.iter().count(), disk.instance), (2, None));
}

#[test]
fn the_rest_is_recorded_and_ignored() {
    let mut disk = Disk::default();
    joins(
        "systemctl enable --now kubelet\nhostnamectl set-hostname n1\necho A=1 > /e\ncat >> /e <<EOF\nB=2\nEOF\n",
        &mut disk,
    );
    assert_eq!(disk.ignored, ["systemctl enable --now kubelet"]);
    assert_eq!((disk.hostname.as_str(), disk.files.text("/e").as_deref()), ("n1", Some("A=1\nB=2\n")));
}

#[test]
fn a_failed_join_ends_its_own_script_only() {
    let mut disk = Disk::default();
    for path in ["/a", "/b"] {
        disk.files.write(path, "secret", "0600");
    }
    let mut script = Script::new("'sh' '-c' 'kubeadm join --config /j; rm /a'\n'sh' '-c' 'rm -f /b; touch /c'");
    assert!(script.next_join(&mut disk).is_some());
    script.fail();
    assert!(script.next_join(&mut disk).is_none());
    let left: Vec<&str> = disk.files.iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["/a", "/c"]);
    let mut script = Script::new("kubeadm join --config /j\nrm /a\n");
    assert!(script.next_join(&mut disk).is_some());
    script.fail();
    assert!(script.next_join(&mut disk).is_none() && disk.files.get("/a").is_some());
}
