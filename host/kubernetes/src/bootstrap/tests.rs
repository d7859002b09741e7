mod schema;

use agentkube_contract::{Card, Cluster, JoinInfo, JoinToken, MachineKey, Pool, StaticAddress, Taint};

use super::*;
use crate::fake::{CA, CA_HASH, owner, pool};

struct Machine {
    version: &'static str,
    pool: Pool,
    provider_id: Option<&'static str>,
    macs: Vec<String>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { version: "v1.35.2", pool: pool(), provider_id: None, macs: vec!["BC:24:11:00:00:01".into()] }
    }
}

impl Machine {
    fn render(&self, settings: &str) -> agentkube_contract::Result<Bootstrap> {
        self.render_with(toml::from_str(settings).unwrap())
    }

    fn render_with(&self, settings: BootstrapSettings) -> agentkube_contract::Result<Bootstrap> {
        let owner = owner();
        let key = MachineKey::new("kabc", &self.pool.name, 3);
        let cluster: Cluster = serde_json::from_value(json!({"version": self.version})).unwrap();
        let join = JoinInfo {
            server: "10.0.0.1:6443".into(),
            ca_hashes: vec![CA_HASH.into()],
            ca: CA.into(),
            version: self.version.into(),
            token: JoinToken { id: "abc123".into(), secret: "0123456789abcdef".into(), expires: 0 },
        };
        Renderer::new(settings)?.render(&BootstrapRequest {
            owner: &owner,
            key: &key,
            pool: &self.pool,
            cluster: &cluster,
            join: &join,
            provider_id: self.provider_id,
            macs: &self.macs,
        })
    }

    fn data(&self, settings: &str) -> Value {
        let bootstrap = self.render(settings).unwrap();
        let text = String::from_utf8(bootstrap.user_data).unwrap();
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn code(&self, settings: &str) -> String {
        self.render(settings).unwrap_err().code
    }
}

fn file<'a>(data: &'a Value, path: &str) -> Option<&'a Value> {
    data["write_files"].as_array().unwrap().iter().find(|file| file["path"] == path)
}

fn content<'a>(data: &'a Value, path: &str) -> &'a str {
    file(data, path).unwrap_or_else(|| panic!("{path}"))["content"].as_str().unwrap()
}

fn join(data: &Value) -> Value {
    serde_saphyr::from_str(content(data, "/etc/agentkube/join.yaml")).unwrap()
}

fn script(data: &Value, holds: &str) -> (usize, String) {
    let commands = data["runcmd"].as_array().unwrap().iter().enumerate();
    let mut texts = commands.map(|(n, command)| {
        let words: Vec<&str> = command.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        (n, words.join(" "))
    });
    texts.find(|(_, text)| text.contains(holds)).unwrap_or_else(|| panic!("{holds}"))
}

