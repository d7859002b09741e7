//! One tenant control plane as the controller knows it: address, keys, pods, phases.

use std::net::Ipv4Addr;

use lab_wire::Millis;
use serde_json::{Value, json};

use crate::encoding::sha256_hex;
use crate::pki::{Authority, Pair, PkiError};
use crate::tenant::Tenant;

/// Namespace and name of a TenantControlPlane.
pub type PlaneKey = (String, String);

/// What the controller keeps beside the objects.
pub struct Plane {
    /// uid of the object: another object of the same name is another plane.
    pub uid: String,
    /// Its number among all tenants of this lab: never reused.
    pub number: u64,
    /// Port of its endpoint.
    pub port: u16,
    /// The address of the load balancer (or what stands in for it), once asked for.
    pub address: Option<Ipv4Addr>,
    /// When the address shows.
    pub address_at: Millis,
    /// Whether the first full reconcile is done.
    pub is_set_up: bool,
    /// Keys of the cluster.
    pub keys: Keys,
    /// The pods of its Deployment.
    pub pods: Pods,
    /// The cluster itself.
    pub tenant: Tenant,
    /// When the soot manager started, while it runs.
    pub soot: Option<Soot>,
    /// Whether all phases ran once.
    pub phases_done: bool,
    /// Checksum of the bootstrap-token phase, as the status last told it.
    pub checksum: Option<String>,
}

/// The asynchronous phases after Ready: when each is due, `None` when done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Soot {
    /// cluster-info and its roles.
    pub info: Option<Millis>,
    /// kubelet-config and kubeadm-config.
    pub config: Option<Millis>,
    /// The administrators' binding and the add-ons.
    pub admin: Option<Millis>,
    /// The checksum.
    pub checksum: Option<Millis>,
}

impl Soot {
    /// The next phase.
    pub fn next(&self) -> Option<Millis> {
        [self.info, self.config, self.admin, self.checksum].into_iter().flatten().min()
    }
}

/// Certificates of a tenant cluster.
pub struct Keys {
    /// Signs everything inside the cluster.
    pub authority: Authority,
    /// Signs the aggregation layer's clients.
    pub front: Authority,
    /// What the API server shows.
    pub serving: Option<Pair>,
    /// Names in the serving certificate.
    pub names: Vec<String>,
    /// `kubernetes-admin`, in the group that kubeadm binds later.
    pub admin: Option<Pair>,
    /// `kubernetes-super-admin`, in `system:masters`.
    pub super_admin: Option<Pair>,
}

impl Keys {
    /// New authorities, nothing issued.
    pub fn new(now: Millis) -> Result<Self, PkiError> {
        Ok(Keys {
            authority: Authority::new("kubernetes", now)?,
            front: Authority::new("front-proxy-ca", now)?,
            serving: None,
            names: Vec::new(),
            admin: None,
            super_admin: None,
        })
    }

    /// Issues what is missing, and the serving certificate anew when its names changed. True when something was issued.
    pub fn issue(&mut self, names: Vec<String>, now: Millis) -> Result<bool, PkiError> {
        let mut issued = false;
        if self.serving.is_none() || self.names != names {
            self.serving = Some(self.authority.server("kube-apiserver", &names, now)?);
            self.names = names;
            issued = true;
        }
        if self.admin.is_none() {
            self.admin = Some(self.authority.client("kubernetes-admin", &["kubeadm:cluster-admins"], now)?);
            issued = true;
        }
        if self.super_admin.is_none() {
            self.super_admin = Some(self.authority.client("kubernetes-super-admin", &["system:masters"], now)?);
            issued = true;
        }
        Ok(issued)
    }
}

/// The pods behind a control plane, as its Deployment counts them.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// Wanted.
    pub desired: u32,
    /// Ready.
    pub ready: u32,
    /// Of the newest template.
    pub updated: u32,
    /// Digest of the template.
    pub template: String,
    /// Version of the newest template.
    pub version: String,
    /// (when the first new pod is Ready, when all are).
    pub rollout: Option<(Millis, Millis)>,
}

