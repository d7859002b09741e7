//! What a machine keeps when it is switched off: its files, and what its kubelet was given.

use std::collections::BTreeMap;

use crate::ca::Identity;

/// Where cloud-init keeps what the commands of the first boot said.
pub const LOG: &str = "/var/log/cloud-init-output.log";

/// A file on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permissions, such as `0600`.
    pub permissions: String,
}

/// The files of a machine that the lab knows of: those that were delivered, those that scripts wrote, and the copies that
/// cloud-init keeps.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, File>);

impl Files {
    /// Writes a file.
    pub fn write(&mut self, path: &str, content: impl Into<Vec<u8>>, permissions: &str) {
        let file = File { content: content.into(), permissions: permissions.to_owned() };
        self.0.insert(real_path(path), file);
    }

    /// Appends to a file, which is made if there is none.
    pub fn append(&mut self, path: &str, content: &[u8]) {
        let file =
            self.0.entry(real_path(path)).or_insert_with(|| File { permissions: "0644".into(), ..File::default() });
        file.content.extend_from_slice(content);
    }

    /// One file.
    pub fn get(&self, path: &str) -> Option<&File> {
        let path = real_path(path);
        self.0
            .iter()
            .find(|(name, _)| **name == path || (path.contains('*') && covers(&path, name)))
            .map(|(_, file)| file)
    }

    /// Its text, if it is there.
    pub fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(&self.get(path)?.content).into_owned())
    }

    /// All files by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Removes what a path names: a file, a directory with all in it, or everything that a pattern with `*` matches. Gives the
    /// number of files that went.
    pub fn remove(&mut self, pattern: &str) -> usize {
        let pattern = real_path(pattern);
        let before = self.0.len();
        self.0.retain(|path, _| !covers(&pattern, path));
        before - self.0.len()
    }

    /// Empties the files that a path or pattern names.
    pub fn truncate(&mut self, pattern: &str) {
        let pattern = real_path(pattern);
        for (path, file) in &mut self.0 {
            if covers(&pattern, path) {
                file.content.clear();
            }
        }
    }
}

/// `/var/run` is a link to `/run`, and `/var/lib/cloud/instance` one to the instance that runs.
fn real_path(path: &str) -> String {
    let path = path.trim_end_matches('/');
    for (link, target) in [("/var/run/", "/run/"), ("/var/lib/cloud/instance/", "/var/lib/cloud/instances/*/")] {
        if let Some(rest) = path.strip_prefix(link) {
            return format!("{target}{rest}");
        }
    }
    path.to_owned()
}

/// Whether `pattern`, or a directory that it names, holds `path`. Segment by segment; `*` stands for any run of characters in one.
fn covers(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, _) => return true,
            (Some(pattern), Some(segment)) if like(pattern, segment) => {}
            _ => return false,
        }
    }
}

fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| like(rest, text))),
    }
}

/// What a kubelet keeps after it joined.
#[derive(Clone, Debug)]
pub struct Kubelet {
    /// `https://host:port` of its API server.
    pub server: String,
    /// The CA (PEM) that it trusts.
    pub ca: String,
    /// Its client certificate and key.
    pub identity: Identity,
    /// How it registers.
    pub registration: Registration,
}

/// How a kubelet registers its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Name of the node.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints: key, value, effect.
    pub taints: Vec<Taint>,
    /// Address given by `--node-ip`.
    pub node_ip: Option<String>,
    /// `--provider-id`.
    pub provider_id: Option<String>,
    /// Version of the kubelet, with `v`.
    pub version: String,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What a machine keeps when it is switched off.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Its files.
    pub files: Files,
    /// The instance that cloud-init ran for: its per-instance modules do not run again for the same one.
    pub instance: Option<String>,
    /// The network configuration of the first boot, which every later one uses again.
    pub network: Option<Vec<u8>>,
    /// Host name.
    pub hostname: String,
    /// Version of the kubelet that is installed, with `v`.
    pub kubernetes: Option<String>,
    /// SSH keys that were authorized, by user.
    pub ssh_keys: Vec<(String, String)>,
    /// Commands that were recorded and otherwise ignored.
    pub ignored: Vec<String>,
    /// What the kubelet was given when it joined.
    pub kubelet: Option<Kubelet>,
}

