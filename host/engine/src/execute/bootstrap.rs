//! The tenant, how to join it, and first-boot data: held in memory for one run, never journalled.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Bootstrap, BootstrapRequest, Endpoint, Fault, Instance, JoinInfo, Tenant};

use super::Run;
use crate::plan::{Machine, Work};

impl Run<'_> {
    /// The tenant, opened on first use.
    pub(super) async fn tenant(&self, attempt: u32) -> Result<Arc<dyn Tenant>, Fault> {
        let mut open = self.tenant.lock().await;
        if let Some(tenant) = open.as_ref() {
            return Ok(Arc::clone(tenant));
        }
        let world = &self.shared.world;
        let name = self.wanted()?.control_plane.provider.as_deref().unwrap_or_default();
        let call = self.call(attempt, self.shared.settings.times.short);
        let kubeconfigs = world.control_plane(name)?.kubeconfig(&call).await?;
        let tenant = world.tenants.open(&self.owner, name, &kubeconfigs.operator).await?;
        *open = Some(Arc::clone(&tenant));
        Ok(tenant)
    }

    /// How to join, with a token that lives at least until a machine booted now has joined.
    pub(super) async fn join(&self, attempt: u32) -> Result<JoinInfo, Fault> {
        let mut known = self.join.lock().await;
        let times = &self.shared.settings.times;
        let enough = self.shared.world.clock.now().saturating_add(millis(times.node));
        if let Some(info) = known.as_ref().filter(|info| info.token.expires > enough) {
            return Ok(info.clone());
        }
        let id = self
            .plan
            .steps
            .iter()
            .find_map(|step| match &step.work {
                Work::JoinToken(id) => Some(id),
                _ => None,
            })
            .ok_or_else(|| Fault::internal("NO_TOKEN", "the plan has no join token"))?;
        let tenant = self.tenant(attempt).await?;
        let description = format!("{} generation {}", self.owner.cluster, self.intent.generation);
        let token = tenant.join_token(id, times.token.max(times.node * 2), &description).await?;
        let info = tenant.join_info(&token, times.short).await?;
        *known = Some(info.clone());
        Ok(info)
    }

    pub(super) async fn bootstrap(
        &self,
        machine: &Machine,
        instance: Option<&Instance>,
        attempt: u32,
    ) -> Result<Bootstrap, Fault> {
        let join = self.join(attempt).await?;
        let request = BootstrapRequest {
            owner: &self.owner,
            key: &machine.key,
            pool: self.pool(machine)?,
            cluster: self.wanted()?,
            join: &join,
            provider_id: instance.and_then(|instance| instance.provider_id.as_deref()),
            macs: instance.map(|instance| instance.macs.as_slice()).unwrap_or_default(),
        };
        let (world, provider) = (&self.shared.world, self.shared.world.nodes(&machine.provider)?);
        if !provider.renders_bootstrap() {
            return world.renderer.render(&request);
        }
        let call = self.call(attempt, self.shared.settings.times.short);
        let endpoint = Endpoint { server: join.server.clone(), ca: join.ca.clone() };
        match provider.join_material(&call, &machine.key, request.pool, &endpoint).await? {
            Some(user_data) => world.renderer.carry(&request, user_data),
            None => world.renderer.render(&request),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
