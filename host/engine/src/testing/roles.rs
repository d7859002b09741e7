//! One double for every role.

use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::*;
use async_trait::async_trait;

use super::cloud::{ControlPlaneObject, Vm};
use super::{Cloud, JobState};

pub(crate) struct Doubles {
    pub cloud: Arc<Cloud>,
}

/// Ends the count of calls at work, also when the call is dropped.
struct AtWork<'a>(&'a Cloud);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.truth.lock().unwrap().at_work -= 1;
    }
}

impl Cloud {
    fn kill(&self) -> Arc<super::Kill> {
        Arc::clone(&self.kill.lock().unwrap())
    }

    /// Before a call's effect; a scripted fault ends it here.
    async fn enter(&self, call: &str) -> Result<AtWork<'_>> {
        self.kill().gate(&format!("before {call}")).await;
        {
            let mut truth = self.truth.lock().unwrap();
            truth.log.push(format!("> {call}"));
            truth.at_work += 1;
            truth.most_at_work = truth.most_at_work.max(truth.at_work);
        }
        let at_work = AtWork(self);
        tokio::task::yield_now().await;
        while self.truth.lock().unwrap().hold.contains(call) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        if let Some(fault) = self.scripted(call, false) {
            return Err(fault);
        }
        Ok(at_work)
    }

    /// After a call's effect.
    async fn leave(&self, call: &str) -> Result<()> {
        self.kill().gate(&format!("after {call}")).await;
        self.truth.lock().unwrap().log.push(format!("< {call}"));
        self.scripted(call, true).map_or(Ok(()), Err)
    }

    fn scripted(&self, call: &str, applied: bool) -> Option<Fault> {
        let mut truth = self.truth.lock().unwrap();
        let matches = |name: &str| name == call || name == call.split(' ').next().unwrap_or_default();
        let found =
            truth.faults.iter_mut().find(|(name, times, _, after)| matches(name) && *times > 0 && *after == applied)?;
        found.1 -= 1;
        Some(found.2.clone())
    }
}

/// What a provider renders for a machine.
fn own_material(name: &str) -> String {
    format!("own material of {name}")
}

fn instance(vm: &Vm) -> Instance {
    Instance {
        id: vm.id.clone(),
        provider_id: Some(format!("iron://{}", vm.id)),
        lifecycle: if vm.booted { Lifecycle::Running } else { Lifecycle::Stopped },
        location: "rack".into(),
        macs: vec!["02:00:00:00:00:01".into()],
        addresses: Vec::new(),
        cores: 2,
        memory_mib: 2048,
        more: Vec::new(),
    }
}

