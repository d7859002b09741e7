//! An open tenant cluster.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Addons, Clock, JoinInfo, JoinToken, Node, Owner, Pool, Random, Tenant};
use async_trait::async_trait;

use crate::addons::{self, AddonSettings};
use crate::api::{Api, clip};
use crate::session::Sessions;
use crate::wait::Wait;
use crate::{Result, TenantSettings, join, nodes, token};

/// An open tenant cluster. Who holds one follows the rotation of its kubeconfig without opening it again.
pub struct ClusterTenant {
    owner: Owner,
    api: Api,
    addons: Arc<AddonSettings>,
    random: Arc<dyn Random>,
}

impl ClusterTenant {
    pub(crate) fn new(
        owner: Owner,
        sessions: Arc<dyn Sessions>,
        settings: TenantSettings,
        addons: Arc<AddonSettings>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        ClusterTenant { owner, api: Api { sessions, clock, settings }, addons, random }
    }

    async fn serving(&self, within: Duration) -> Result<String> {
        const CODE: &str = "TENANT_NOT_READY";
        let wait = Wait::new(&*self.api.clock, self.api.settings.poll(), within);
        loop {
            match self.api.text("/readyz").await {
                Ok(text) if text.trim() == "ok" => match join::version(&self.api).await {
                    Ok(version) => return Ok(version),
                    Err(error) => wait.forgive(CODE, error).await?,
                },
                Ok(text) => {
                    wait.again(CODE, format!("the API server's /readyz says `{}`", clip(&text, 200))).await?;
                }
                Err(error) => wait.forgive(CODE, error).await?,
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn session(&self) -> Arc<crate::session::Session> {
        self.api.sessions.current()
    }
}

#[async_trait]
impl Tenant for ClusterTenant {
    async fn ready(&self, within: Duration) -> agentkube_contract::Result<String> {
        Ok(self.serving(within).await?)
    }

    fn ca(&self) -> String {
        self.api.sessions.current().ca.clone()
    }

    async fn join_token(
        &self,
        id: &str,
        lifetime: Duration,
        description: &str,
    ) -> agentkube_contract::Result<JoinToken> {
        Ok(token::ensure(&self.api, &self.owner, &*self.random, id, lifetime, description).await?)
    }

    async fn join_info(&self, token: &JoinToken, within: Duration) -> agentkube_contract::Result<JoinInfo> {
        Ok(join::info(&self.api, &self.ca(), token, within).await?)
    }

    async fn revoke_token(&self, id: &str) -> agentkube_contract::Result<()> {
        Ok(token::revoke(&self.api, &self.owner, id).await?)
    }

    async fn nodes(&self) -> agentkube_contract::Result<Vec<Node>> {
        Ok(nodes::list(&self.api).await?)
    }

    async fn node(&self, name: &str, pool: &Pool, ready: bool, within: Duration) -> agentkube_contract::Result<Node> {
        Ok(nodes::settle(&self.api, name, pool, ready, within).await?)
    }

    async fn remove_node(&self, name: &str) -> agentkube_contract::Result<()> {
        Ok(nodes::remove(&self.api, name).await?)
    }

    async fn apply_addons(&self, wanted: &Addons, healthy: bool, within: Duration) -> agentkube_contract::Result<()> {
        Ok(addons::apply(&self.api, &self.addons, &wanted.names, healthy, within).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Cluster, Dice, TestClock, node, owner};
    use serde_json::json;

    fn tenant(cluster: &Cluster) -> ClusterTenant {
        let (clock, dice) = (Arc::new(TestClock::default()), Arc::new(Dice));
        let (settings, addons) = (TenantSettings::default(), Arc::default());
        ClusterTenant::new(owner(), Arc::new(cluster.clone()), settings, addons, clock, dice)
    }

    #[tokio::test]
    async fn ready_means_that_readyz_says_so() {
        let cluster = Cluster::default();
        cluster.once(1, "GET", "/readyz", 500, json!({"message": "etcd failed"}));
        cluster.once(2, "GET", "/readyz", 403, json!({}));
        cluster.once(3, "GET", "/readyz", 200, "not yet".into());
        assert_eq!(tenant(&cluster).ready(Duration::from_secs(9)).await.unwrap(), "v1.35.2");
        cluster.put("/readyz", "[-]etcd failed".into());
        let fault = tenant(&cluster).ready(Duration::from_secs(9)).await.unwrap_err();
        assert_eq!(fault.code, "TENANT_NOT_READY");
        assert!(fault.message.contains("etcd failed"));
    }

    #[tokio::test]
    async fn a_credential_that_is_not_accepted_is_a_fault_of_its_own() {
        let cluster = Cluster::default();
        cluster.once(1, "GET", "/api/v1/nodes", 401, json!({"reason": "Unauthorized"}));
        let fault = tenant(&cluster).nodes().await.unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_str()),
            (agentkube_contract::Class::Unauthorized, "TENANT_UNAUTHORIZED")
        );
    }

    #[tokio::test]
    async fn the_cluster_is_measured() {
        let cluster = Cluster::default();
        cluster.put("/api/v1/nodes", json!({"items": [node("a", true), node("b", false)]}));
        let samples = tenant(&cluster).samples("kabc").await.unwrap();
        let values: Vec<_> = samples.iter().map(|sample| (sample.name.as_str(), sample.value)).collect();
        assert_eq!(values, [("nodes.total", 2.0), ("nodes.ready", 1.0), ("nodes.ready.ratio", 0.5)]);
    }
}
