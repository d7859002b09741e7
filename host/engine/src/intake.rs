//! From a source's queue to intents: poll, note, claim, decide.

use std::sync::Arc;

use agentkube_contract::mistake::refuse;
use agentkube_contract::{Claimed, Class, Cluster, Fault, Job, JobSource, ServiceKey};
use futures::StreamExt;

use crate::engine::Shared;
use crate::event::Kind;
use crate::journal::{Accepted, InboxState};
use crate::plan::Action;
use crate::repeats::Repeats;
use crate::service::unsupported;
use crate::world::World;

/// Jobs of one source that are claimed side by side.
const CLAIMS: usize = 8;

/// Polls one source until the engine stops.
pub(crate) async fn poll(shared: Arc<Shared>, name: String) {
    let (Some(source), Some(state)) = (shared.world.sources.get(&name), shared.sources.get(&name)) else { return };
    let clock = &shared.world.clock;
    let times = &shared.settings.times;
    let (mut failures, mut trouble) = (0_u32, Repeats::default());
    let mut identified = false;
    let mut next_unfinished = 0;
    loop {
        let now = clock.now();
        let outcome: Result<(), Fault> = async {
            if !identified {
                state.set_disabled(source.identify().await?.disabled);
                identified = true;
            }
            if now >= next_unfinished {
                reconcile(&shared, &name, source.as_ref()).await?;
                next_unfinished = now.saturating_add(u64::try_from(times.unfinished.as_millis()).unwrap_or(u64::MAX));
            }
            if state.disabled() {
                return Ok(());
            }
            // Asked also while held: that the queue answers is worth knowing.
            let jobs = source.pending().await?;
            if state.held() {
                return Ok(());
            }
            take_all(&shared, &name, source.as_ref(), jobs).await
        }
        .await;
        match outcome {
            Ok(()) => {
                failures = 0;
                state.reached(clock.now());
                if let Some((code, times)) = trouble.over() {
                    let text = format!("{name}: reached again; {times} polls failed, the last with {code}");
                    shared.tell(None, 0, "", Kind::SourceReached, None, text);
                }
                // A quarter more or less, so that installations that started together drift apart.
                let poll = times.poll.as_millis().min(u128::from(u64::MAX)) as u64;
                let wait = poll - poll / 4 + shared.world.random.below(poll / 2 + 1);
                tokio::select! {
                    () = clock.sleep(std::time::Duration::from_millis(wait)) => {}
                    () = state.released.notified() => {}
                }
            }
            Err(fault) => {
                failures = failures.saturating_add(1);
                // The job of a claim whose answer was lost is pending no more: only asking for unfinished ones finds it.
                next_unfinished = 0;
                state.failed(&fault);
                if let Some(times) = trouble.again(&fault.code) {
                    shared.tell(None, 0, "", Kind::SourceTrouble, None, format!("{name}: {fault}{times}"));
                }
                // Never faster than when all is well.
                clock.sleep(times.poll).await;
                shared.back_off(failures, &fault).await;
            }
        }
    }
}

/// Jobs that the source holds for us: those that we know of run already, the rest are taken as if they were new. Without
/// this a job whose claim was answered and never noted would block its group for ever.
async fn reconcile(shared: &Arc<Shared>, name: &str, source: &dyn JobSource) -> Result<(), Fault> {
    let mut unknown = Vec::new();
    for job in source.unfinished().await? {
        match shared.world.journal.inbox(name, &job.id)? {
            Some(InboxState::Claimed | InboxState::Refused) => {}
            Some(InboxState::Settled) => {
                shared.world.journal.deliver_again(name, &job.id).await?;
                shared.outbox_changed(name);
            }
            None | Some(InboxState::Seen | InboxState::Lost) => unknown.push(job),
        }
    }
    take_all(shared, name, source, unknown).await
}

