//! How time passes: tasks go on, broadcasts happen, in the order of their times.

use lab_wire::{Millis, Random};

use crate::Pve;
use crate::auth::Identity;
use crate::effects::Effect;
use crate::faults::TaskFault;
use crate::locks::{Lock, Mode};
use crate::store::Broadcast;
use crate::tasks::{NewTask, Step};

impl Pve {
    /// Lets everything happen that is due until `now`.
    pub(crate) fn advance(&mut self, now: Millis, random: &mut Random) {
        self.now = self.now.max(now);
        self.settle(now, random);
        let node = self.settings.nodes.first().map(|node| node.name.clone()).unwrap_or_default();
        for (lock, millis) in std::mem::take(&mut self.faults.holds) {
            let steps = vec![Step::Lock(lock, Mode::Exclusive, 0), Step::Wait(self.settings.scaled(millis))];
            // A backup is what holds such locks in real clusters.
            self.spawn(&node, "vzdump", "", &Identity::system(), steps);
            self.settle(now, random);
        }
    }

    fn settle(&mut self, now: Millis, random: &mut Random) {
        loop {
            let task = self.tasks.next().filter(|(wake, _)| *wake <= now);
            match task {
                Some((wake, _)) if self.next_broadcast < wake => self.broadcast(),
                Some((wake, index)) => self.run(index, wake, random),
                None if self.next_broadcast <= now => self.broadcast(),
                None => break,
            }
        }
    }

    fn broadcast(&mut self) {
        // Nothing is heard of the nodes while they are silent; what was heard last stands.
        let heard = if self.faults.stale_index { None } else { Some(self.store.vms_mut()) };
        for vm in heard.into_iter().flatten() {
            let shown = Broadcast { name: vm.name(), running: vm.running.is_some() };
            vm.broadcast = Some(shown);
        }
        let period = self.settings.scaled(self.settings.durations.broadcast).max(1);
        // Nothing changed in between or it would have been noticed: whole idle periods are skipped.
        let late = self.now.saturating_sub(self.next_broadcast);
        let quiet = if self.tasks.next().is_none() { late / period } else { 0 };
        self.next_broadcast += period * (quiet + 1);
    }

    /// Starts a task.
    pub(crate) fn spawn(&mut self, node: &str, kind: &str, id: &str, user: &Identity, steps: Vec<Step>) -> String {
        let fault = self.faults.for_task(kind);
        let mut steps = steps;
        match &fault {
            Some(TaskFault::Slow(millis)) => {
                let last = steps.len().saturating_sub(1);
                steps.insert(last, Step::Wait(self.settings.scaled(*millis)));
            }
            Some(TaskFault::Fails(text)) => replace_last_effect(&mut steps, Effect::Die(text.clone())),
            Some(TaskFault::Killed) => replace_last_effect(&mut steps, Effect::Killed),
            Some(TaskFault::Warns) | None => {}
        }
        let hidden = self.settings.scaled(self.settings.durations.task_hidden);
        self.tasks.start(NewTask { node, kind, id, user, steps, fault, hidden }, self.now)
    }

    /// Runs one task as far as it gets at the time `at`.
    fn run(&mut self, index: usize, at: Millis, random: &mut Random) {
        loop {
            let Some(task) = self.tasks.get_mut(index) else { return };
            let Some(step) = task.steps.front().cloned() else {
                let warned = matches!(task.fault, Some(TaskFault::Warns));
                return self.finish(index, if warned { "WARNINGS: 1" } else { "OK" }, at);
            };
            match step {
                Step::Wait(millis) => {
                    let until = *task.until.get_or_insert(at + millis);
                    if until > at {
                        task.wake = until;
                        return;
                    }
                }
                Step::Lock(lock, mode, patience) => {
                    let until = *task.until.get_or_insert(at + patience);
                    if !self.locks.take(&lock, mode, index) {
                        task.wake = until;
                        if until <= at {
                            self.fail(index, &lock.timed_out(), at);
                        }
                        return;
                    }
                }
                Step::Unlock(lock) => {
                    self.locks.release(&lock, index);
                    self.tasks.wake_waiters(at);
                }
                Step::Do(effect) => {
                    if matches!(effect, Effect::Killed) {
                        return self.finish(index, "unexpected status", at);
                    }
                    if let Err(text) = self.perform(index, effect, at, random) {
                        return self.fail(index, &text, at);
                    }
                }
            }
            if let Some(task) = self.tasks.get_mut(index) {
                task.steps.pop_front();
                task.until = None;
                task.wake = at;
            }
        }
    }

    fn fail(&mut self, index: usize, text: &str, at: Millis) {
        match self.tasks.get_mut(index).and_then(|task| task.half_clone.take()) {
            Some(vmid) => {
                self.store.unregister(vmid);
                self.store.remove_volumes_of(vmid);
                self.finish(index, &format!("clone failed: {text}"), at);
            }
            None => self.finish(index, text, at),
        }
    }

    fn finish(&mut self, index: usize, exit: &str, at: Millis) {
        self.tasks.end(index, exit, at);
        self.locks.release_all(index);
        self.tasks.wake_waiters(at);
    }

    /// Ends the running tasks of one kind about one VM.
    pub(crate) fn abort(&mut self, index: usize, at: Millis) {
        self.finish(index, "interrupted by signal", at);
    }

    /// Kills the worker of a task: it says nothing more and cleans up nothing.
    pub(crate) fn kill(&mut self, index: usize, at: Millis) {
        self.finish(index, "unexpected status", at);
    }

    /// How long a request must wait for a lock: `Ok(when it is free)` or `Err(when patience ends)`.
    ///
    /// The answer of a request is known when it is handled, so a request that would get the lock in time acts at once
    /// and only its answer comes late.
    pub(crate) fn await_lock(&self, lock: &Lock, patience: u64) -> Result<Millis, Millis> {
        let ends = self.locks.holders(lock).into_iter().filter_map(|index| self.tasks.get(index));
        let free = ends.map(|task| task.expected_end()).max().unwrap_or(self.now).max(self.now);
        let deadline = self.now + self.settings.scaled(patience);
        if free <= deadline { Ok(free) } else { Err(deadline) }
    }
}

fn replace_last_effect(steps: &mut [Step], effect: Effect) {
    if let Some(last) = steps.iter_mut().rev().find(|step| matches!(step, Step::Do(_))) {
        *last = Step::Do(effect);
    }
}
