//! What a join may not leave behind: on a machine, and on the storage of its hypervisor.

use agentkube_lab::Lab;

/// Where our files and cloud-init's copies of the user data stand during the first boot.
const PLACES: &[&str] = &["/etc/agentkube", "/var/lib/cloud/seed", "/etc/kubernetes/bootstrap-kubelet.conf"];
/// What the text of the user data holds.
const WORDS: &[&str] = &["#cloud-config", "JoinConfiguration", "caCertHashes"];

/// Everything of ours that is still on a machine or its storage: seed, token, configuration of the join, cached user data.
pub fn traces(lab: &Lab) -> Vec<String> {
    let mut found = Vec::new();
    for machine in lab.machines().all() {
        for (path, file) in machine.disk.files.iter() {
            let text = String::from_utf8_lossy(&file.content);
            let why = match () {
                () if PLACES.iter().any(|place| path.starts_with(place)) => "its place",
                () if WORDS.iter().any(|word| text.contains(word)) => "user data in it",
                () if has_token(&text) => "a token in it",
                () => continue,
            };
            found.push(format!("{}: {path}: {why}", machine.name));
        }
    }
    lab.proxmox(|pve| {
        let images = pve.volumes().filter(|volume| volume.content() == "iso").map(|volume| volume.id());
        found.extend(images.map(|image| format!("seed image {image}")));
        for vm in pve.vms().filter(|vm| !vm.template()) {
            let traces = vm.config.iter().filter(|(_, value)| value.contains("iso/") || has_token(value));
            found.extend(traces.map(|(key, value)| format!("{}: {key}: {value}", vm.name())));
        }
    });
    found
}

/// Whether a text holds something of the shape of a bootstrap token.
fn has_token(text: &str) -> bool {
    let plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .filter_map(|word| word.split_once('.'))
        .any(|(id, secret)| id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret))
}

#[cfg(test)]
mod tests {
    use super::has_token;

    #[test]
    fn a_token_is_seen_in_any_text() {
        assert!(has_token("token: \"abc123.0123456789abcdef\"\n"));
        assert!(!has_token("https://pkgs.k8s.io 10.244.0.0/16 server.example abc123.0123456789abcde"));
    }
}