// Checklist 132, 144, 218.
#[test]
fn a_machine_is_told_how_to_join_and_forgets_it() {
    let mut machine = Machine { provider_id: Some("toy://7"), ..Machine::default() };
    machine.pool.labels = vec![("team".into(), "a".into()), ("node-role.kubernetes.io/worker".into(), "".into())];
    machine.pool.taints = vec![Taint { key: "gpu".into(), value: "on".into(), effect: "NoSchedule".into() }];
    let data = machine.data("");
    assert_eq!(data["hostname"], "kabc-w-03");
    assert_eq!(file(&data, "/etc/agentkube/join.yaml").unwrap()["permissions"], "0600");
    assert_eq!(content(&data, "/etc/agentkube/versions"), "KUBERNETES_VERSION=v1.35.2\n");
    let expected = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": "10.0.0.1:6443", "token": "abc123.0123456789abcdef", "caCertHashes": [CA_HASH],
        }},
        "nodeRegistration": {
            "name": "kabc-w-03",
            "criSocket": "unix:///run/containerd/containerd.sock",
            "kubeletExtraArgs": [{"name": "node-labels", "value": "team=a"}, {"name": "provider-id", "value": "toy://7"}],
            "taints": [{"key": "gpu", "value": "on", "effect": "NoSchedule"}],
        },
    });
    assert_eq!(join(&data), expected);

    let containerd: toml::Table = toml::from_str(content(&data, "/etc/containerd/config.toml")).unwrap();
    let options = &containerd["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["runc"]["options"];
    assert_eq!(options["SystemdCgroup"].as_bool(), Some(true));

    let (at, text) = script(&data, "kubeadm join --config /etc/agentkube/join.yaml");
    assert!(text.contains("v1.35.*"), "another minor version is refused");
    let (last, text) = script(&data, "rm -rf /etc/agentkube");
    assert!(text.contains("user-data.txt") && text.contains("obj.pkl") && at < last);
    assert_eq!(last + 1, data["runcmd"].as_array().unwrap().len(), "nothing runs after it");

    let bootstrap = machine.render("").unwrap();
    assert_eq!(bootstrap.meta_data[0], ("instance-id".into(), "kabc-w-03".into()));
    assert_eq!(bootstrap.network_config, None);
}

#[test]
fn older_versions_get_the_older_configuration() {
    let mut machine = Machine { version: "v1.30.4", ..Machine::default() };
    machine.pool.labels = vec![("team".into(), "a".into())];
    let join = join(&machine.data("[kubelet-arguments]\nv = '4'"));
    assert_eq!(join["apiVersion"], "kubeadm.k8s.io/v1beta3");
    assert_eq!(join["nodeRegistration"]["kubeletExtraArgs"], json!({"node-labels": "team=a", "v": "4"}));
    machine.version = "v1.31.0";
    assert_eq!(self::join(&machine.data(""))["apiVersion"], "kubeadm.k8s.io/v1beta4");
}

#[test]
fn values_of_strangers_stay_values() {
    const HOSTILE: &str = "x\"\n- [\"rm\", \"-rf\", \"/\"]\nruncmd: [evil] # {{ join.token }} 'é😀\u{85}\u{2028}\u{7f}";
    let mut machine = Machine::default();
    machine.pool.taints = vec![Taint { key: "k".into(), value: HOSTILE.into(), effect: "NoSchedule".into() }];
    let settings = format!(
        "post-commands = [{0}]\nntp = [{0}]\nfiles = [{{ path = '/etc/x', content = {0} }}]\nusers = [{{ name = {0} }}]",
        json!(HOSTILE).to_string().replace('\u{7f}', "\\u007f")
    );
    let data = machine.data(&settings);
    assert_eq!(join(&data)["nodeRegistration"]["taints"][0]["value"], HOSTILE);
    assert_eq!(content(&data, "/etc/x"), HOSTILE);
    assert_eq!(data["ntp"]["servers"][0], HOSTILE);
    assert_eq!(data["users"][1], json!({"name": HOSTILE, "lock_passwd": true, "shell": "/bin/bash"}), "no empty lists");
    let commands = data["runcmd"].as_array().unwrap();
    assert_eq!(commands[commands.len() - 2], json!(["sh", "-c", HOSTILE]));
    assert!(commands.iter().all(|command| command.is_array()));

    for (key, value) in [("a", HOSTILE), (HOSTILE, "a"), ("a", "b,node-role.kubernetes.io/master="), ("a=b", "c")] {
        machine.pool.labels = vec![(key.into(), value.into())];
        assert_eq!(machine.code(""), "NODE_LABEL", "a kubelet would not start with it");
    }
}

