//! Tasks of a node: the list, the state and the log of one, stopping it.

use lab_wire::Random;
use serde_json::{Map, Value, json};

use super::{ANY, Call, Need, ON_NODE, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled, Reply};
use crate::formats::VMID;
use crate::params::{Kind, Param, may, need};
use crate::tasks::{Task, split_user};

const NATURAL: Kind = Kind::Integer(0, i64::MAX);
const UPID: &[Param] = &[need("upid", ANY)];

pub(super) const ROUTES: &[Route] = &[
    route(
        "GET",
        "/nodes/{node}/tasks",
        &[
            ON_NODE,
            &[
                may("errors", Kind::Boolean),
                may("limit", NATURAL),
                may("since", Kind::Integer(i64::MIN, i64::MAX)),
                may("source", Kind::Word(&["archive", "active", "all"])),
                may("start", NATURAL),
                may("typefilter", ANY),
                may("until", Kind::Integer(i64::MIN, i64::MAX)),
                may("userfilter", ANY),
                may("vmid", VMID),
            ],
        ],
        Need::Anyone,
        list,
    ),
    route("GET", "/nodes/{node}/tasks/{upid}/status", &[ON_NODE, UPID], Need::Anyone, status),
    route(
        "GET",
        "/nodes/{node}/tasks/{upid}/log",
        &[ON_NODE, UPID, &[may("start", NATURAL), may("limit", NATURAL), may("download", Kind::Boolean)]],
        Need::Anyone,
        log,
    ),
    route("DELETE", "/nodes/{node}/tasks/{upid}", &[ON_NODE, UPID], Need::Anyone, stop),
];

/// A task belongs to the token that started it, and to that token's user.
fn owns(call: &Call, task: &Task) -> bool {
    task.user == call.who.id || split_user(&task.user).0 == call.who.id
}

fn visible(pve: &Pve, call: &Call, task: &Task) -> bool {
    owns(call, task) || pve.access().has(&call.who, &format!("/nodes/{}", task.node), "Sys.Audit")
}

/// A task is known to the node that its UPID names, and not before its worker has written itself down.
fn find<'a>(pve: &'a Pve, call: &Call) -> Result<(usize, &'a Task), Failure> {
    let upid = call.args.word("upid");
    if !well_formed(upid) {
        return Err(Failure::parameter("upid", format!("unable to parse worker upid '{upid}'")));
    }
    let found = pve.tasks.find(upid).filter(|(_, task)| task.node == call.node() && task.visible <= pve.now);
    found.ok_or_else(|| Failure::parameter("upid", "no such task"))
}

fn well_formed(upid: &str) -> bool {
    let parts: Vec<&str> = upid.split(':').collect();
    let hex = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c))
    };
    match parts.as_slice() {
        ["UPID", node, pid, pstart, start, kind, _, user, ""] => {
            !node.is_empty()
                && hex(pid, &[8])
                && hex(pstart, &[8, 9])
                && hex(start, &[8])
                && !kind.is_empty()
                && !user.is_empty()
        }
        _ => false,
    }
}

fn entry(task: &Task) -> Map<String, Value> {
    let (user, token) = split_user(&task.user);
    let mut entry = Map::new();
    for (key, value) in [
        ("upid", json!(task.upid)),
        ("node", json!(task.node)),
        ("pid", json!(task.pid)),
        ("pstart", json!(task.pstart)),
        ("starttime", json!(task.started / 1000)),
        ("type", json!(task.kind)),
        ("id", json!(task.id)),
        ("user", json!(user)),
    ] {
        entry.insert(key.to_owned(), value);
    }
    if let Some(token) = token {
        entry.insert("tokenid".to_owned(), json!(token));
    }
    entry
}

fn list(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let args = &call.args;
    let source = args.text("source").unwrap_or("archive");
    let failed = |task: &Task| task.exit.as_deref().is_some_and(|exit| exit != "OK" && !exit.starts_with("WARNINGS: "));
    let wanted = |task: &&Task| {
        let in_source = match source {
            "active" => task.running(),
            "archive" => !task.running(),
            _ => true,
        };
        let second = (task.started / 1000) as i64;
        let bound = |name: &str| args.text(name).and_then(|text| text.parse::<i64>().ok());
        in_source
            && task.node == call.node()
            && task.visible <= pve.now
            && visible(pve, call, task)
            && (!args.flag("errors") || failed(task))
            && args.text("typefilter").is_none_or(|kind| kind == task.kind)
            && args.text("vmid").is_none_or(|vmid| vmid == task.id)
            && args.text("userfilter").is_none_or(|user| task.user.contains(user))
            && bound("since").is_none_or(|since| second >= since)
            && bound("until").is_none_or(|until| second <= until)
    };
    let chosen: Vec<&Task> = pve.tasks.all().iter().rev().filter(wanted).collect();
    let page = chosen
        .iter()
        .skip(args.number("start").unwrap_or(0) as usize)
        .take(args.number("limit").unwrap_or(50) as usize);
    let data = page.map(|task| {
        let mut entry = entry(task);
        if let (Some(ended), Some(exit)) = (task.ended, &task.exit) {
            entry.insert("endtime".to_owned(), json!(ended / 1000));
            entry.insert("status".to_owned(), json!(exit));
        }
        Value::Object(entry)
    });
    Ok(Reply { data: Value::Array(data.collect()), total: Some(chosen.len() as u64), at: None })
}

fn status(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let (_, task) = find(pve, call)?;
    if !visible(pve, call, task) {
        return Err(Failure::denied(format!("Permission check failed (/nodes/{}, Sys.Audit)", task.node)));
    }
    let mut entry = entry(task);
    entry.insert("status".to_owned(), json!(if task.running() { "running" } else { "stopped" }));
    if let Some(exit) = &task.exit {
        entry.insert("exitstatus".to_owned(), json!(exit));
    }
    Ok(Value::Object(entry).into())
}

fn log(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let (_, task) = find(pve, call)?;
    if !visible(pve, call, task) {
        return Err(Failure::denied(format!("Permission check failed (/nodes/{}, Sys.Audit)", task.node)));
    }
    let start = call.args.number("start").unwrap_or(0) as usize;
    let limit = call.args.number("limit").filter(|limit| *limit > 0).unwrap_or(50) as usize;
    let lines = task.log.iter().enumerate().skip(start).take(limit);
    let mut data: Vec<Value> = lines.map(|(at, line)| json!({ "n": at + 1, "t": line })).collect();
    if task.log.is_empty() {
        data.push(json!({ "n": 1, "t": "no content" }));
    }
    Ok(Reply { data: Value::Array(data), total: Some(task.log.len() as u64), at: None })
}

fn stop(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    let (index, task) = find(pve, call)?;
    if !owns(call, task) {
        let access = pve.access();
        access.check(&call.who, &format!("/nodes/{}", task.node), &["Sys.Modify"]).map_err(Failure::denied)?;
    }
    if task.running() {
        pve.abort(index, pve.now);
    }
    Ok(Value::Null.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upids_are_recognised() {
        assert!(well_formed("UPID:pve1:00000ACD:00006AE8:679A423B:qmclone:9000:capmox@pve!nodes:"));
        assert!(well_formed("UPID:pve1:00000ACD:100006AE8:679A423B:imgcopy::root@pam:"));
        assert!(!well_formed("UPID:pve1:00000acd:00006AE8:679A423B:qmclone:9000:root@pam:"));
        assert!(!well_formed("qmclone"));
    }
}