/// Takes what can be taken; the first fault is given back after all were tried.
async fn take_all(shared: &Arc<Shared>, name: &str, source: &dyn JobSource, jobs: Vec<Job>) -> Result<(), Fault> {
    let jobs = with_places(shared, name, jobs)?;
    let outcomes: Vec<Result<(), Fault>> =
        futures::stream::iter(jobs.into_iter().map(|job| take(shared, name, source, job)))
            .buffer_unordered(CLAIMS)
            .collect()
            .await;
    outcomes.into_iter().collect()
}

async fn take(shared: &Arc<Shared>, name: &str, source: &dyn JobSource, job: Job) -> Result<(), Fault> {
    let journal = &shared.world.journal;
    let known = journal.inbox(name, &job.id)?;
    if matches!(known, Some(InboxState::Claimed | InboxState::Refused | InboxState::Settled)) {
        return Ok(());
    }
    let key = ServiceKey { source: name.to_owned(), service: job.service.clone() };
    journal.seen(name, &job).await?;
    if source.claim(&job.id).await? == Claimed::Lost {
        journal.lost(name, &job.id).await?;
        return Ok(());
    }
    match decide(shared, &key, &job) {
        Ok(accepted) => {
            let intent = journal.accept(accepted).await?;
            shared.event(Some(&intent), "", Kind::Accepted, None, format!("{} by job {}", job.action, job.id));
            shared.wake(&key, intent.id);
        }
        Err(fault) => {
            shared.tell(Some(key.clone()), 0, "", Kind::Refused, None, format!("job {}: {fault}", job.id));
            journal.refuse(&key, &job.id, fault).await?;
        }
    }
    shared.outbox_changed(name);
    Ok(())
}

/// The jobs that there are places for, in their order. A claimed job cannot be handed back, so none is claimed that would only wait.
/// Deletes, and what supersedes running work, free places rather than take them.
fn with_places(shared: &Shared, name: &str, jobs: Vec<Job>) -> Result<Vec<Job>, Fault> {
    let mut running: Vec<ServiceKey> = shared.world.journal.unfinished()?.into_iter().map(|(key, _)| key).collect();
    let mut chosen = Vec::new();
    for job in jobs {
        let action = Action::parse(&job.action);
        let key = ServiceKey { source: name.to_owned(), service: job.service.clone() };
        if action.supported() && action != Action::Delete && !running.contains(&key) {
            if running.len() >= shared.settings.limits.services {
                continue;
            }
            running.push(key);
        }
        chosen.push(job);
    }
    Ok(chosen)
}

/// What a job wants, with the names of the providers; what an earlier job wanted, when it says nothing. Fails with every mistake.
pub(crate) fn wanted(world: &World, key: &ServiceKey, job: &Job) -> Result<Cluster, Fault> {
    let wanted = match &job.wanted {
        Some(wanted) => wanted.clone(),
        None => {
            refuse(&job.mistakes)?;
            world.journal.service_wanted(key)?.ok_or_else(|| {
                Fault::new(Class::Invalid, "NO_DESCRIPTION", "the job says nothing of the cluster that is wanted")
            })?
        }
    };
    let providers = world.providers();
    let mut job = job.clone();
    job.found(wanted.mistakes().into_iter().chain(providers.mistakes(&wanted)));
    refuse(&job.mistakes)?;
    providers.resolve(&wanted)
}

/// What a claimed job becomes.
fn decide(shared: &Shared, key: &ServiceKey, job: &Job) -> Result<Accepted, Fault> {
    if let Some(problem) = &job.problem {
        return Err(problem.clone());
    }
    let world = &shared.world;
    let action = Action::parse(&job.action);
    let wanted = match action {
        Action::Create => Some(wanted(world, key, job)?),
        Action::Delete => None,
        _ => return Err(unsupported(&job.action)),
    };
    let serving = wanted.iter().flat_map(|wanted| {
        let pools = wanted.pools.iter().filter_map(|pool| pool.provider.clone());
        wanted.control_plane.provider.clone().into_iter().chain(pools)
    });
    let digests = serving
        .chain([key.source.clone()])
        .filter_map(|name| world.digests.get(&name).map(|digest| (name.clone(), digest.clone())))
        .collect();
    Ok(Accepted { owner: shared.owner(key, &job.service_name), job: job.id.clone(), action, wanted, digests })
}
