//! `/storage` and what a node says about its storages.

use lab_wire::Random;
use serde_json::{Value, json};

use super::{Call, Need, ON_NODE, ON_STORAGE, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::formats::{NODE, STORAGE, split};
use crate::params::{Kind, may};
use crate::settings::Storage;

const KINDS: Kind = Kind::Word(&[
    "btrfs",
    "cephfs",
    "cifs",
    "dir",
    "esxi",
    "iscsi",
    "iscsidirect",
    "lvm",
    "lvmthin",
    "nfs",
    "pbs",
    "rbd",
    "zfs",
    "zfspool",
]);
/// Who may look at a storage.
pub(super) const LOOK: &[&str] = &["Datastore.Audit", "Datastore.AllocateSpace"];

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/storage", &[&[may("type", KINDS)]], Need::Anyone, configured),
    route(
        "GET",
        "/nodes/{node}/storage",
        &[
            ON_NODE,
            &[
                may("content", Kind::Text),
                may("storage", STORAGE),
                may("enabled", Kind::Boolean),
                may("target", NODE),
                may("format", Kind::Boolean),
            ],
        ],
        Need::Anyone,
        list,
    ),
    route(
        "GET",
        "/nodes/{node}/storage/{storage}/status",
        &[ON_STORAGE],
        Need::Any("/storage/{storage}", LOOK),
        status,
    ),
];

fn configured(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let wanted = |storage: &&Storage| {
        call.args.text("type").is_none_or(|kind| kind == storage.kind)
            && access.has_any(&call.who, &format!("/storage/{}", storage.id), LOOK)
    };
    let all = pve.settings.storages.iter().filter(wanted).map(|storage| {
        json!({ "storage": storage.id, "type": storage.kind, "content": storage.content.join(","),
            "shared": u8::from(storage.shared), "digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709" })
    });
    Ok(Value::Array(all.collect()).into())
}

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let contents: Vec<&str> = split(call.args.word("content")).collect();
    let wanted = |storage: &&Storage| {
        call.args.text("storage").is_none_or(|id| id == storage.id)
            && (call.args.text("target").is_none_or(|target| target == call.node()) || storage.shared)
            && (contents.is_empty() || storage.content.iter().any(|content| contents.contains(&content.as_str())))
            && access.has_any(&call.who, &format!("/storage/{}", storage.id), LOOK)
    };
    let all = pve.settings.storages.iter().filter(wanted).map(|storage| {
        let mut entry = info(pve, storage, call.node());
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("storage".to_owned(), json!(storage.id));
            let used = entry.get("used").and_then(Value::as_u64).unwrap_or_default();
            entry.insert("used_fraction".to_owned(), json!(used as f64 / storage.total.max(1) as f64));
        }
        entry
    });
    Ok(Value::Array(all.collect()).into())
}

fn status(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let storage = pve.known_storage(call.args.word("storage"))?;
    Ok(info(pve, storage, call.node()).into())
}

fn info(pve: &Pve, storage: &Storage, node: &str) -> Value {
    let full = pve.faults.full.contains(&storage.id);
    let used = if full { storage.total } else { pve.store.used(&storage.id, node) };
    json!({ "type": storage.kind, "content": storage.content.join(","), "shared": u8::from(storage.shared), "active": 1,
        "enabled": 1, "total": storage.total, "used": used, "avail": storage.total.saturating_sub(used) })
}

impl Pve {
    /// A storage by its id.
    pub(crate) fn known_storage(&self, id: &str) -> Result<&Storage, Failure> {
        self.settings.storage(id).ok_or_else(|| Failure::died(format!("storage '{id}' does not exist")))
    }
}
