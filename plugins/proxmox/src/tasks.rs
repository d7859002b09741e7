//! Tasks: what runs after a request was answered, and what a killed call left running.

use std::fmt;

use agentkube_sdk::clock;
use agentkube_sdk::ledger::{self, Item};
use agentkube_sdk::prelude::*;
use agentkube_sdk::wait::{self, Backoff};
use serde::Deserialize;

use crate::api::{at, fetch, upid_in};
use crate::{Proxmox, faults};

/// The id of a task: `UPID:node:pid:pstart:starttime:type:id:user:`. It is known to the node that it names and to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upid {
    text: String,
    pub node: String,
    pub kind: String,
}

impl Upid {
    /// `None` when it is none.
    pub fn parse(text: &str) -> Option<Upid> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["UPID", node, _, _, _, kind, _, _, ""] if !node.is_empty() => {
                Some(Upid { text: text.to_owned(), node: (*node).to_owned(), kind: (*kind).to_owned() })
            }
            _ => None,
        }
    }

    /// How many times the usual pause pass before a task of this kind may be over.
    fn patience(&self) -> u64 {
        match self.kind.as_str() {
            "qmclone" | "qmstart" => 4,
            "qmstop" | "qmshutdown" | "qmdestroy" => 3,
            "imgcopy" | "resize" => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    exitstatus: Option<String>,
}

/// A task of the archive.
#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    status: String,
    #[serde(default)]
    starttime: u64,
    #[serde(default)]
    endtime: u64,
}

/// How many clones tell how long the next one will take.
const LAST_CLONES: u32 = 10;

#[derive(Deserialize)]
struct Listed {
    upid: String,
}

impl Proxmox {
    /// Waits until a task is over that was started at a time, and gives its last words.
    async fn ended(&self, call: &Call, upid: &Upid, began: u64) -> Result<String> {
        let timings = &self.config.timings;
        let killed = || "unexpected status".to_owned();
        let pauses = Backoff::growing(timings.first_poll_ms * 2, timings.longest_poll_ms);
        wait::until(call.deadline_ms, pauses, || async {
            let request = self.api.get(at!("nodes", upid.node, "tasks", upid, "status"));
            match fetch::<Status>(request).await {
                Ok(task) if task.status == "running" => Ok(None),
                Ok(task) => Ok(Some(task.exitstatus.unwrap_or_else(killed))),
                // A task that was just started is not in its node's list yet.
                Err(fault) if fault.message.contains("no such task") => {
                    Ok((clock::now() >= began + timings.task_grace_ms).then(killed))
                }
                // A node that left the cluster runs nothing.
                Err(fault) if fault.code == "NODE_UNKNOWN" => Ok(Some(killed())),
                Err(fault) => Err(fault),
            }
        })
        .await
    }

    /// Waits for a task that was started just now; its failure is the fault that its last words mean. It is first looked at after so
    /// many milliseconds, or a little later.
    async fn finished(&self, call: &Call, upid: &Upid, least: u64) -> Result<()> {
        let began = clock::now();
        // No task is over at once, and none is in its node's list yet.
        let pause = (self.config.timings.first_poll_ms * upid.patience()).max(least);
        clock::sleep(pause.min(call.deadline_ms.saturating_sub(began + wait::MARGIN_MS))).await;
        let exit = self.ended(call, upid, began).await?;
        let well = exit == "OK" || exit.starts_with("WARNINGS: ");
        if well { Ok(()) } else { Err(faults::of_task(&upid.kind, &exit)) }
    }

    /// Waits for the task that a request started, if its work was not done already.
    pub(crate) async fn done(&self, call: &Call, upid: Option<Upid>) -> Result<()> {
        match upid {
            Some(upid) => self.finished(call, &upid, 0).await,
            None => Ok(()),
        }
    }