#[test]
fn fixed_addresses_are_matched_by_mac() {
    let mut machine = Machine::default();
    let card = |address: Option<StaticAddress>| Card { network: "n".into(), vlan: None, firewall: false, address };
    let fixed =
        StaticAddress { cidr: "10.9.0.5/24".into(), gateway: Some("10.9.0.1".into()), dns: vec!["10.9.0.2".into()] };
    machine.pool.shape.networks = vec![card(None), card(Some(fixed.clone()))];
    assert_eq!(machine.code(""), "NETWORK_MAC");
    machine.macs.push("BC:24:11:00:00:02".into());
    let bootstrap = machine.render("").unwrap();
    let network: Value = serde_saphyr::from_slice(&bootstrap.network_config.unwrap()).unwrap();
    let expected = json!({"version": 2, "ethernets": {
        "card0": {"match": {"macaddress": "bc:24:11:00:00:01"}, "dhcp4": true},
        "card1": {
            "match": {"macaddress": "bc:24:11:00:00:02"}, "dhcp4": false, "addresses": ["10.9.0.5/24"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.9.0.1"}], "nameservers": {"addresses": ["10.9.0.2"]},
        },
    }});
    assert_eq!(network, expected);
    let arguments = join(&machine.data(""))["nodeRegistration"]["kubeletExtraArgs"].clone();
    assert_eq!(arguments, json!([{"name": "node-ip", "value": "10.9.0.5"}]));
    for bad in [
        StaticAddress { cidr: "10.9.0.5".into(), ..fixed.clone() },
        StaticAddress { cidr: "10.9.0.5/33".into(), ..fixed.clone() },
        StaticAddress { gateway: Some("fd00::1".into()), ..fixed.clone() },
        StaticAddress { dns: vec!["a: b".into()], ..fixed.clone() },
    ] {
        machine.pool.shape.networks = vec![card(Some(bad))];
        assert_eq!(machine.code(""), "NETWORK_ADDRESS");
    }
}

#[test]
fn packages_are_pinned_and_their_key_comes_along() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.asc");
    std::fs::write(&key, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n").unwrap();
    let settings = format!("install = 'packages'\n[packages]\nkey = '{}'", key.display());
    let data = Machine::default().data(&settings);
    let list = content(&data, "/etc/apt/sources.list.d/kubernetes.list");
    assert_eq!(
        list,
        "deb [signed-by=/etc/apt/keyrings/kubernetes.asc] https://pkgs.k8s.io/core:/stable:/v1.35/deb/ /\n"
    );
    assert!(content(&data, "/etc/apt/keyrings/kubernetes.asc").starts_with("-----BEGIN PGP"));
    let (at, text) = script(&data, "apt-get install");
    assert!(text.contains("'kubelet=1.35.2-*' 'kubeadm=1.35.2-*'") && at < script(&data, "kubeadm join").0);
}

#[test]
fn artefacts_are_checked_before_they_are_used() {
    let settings = |versions: &str| {
        format!(
            "install = 'artifacts'\n[[artifacts]]\nurl = 'https://example.org/kubeadm'\nsha256 = '{}'\npath = '/usr/bin/kubeadm'\nversions = {versions}",
            "aB".repeat(32)
        )
    };
    let machine = Machine::default();
    let (_, text) = script(&machine.data(&settings("['v1.35.2']")), "curl");
    let (check, place) = (text.find("sha256sum --check").unwrap(), text.find("install -D").unwrap());
    assert!(text.contains(&"ab".repeat(32)) && text.contains("set -eu") && check < place);
    assert_eq!(machine.code(&settings("['v1.34.1']")), "BOOTSTRAP_ARTIFACTS");
}

#[test]
fn a_download_with_another_checksum_is_not_placed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("served"), "content").unwrap();
    // A curl that copies, and the real script around it.
    std::fs::write(
        at("curl"),
        format!(
            "#!/bin/sh\nfor last; do :; done\nwhile [ \"$1\" != --output ]; do shift; done\ncp {} \"$2\"\n",
            at("served").display()
        ),
    )
    .unwrap();
    std::process::Command::new("chmod").arg("+x").arg(at("curl")).status().unwrap();
    let run = |sha256: &str, target: &str| {
        let settings = format!(
            "install = 'artifacts'\n[[artifacts]]\nurl = 'https://example.org/x'\nsha256 = '{sha256}'\npath = '{}'",
            at(target).display()
        );
        let (_, text) = script(&Machine::default().data(&settings), "curl");
        let text = text.trim_start_matches("sh -c . /etc/agentkube/environment; ").to_owned();
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
        let status = std::process::Command::new("sh").args(["-c", &text]).env("PATH", path).output().unwrap().status;
        (status.success(), at(target).exists())
    };
    // printf content | sha256sum
    assert_eq!(run("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", "good"), (true, true));
    assert_eq!(run(&"0".repeat(64), "bad"), (false, false));
}

