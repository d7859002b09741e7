//! What Core does by itself, when it is told to: jobs that took too long, old jobs, silent agents.

use lab_wire::Millis;

use crate::store::{Agent, Job, JobStatus};
use crate::{Core, Settings};

const TIMED_OUT: &str = "Job marked as failed due to exceeding maximum processing time";

/// When the next rounds are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds {
    pub jobs: Option<Millis>,
    pub agents: Option<Millis>,
}

impl Rounds {
    pub fn from(settings: &Settings, now: Millis) -> Self {
        let after = |every: Option<Millis>| every.map(|every| now + every.max(1));
        Rounds { jobs: after(settings.job_maintenance), agents: after(settings.agent_health_timeout_ms) }
    }
}

impl Core {
    pub(crate) fn maintain(&mut self, now: Millis) {
        if let (Some(every), Some(due)) = (self.settings.job_maintenance, self.rounds.jobs)
            && now >= due
        {
            self.time_out_jobs(now);
            self.rounds.jobs = Some(now + every.max(1));
        }
        if let (Some(every), Some(due)) = (self.settings.agent_health_timeout_ms, self.rounds.agents)
            && now >= due
        {
            self.disconnect_agents(now, every);
            self.rounds.agents = Some(now + every.max(1));
        }
    }

    /// The time runs from the creation of a job, and also for jobs that nobody claimed. Services stay as they are.
    fn time_out_jobs(&mut self, now: Millis) {
        let limit = now.saturating_sub(self.settings.job_timeout_ms);
        let late = |row: &&Job| row.status.active() && row.meta.created < limit;
        let late: Vec<_> = self.store.jobs.iter().filter(late).cloned().collect();
        for mut job in late {
            job.status = JobStatus::Failed;
            TIMED_OUT.clone_into(&mut job.error);
            job.completed = Some(now);
            self.store.jobs.save(job, now);
        }
        let kept_since = now.saturating_sub(self.settings.job_retention_ms);
        self.store.jobs.remove_where(|row| !row.status.active() && row.completed.is_some_and(|time| time < kept_since));
    }

    /// Only connected agents are touched, and no event tells.
    fn disconnect_agents(&mut self, now: Millis, timeout: Millis) {
        let limit = now.saturating_sub(timeout);
        let silent = |row: &&Agent| row.status == "Connected" && row.last_status_update < limit;
        let silent: Vec<_> = self.store.agents.iter().filter(silent).cloned().collect();
        for mut agent in silent {
            "Disconnected".clone_into(&mut agent.status);
            self.store.agents.save(agent, now);
        }
    }
}