impl Pods {
    /// Follows the spec. True when a rollout began.
    pub fn follow(&mut self, spec: &Value, now: Millis, duration: Millis) -> bool {
        let desired = spec["controlPlane"]["deployment"]["replicas"].as_u64().unwrap_or(2) as u32;
        let template = template_digest(spec);
        let version = spec["kubernetes"]["version"].as_str().unwrap_or_default().to_owned();
        if desired == 0 {
            *self = Pods { template, version, ..Pods::default() };
            return false;
        }
        let changed = template != self.template;
        let grows = desired > self.desired;
        self.desired = desired;
        self.version = version;
        if !grows && !changed {
            self.ready = self.ready.min(desired);
            self.updated = self.updated.min(desired);
            return false;
        }
        if changed {
            self.updated = 0;
        }
        self.template = template;
        self.rollout = Some((now + duration * 7 / 10, now + duration));
        true
    }

    /// Starts a rollout without a change, as an eviction or a rotated certificate does.
    pub fn restart(&mut self, now: Millis, duration: Millis) {
        self.updated = 0;
        self.rollout = Some((now + duration * 7 / 10, now + duration));
    }

    /// When the pods next change by themselves.
    pub fn timer(&self) -> Option<Millis> {
        let (first, all) = self.rollout?;
        Some(if self.updated == 0 && self.desired > 1 { first } else { all })
    }

    /// Lets pods become Ready. True when something changed.
    pub fn advance(&mut self, now: Millis) -> bool {
        let Some((first, all)) = self.rollout else { return false };
        if now >= all {
            *self = Pods { ready: self.desired, updated: self.desired, rollout: None, ..self.clone() };
            return true;
        }
        if now >= first && self.updated == 0 && self.desired > 1 {
            self.updated = 1;
            self.ready = self.ready.max(1);
            return true;
        }
        false
    }

    /// Whether every wanted pod is there, new and Ready.
    pub fn is_rolled_out(&self) -> bool {
        self.rollout.is_none() && self.ready == self.desired && self.updated == self.desired
    }

    /// The Deployment's status fields.
    pub fn status(&self) -> Value {
        let mut status = json!({});
        let unavailable = self.desired.saturating_sub(self.ready.min(self.updated));
        let counts = [
            ("replicas", self.desired.max(self.ready)),
            ("readyReplicas", self.ready),
            ("availableReplicas", self.ready),
            ("updatedReplicas", self.updated),
            ("unavailableReplicas", unavailable),
        ];
        for (field, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            status[field] = count.into();
        }
        status
    }
}

/// What of a spec ends up in the pods: everything but how many there are and how they are reached.
fn template_digest(spec: &Value) -> String {
    let mut deployment = spec["controlPlane"]["deployment"].clone();
    if let Some(map) = deployment.as_object_mut() {
        map.remove("replicas");
        map.remove("additionalMetadata");
    }
    let profile = &spec["networkProfile"];
    let parts = json!([
        deployment,
        spec["kubernetes"]["version"],
        spec["kubernetes"]["admissionControllers"],
        profile["certSANs"],
        profile["port"],
        profile["serviceCidrs"],
        profile["podCidrs"],
        profile["clusterDomain"],
        spec["addons"]["konnectivity"]["server"],
        spec["dataStore"],
    ]);
    sha256_hex(parts.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(replicas: u32, version: &str) -> Value {
        json!({"controlPlane": {"deployment": {"replicas": replicas}}, "kubernetes": {"version": version}})
    }

    #[test]
    fn a_rollout_keeps_the_old_pods_until_the_new_are_ready() {
        let mut pods = Pods::default();
        assert!(pods.follow(&spec(2, "v1.33.0"), 0, 100));
        assert_eq!((pods.ready, pods.is_rolled_out()), (0, false));
        assert!(pods.advance(70));
        assert_eq!((pods.ready, pods.updated), (1, 1));
        assert!(pods.advance(100) && pods.is_rolled_out());
        assert!(pods.follow(&spec(2, "v1.34.0"), 200, 100));
        assert_eq!((pods.ready, pods.updated), (2, 0), "surge: the old ones still serve");
        assert!(!pods.follow(&spec(2, "v1.34.0"), 210, 100));
        assert!(pods.advance(300) && pods.is_rolled_out());
        assert!(!pods.follow(&spec(0, "v1.34.0"), 400, 100));
        assert_eq!(pods.ready, 0);
    }
}