    /// The same for a full clone of a template, which takes from seconds to many minutes: before three quarters of what the quickest
    /// of the last ones took there is nothing to see.
    pub(crate) async fn copied(&self, call: &Call, upid: Option<Upid>, template: u32) -> Result<()> {
        let Some(upid) = upid else { return Ok(()) };
        let path = at!("nodes", upid.node, "tasks");
        let request =
            self.api.get(path).query("typefilter", "qmclone").query("vmid", template).query("limit", LAST_CLONES);
        let last: Vec<Ended> = fetch(request).await.unwrap_or_default();
        let took =
            last.iter().filter(|task| task.status == "OK").map(|task| task.endtime.saturating_sub(task.starttime));
        // Times are whole seconds.
        let least = took.min().unwrap_or(0).saturating_sub(1) * 750;
        self.finished(call, &upid, least).await
    }

    /// Ends the doubt that a killed call or a lost answer left: when this returns, nothing that was asked for with this entry still
    /// runs. How it ended is not told: look at what is.
    pub(crate) async fn settle(&self, call: &Call, item: Item) -> Result<Item> {
        let Some(doubtful) = doubtful(&item) else {
            self.last_ended(call, &item).await?;
            return Ok(item);
        };
        // The request may still be under way: its answer is written down when it comes.
        let (kind, name) = (item.kind.clone(), item.name.clone());
        let patience = clock::now() + self.config.timings.visibility_ms;
        let mut item = item;
        while clock::now() < patience {
            clock::sleep((self.config.timings.visibility_ms / 4).max(1)).await;
            item = ledger::intend(&kind, &name, "").await?;
            if item.in_doubt.is_none() && self.last_ended(call, &item).await? {
                return Ok(item);
            }
        }
        for upid in self.active(call, &doubtful).await? {
            self.ended(call, &upid, clock::now()).await?;
        }
        Ok(item)
    }

    /// Waits for the task of the last answer; false when that names none.
    async fn last_ended(&self, call: &Call, item: &Item) -> Result<bool> {
        let Some(answer) = &item.last_answer else { return Ok(false) };
        let Some(upid) = upid_in(&answer.body) else { return Ok(false) };
        self.ended(call, &upid, answer.at_ms).await?;
        Ok(true)
    }

    /// Tasks that run and may be what a request started.
    async fn active(&self, call: &Call, request: &str) -> Result<Vec<Upid>> {
        let segments: Vec<&str> = request.split('/').collect();
        match segments.as_slice() {
            [_, "api2", _, "nodes", node, "qemu", vmid, ..] => self.running(call, node, ("vmid", vmid)).await,
            // The task of an upload names no volume, and it runs on whichever node took the request.
            [_, "api2", _, "nodes", _, "storage", _, "upload"] => {
                let mut found = Vec::new();
                for entry in self.api.resources(Some("node")).await?.iter().filter(|entry| entry.status == "online") {
                    found.extend(self.running(call, &entry.node, ("typefilter", "imgcopy")).await?);
                }
                Ok(found)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Tasks that run on a node.
    pub(crate) async fn running(&self, call: &Call, node: &str, (filter, value): (&str, &str)) -> Result<Vec<Upid>> {
        let request = self.api.get(at!("nodes", node, "tasks")).query("source", "active").query(filter, value);
        let look = || async { fetch::<Vec<Listed>>(request.clone()).await.map(Some) };
        let listed = wait::until(call.deadline_ms, Backoff::default(), look).await?;
        Ok(listed.iter().filter_map(|task| Upid::parse(&task.upid)).collect())
    }
}

/// The request of which nobody knows what became, if there is one.
fn doubtful(item: &Item) -> Option<String> {
    let silent = item.last_answer.as_ref().filter(|answer| matches!(answer.status, 408 | 500 | 502 | 504 | 595..=599));
    item.in_doubt.clone().or_else(|| silent.map(|answer| answer.request.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_names_its_node() {
        let upid = Upid::parse("UPID:pve-1:00000ACD:00006AE8:679A423B:imgcopy::capmox@pve!nodes:").unwrap();
        assert_eq!((upid.node.as_str(), upid.kind.as_str()), ("pve-1", "imgcopy"));
        for text in ["", "UPID:pve1", "UPID::1:2:3:qmstart:1:u:", "104"] {
            assert_eq!(Upid::parse(text), None, "{text}");
        }
    }
}
