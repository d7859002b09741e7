//! The proof, counted from the lab's own state: what the servers hold, whatever the daemon says of itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lab_cluster::AdminCluster;
use serde_json::Value;

use super::screen::Screen;
use crate::lab::Lab;
use crate::{Clock, Error};

/// How long the lab's machines may take to clean up, and to notice that their hypervisor removed them.
const NOTICE: Duration = Duration::from_secs(1);

/// Something of which nothing may be left, and what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub what: &'static str,
    /// What is there, by name.
    pub left: Vec<String>,
}

/// What the lab held before the first order.
#[derive(Clone, Debug)]
pub struct Baseline {
    namespaces: BTreeSet<String>,
    objects: BTreeSet<String>,
}

impl Baseline {
    /// Takes it.
    pub fn take(lab: &Lab) -> Self {
        Baseline {
            namespaces: lab.admin(|cluster| names(cluster, "", "namespaces")).into_iter().collect(),
            objects: lab.proxmox(|pve| pve.leftovers()).into_iter().collect(),
        }
    }
}

/// While the cluster lives: nothing that would let another machine join, nowhere.
pub async fn nothing_to_join_with(lab: &Lab) -> Vec<Count> {
    // The last command on a machine runs beside its first minutes as a node.
    let gone_by = Instant::now() + NOTICE;
    while !files_to_join_with(lab).is_empty() && Instant::now() < gone_by {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let user_data = lab.toy(|cloud| {
        cloud.machines().filter(|machine| machine.user_data.is_some()).map(|machine| machine.name.clone()).collect()
    });
    vec![
        Count { what: "live join tokens", left: live_tokens(lab) },
        Count { what: "seed images on Proxmox VE", left: seeds(lab) },
        Count { what: "user data kept by the toy cloud", left: user_data },
        Count { what: "files on the machines with a join token", left: files_to_join_with(lab) },
    ]
}

/// After a delete: nothing at all. `ledger` is what the daemon says that it owns.
pub async fn nothing_left(lab: &Lab, baseline: &Baseline, ledger: &Value) -> Vec<Count> {
    let gone_by = Instant::now() + NOTICE;
    while !lab.machines().all().is_empty() && Instant::now() < gone_by {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    everything(lab, baseline, ledger)
}

/// All that the servers hold now and did not hold at the start.
pub fn everything(lab: &Lab, baseline: &Baseline, ledger: &Value) -> Vec<Count> {
    let machines = lab.machines().all();
    let files = machines.iter().flat_map(|machine| {
        machine.disk.files.iter().map(|(path, _)| format!("{path} on {}", machine.name)).collect::<Vec<_>>()
    });
    let planes = lab.admin(|cluster| names(cluster, "kamaji.clastix.io", "tenantcontrolplanes"));
    let servers = lab.admin(|cluster| cluster.tenants().map(|((space, name), _)| format!("{space}/{name}")).collect());
    let mut namespaces = lab.admin(|cluster| names(cluster, "", "namespaces"));
    namespaces.retain(|name| !baseline.namespaces.contains(name));
    // VMs first, then volumes that belong to no template.
    let mut vms = lab.proxmox(|pve| pve.leftovers());
    vms.retain(|object| !baseline.objects.contains(object));
    let seeds = seeds(lab);
    let disks =
        vms.extract_if(.., |object| !object.starts_with("VM ")).filter(|volume| !seeds.contains(volume)).collect();
    let machines_of_toy = lab.toy(|cloud| cloud.machines().map(|machine| machine.name.clone()).collect());
    let rows = ledger.as_array().into_iter().flatten().map(|row| {
        let field = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{} {} of {}", field("kind"), field("name"), field("plugin"))
    });
    vec![
        Count { what: "TenantControlPlanes", left: planes },
        Count { what: "API servers of tenants", left: servers },
        Count { what: "namespaces in the admin cluster", left: namespaces },
        Count { what: "VMs on Proxmox VE", left: vms },
        Count { what: "disks on Proxmox VE", left: disks },
        Count { what: "seed images on Proxmox VE", left: seeds },
        Count { what: "machines in the toy cloud", left: machines_of_toy },
        Count { what: "files of machines", left: files.collect() },
        Count { what: "live join tokens", left: live_tokens(lab) },
        Count { what: "live rows in the ledger", left: rows.collect() },
    ]
}

/// Prints the counts; an error when one is not 0.
pub fn show(screen: &Screen, counts: &[Count]) -> Result<(), Error> {
    for Count { what, left } in counts {
        screen.say(format!("{:>4}  {what}", left.len()));
    }
    none(counts)
}

/// Prints the counts beside those taken while the cluster lived; an error when one is not 0, or when nothing was seen before
/// either: a count that never finds anything proves nothing.
pub fn show_gone(screen: &Screen, before: &[Count], after: &[Count]) -> Result<(), Error> {
    screen.say(" now  before");
    for (Count { what, left }, was) in after.iter().zip(before) {
        screen.say(format!("{:>4}  {:>6}  {what}", left.len(), was.left.len()));
    }
    none(after)?;
    match before.iter().filter(|count| !count.left.is_empty()).count() {
        0..6 => Err(Error::Daemon("the counts did not see the cluster while it lived".to_owned())),
        _ => Ok(()),
    }
}

fn none(counts: &[Count]) -> Result<(), Error> {
    let all = counts.iter().flat_map(|count| count.left.iter().map(|object| format!("{}: {object}", count.what)));
    let wrong: Vec<String> = all.collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::Daemon(format!("this is left:\n  {}", wrong.join("\n  ")))),
    }
}