#[async_trait]
impl NodeProvider for Doubles {
    fn bootstrap_at_create(&self) -> bool {
        self.cloud.bootstrap_at_create
    }
    async fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn find(&self, _: &Call, key: &MachineKey) -> Result<Option<Instance>> {
        let _at_work = self.cloud.enter(&format!("find {}", key.name)).await?;
        Ok(self.cloud.truth.lock().unwrap().vms.iter().find(|vm| vm.name == key.name).map(instance))
    }
    async fn create(
        &self,
        _: &Call,
        key: &MachineKey,
        _: &Pool,
        found: Option<&Instance>,
        bootstrap: Option<&Bootstrap>,
    ) -> Result<Instance> {
        let call = format!("create {}", key.name);
        let _at_work = self.cloud.enter(&call).await?;
        let made = {
            let mut truth = self.cloud.truth.lock().unwrap();
            match found {
                Some(found) => found.clone(),
                None => {
                    truth.next_id += 1;
                    let id = format!("vm-{}", truth.next_id);
                    let with_data = bootstrap.is_some();
                    truth.vms.push(Vm { id, name: key.name.clone(), booted: false, seed: false, with_data });
                    truth.vms.last().map(instance).unwrap()
                }
            }
        };
        self.cloud.leave(&call).await?;
        Ok(made)
    }
    async fn boot(&self, _: &Call, key: &MachineKey, instance: &Instance, bootstrap: &Bootstrap) -> Result<Instance> {
        let call = format!("boot {}", key.name);
        let _at_work = self.cloud.enter(&call).await?;
        let booted = {
            let mut truth = self.cloud.truth.lock().unwrap();
            let data = String::from_utf8(bootstrap.user_data.clone()).unwrap();
            let vm = truth
                .vms
                .iter_mut()
                .find(|vm| vm.id == instance.id)
                .ok_or_else(|| Fault::new(Class::NotFound, "NO_VM", "it vanished"))?;
            if !vm.booted {
                vm.booted = true;
                vm.seed = true;
            }
            let (vm, name) = (super::roles::instance(vm), vm.name.clone());
            let joins = !truth.never_join.contains(&name);
            for object in truth.control_planes.values_mut().filter(|_| joins) {
                if data == own_material(&name) || object.tokens.iter().any(|token| data.contains(token)) {
                    object.nodes.insert(name.clone());
                }
            }
            vm
        };
        self.cloud.leave(&call).await?;
        Ok(booted)
    }
    async fn finish_bootstrap(&self, _: &Call, key: &MachineKey, instance: &Instance) -> Result<()> {
        let call = format!("finish {}", key.name);
        let _at_work = self.cloud.enter(&call).await?;
        for vm in self.cloud.truth.lock().unwrap().vms.iter_mut().filter(|vm| vm.id == instance.id) {
            vm.seed = false;
        }
        self.cloud.leave(&call).await
    }
    async fn observe(&self, _: &Call, key: &MachineKey, id: &str) -> Result<Option<Instance>> {
        let truth = self.cloud.truth.lock().unwrap();
        let mut seen = truth.vms.iter().find(|vm| vm.id == id).map(instance);
        if truth.failed.contains(&key.name) {
            seen.iter_mut().for_each(|seen| seen.lifecycle = Lifecycle::Failed);
        }
        Ok(seen)
    }
    async fn bootstrap_log(&self, _: &Call, key: &MachineKey, id: &str) -> Result<Option<String>> {
        let truth = self.cloud.truth.lock().unwrap();
        assert!(truth.vms.iter().any(|vm| vm.id == id), "it is asked while the machine is there");
        Ok(truth.logs.get(&key.name).cloned())
    }
    fn renders_bootstrap(&self) -> bool {
        self.cloud.renders
    }
    async fn join_material(
        &self,
        _: &Call,
        key: &MachineKey,
        _: &Pool,
        endpoint: &Endpoint,
    ) -> Result<Option<Vec<u8>>> {
        assert_eq!((endpoint.server.as_str(), endpoint.ca.as_str()), ("10.0.0.1:6443", "CA"));
        Ok(self.cloud.renders.then(|| own_material(&key.name).into_bytes()))
    }
    async fn power(&self, _: &Call, _: &MachineKey, _: &str, _: PowerAction) -> Result<Instance> {
        Err(Fault::new(Class::Unsupported, "NO", ""))
    }
    async fn resize(&self, _: &Call, _: &MachineKey, _: &str, _: &Pool) -> Result<Instance> {
        Err(Fault::new(Class::Unsupported, "NO", ""))
    }
    async fn delete(&self, _: &Call, key: &MachineKey, id: Option<&str>) -> Result<()> {
        let call = format!("delete {}", key.name);
        let _at_work = self.cloud.enter(&call).await?;
        self.cloud.truth.lock().unwrap().vms.retain(|vm| match id {
            Some(id) => vm.id != id,
            None => vm.name != key.name,
        });
        self.cloud.leave(&call).await
    }
    async fn list_owned(&self, installation: &str, _: Option<&str>) -> Result<Page<Owned>> {
        let truth = self.cloud.truth.lock().unwrap();
        let owner = Owner::new(installation, &ServiceKey { source: "core".into(), service: "s1".into() }, "");
        let items = truth
            .vms
            .iter()
            .filter(|vm| vm.name.starts_with(&owner.cluster))
            .map(|vm| Owned { owner: owner.clone(), kind: "machine".into(), id: vm.id.clone(), name: vm.name.clone() })
            .collect();
        Ok(Page { items, next: None })
    }
    async fn metrics(&self, _: &Call, key: &MachineKey, _: &str) -> Result<Vec<Sample>> {
        Ok(vec![Sample { name: "cpu".into(), resource: key.name.clone(), value: 0.5 }])
    }
}

