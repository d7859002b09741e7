//! What `kubeadm join` was told: a JoinConfiguration (kubeadm.k8s.io/v1beta3 or v1beta4) or flags.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::disk::{Files, Registration, Taint};

/// What a join needs to know, from whichever form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// `host:port` to discover the cluster at.
    pub endpoint: String,
    /// Bootstrap token: id and secret.
    pub token: (String, String),
    /// Pins of the cluster's CA, `sha256:<hex>`.
    pub ca_hashes: Vec<String>,
    /// Accept any CA.
    pub skip_ca_verification: bool,
    /// How long discovery is tried, in milliseconds; kubeadm's default is five minutes.
    pub discovery_timeout: u64,
    /// How the node registers; its name may still be empty.
    pub registration: Registration,
}

/// kubeadm's default for discovery and for the TLS bootstrap.
const FIVE_MINUTES: u64 = 5 * 60 * 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    discovery: Discovery,
    #[serde(default)]
    node_registration: NodeRegistration,
    #[serde(default)]
    timeouts: Timeouts,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    bootstrap_token: Option<BootstrapToken>,
    /// v1beta3 has the discovery timeout here.
    timeout: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BootstrapToken {
    #[serde(default)]
    api_server_endpoint: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    ca_cert_hashes: Vec<String>,
    #[serde(default)]
    unsafe_skip_ca_verification: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeRegistration {
    #[serde(default)]
    name: String,
    #[serde(default)]
    taints: Option<Vec<Taint>>,
    #[serde(default)]
    kubelet_extra_args: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Timeouts {
    discovery: Option<String>,
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    value: String,
}

impl Join {
    /// From the arguments of `kubeadm join` and the files of the machine. The error is what kubeadm would say.
    pub fn read(arguments: &[String], files: &Files) -> Result<Join, String> {
        let mut join = Join { discovery_timeout: FIVE_MINUTES, ..Join::default() };
        let mut flags: Vec<(String, String)> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(flag) = argument.strip_prefix("--") else {
                join.endpoint.clone_from(argument);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if flag == "discovery-token-unsafe-skip-ca-verification" => (flag, "true".to_owned()),
                None => (flag, rest.next().cloned().unwrap_or_default()),
            };
            flags.push((name.to_owned(), value));
        }
        if let Some((_, path)) = flags.iter().find(|(name, _)| name == "config") {
            let text = files.text(path).ok_or_else(|| {
                format!(
                    "couldn't load JoinConfiguration: unable to read config from {path:?}: no such file or directory"
                )
            })?;
            join.document(&text)?;
        }
        for (name, value) in &flags {
            match name.as_str() {
                "token" | "discovery-token" => join.set_token(value)?,
                "discovery-token-ca-cert-hash" => join.ca_hashes.extend(value.split(',').map(str::to_owned)),
                "discovery-token-unsafe-skip-ca-verification" => join.skip_ca_verification = value == "true",
                "node-name" => join.registration.name.clone_from(value),
                _ => {}
            }
        }
        join.validate()?;
        Ok(join)
    }

    fn document(&mut self, text: &str) -> Result<(), String> {
        let wrong = |error: &dyn std::fmt::Display| format!("couldn't load JoinConfiguration: {error}");
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| wrong(&error))?;
        let found =
            documents.into_iter().find(|document| document.get("kind") == Some(&Value::from("JoinConfiguration")));
        let found = found.ok_or_else(|| wrong(&"no JoinConfiguration found in config file"))?;
        let document: Document = serde_json::from_value(found).map_err(|error| wrong(&error))?;
        let is_list = match document.api_version.as_str() {
            "kubeadm.k8s.io/v1beta4" => true,
            "kubeadm.k8s.io/v1beta3" => false,
            other => return Err(wrong(&format!("no kind {:?} is registered for version {other:?}", document.kind))),
        };
        let arguments = extra_arguments(document.node_registration.kubelet_extra_args, is_list)
            .map_err(|error| wrong(&format!("nodeRegistration.kubeletExtraArgs: {error}")))?;
        let token =
            document.discovery.bootstrap_token.ok_or("discovery.bootstrapToken or discovery.file must be set")?;
        self.endpoint = token.api_server_endpoint;
        self.set_token(&token.token)?;
        self.ca_hashes = token.ca_cert_hashes;
        self.skip_ca_verification = token.unsafe_skip_ca_verification;
        if let Some(timeout) = document.timeouts.discovery.or(document.discovery.timeout) {
            self.discovery_timeout =
                duration(&timeout).ok_or_else(|| wrong(&format!("time: invalid duration {timeout:?}")))?;
        }
        self.registration.name = document.node_registration.name;
        self.registration.taints = document.node_registration.taints.unwrap_or_default();
        self.registration.node_ip = arguments.get("node-ip").cloned();
        self.registration.provider_id = arguments.get("provider-id").cloned();
        if let Some(name) = arguments.get("hostname-override") {
            self.registration.name.clone_from(name);
        }
        if let Some(labels) = arguments.get("node-labels") {
            self.registration.labels = labels
                .split(',')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
        }
        if let Some(taints) = arguments.get("register-with-taints") {
            self.registration.taints.extend(taints.split(',').filter_map(taint));
        }
        Ok(())
    }

    fn set_token(&mut self, token: &str) -> Result<(), String> {
        let valid = |part: &str, length: usize| {
            part.len() == length && part.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        };
        match token.split_once('.') {
            Some((id, secret)) if valid(id, 6) && valid(secret, 16) => {
                self.token = (id.to_owned(), secret.to_owned());
                Ok(())
            }
            _ => Err("discovery.bootstrapToken.token: Invalid value: the bootstrap token is invalid".to_owned()),
        }
    }

    fn validate(&self) -> Result<(), String> {
        if self.token.0.is_empty() {
            return Err(
                "discovery.bootstrapToken.token: Invalid value: \"\": the bootstrap token is invalid".to_owned()
            );
        }
        let port = self.endpoint.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        if port.and_then(|port| port.parse::<u16>().ok()).is_none() {
            return Err(format!("discovery.bootstrapToken.apiServerEndpoint: Invalid value: {:?}", self.endpoint));
        }
        if self.ca_hashes.is_empty() && !self.skip_ca_verification {
            return Err(
                "discovery.bootstrapToken: Invalid value: using token-based discovery without caCertHashes can be \
                        unsafe. Set unsafeSkipCAVerification to continue"
                    .to_owned(),
            );
        }
        if let Some(hash) = self.ca_hashes.iter().find(|hash| !is_pin(hash)) {
            return Err(format!("invalid public key hash, expected \"format:hex-value\": {hash:?}"));
        }
        Ok(())
    }
}

