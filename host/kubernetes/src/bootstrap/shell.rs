//! Shell commands of the first boot. Values are quoted whole; none is spliced in.

use agentkube_contract::{BootstrapRequest, cluster::minor};

use super::settings::{Artifact, BootstrapSettings, Install};
use crate::{Error, Result};

/// A value as one word of a shell.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One entry of `runcmd`: a command with its arguments.
pub(crate) type Command = Vec<String>;

fn command(words: &[&str]) -> Command {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn script(text: String) -> Command {
    vec!["sh".to_owned(), "-c".to_owned(), text]
}

/// All commands, in order. The last one leaves nothing of ours behind.
pub(crate) fn commands(request: &BootstrapRequest<'_>, settings: &BootstrapSettings) -> Result<Vec<Command>> {
    let mut commands: Vec<Command> = settings.pre_commands.iter().cloned().map(script).collect();
    commands.extend([
        command(&["modprobe", "overlay"]),
        command(&["modprobe", "br_netfilter"]),
        command(&["sysctl", "--quiet", "--system"]),
        // The kubelet does not start beside swap unless it is told to.
        command(&["swapoff", "--all"]),
        command(&["sed", "-i", r"/^[^#].*[[:space:]]swap[[:space:]]/s/^/#/", "/etc/fstab"]),
    ]);
    commands.extend(install(request, settings)?);
    commands.extend([
        command(&["systemctl", "daemon-reload"]),
        command(&["systemctl", "enable", "containerd", "kubelet"]),
        command(&["systemctl", "restart", "containerd"]),
        join(minor(&request.join.version)?, settings),
    ]);
    commands.extend(settings.post_commands.iter().cloned().map(script));
    commands.push(clean());
    Ok(commands)
}

fn install(request: &BootstrapRequest<'_>, settings: &BootstrapSettings) -> Result<Option<Command>> {
    let version = &request.join.version;
    match settings.install {
        Install::Preinstalled => Ok(None),
        Install::Packages => {
            let plain = version.trim_start_matches('v');
            let packages =
                [settings.packages.containerd.clone(), format!("kubelet={plain}-*"), format!("kubeadm={plain}-*")];
            let packages = packages.map(|package| quote(&package)).join(" ");
            Ok(Some(script(format!(
                ". {ENVIRONMENT}; export DEBIAN_FRONTEND=noninteractive; n=0; \
                 until apt-get update && apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold {packages}; \
                 do n=$((n+1)); [ \"$n\" -lt 6 ] || exit 1; sleep 10; done; apt-mark hold kubelet kubeadm"
            ))))
        }
        Install::Artifacts => {
            let fits = |artifact: &&Artifact| artifact.versions.is_empty() || artifact.versions.contains(version);
            let fitting: Vec<&Artifact> = settings.artifacts.iter().filter(fits).collect();
            // One list for all versions is possible; a list that knows other versions only is an oversight.
            if fitting.is_empty()
                || fitting.len() < settings.artifacts.len() && fitting.iter().all(|one| one.versions.is_empty())
            {
                let message =
                    format!("no `[[bootstrap.artifacts]]` is for {version}; add its files, with their checksums");
                return Err(Error::bootstrap("BOOTSTRAP_ARTIFACTS", message));
            }
            let steps: Vec<String> = fitting.iter().map(|artifact| fetch(artifact)).collect();
            Ok(Some(script(format!(". {ENVIRONMENT}; set -eu; f=$(mktemp); {}; rm -f \"$f\"", steps.join("; ")))))
        }
    }
}

/// Where the proxy's variables stand during the first boot.
pub(crate) const ENVIRONMENT: &str = "/etc/agentkube/environment";

fn fetch(artifact: &Artifact) -> String {
    let (url, path) = (quote(&artifact.url), quote(&artifact.path.to_string_lossy()));
    let sum = quote(&format!("{}  ", artifact.sha256.to_ascii_lowercase()));
    let place = match artifact.unpack {
        true => format!("mkdir -p {path}; tar -xzf \"$f\" -C {path}"),
        false => format!("install -D -m {} \"$f\" {path}", quote(&artifact.mode)),
    };
    format!(
        "curl --fail --silent --show-error --location --proto =https --retry 5 --retry-all-errors --output \"$f\" {url}; \
         printf '%s%s\\n' {sum} \"$f\" | sha256sum --check --quiet; {place}"
    )
}

/// Joins, again and again: the endpoint may come up after the machine. A kubeadm of another minor version would ruin the node.
fn join(minor: u32, settings: &BootstrapSettings) -> Command {
    let (attempts, pause) = (settings.join_attempts, settings.join_pause_seconds);
    script(format!(
        "have=$(kubeadm version -o short); case \"$have\" in v1.{minor}.*) ;; \
         *) echo \"kubeadm is '$have', the cluster needs v1.{minor}\" >&2; exit 1;; esac; n=0; \
         until kubeadm join --config /etc/agentkube/join.yaml; \
         do n=$((n+1)); [ \"$n\" -lt {attempts} ] || exit 1; kubeadm reset --force; sleep {pause}; done"
    ))
}

/// Removes every copy of the join token: our files, and what cloud-init keeps of the user data. cloud-init itself is then switched
/// off: without the seed it would take the next boot for a new machine, and give it new keys and no addresses.
fn clean() -> Command {
    script(
        "rm -rf /etc/agentkube /var/lib/cloud/seed /var/lib/cloud/instance/scripts; \
         rm -f /var/lib/cloud/instances/*/user-data.txt* /var/lib/cloud/instances/*/vendor-data*.txt* \
         /var/lib/cloud/instances/*/cloud-config.txt /var/lib/cloud/instances/*/obj.pkl \
         /run/cloud-init/instance-data-sensitive.json /run/cloud-init/combined-cloud-config.json; \
         touch /etc/cloud/cloud-init.disabled"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quoted_value_is_one_word_for_a_shell() {
        for hostile in ["a b", "'; rm -rf / #", "$(id)", "`id`", "\\", "\"", "a\nb", ""] {
            let echo = format!("printf %s {}", super::quote(hostile));
            let output = std::process::Command::new("sh").args(["-c", &echo]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), hostile);
        }
    }
}
