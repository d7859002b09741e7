//! What is rendered against cloud-init's own schemas.
//!
//! They are not committed. `AGENTKUBE_CLOUD_INIT` names the folder with `schema-cloud-config-v1.json`, as Debian's package
//! `cloud-init` has it; without it the place is tried to which that package installs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::settings::{Artifact, ExtraFile, Install, Packages, Proxy, Registry, User};
use super::*;

/// The folder of the schemas, if there is one.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("AGENTKUBE_CLOUD_INIT").map(PathBuf::from);
    let installed = PathBuf::from("/usr/lib/python3/dist-packages/cloudinit/config/schemas");
    let found = named.into_iter().chain([installed]).find(|folder| folder.join(USER_DATA).exists());
    if found.is_none() {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"cloud-init schema NOT RUN\n");
    }
    found
}

/// Schema of user data.
const USER_DATA: &str = "schema-cloud-config-v1.json";
/// Schema of network configuration, version 2; cloud-init has it since 24.
const NETWORK: &str = "schema-network-config-v2.json";

fn schema(path: &Path) -> jsonschema::Validator {
    let text = std::fs::read_to_string(path).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn mistakes(schema: &jsonschema::Validator, value: &Value) -> Vec<String> {
    schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every option at once. No field is left to its default, so that a new one does not compile until it is here.
fn everything(key: PathBuf) -> BootstrapSettings {
    let artifact = |unpack| Artifact {
        url: "https://files.example/kubeadm".into(),
        sha256: "ab".repeat(32),
        path: "/usr/bin/kubeadm".into(),
        mode: "0755".into(),
        unpack,
        versions: vec!["v1.35.2".into()],
    };
    let mirror = |ca| Registry {
        server: Some("https://registry-1.docker.io".into()),
        mirrors: vec!["https://mirror.example".into()],
        ca,
    };
    let user = |name: &str, full: bool| User {
        name: name.into(),
        ssh_keys: full.then(|| "ssh-ed25519 AAAA someone".into()).into_iter().collect(),
        sudo: full.then(|| "ALL=(ALL) NOPASSWD:ALL".into()),
        groups: full.then(|| "adm".into()).into_iter().collect(),
    };
    BootstrapSettings {
        template: None,
        install: Install::Packages,
        packages: Packages {
            repository: "https://mirror.example/kubernetes".into(),
            key: Some(key.clone()),
            containerd: "containerd=1.7.*".into(),
        },
        artifacts: vec![artifact(false), artifact(true)],
        registries: BTreeMap::from([
            ("docker.io".into(), mirror(Some(key))),
            ("quay.io".into(), Registry { server: None, ..mirror(None) }),
        ]),
        proxy: Some(Proxy {
            http: Some("http://proxy.example:3128".into()),
            https: Some("http://proxy.example:3128".into()),
            none: vec![".example".into()],
        }),
        sandbox_image: Some("mirror.example/pause:3.10".into()),
        users: vec![user("plain", false), user("full", true)],
        ntp: vec!["ntp.example".into()],
        files: vec![ExtraFile { path: "/etc/motd".into(), content: "hello\n".into(), mode: "0644".into() }],
        pre_commands: vec!["true".into()],
        post_commands: vec!["echo done".into()],
        ignore_preflight_errors: vec!["Swap".into()],
        kubelet_arguments: BTreeMap::from([("v".into(), "4".into())]),
        join_attempts: 3,
        join_pause_seconds: 5,
    }
}

/// Each option alone, and all of them in each way to install.
fn cases(key: &Path) -> Vec<(&'static str, BootstrapSettings)> {
    let none = BootstrapSettings::default;
    let all = everything(key.to_owned());
    let artifacts = BootstrapSettings { install: Install::Artifacts, ..all.clone() };
    let preinstalled = BootstrapSettings { install: Install::Preinstalled, ..all.clone() };
    let a = all.clone();
    vec![
        ("defaults", none()),
        ("packages", BootstrapSettings { install: a.install, packages: a.packages, ..none() }),
        ("artifacts", BootstrapSettings { install: Install::Artifacts, artifacts: a.artifacts, ..none() }),
        ("registries", BootstrapSettings { registries: a.registries, ..none() }),
        ("proxy", BootstrapSettings { proxy: a.proxy, ..none() }),
        ("sandbox-image", BootstrapSettings { sandbox_image: a.sandbox_image, ..none() }),
        ("users", BootstrapSettings { users: a.users, ..none() }),
        ("ntp", BootstrapSettings { ntp: a.ntp, ..none() }),
        ("files", BootstrapSettings { files: a.files, ..none() }),
        ("pre-commands", BootstrapSettings { pre_commands: a.pre_commands, ..none() }),
        ("post-commands", BootstrapSettings { post_commands: a.post_commands, ..none() }),
        ("ignore-preflight-errors", BootstrapSettings { ignore_preflight_errors: a.ignore_preflight_errors, ..none() }),
        ("kubelet-arguments", BootstrapSettings { kubelet_arguments: a.kubelet_arguments, ..none() }),
        ("all, packages", all),
        ("all, artifacts", artifacts),
        ("all, preinstalled", preinstalled),
    ]
}

/// Machines that differ in what a cluster's description says of them.
fn machines() -> Vec<(&'static str, Machine)> {
    let card = |address: Option<StaticAddress>| Card { network: "n".into(), vlan: Some(7), firewall: true, address };
    let fixed = |cidr: &str, gateway: Option<&str>, dns: &[&str]| StaticAddress {
        cidr: cidr.into(),
        gateway: gateway.map(str::to_owned),
        dns: dns.iter().map(|server| (*server).to_owned()).collect(),
    };
    let with = |cards: Vec<Card>| {
        let macs = (0..cards.len()).map(|n| format!("BC:24:11:00:00:{n:02}")).collect();
        let mut machine = Machine { macs, ..Machine::default() };
        machine.pool.shape.networks = cards;
        machine
    };
    let mut labelled = Machine { provider_id: Some("toy://7"), ..Machine::default() };
    labelled.pool.labels = vec![("tier".into(), "work".into()), ("empty".into(), String::new())];
    labelled.pool.taints = ["NoSchedule", "PreferNoSchedule", "NoExecute"]
        .map(|effect| Taint { key: "gpu".into(), value: "on".into(), effect: effect.into() })
        .into();
    let four = fixed("10.9.0.5/24", Some("10.9.0.1"), &["10.9.0.2", "10.9.0.3"]);
    vec![
        ("plain", Machine::default()),
        ("older kubeadm", Machine { version: "v1.30.4", ..Machine::default() }),
        ("labels, taints, provider id", labelled),
        ("fixed IPv4", with(vec![card(Some(four.clone()))])),
        ("fixed IPv6", with(vec![card(Some(fixed("fd00::5/64", Some("fd00::1"), &["fd00::2"])))])),
        ("fixed without gateway", with(vec![card(None), card(Some(fixed("10.9.0.5/24", None, &[])))])),
    ]
}

/// The systemd cgroup driver, which the kubelet of every supported kubeadm uses by default.
fn assert_systemd_cgroups(data: &Value, what: &str) {
    let containerd: toml::Table = toml::from_str(content(data, "/etc/containerd/config.toml")).unwrap();
    let options = &containerd["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["runc"]["options"];
    assert_eq!(options["SystemdCgroup"].as_bool(), Some(true), "{what}");
}

#[test]
fn user_data_of_every_option_is_what_cloud_init_expects() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.asc");
    std::fs::write(&key, CA).unwrap();
    let folder = folder();
    let user_data = folder.as_ref().map(|folder| schema(&folder.join(USER_DATA)));
    let network = folder.map(|folder| folder.join(NETWORK)).filter(|path| path.exists()).map(|path| schema(&path));
    let mut networks = 0;
    for (option, settings) in cases(&key) {
        for (kind, machine) in machines() {
            // Its files are for another version on purpose.
            if machine.version != "v1.35.2" && settings.install == Install::Artifacts {
                continue;
            }
            let what = format!("{option}, {kind}");
            let bootstrap = machine.render_with(settings.clone()).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let text = String::from_utf8(bootstrap.user_data).unwrap();
            assert!(text.starts_with("#cloud-config\n"), "{what}");
            let data: Value = serde_saphyr::from_str(&text).unwrap();
            assert_systemd_cgroups(&data, &what);
            if let Some(schema) = &user_data {
                assert_eq!(mistakes(schema, &data), [""; 0], "{what}");
            }
            if let Some(document) = bootstrap.network_config {
                networks += 1;
                let document: Value = serde_saphyr::from_slice(&document).unwrap();
                assert_eq!(document["version"], 2, "{what}");
                if let Some(schema) = &network {
                    assert_eq!(mistakes(schema, &document), [""; 0], "{what}");
                }
            }
        }
    }
    assert!(networks > 0, "no machine had a fixed address");
    if let Some(schema) = &user_data {
        assert!(!schema.is_valid(&json!({"runcmd": 1})), "the schema judges at all");
        assert!(!schema.is_valid(&json!({"write_files": [{"content": "x"}]})), "a file without a path is no file");
    }
}

/// A template of the operator's own is checked for what cloud-init takes too.
#[test]
fn an_operators_template_is_judged_by_the_same_schema() {
    let Some(folder) = folder() else { return };
    let schema = schema(&folder.join(USER_DATA));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template");
    std::fs::write(&path, format!("{DEFAULT_TEMPLATE}\nlocale: C.UTF-8\n")).unwrap();
    let settings = BootstrapSettings { template: Some(path), ..BootstrapSettings::default() };
    let bootstrap = Machine::default().render_with(settings).unwrap();
    let data: Value = serde_saphyr::from_slice(&bootstrap.user_data).unwrap();
    assert_eq!((mistakes(&schema, &data), data["locale"].as_str()), (Vec::new(), Some("C.UTF-8")));
}