fn status(cluster: &str) -> ControlPlaneStatus {
    ControlPlaneStatus {
        id: format!("uid-{cluster}"),
        phase: Phase::Ready,
        endpoint: Some("10.0.0.1:6443".into()),
        version: Some("v1.35.2".into()),
        conditions: Vec::new(),
        more: Vec::new(),
    }
}

#[async_trait]
impl ControlPlane for Doubles {
    async fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn ensure(&self, call: &Call, _: &Cluster, stage: Stage) -> Result<ControlPlaneStatus> {
        let name = format!("ensure-{stage:?}").to_lowercase();
        let _at_work = self.cloud.enter(&name).await?;
        {
            let mut truth = self.cloud.truth.lock().unwrap();
            let fresh = ControlPlaneObject { installation: call.owner.installation.clone(), ..Default::default() };
            let object = truth.control_planes.entry(call.owner.cluster.clone()).or_insert(fresh);
            if object.installation != call.owner.installation {
                return Err(Fault::new(Class::Conflict, "FOREIGN_CONTROL_PLANE", "another's").scope(Scope::Machine));
            }
        }
        self.cloud.leave(&name).await?;
        Ok(status(&call.owner.cluster))
    }
    async fn observe(&self, call: &Call) -> Result<Option<ControlPlaneStatus>> {
        let _at_work = self.cloud.enter("observe").await?;
        let truth = self.cloud.truth.lock().unwrap();
        Ok(truth.control_planes.contains_key(&call.owner.cluster).then(|| status(&call.owner.cluster)))
    }
    fn oldest_minor(&self) -> u32 {
        0
    }
    async fn power(&self, _: &Call, _: bool) -> Result<ControlPlaneStatus> {
        Err(Fault::new(Class::Unsupported, "NO", ""))
    }
    async fn delete(&self, call: &Call) -> Result<()> {
        let _at_work = self.cloud.enter("delete-control-plane").await?;
        {
            let mut truth = self.cloud.truth.lock().unwrap();
            if truth.control_planes.get(&call.owner.cluster).is_some_and(|o| o.installation != call.owner.installation)
            {
                return Err(Fault::new(Class::Conflict, "NOT_OURS", "another's").scope(Scope::Machine));
            }
            truth.control_planes.remove(&call.owner.cluster);
        }
        self.cloud.leave("delete-control-plane").await
    }
    async fn list_owned(&self, installation: &str, _: Option<&str>) -> Result<Page<Owned>> {
        let owner = Owner::new(installation, &ServiceKey { source: "core".into(), service: "s1".into() }, "");
        let truth = self.cloud.truth.lock().unwrap();
        let items = truth.control_planes.keys().filter(|name| **name == owner.cluster).map(|name| Owned {
            owner: owner.clone(),
            kind: "control-plane".into(),
            id: format!("uid-{name}"),
            name: name.clone(),
        });
        Ok(Page { items: items.collect(), next: None })
    }
    async fn kubeconfig(&self, _: &Call) -> Result<Kubeconfigs> {
        Ok(Kubeconfigs { operator: Reference("ref-operator".into()), owner: Reference("ref-owner".into()) })
    }
    async fn rotate(&self, _: &Call) -> Result<()> {
        Ok(())
    }
    async fn metrics(&self, call: &Call) -> Result<Vec<Sample>> {
        Ok(vec![Sample { name: "up".into(), resource: call.owner.cluster.clone(), value: 1.0 }])
    }
}