fn is_pin(hash: &str) -> bool {
    let hex = hash.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.chars().all(|letter| letter.is_ascii_hexdigit())
}

/// v1beta4 has a list of name and value, v1beta3 a map.
fn extra_arguments(value: Option<Value>, is_list: bool) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(BTreeMap::new()) };
    if is_list {
        let list: Vec<Argument> = serde_json::from_value(value)?;
        return Ok(list.into_iter().map(|argument| (argument.name, argument.value)).collect());
    }
    serde_json::from_value(value)
}

/// `key=value:effect` or `key:effect`.
fn taint(text: &str) -> Option<Taint> {
    let (key, effect) = text.rsplit_once(':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    Some(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}

/// A duration as Go writes it (`5m0s`, `90s`), in milliseconds.
fn duration(text: &str) -> Option<u64> {
    let (mut total, mut number, mut rest) = (0.0, String::new(), text.chars().peekable());
    while let Some(letter) = rest.next() {
        if letter.is_ascii_digit() || letter == '.' {
            number.push(letter);
            continue;
        }
        let unit = match letter {
            'h' => 3_600_000.0,
            'm' if rest.next_if_eq(&'s').is_some() => 1.0,
            'm' => 60_000.0,
            's' => 1000.0,
            _ => return None,
        };
        total += std::mem::take(&mut number).parse::<f64>().ok()? * unit;
    }
    number.is_empty().then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1BETA4: &str = "apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: 127.10.0.1:6443
    token: abcdef.0123456789abcdef
    caCertHashes: ['sha256:0000000000000000000000000000000000000000000000000000000000000000']
nodeRegistration:
  name: node-a
  taints:
  - {key: dedicated, value: gpu, effect: NoSchedule}
  kubeletExtraArgs:
  - {name: node-labels, value: 'pool=a,zone=1'}
  - {name: node-ip, value: 10.0.0.5}
  - {name: provider-id, value: 'lab://1'}
timeouts: {discovery: 1m30s}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
";

    fn read(document: &str) -> Result<Join, String> {
        let mut files = Files::default();
        files.write("/j", document, "0600");
        Join::read(&["--config=/j".to_owned()], &files)
    }

    #[test]
    fn both_versions_of_the_document() {
        let join = read(V1BETA4).unwrap();
        assert_eq!((join.endpoint.as_str(), join.discovery_timeout), ("127.10.0.1:6443", 90_000));
        assert_eq!(join.token, ("abcdef".to_owned(), "0123456789abcdef".to_owned()));
        let registration = &join.registration;
        assert_eq!((registration.name.as_str(), registration.node_ip.as_deref()), ("node-a", Some("10.0.0.5")));
        assert_eq!(registration.labels["zone"], "1");
        assert_eq!(registration.taints[0].effect, "NoSchedule");

        let v1beta3 = V1BETA4
            .replace("v1beta4", "v1beta3")
            .replace("  - {name: node-labels, value: 'pool=a,zone=1'}", "    node-labels: 'pool=a,zone=1'")
            .replace("  - {name: node-ip, value: 10.0.0.5}", "    node-ip: 10.0.0.5")
            .replace("  - {name: provider-id, value: 'lab://1'}", "    provider-id: lab://1")
            .replace("timeouts: {discovery: 1m30s}\n", "")
            .replace("    token:", "    x: 1\n    token:");
        let old = read(&v1beta3).unwrap();
        assert_eq!((old.registration, old.discovery_timeout), (join.registration, FIVE_MINUTES));
        assert!(read(&V1BETA4.replace("v1beta4", "v1beta3")).unwrap_err().contains("kubeletExtraArgs"));
    }

    #[test]
    fn flags_alone() {
        let words = format!(
            "127.0.0.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:{}",
            "a".repeat(64)
        );
        let arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let join = Join::read(&arguments, &Files::default()).unwrap();
        assert_eq!((join.endpoint.as_str(), join.ca_hashes.len()), ("127.0.0.1:6443", 1));
        assert!(Join::read(&arguments[..3], &Files::default()).unwrap_err().contains("unsafe"));
    }

    #[test]
    fn wrong_documents_are_refused_as_kubeadm_does() {
        for (from, to) in [
            ("abcdef.0123456789abcdef", "abcdef.short"),
            ("sha256:00", "md5:00"),
            ("127.10.0.1:6443", "https://127.10.0.1"),
            ("kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta2"),
            ("kind: JoinConfiguration", "kind: InitConfiguration"),
            ("1m30s", "soon"),
        ] {
            assert!(read(&V1BETA4.replace(from, to)).is_err(), "{to}");
        }
        assert!(Join::read(&["--config".to_owned(), "/none".to_owned()], &Files::default()).is_err());
    }
}
