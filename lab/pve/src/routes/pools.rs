//! `/pools`.

use lab_wire::Random;
use serde_json::{Value, json};

use super::{Call, Need, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::formats::{POOL, VMIDS, split};
use crate::params::{Kind, may, need};

const KINDS: Kind = Kind::Word(&["qemu", "lxc", "storage"]);
const CHANGE: Need = Need::All("/pool/{poolid}", &["Pool.Allocate"]);

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/pools", &[&[may("poolid", POOL), may("type", KINDS).requires("poolid")]], Need::Anyone, list),
    route(
        "GET",
        "/pools/{poolid}",
        &[&[need("poolid", POOL), may("type", KINDS)]],
        Need::All("/pool/{poolid}", &["Pool.Audit"]),
        one,
    ),
    route(
        "PUT",
        "/pools",
        &[&[
            need("poolid", POOL),
            may("vms", VMIDS),
            may("delete", Kind::Boolean),
            may("allow-move", Kind::Boolean),
            may("comment", Kind::Text),
        ]],
        CHANGE,
        update,
    ),
];

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let access = pve.access();
    let visible = |pool: &&String| access.has_any(&call.who, &format!("/pool/{pool}"), &["Pool.Audit"]);
    let asked = call.args.text("poolid");
    let chosen = pve.settings.pools.iter().filter(visible).filter(|pool| asked.is_none_or(|asked| asked == *pool));
    let entries: Vec<Value> = chosen
        .map(|pool| match asked {
            Some(_) => json!({ "poolid": pool, "members": members(pve, pool) }),
            None => json!({ "poolid": pool }),
        })
        .collect();
    Ok(Value::Array(entries).into())
}

fn one(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let pool = call.args.word("poolid");
    if !pve.settings.pools.iter().any(|known| known == pool) {
        return Err(Failure::died(format!("pool '{pool}' does not exist")));
    }
    Ok(json!({ "members": members(pve, pool) }).into())
}

fn members(pve: &Pve, pool: &str) -> Vec<Value> {
    let vms = pve.store.vms().filter(|vm| vm.pool.as_deref() == Some(pool));
    vms.map(|vm| {
        let seen = vm.broadcast.as_ref();
        let status = seen.map_or("unknown", |seen| if seen.running { "running" } else { "stopped" });
        json!({ "id": format!("qemu/{}", vm.vmid), "type": "qemu", "vmid": vm.vmid, "node": vm.node,
            "name": seen.map(|seen| seen.name.clone()), "status": status, "template": u8::from(vm.template()) })
    })
    .collect()
}

fn update(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let pool = call.args.word("poolid").to_owned();
    if !pve.settings.pools.contains(&pool) {
        return Err(Failure::died(format!("pool '{pool}' does not exist")));
    }
    let vmids: Vec<u32> = split(call.args.word("vms")).filter_map(|vmid| vmid.parse().ok()).collect();
    for vmid in vmids {
        let vm = pve.store.vm_mut(vmid).ok_or_else(|| Failure::died(format!("VM {vmid} does not exist")))?;
        if call.args.flag("delete") {
            vm.pool.take_if(|current| *current == pool);
            continue;
        }
        match &vm.pool {
            Some(other) if *other != pool && !call.args.flag("allow-move") => {
                return Err(Failure::died(format!("VM {vmid} belongs already to pool '{other}'")));
            }
            _ => vm.pool = Some(pool.clone()),
        }
    }
    Ok(Value::Null.into())
}
