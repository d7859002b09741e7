//! What a machine wrote during its first boot, read through the guest agent.
//!
//! The agent is asked for the file and not for a command: since 9.0 reading takes `VM.GuestAgent.FileRead`, while running `tail` would
//! take `VM.GuestAgent.Unrestricted`, which is a shell as root in every VM of the pool. On 8 both are in `VM.Monitor`.

use agentkube_sdk::machine::MachineKey;
use agentkube_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::Proxmox;
use crate::api::{at, fetch, is_set};

/// Where cloud-init keeps what the commands of the first boot said.
const LOG: &str = "/var/log/cloud-init-output.log";
/// The most bytes of it that the contract allows.
const TAIL: usize = 16 * 1024;

/// The privilege that reading a file through the agent takes, in this major version.
pub(crate) fn privilege(major: u32) -> &'static str {
    if major >= 9 { "VM.GuestAgent.FileRead" } else { "VM.Monitor" }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    content: String,
    /// The agent reads 16 MiB from the beginning and no further.
    #[serde(default)]
    truncated: Value,
}

impl Proxmox {
    /// The end of the machine's first-boot log.
    pub(crate) async fn first_boot_log(&self, call: &Call, key: &MachineKey, id: &str) -> Result<String> {
        if !self.config.bootstrap_log {
            let message = "set `bootstrap-log` in the plugin's configuration to see what happened inside";
            return Err(Fault::unsupported("BOOTSTRAP_LOG_OFF", message));
        }
        let machine = self.present(call, key, id).await?;
        let request = self.api.get(at!("nodes", machine.node, "qemu", machine.vmid, "agent", "file-read"));
        let file: File = match fetch(request.query("file", LOG)).await {
            Ok(file) => file,
            // cloud-init has not begun.
            Err(fault) if fault.message.contains("failed to open file") => return Ok(String::new()),
            Err(fault) => return Err(fault),
        };
        let end = end_of(&file.content);
        Ok(if is_set(&file.truncated) { format!("{end}\n(the log goes on; the agent reads no further)") } else { end })
    }
}

/// The last lines, whole ones.
fn end_of(text: &str) -> String {
    let Some(from) = text.len().checked_sub(TAIL) else { return text.to_owned() };
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let end = text.get(from..).unwrap_or_default();
    end.split_once('\n').map_or(end, |(_, whole)| whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_whole_lines_and_fits_the_contract() {
        assert_eq!(end_of("a\nb\n"), "a\nb\n");
        let long: String = (0..4000).map(|n| format!("lüne {n}\n")).collect();
        let end = end_of(&long);
        assert!(end.len() <= TAIL && end.ends_with("lüne 3999\n") && end.starts_with("lüne "), "{}", end.len());
        assert!(end_of(&"ü".repeat(TAIL)).len() <= TAIL);
    }

    #[test]
    fn the_privilege_is_the_versions() {
        assert_eq!((privilege(8), privilege(9)), ("VM.Monitor", "VM.GuestAgent.FileRead"));
    }
}
