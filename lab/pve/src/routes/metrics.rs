//! `rrddata` of VMs and nodes.

use lab_wire::Random;
use serde_json::{Map, Value, json};

use super::{Call, Need, ON_NODE, ON_VM, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::params::{Kind, Param, may, need};
use crate::settings::Release;

const CONSOLIDATION: Kind = Kind::Word(&["AVERAGE", "MAX"]);
const VM_RANGE: &[Param] =
    &[need("timeframe", Kind::Word(&["hour", "day", "week", "month", "year"])), may("cf", CONSOLIDATION)];
const NODE_RANGE: &[Param] =
    &[need("timeframe", Kind::Word(&["hour", "day", "week", "month", "year", "decade"])), may("cf", CONSOLIDATION)];

pub(super) const ROUTES: &[Route] = &[
    route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/rrddata",
        &[ON_VM, VM_RANGE],
        Need::All("/vms/{vmid}", &["VM.Audit"]),
        of_vm,
    ),
    route("GET", "/nodes/{node}/rrddata", &[ON_NODE, NODE_RANGE], Need::All("/nodes/{node}", &["Sys.Audit"]), of_node),
];

/// Seconds per point and number of points: 9 keeps far finer archives than 8.
fn archive(release: Release, timeframe: &str) -> (u64, u64) {
    match (release >= Release::V9_1, timeframe) {
        (_, "hour") => (60, 60),
        (true, "day") => (60, 1440),
        (true, "week") => (1800, 336),
        (true, "month") => (1800, 1440),
        (true, "year") => (21_600, 1460),
        (true, _) => (604_800, 522),
        (false, "day") => (1800, 70),
        (false, "week") => (10_800, 70),
        (false, "month") => (43_200, 70),
        (false, _) => (604_800, 70),
    }
}

/// Points up to now; those from before `since` have no values, as archives do.
fn points(pve: &Pve, timeframe: &str, since: Option<u64>, values: Map<String, Value>) -> Value {
    let (step, count) = archive(pve.settings.release, timeframe);
    let last = pve.now / 1000 / step * step;
    let points = (0..count).rev().map(|back| {
        let time = last.saturating_sub(back * step);
        let mut point = Map::from_iter([("time".to_owned(), json!(time))]);
        if since.is_some_and(|since| time >= since / 1000) {
            point.extend(values.clone());
        }
        Value::Object(point)
    });
    Value::Array(points.collect())
}

fn of_vm(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let vm = pve.local_vm(call)?;
    let memory = vm.memory_mib() << 20;
    let values = json!({ "cpu": 0.01, "maxcpu": vm.cores(), "mem": memory / 2, "maxmem": memory, "disk": 0,
        "maxdisk": vm.disk(), "netin": 120.5, "netout": 80.25, "diskread": 0.0, "diskwrite": 512.0 });
    let mut values = values.as_object().cloned().unwrap_or_default();
    if pve.settings.release >= Release::V9_1 {
        for pressure in ["pressurecpusome", "pressurecpufull", "pressureiosome", "pressureiofull"] {
            values.insert(pressure.to_owned(), json!(0.0));
        }
        values.insert("memhost".to_owned(), json!(memory / 2));
    }
    let since = vm.running.as_ref().map(|running| running.since);
    Ok(points(pve, call.args.word("timeframe"), since, values).into())
}

fn of_node(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let timeframe = call.args.word("timeframe");
    if timeframe == "decade" && pve.settings.release < Release::V9_1 {
        let text = "value 'decade' does not have a value in the enumeration 'hour, day, week, month, year'";
        return Err(Failure::parameter("timeframe", text));
    }
    let Some(node) = pve.settings.node(call.node()) else { return Ok(Value::Null.into()) };
    let values = json!({ "cpu": 0.03, "maxcpu": node.cpus, "loadavg": 0.3, "iowait": 0.0, "memused": pve.memory_used(&node.name),
        "memtotal": node.memory, "netin": 1200.0, "netout": 800.0, "roottotal": 64u64 << 30, "rootused": 8u64 << 30 });
    Ok(points(pve, timeframe, Some(0), values.as_object().cloned().unwrap_or_default()).into())
}