#[async_trait]
impl JobSource for Doubles {
    async fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
    async fn identify(&self) -> Result<Identity> {
        let disabled = self.cloud.truth.lock().unwrap().disabled;
        Ok(Identity { id: "a".into(), name: "agent".into(), disabled, settings: "{}".into() })
    }
    async fn heartbeat(&self, _: agentkube_contract::Health) -> Result<Beat> {
        Ok(Beat { disabled: false })
    }
    async fn pending(&self) -> Result<Vec<Job>> {
        let _at_work = self.cloud.scripted("pending", false).map_or(Ok(()), Err)?;
        let truth = self.cloud.truth.lock().unwrap();
        Ok(truth.jobs.iter().filter(|job| job.state == JobState::Pending).map(|job| job.job.clone()).collect())
    }
    async fn unfinished(&self) -> Result<Vec<Job>> {
        let truth = self.cloud.truth.lock().unwrap();
        Ok(truth.jobs.iter().filter(|job| job.state == JobState::Processing).map(|job| job.job.clone()).collect())
    }
    async fn job_by_id(&self, id: &str) -> Result<Option<Job>> {
        Ok(self.cloud.truth.lock().unwrap().jobs.iter().find(|job| job.job.id == id).map(|job| job.job.clone()))
    }
    async fn claim(&self, id: &str) -> Result<Claimed> {
        let call = format!("claim {id}");
        let _at_work = self.cloud.enter(&call).await?;
        let claimed = {
            let mut truth = self.cloud.truth.lock().unwrap();
            let job = truth.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
            match job.state {
                JobState::Pending | JobState::Processing => {
                    job.state = JobState::Processing;
                    Claimed::Ours
                }
                _ => Claimed::Lost,
            }
        };
        self.cloud.leave(&call).await?;
        Ok(claimed)
    }
    async fn settle(&self, id: &str, _: &str, settlement: &Settlement) -> Result<Settled> {
        let call = format!("settle {id}");
        let _at_work = self.cloud.enter(&call).await?;
        let answer = {
            let mut truth = self.cloud.truth.lock().unwrap();
            let job = truth.jobs.iter_mut().find(|job| job.job.id == id).unwrap();
            let wanted = match settlement {
                Settlement::Completed(_) => JobState::Completed,
                Settlement::Failed(_) => JobState::Failed,
            };
            match job.state {
                JobState::Processing => {
                    job.state = wanted;
                    job.settlement = Some(settlement.clone());
                    job.settled += 1;
                    Settled::Accepted
                }
                state if state == wanted => Settled::Accepted,
                _ => {
                    job.late = Some(settlement.clone());
                    Settled::Late
                }
            }
        };
        self.cloud.leave(&call).await?;
        Ok(answer)
    }
    async fn services(&self, _: Option<&str>) -> Result<Page<ServiceRow>> {
        Ok(Page { items: Vec::new(), next: None })
    }
    async fn report(&self, _: &str, samples: &[Sample]) -> Result<Vec<String>> {
        let mut truth = self.cloud.truth.lock().unwrap();
        let unknown: Vec<String> =
            samples.iter().map(|sample| sample.name.clone()).filter(|name| truth.unknown.contains(name)).collect();
        truth.samples += samples.len();
        truth.asked_in_vain += unknown.len();
        Ok(unknown)
    }
}

#[async_trait]
impl Tenants for Doubles {
    async fn open(&self, owner: &Owner, provider: &str, kubeconfig: &Reference) -> Result<Arc<dyn Tenant>> {
        assert_eq!((provider, kubeconfig.0.as_str()), ("cp", "ref-operator"));
        let _at_work = self.cloud.enter("open").await?;
        Ok(Arc::new(FakeTenant { cloud: Arc::clone(&self.cloud), cluster: owner.cluster.clone() }))
    }
}

struct FakeTenant {
    cloud: Arc<Cloud>,
    cluster: String,
}