#[test]
fn mirrors_and_proxy_reach_containerd() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, CA).unwrap();
    let settings = format!(
        "[registries.'docker.io']\nserver = 'https://registry-1.docker.io'\nmirrors = ['https://b.example', 'https://a.example']\nca = '{}'\n\
         [proxy]\nhttps = 'http://proxy.example:3128'\nnone = ['.example']",
        ca.display()
    );
    let data = Machine::default().data(&settings);
    let hosts = content(&data, "/etc/containerd/certs.d/docker.io/hosts.toml");
    let parsed: toml::Table = toml::from_str(hosts).unwrap();
    assert_eq!(parsed["host"]["https://a.example"]["ca"].as_str(), Some("/etc/containerd/certs.d/docker.io/ca.crt"));
    assert!(hosts.find("b.example") < hosts.find("a.example"), "the operator's order is the order of trying");
    let unit = content(&data, "/etc/systemd/system/containerd.service.d/proxy.conf");
    assert!(unit.contains("Environment=\"HTTPS_PROXY=http://proxy.example:3128\""));
    let none = unit.lines().find(|line| line.contains("NO_PROXY")).unwrap();
    for inside in [".example", "10.244.0.0/16", "10.96.0.0/16", ".cluster.local", ",10.0.0.1"] {
        assert!(none.contains(inside), "{inside}");
    }
}

#[test]
fn settings_without_sense_are_named() {
    for settings in [
        "join-attempts = 0",
        "install = 'packages'",
        "install = 'artifacts'",
        "artifacts = [{ url = 'http://example.org/x', sha256 = '', path = '/x' }]",
        "artifacts = [{ url = 'https://example.org/x', sha256 = 'abc', path = '/x' }]",
        "files = [{ path = 'etc/x', content = '' }]",
        "files = [{ path = '/etc/x', content = '', mode = 'rwx' }]",
        "[registries.'../..']\nmirrors = ['https://a']",
        "[registries.'docker.io']\nmirrors = []",
        "[proxy]\nhttp = 'http://a\"b'",
        "[proxy]\nnone = ['a b']",
    ] {
        assert_eq!(Machine::default().code(settings), "BOOTSTRAP_SETTING", "{settings}");
    }
    assert!(toml::from_str::<BootstrapSettings>("colour = 'red'").is_err());
    assert_eq!(Machine::default().code("template = '/nonexistent'"), "BOOTSTRAP_FILE");
}

#[test]
fn an_operators_template_is_used_and_its_mistakes_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("template");
    let settings = format!("template = '{}'", path.display());
    let machine = Machine::default();
    std::fs::write(&path, "#!/bin/sh\njoin {{ join.endpoint }} {{ machine.index }} {{ cluster.version }}\n").unwrap();
    let data = machine.render(&settings).unwrap().user_data;
    assert_eq!(String::from_utf8(data).unwrap(), "#!/bin/sh\njoin 10.0.0.1:6443 3 v1.35.2\n");
    for bad in ["{{ machine.colour }}", "{% if %}", "#cloud-config\na: [", "#cloud-config\nx: {{ join.ca }}"] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(machine.code(&settings), "BOOTSTRAP_TEMPLATE", "{bad}");
    }
}
