//! Files that the first boot writes.

use agentkube_contract::BootstrapRequest;
use serde_json::{Value, json};

use super::kubeadm::join_configuration;
use super::settings::{BootstrapSettings, Install, Registry};
use super::shell::{ENVIRONMENT, quote};
use crate::Result;

/// What is read from files of the host, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// The repository's public key.
    pub(crate) key: Option<String>,
    /// By registry: the CA of its mirrors.
    pub(crate) cas: Vec<(String, String)>,
}

fn file(path: impl Into<String>, mode: &str, content: impl Into<String>) -> Value {
    json!({"path": path.into(), "permissions": mode, "content": content.into()})
}

/// All files, as cloud-init's `write_files` takes them.
pub(crate) fn files(
    request: &BootstrapRequest<'_>,
    settings: &BootstrapSettings,
    loaded: &Loaded,
) -> Result<Vec<Value>> {
    let version = &request.join.version;
    let proxy = proxy(request, settings);
    let exports: String = proxy.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect();
    let mut files = vec![
        file("/etc/agentkube/join.yaml", "0600", join_configuration(request, settings)?),
        file("/etc/agentkube/versions", "0644", format!("KUBERNETES_VERSION={version}\n")),
        file(ENVIRONMENT, "0600", exports),
        file("/etc/modules-load.d/kubernetes.conf", "0644", "overlay\nbr_netfilter\n"),
        file(
            "/etc/sysctl.d/99-kubernetes.conf",
            "0644",
            "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n\
             net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n",
        ),
        file("/etc/containerd/config.toml", "0644", containerd(settings)),
    ];
    for (name, registry) in &settings.registries {
        let ca = loaded.cas.iter().find(|(other, _)| other == name);
        let directory = format!("/etc/containerd/certs.d/{name}");
        if let Some((_, pem)) = ca {
            files.push(file(format!("{directory}/ca.crt"), "0644", pem.as_str()));
        }
        files.push(file(
            format!("{directory}/hosts.toml"),
            "0644",
            hosts(registry, ca.map(|_| format!("{directory}/ca.crt"))),
        ));
    }
    if !proxy.is_empty() {
        let lines: String = proxy.iter().map(|(name, value)| format!("Environment=\"{name}={value}\"\n")).collect();
        files.push(file("/etc/systemd/system/containerd.service.d/proxy.conf", "0600", format!("[Service]\n{lines}")));
    }
    if let (Install::Packages, Some(key)) = (settings.install, &loaded.key) {
        const KEYRING: &str = "/etc/apt/keyrings/kubernetes.asc";
        let minor = agentkube_contract::cluster::minor(version)?;
        let repository = &settings.packages.repository;
        files.push(file(KEYRING, "0644", key.as_str()));
        files.push(file(
            "/etc/apt/sources.list.d/kubernetes.list",
            "0644",
            format!("deb [signed-by={KEYRING}] {repository}/v1.{minor}/deb/ /\n"),
        ));
    }
    files.extend(
        settings.files.iter().map(|extra| file(extra.path.to_string_lossy(), &extra.mode, extra.content.as_str())),
    );
    Ok(files)
}

/// containerd with the systemd cgroup driver. Version 2 of the file is read by containerd 1.x, and migrated by 2.x:
/// https://github.com/containerd/containerd/blob/main/docs/cri/config.md.
fn containerd(settings: &BootstrapSettings) -> String {
    let mut text = String::from("version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n");
    if let Some(image) = &settings.sandbox_image {
        text.push_str(&format!("sandbox_image = {}\n", toml_text(image)));
    }
    text.push_str(
        "\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         \n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n\
         \n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
    );
    text
}

/// Mirrors in the order in which they are tried, which is the order of the file.
fn hosts(registry: &Registry, ca: Option<String>) -> String {
    let mut text =
        registry.server.as_ref().map(|server| format!("server = {}\n", toml_text(server))).unwrap_or_default();
    for mirror in &registry.mirrors {
        text.push_str(&format!("\n[host.{}]\ncapabilities = [\"pull\", \"resolve\"]\n", toml_text(mirror)));
        if let Some(ca) = &ca {
            text.push_str(&format!("ca = {}\n", toml_text(ca)));
        }
    }
    text
}

fn toml_text(text: &str) -> String {
    // A basic string of TOML: what the serializer would choose may be a literal one, which a table's name cannot always be.
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The proxy's variables. What belongs to the cluster never goes through it.
fn proxy(request: &BootstrapRequest<'_>, settings: &BootstrapSettings) -> Vec<(&'static str, String)> {
    let Some(proxy) = &settings.proxy else { return Vec::new() };
    let network = &request.cluster.network;
    let host = request.join.server.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']'])).unwrap_or_default();
    let mut none = proxy.none.clone();
    none.extend(["localhost", "127.0.0.1", "::1", ".svc"].map(str::to_owned));
    none.push(format!(".{}", network.domain));
    none.extend(network.pod_cidrs.iter().chain(&network.service_cidrs).cloned());
    none.push(host.to_owned());
    let none = none.join(",");
    let mut variables = Vec::new();
    for (value, names) in [(&proxy.http, ["HTTP_PROXY", "http_proxy"]), (&proxy.https, ["HTTPS_PROXY", "https_proxy"])]
    {
        variables.extend(value.iter().flat_map(|value| names.map(|name| (name, value.clone()))));
    }
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, none.clone())));
    variables
}