impl FakeTenant {
    fn object<T>(&self, look: impl FnOnce(&mut ControlPlaneObject) -> T) -> Result<T> {
        let mut truth = self.cloud.truth.lock().unwrap();
        let object = truth.control_planes.get_mut(&self.cluster);
        object.map(look).ok_or_else(|| Fault::new(Class::Unavailable, "NO_SERVER", "nothing answers"))
    }
}

#[async_trait]
impl Tenant for FakeTenant {
    async fn ready(&self, _: Duration) -> Result<String> {
        self.object(|_| "v1.35.2".to_owned())
    }
    fn ca(&self) -> String {
        "CA".into()
    }
    async fn join_token(&self, id: &str, lifetime: Duration, _: &str) -> Result<JoinToken> {
        let _at_work = self.cloud.enter("join-token").await?;
        self.object(|object| object.tokens.insert(id.to_owned()))?;
        let secret = format!("canary-{id}-secret");
        self.cloud.truth.lock().unwrap().secrets.insert(secret.clone());
        self.cloud.leave("join-token").await?;
        Ok(JoinToken { id: id.into(), secret, expires: 1_800_000_000_000 + 10 * lifetime.as_millis() as u64 })
    }
    async fn join_info(&self, token: &JoinToken, _: Duration) -> Result<JoinInfo> {
        Ok(JoinInfo {
            server: "10.0.0.1:6443".into(),
            ca_hashes: vec!["sha256:1".into()],
            ca: "CA".into(),
            version: "v1.35.2".into(),
            token: token.clone(),
        })
    }
    async fn revoke_token(&self, id: &str) -> Result<()> {
        let _at_work = self.cloud.enter("revoke").await?;
        self.object(|object| object.tokens.remove(id))?;
        self.cloud.leave("revoke").await
    }
    async fn nodes(&self) -> Result<Vec<Node>> {
        self.object(|object| object.nodes.iter().map(|name| node(name)).collect())
    }
    async fn node(&self, name: &str, _: &Pool, _: bool, _: Duration) -> Result<Node> {
        let _at_work = self.cloud.enter(&format!("node {name}")).await?;
        let failed = || self.cloud.truth.lock().unwrap().failed.contains(name);
        match self.object(|object| object.nodes.contains(name))? {
            true => Ok(node(name)),
            // A real one waits for its time; the machine that failed is seen meanwhile.
            false if failed() => std::future::pending().await,
            false => Err(Fault::new(Class::Timeout, "NO_NODE", "it did not join")),
        }
    }
    async fn remove_node(&self, name: &str) -> Result<()> {
        self.object(|object| object.nodes.remove(name)).map(|_| ())
    }
    async fn apply_addons(&self, addons: &Addons, healthy: bool, _: Duration) -> Result<()> {
        assert_eq!(addons.names, ["network"]);
        let call = if healthy { "addons-healthy" } else { "addons-apply" };
        let _at_work = self.cloud.enter(call).await?;
        self.object(|_| ())?;
        self.cloud.leave(call).await
    }
}

fn node(name: &str) -> Node {
    Node {
        name: name.into(),
        ready: true,
        reason: String::new(),
        version: "v1.35.2".into(),
        address: "10.0.0.9".into(),
        provider_id: None,
    }
}

pub(crate) struct FakeRenderer(pub Arc<Cloud>);

impl BootstrapRenderer for FakeRenderer {
    fn render(&self, request: &BootstrapRequest<'_>) -> Result<Bootstrap> {
        let token = &request.join.token;
        let data = format!("canary-data {} {}.{}", request.key.name, token.id, token.secret);
        self.0.truth.lock().unwrap().secrets.insert("canary-data".into());
        self.carry(request, data.into_bytes())
    }

    fn carry(&self, _: &BootstrapRequest<'_>, user_data: Vec<u8>) -> Result<Bootstrap> {
        Ok(Bootstrap { user_data, meta_data: Vec::new(), network_config: None })
    }
}
