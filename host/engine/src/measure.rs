//! Measurements of clusters that are ready, from their providers to their sources.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentkube_contract::{Call, ControlPlane, Fault, Millis, Sample};
use futures::StreamExt;

use crate::engine::Shared;
use crate::event::Kind;
use crate::journal::{ServicePhase, ServiceRecord};
use crate::plan::Known;

/// Services that are measured side by side.
const SERVICES: usize = 8;

/// How long nothing is reported under a name that its source does not know (ms): somebody may make it known there.
const SILENT: Millis = 3_600_000;

/// Names of measurements that sources do not know, and until when nothing is reported under them.
#[derive(Default)]
struct Unknown(Mutex<BTreeMap<(String, String), Millis>>);

impl Unknown {
    fn holds(&self, source: &str, name: &str, now: Millis) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&(source.to_owned(), name.to_owned())).is_some_and(|until| now < *until)
    }

    /// Gives those that are news.
    fn learn(&self, source: &str, names: Vec<String>, now: Millis) -> Vec<String> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = |name: &String| until.insert((source.to_owned(), name.clone()), now + SILENT).is_none();
        names.into_iter().filter(|name| news(name)).collect()
    }
}

/// Measures until the engine stops: on an interval, and at once after a cluster became ready.
pub(crate) async fn measure(shared: Arc<Shared>) {
    let Some(interval) = shared.settings.times.measure else { return };
    let unknown = Unknown::default();
    loop {
        tokio::select! {
            () = shared.world.clock.sleep(interval) => {}
            () = shared.measure_now.notified() => {}
        }
        let services = match shared.world.journal.services() {
            Ok(services) => services,
            Err(error) => {
                tracing::warn!("measurements: {error}");
                continue;
            }
        };
        futures::stream::iter(services.into_iter().filter(|service| service.phase == ServicePhase::Ready))
            .for_each_concurrent(SERVICES, |service| {
                let (shared, unknown) = (&shared, &unknown);
                async move {
                    // A measurement that fails is not repeated: the next round is near.
                    if let Err(fault) = one(shared, unknown, &service).await {
                        tracing::debug!(service = %service.key, "measurements: {fault}");
                    }
                }
            })
            .await;
    }
}

async fn one(shared: &Shared, unknown: &Unknown, service: &ServiceRecord) -> Result<(), Fault> {
    let world = &shared.world;
    let known = Known::from_rows(&world.journal.engine_rows(&service.key)?).map_err(crate::Error::from)?;
    let limit: Duration = shared.settings.times.short;
    let call = Call {
        owner: shared.owner(&service.key, &service.display_name),
        deadline: world.clock.now().saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        attempt: 1,
    };
    let mut samples = Vec::new();
    if let Some((name, provider)) =
        known.control_plane.as_deref().and_then(|name| world.control_planes.get_key_value(name))
    {
        match provider.metrics(&call).await {
            Ok(more) => samples.extend(more),
            Err(fault) => tracing::debug!(service = %service.key, "control plane: {fault}"),
        }
        match of_cluster(shared, &call, name, provider.as_ref()).await {
            Ok(more) => samples.extend(more),
            Err(fault) => tracing::debug!(service = %service.key, "cluster: {fault}"),
        }
    }
    for machine in &known.machines {
        let (Some(provider), Some(id)) = (world.node_providers.get(&machine.provider), &machine.external_id) else {
            continue;
        };
        match provider.metrics(&call, &machine.key, id).await {
            Ok(more) => samples.extend(more),
            Err(fault) => tracing::debug!(service = %service.key, machine = machine.key.name, "{fault}"),
        }
    }
    let name = &service.key.source;
    samples.retain(|sample| !unknown.holds(name, &sample.name, world.clock.now()));
    let Some(source) = world.sources.get(name).filter(|_| !samples.is_empty()) else { return Ok(()) };
    let news = unknown.learn(name, source.report(&service.key.service, &samples).await?, world.clock.now());
    if !news.is_empty() {
        let mend = "an administrator makes them known there; they are tried again every hour, and after a restart";
        let message = format!("{name} knows no measurements named {}: {mend}", news.join(", "));
        shared.tell(None, 0, "", Kind::Warning, None, message);
    }
    Ok(())
}

/// What the cluster itself says of its nodes.
async fn of_cluster(
    shared: &Shared,
    call: &Call,
    name: &str,
    provider: &dyn ControlPlane,
) -> Result<Vec<Sample>, Fault> {
    let kubeconfig = provider.kubeconfig(call).await?.operator;
    let tenant = shared.world.tenants.open(&call.owner, name, &kubeconfig).await?;
    tenant.samples(&call.owner.cluster).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_once_and_left_out_for_an_hour() {
        let unknown = Unknown::default();
        let names = || vec!["cpu".to_owned()];
        assert_eq!(unknown.learn("core", names(), 5), ["cpu"]);
        assert!(unknown.learn("core", names(), 6).is_empty(), "another service of the same round");
        assert!(unknown.holds("core", "cpu", SILENT) && !unknown.holds("other", "cpu", 6));
        assert!(!unknown.holds("core", "cpu", 6 + SILENT), "it is tried again");
        assert!(unknown.learn("core", names(), 7 + SILENT).is_empty(), "and not told again");
        assert!(unknown.holds("core", "cpu", 8 + SILENT));
    }
}
