//! Volumes of a storage: listing, upload, removal.

use lab_wire::{Millis, Random};
use serde_json::{Map, Value, json};

use super::storage::LOOK;
use super::{ANY, Call, Need, ON_STORAGE, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::effects::Effect;
use crate::formats::{NODE, STORAGE, VMID};
use crate::params::{Kind, Param, may, need};
use crate::server::later;
use crate::settings::Release;
use crate::store::Volume;
use crate::tasks::Step;

const ALGORITHMS: Kind = Kind::Word(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]);

/// A volume id names its storage itself.
const ON_VOLUME: &[Param] = &[need("node", NODE), may("storage", STORAGE), need("volume", ANY)];

pub(super) const ROUTES: &[Route] = &[
    route(
        "GET",
        "/nodes/{node}/storage/{storage}/content",
        &[ON_STORAGE, &[may("content", ANY), may("vmid", VMID)]],
        Need::Any("/storage/{storage}", LOOK),
        list,
    ),
    // The node that receives an upload copies the file to its target itself: the task runs there.
    Route {
        proxied: false,
        upload: true,
        ..route(
            "POST",
            "/nodes/{node}/storage/{storage}/upload",
            &[
                ON_STORAGE,
                &[
                    need("content", Kind::Word(&["iso", "vztmpl", "import"])),
                    need("filename", Kind::Short(255)),
                    may("checksum", ANY).requires("checksum-algorithm"),
                    may("checksum-algorithm", ALGORITHMS).requires("checksum"),
                ],
            ],
            Need::All("/storage/{storage}", &["Datastore.AllocateTemplate"]),
            upload,
        )
    },
    route("GET", "/nodes/{node}/storage/{storage}/content/{volume}", &[ON_VOLUME], Need::Anyone, one),
    route(
        "DELETE",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        &[ON_VOLUME, &[may("delay", Kind::Integer(1, 30))]],
        Need::Anyone,
        delete,
    ),
];

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let storage = pve.known_storage(call.args.word("storage"))?;
    let (content, vmid) = (call.args.text("content"), call.args.text("vmid").map(|_| call.args.vmid("vmid")));
    let access = pve.access();
    let wanted = |volume: &&Volume| {
        // Disks are shown to whoever may see their VM.
        let visible = volume.vmid.is_none_or(|vmid| {
            access.has(&call.who, &format!("/vms/{vmid}"), "VM.Audit")
                || access.has(&call.who, &format!("/storage/{}", storage.id), "Datastore.Allocate")
        });
        volume.storage == storage.id
            && volume.node.as_deref().is_none_or(|node| node == call.node())
            && content.is_none_or(|content| content == volume.content())
            && vmid.is_none_or(|vmid| volume.vmid == Some(vmid))
            && visible
    };
    Ok(Value::Array(pve.store.volumes().filter(wanted).map(entry).collect()).into())
}

fn entry(volume: &Volume) -> Value {
    let mut entry = Map::new();
    entry.insert("volid".to_owned(), json!(volume.id()));
    entry.insert("content".to_owned(), json!(volume.content()));
    entry.insert("format".to_owned(), json!(volume.format()));
    entry.insert("size".to_owned(), json!(volume.size));
    entry.insert("ctime".to_owned(), json!(volume.ctime));
    if let Some(vmid) = volume.vmid {
        entry.insert("vmid".to_owned(), json!(vmid));
    }
    if let Some(parent) = &volume.parent {
        entry.insert("parent".to_owned(), json!(parent.split_once(':').map_or(parent.as_str(), |(_, name)| name)));
    }
    Value::Object(entry)
}