fn names(cluster: &AdminCluster, group: &str, plural: &str) -> Vec<String> {
    let objects = cluster.admin().objects(group, plural, None);
    objects.iter().filter_map(|object| object.pointer("/metadata/name")?.as_str().map(str::to_owned)).collect()
}

fn live_tokens(lab: &Lab) -> Vec<String> {
    let tokens = lab.admin(|cluster| cluster.live_tokens(Clock::real().now()));
    tokens.into_iter().map(|(_, cluster, id)| format!("{id} of {cluster}")).collect()
}

fn files_to_join_with(lab: &Lab) -> Vec<String> {
    let machines = lab.machines().all();
    let files = machines.iter().flat_map(|machine| {
        let secret = machine.disk.files.iter().filter(|(_, file)| holds_join_material(&file.content));
        secret.map(|(path, _)| format!("{path} on {}", machine.name))
    });
    files.collect()
}

fn seeds(lab: &Lab) -> Vec<String> {
    lab.proxmox(|pve| pve.volumes().filter(|volume| volume.content() == "iso").map(lab_pve::Volume::id).collect())
}

/// Whether a file holds a bootstrap token (`abcdef.0123456789abcdef`) or a configuration of kubeadm that joins with one.
fn holds_join_material(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let token = |candidate: &str| {
        candidate.split_once('.').is_some_and(|(id, secret)| {
            id.len() == 6 && secret.len() == 16 && id.chars().all(word) && secret.chars().all(word)
        })
    };
    text.contains("JoinConfiguration") || text.split(|c: char| !word(c) && c != '.').any(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        assert!(holds_join_material(b"kubeadm join --token abcdef.0123456789abcdef --x"));
        assert!(holds_join_material(b"token: \"abcdef.0123456789abcdef\""));
        assert!(holds_join_material(b"kind: JoinConfiguration\n"));
        assert!(!holds_join_material(b"server: https://127.64.1.1:6443\nversion: v1.35.2\n"));
        assert!(!holds_join_material(b"abcdef.0123456789abcdef0"));
    }

    #[test]
    fn what_is_left_is_an_error_that_names_it() {
        let nothing = Count { what: "VMs", left: Vec::new() };
        assert!(show(&Screen::new(), std::slice::from_ref(&nothing)).is_ok());
        let blind = vec![nothing.clone(); 10];
        assert!(show_gone(&Screen::new(), &blind, &blind).is_err());
        let left = Count { what: "seed images", left: vec!["seeds:iso/a.iso".to_owned()] };
        let error = show(&Screen::new(), &[nothing, left]).unwrap_err().to_string();
        assert!(error.contains("seed images: seeds:iso/a.iso"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_that_was_never_deleted_is_counted() {
        let lab = Lab::start(crate::lab::Options::scaled(100)).await.unwrap();
        let baseline = Baseline::take(&lab);
        let counts = nothing_left(&lab, &baseline, &Value::Array(Vec::new())).await;
        assert!(counts.iter().all(|count| count.left.is_empty()), "{counts:?}");
        lab.proxmox(|pve| pve.fault(lab_pve::Fault::ForeignVm(555, "pve1".to_owned())));
        let ledger = serde_json::json!([{ "kind": "machine", "name": "a-01", "plugin": "machines" }]);
        let counts = nothing_left(&lab, &baseline, &ledger).await;
        let left: Vec<&str> = counts.iter().filter(|count| !count.left.is_empty()).map(|count| count.what).collect();
        assert_eq!(left, ["VMs on Proxmox VE", "live rows in the ledger"]);
        lab.shutdown().await;
    }
}
