//! Tasks: what a worker process does after the request that started it was answered.
//!
//! A task is a list of [`Step`]s. Time passes in waits, locks are taken and given back as the real workers do, and the
//! effects happen at the moment at which the real ones would be seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lab_wire::Millis;

use crate::auth::Identity;
use crate::effects::Effect;
use crate::faults::TaskFault;
use crate::locks::{Lock, Mode};

/// One step of a task.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Take a lock, or die after so many milliseconds.
    Lock(Lock, Mode, Millis),
    /// Give a lock back.
    Unlock(Lock),
    /// Let so many milliseconds pass.
    Wait(Millis),
    /// Change something.
    Do(Effect),
}

/// A task, running or ended.
#[derive(Clone, Debug)]
pub struct Task {
    /// `UPID:node:pid:pstart:starttime:type:id:user:`.
    pub upid: String,
    /// The node that it runs on.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub pstart: u64,
    /// When it started.
    pub started: Millis,
    /// Type, such as `qmclone`.
    pub kind: String,
    /// What it is about, mostly a VM's id.
    pub id: String,
    /// Who started it: user or token.
    pub user: String,
    /// When it ended.
    pub ended: Option<Millis>,
    /// How: `OK`, `WARNINGS: n`, `unexpected status` or what it died of.
    pub exit: Option<String>,
    /// Lines of its log.
    pub log: Vec<String>,
    /// From when on it can be asked about.
    pub(crate) visible: Millis,
    pub(crate) steps: VecDeque<Step>,
    /// Since when, and until when, the first step waits.
    pub(crate) until: Option<Millis>,
    pub(crate) wake: Millis,
    /// A half-made clone to remove should the task die.
    pub(crate) half_clone: Option<u32>,
    pub(crate) fault: Option<TaskFault>,
}

impl Task {
    /// Whether it still runs.
    pub fn running(&self) -> bool {
        self.exit.is_none()
    }

    /// When it will end if it gets every lock at once.
    pub(crate) fn expected_end(&self) -> Millis {
        let mut end = self.wake;
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Wait(millis) if at > 0 || self.until.is_none() => end += millis,
                _ => {}
            }
        }
        end
    }
}

/// A task about to start.
pub(crate) struct NewTask<'a> {
    pub node: &'a str,
    pub kind: &'a str,
    pub id: &'a str,
    pub user: &'a Identity,
    pub steps: Vec<Step>,
    pub fault: Option<TaskFault>,
    pub hidden: Millis,
}

/// All tasks of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    all: Vec<Task>,
    by_upid: BTreeMap<String, usize>,
    active: BTreeSet<usize>,
    next_pid: u32,
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks { all: Vec::new(), by_upid: BTreeMap::new(), active: BTreeSet::new(), next_pid: 2_765 }
    }
}

impl Tasks {
    /// Starts a task and returns its UPID; its first step runs when the machine next looks at the time.
    pub fn start(&mut self, new: NewTask<'_>, now: Millis) -> String {
        let pid = self.next_pid;
        self.next_pid += 7;
        // A boot some days ago; clock ticks are hundredths of a second.
        let pstart = (now / 10) & 0x0fff_ffff;
        let (node, kind, id, user) = (new.node, new.kind, new.id, &new.user.id);
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{:08X}:{kind}:{id}:{user}:", now / 1000);
        let index = self.all.len();
        self.all.push(Task {
            upid: upid.clone(),
            node: node.to_owned(),
            pid,
            pstart,
            started: now,
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.clone(),
            ended: None,
            exit: None,
            log: Vec::new(),
            visible: now + new.hidden,
            steps: new.steps.into(),
            until: None,
            wake: now,
            half_clone: None,
            fault: new.fault,
        });
        self.by_upid.insert(upid.clone(), index);
        self.active.insert(index);
        upid
    }

    pub fn all(&self) -> &[Task] {
        &self.all
    }

    pub fn get(&self, index: usize) -> Option<&Task> {
        self.all.get(index)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Task> {
        self.all.get_mut(index)
    }

    pub fn find(&self, upid: &str) -> Option<(usize, &Task)> {
        let index = *self.by_upid.get(upid)?;
        Some((index, self.all.get(index)?))
    }

    /// The running task that has something to do first.
    pub fn next(&self) -> Option<(Millis, usize)> {
        self.active.iter().filter_map(|&index| Some((self.all.get(index)?.wake, index))).min()
    }

    /// The running tasks.
    pub fn active(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.active.iter().filter_map(|&index| Some((index, self.all.get(index)?)))
    }

    /// Lets every task that waits for a lock try again.
    pub fn wake_waiters(&mut self, now: Millis) {
        for &index in &self.active {
            if let Some(task) = self.all.get_mut(index)
                && matches!(task.steps.front(), Some(Step::Lock(..)))
                && task.until.is_some()
            {
                task.wake = now;
            }
        }
    }

    /// Ends a task.
    pub fn end(&mut self, index: usize, exit: &str, now: Millis) {
        self.active.remove(&index);
        if let Some(task) = self.all.get_mut(index) {
            task.steps.clear();
            task.ended = Some(now);
            task.exit = Some(exit.to_owned());
            match exit {
                "OK" => task.log.push("TASK OK".to_owned()),
                "unexpected status" => {}
                text if text.starts_with("WARNINGS: ") => task.log.push(format!("TASK {text}")),
                text => task.log.push(format!("TASK ERROR: {text}")),
            }
        }
    }
}

/// The user of a UPID as the status tells it: the user, and the name of the token if it was one.
pub(crate) fn split_user(user: &str) -> (&str, Option<&str>) {
    match user.split_once('!') {
        Some((user, token)) => (user, Some(token)),
        None => (user, None),
    }
}
