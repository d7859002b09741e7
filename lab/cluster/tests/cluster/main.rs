//! The admin cluster with Kamaji, and tenants that machines join.

mod joining;
mod kamaji;
mod trouble;

use lab_cluster::{AdminCluster, AdminSettings};
use lab_wire::{Answer, Millis, Random, Request, Response, Server};
use serde_json::{Value, json};

pub const START: Millis = 1_790_000_000_000;
pub const PLANES: &str = "/apis/kamaji.clastix.io/v1alpha1/namespaces/t/tenantcontrolplanes";

/// An admin cluster, its clock and its clients.
pub struct World {
    pub cluster: AdminCluster,
    pub random: Random,
    pub now: Millis,
}

impl World {
    /// A world with the namespace `t`.
    pub fn new(scale: u64) -> Self {
        let mut random = Random::new(11);
        let settings = AdminSettings { scale, ..AdminSettings::default() };
        let cluster = AdminCluster::new(settings, START, &mut random).unwrap();
        let mut world = World { cluster, random, now: START };
        assert_eq!(world.admin("POST", "/api/v1/namespaces", json!({"metadata": {"name": "t"}})).status, 201);
        world
    }

    pub fn try_send(&mut self, request: &Request) -> Answer {
        let answer = self.cluster.exchange(request, self.now, &mut self.random);
        self.cluster.tick(self.now, &mut self.random);
        answer
    }

    pub fn send(&mut self, request: &Request) -> Response {
        match self.try_send(request) {
            Answer::Now(response) | Answer::Stream(_, response) => response,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// As `system:masters` of the admin cluster.
    pub fn admin(&mut self, method: &str, path: &str, body: Value) -> Response {
        let request = masters(method, path, body);
        self.send(&request)
    }

    /// As `system:masters` of a tenant.
    pub fn tenant(&mut self, name: &str, method: &str, path: &str, body: Value) -> Response {
        let mut request = masters(method, path, body);
        request.endpoint = format!("tenant/t/{name}");
        self.send(&request)
    }

    /// Lets time pass the way the shell does: from timer to timer.
    pub fn wait(&mut self, ms: Millis) {
        let end = self.now + ms;
        while let Some(at) = self.cluster.next_timer().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.cluster.tick(self.now, &mut self.random);
        }
        self.now = end;
        self.cluster.tick(end, &mut self.random);
    }

    /// Waits in small steps until something holds; panics after a minute.
    pub fn until(&mut self, what: &str, holds: impl Fn(&mut World) -> bool) -> Millis {
        let start = self.now;
        while !holds(self) {
            assert!(self.now < start + 60_000, "{what} did not come");
            self.wait(20);
        }
        self.now - start
    }

    pub fn plane(&mut self, name: &str) -> Value {
        self.admin("GET", &format!("{PLANES}/{name}"), Value::Null).value()
    }

    pub fn state(&mut self, name: &str) -> String {
        let plane = self.plane(name);
        plane["status"]["kubernetesResources"]["version"]["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Creates a control plane and waits until machines can join.
    pub fn joinable(&mut self, name: &str) {
        let made = self.admin("POST", PLANES, plane(name));
        assert_eq!(made.status, 201, "{}", made.value());
        self.until("the bootstrap checksum", |world| {
            let plane = world.plane(name);
            plane["status"]["kubeadmPhase"]["bootstrapToken"]["checksum"].is_string()
        });
    }
}

pub fn masters(method: &str, path: &str, body: Value) -> Request {
    let mut request = Request::new(method, path);
    if !body.is_null() {
        request = request.json(&body);
    }
    if method == "PATCH" {
        request.headers = vec![("content-type".to_owned(), "application/merge-patch+json".to_owned())];
    }
    request.peer.common_name = Some("boss".to_owned());
    request.peer.organizations = vec!["system:masters".to_owned()];
    request
}

pub fn plane(name: &str) -> Value {
    json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": {"name": name, "namespace": "t"},
        "spec": {
            "controlPlane": {"deployment": {"replicas": 2}, "service": {"serviceType": "LoadBalancer"}},
            "kubernetes": {"version": "v1.33.4", "kubelet": {}},
            "addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}},
        },
    })
}