impl Disk {
    /// Files under `/var/log`, which a guest agent can be asked for.
    pub fn logs(&self) -> BTreeMap<String, Vec<u8>> {
        let logs = self.files.iter().filter(|(path, _)| path.starts_with("/var/log/"));
        logs.map(|(path, file)| (path.to_owned(), file.content.clone())).collect()
    }

    /// What of the first-boot data is still there, as paths: our own files, cloud-init's copies of the user data, and whatever else
    /// holds the form of a bootstrap token. After a join that ended well this is empty.
    pub fn leftovers(&self) -> Vec<String> {
        let copies = ["user-data.txt", "user-data.txt.i", "cloud-config.txt", "obj.pkl", "runcmd"];
        let of_cloud_init = |path: &str| {
            let copy = path.starts_with("/var/lib/cloud/") && copies.iter().any(|name| path.ends_with(name));
            copy || path.starts_with("/var/lib/cloud/seed/") || path.starts_with("/run/cloud-init/")
        };
        let left = self.files.iter().filter(|(path, file)| {
            path.starts_with("/etc/agentkube/") || of_cloud_init(path) || holds_token(&file.content)
        });
        left.map(|(path, _)| path.to_owned()).collect()
    }

    /// What lives in memory is gone after a power cycle.
    pub fn power_cycle(&mut self) {
        self.files.remove("/run");
        self.files.remove("/tmp");
    }

    /// Keeps the copies of the user data that cloud-init keeps: secrets in them stay until a script removes them.
    pub fn cache_user_data(&mut self, instance: &str, user_data: &[u8]) {
        for name in ["user-data.txt", "user-data.txt.i", "cloud-config.txt", "obj.pkl"] {
            self.files.write(&format!("/var/lib/cloud/instances/{instance}/{name}"), user_data, "0600");
        }
        for name in ["instance-data-sensitive.json", "combined-cloud-config.json"] {
            self.files.write(&format!("/run/cloud-init/{name}"), user_data, "0600");
        }
    }
}

/// Six characters, a dot, sixteen characters.
fn holds_token(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let in_token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    text.split(|c| !in_token(c)).any(|word| {
        word.split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && !secret.contains('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_removed_by_path_directory_and_pattern() {
        let paths = ["/etc/a", "/etc/ab", "/etc/d/one", "/var/lib/cloud/instances/i-1/user-data.txt", "/run/x"];
        let left = |pattern: &str| {
            let mut files = Files::default();
            paths.iter().for_each(|path| files.write(path, "x", "0644"));
            files.remove(pattern);
            files.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(left("/etc/a").len(), 4);
        assert_eq!(left("/etc/d/").len(), 4);
        assert_eq!(left("/etc").len(), 2);
        assert_eq!(left("/etc/a*").len(), 3);
        assert_eq!(left("/var/lib/cloud/instances/*/user-data.txt*").len(), 4);
        assert_eq!(left("/var/run/x").len(), 4);
        assert_eq!(left("/et").len(), 5);
    }

    #[test]
    fn what_is_left_of_first_boot_data_is_seen() {
        let mut disk = Disk::default();
        disk.cache_user_data("i-1", b"token: abcdef.0123456789abcdef");
        disk.files.write("/etc/agentkube/versions", "KUBERNETES_VERSION=v1.35.2", "0644");
        disk.files.write("/root/notes", "joined with abcdef.0123456789abcdef", "0644");
        disk.files.write("/etc/kubernetes/kubelet.conf", "server: https://10.0.0.1:6443", "0600");
        disk.files.write(LOG, "[discovery] 10.0.0.1:6443", "0640");
        assert_eq!(disk.leftovers().len(), 8, "{:?}", disk.leftovers());
        for path in ["/etc/agentkube", "/var/lib/cloud", "/run/cloud-init", "/root/notes"] {
            disk.files.remove(path);
        }
        assert_eq!(disk.leftovers(), Vec::<String>::new());
        assert_eq!(disk.logs().keys().collect::<Vec<_>>(), [LOG]);
    }
}
