//! Measurements of clusters that are ready, from their providers to their sources.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Call, ControlPlane, Fault, Sample};
use futures::StreamExt;

use crate::engine::Shared;
use crate::journal::{ServicePhase, ServiceRecord};
use crate::plan::Known;

/// Services that are measured side by side.
const SERVICES: usize = 8;

/// Measures until the engine stops: on an interval, and at once after a cluster became ready.
pub(crate) async fn measure(shared: Arc<Shared>) {
    let Some(interval) = shared.settings.times.measure else { return };
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
                let shared = &shared;
                async move {
                    // A measurement that fails is not repeated: the next round is near.
                    if let Err(fault) = one(shared, &service).await {
                        tracing::debug!(service = %service.key, "measurements: {fault}");
                    }
                }
            })
            .await;
    }
}

async fn one(shared: &Shared, service: &ServiceRecord) -> Result<(), Fault> {
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
    match world.sources.get(&service.key.source) {
        Some(source) if !samples.is_empty() => source.report(&service.key.service, &samples).await.map(|_| ()),
        _ => Ok(()),
    }
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