fn upload(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let Some(bytes) = call.file.clone() else {
        return Err(Failure::parameter("tmpfilename", "missing temporary file"));
    };
    let storage = pve.known_storage(call.args.word("storage"))?;
    let (id, shared) = (storage.id.clone(), storage.shared);
    if pve.settings.node(call.node()).is_none() {
        return Err(Failure::died(format!("no such cluster node '{}'", call.node())));
    }
    let content = call.args.word("content");
    if content == "import" && pve.settings.release < Release::V8_4 {
        let text = "value 'import' does not have a value in the enumeration 'iso, vztmpl'";
        return Err(Failure::parameter("content", text));
    }
    if !storage.path_based() {
        return Err(Failure::died(format!("can't upload to storage type '{}'", storage.kind)));
    }
    if !storage.content.iter().any(|known| known == content) {
        return Err(Failure::died(format!("storage '{id}' does not support '{content}' content")));
    }
    let filename = file_name(call.args.word("filename"));
    let lower = filename.to_lowercase();
    let extensions: &[&str] = match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar.gz", ".tar.xz", ".tar.zst"],
        _ => &[".ova", ".qcow2", ".raw", ".vmdk"],
    };
    if !extensions.iter().any(|extension| lower.ends_with(extension)) {
        return Err(Failure::parameter("filename", "wrong file extension"));
    }
    if call.node() != call.receiver && pve.faults.upload_lost {
        let digest = crate::checksum::hex("md5", filename.as_bytes());
        return Err(Failure::died(format!("stat local \"/var/tmp/pveupload-{digest}\": No such file or directory")));
    }
    let volume = Volume {
        storage: id,
        node: (!shared).then(|| call.node().to_owned()),
        name: format!("{content}/{filename}"),
        size: bytes.len() as u64,
        bytes,
        vmid: None,
        ctime: pve.now / 1000,
        parent: None,
    };
    let checksum = call.args.text("checksum-algorithm").map(str::to_owned);
    let checksum = checksum.zip(call.args.text("checksum").map(str::to_owned));
    let steps = vec![Step::Wait(pve.millis(|d| d.upload)), Step::Do(Effect::Store { volume, checksum })];
    Ok(pve.spawn(&call.receiver, "imgcopy", "", &call.who, steps).into())
}

/// The last part of a name with everything unusual replaced.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

/// The volume in the path: with or without its storage.
fn volume_id(call: &Call) -> Result<String, Failure> {
    let (storage, volume) = (call.args.word("storage"), call.args.word("volume"));
    match volume.split_once(':') {
        Some((named, _)) if named != storage => {
            Err(Failure::parameter("storage", format!("storage '{storage}' does not match volume '{volume}'")))
        }
        Some(_) => Ok(volume.to_owned()),
        None => Ok(format!("{storage}:{volume}")),
    }
}

fn one(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let volid = volume_id(call)?;
    pve.access()
        .check_any(&call.who, &format!("/storage/{}", call.args.word("storage")), LOOK)
        .map_err(Failure::denied)?;
    let volume = pve.store.volume(&pve.settings, &volid, call.node());
    let volume = volume.ok_or_else(|| Failure::died(format!("volume '{volid}' does not exist")))?;
    Ok(json!({ "path": format!("/mnt/{}/{}", volume.storage, volume.name), "size": volume.size, "used": volume.size,
        "format": volume.format() })
    .into())
}

fn delete(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let volid = volume_id(call)?;
    pve.known_storage(call.args.word("storage"))?;
    let path = format!("/storage/{}", call.args.word("storage"));
    pve.access().check(&call.who, &path, &["Datastore.Allocate"]).map_err(Failure::denied)?;
    let took = pve.millis(|d| d.delete_volume);
    let steps = vec![Step::Wait(took), Step::Do(Effect::DeleteVolume { volid, node: call.node().to_owned() })];
    let upid = pve.spawn(call.node(), "imgdel", "", &call.who, steps);
    // The delay is how long the request waits for its task: if that ends in time there is nothing more to ask about.
    let troubled = pve.tasks.find(&upid).is_some_and(|(_, task)| task.fault.is_some());
    match call.args.number("delay").map(|seconds| pve.settings.scaled(seconds * 1000)) {
        None => Ok(upid.into()),
        Some(delay) if troubled || took > delay => Ok(later(upid, pve.now + delay)),
        Some(_) => {
            let end: Millis = pve.now + took;
            Ok(later(Value::Null, end))
        }
    }
}
