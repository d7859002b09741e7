//! A Core in which the shipped types are registered, an agent in it, and the plugin with that agent's token.

use std::cell::RefCell;
use std::rc::Rc;

use agentkube_plugin_fulcrum::{Fulcrum, manifest};
use agentkube_sdk::JobSource;
use agentkube_sdk::http::Response;
use agentkube_sdk::job_source::{Completion, Failure, Job, Node, PoolReport, Settlement, Standing};
use agentkube_sdk::observed::Condition;
use agentkube_sdk::testing::{Reply, Sent, World, empty};
use agentkube_sdk::{Fault, Result};
use lab_core::{ADMIN_TOKEN, Core, Settings};
use lab_wire::{Answer, Millis, Random, Request, Server};
use serde_json::{Value, json};

/// 2026-11-20T11:53:20Z.
const START: Millis = 1_795_175_600_000;

pub fn service_type() -> Value {
    serde_json::from_str(include_str!("../../service-type.json")).unwrap()
}

pub struct Queue {
    pub core: Core,
    random: Random,
    pub now: Millis,
    pub token: String,
    pub agent: String,
    pub agent_type: String,
    pub service_type: String,
    pub provider: String,
    pub group: String,
    consumer: String,
}

/// Core, the world around the plugin, and the plugin.
pub struct Lab {
    pub queue: Rc<RefCell<Queue>>,
    pub world: World,
    pub plugin: Fulcrum,
}

impl Queue {
    pub fn call(&mut self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request = Request::new(method, &format!("/api/v1{path}")).bearer(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        match self.core.exchange(&request, self.now, &mut self.random) {
            Answer::Now(response) => (response.status, response.value()),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    pub fn admin(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(ADMIN_TOKEN, method, path, body)
    }

    pub fn made(&mut self, path: &str, body: Value) -> Value {
        let (status, value) = self.admin("POST", path, body);
        assert_eq!(status, 201, "{path}: {value}");
        value
    }

    pub fn id(&mut self, path: &str, body: Value) -> String {
        self.made(path, body)["id"].as_str().unwrap().to_owned()
    }

    pub fn new_group(&mut self, name: &str) -> String {
        let body = json!({"name": name, "consumerId": self.consumer});
        self.id("/service-groups", body)
    }

    /// Another agent of the provider: its id and token.
    pub fn new_agent(&mut self, name: &str) -> (String, String) {
        let body = json!({"name": name, "providerId": self.provider, "agentTypeId": self.agent_type,
            "configuration": {"pollSeconds": 3, "defaultClusterDomain": "site.local"}});
        let agent = self.id("/agents", body);
        let body = json!({"name": name, "role": "agent", "scopeId": agent, "expireAt": "2035-01-01T00:00:00Z"});
        let token = self.made("/tokens", body)["value"].as_str().unwrap().to_owned();
        (agent, token)
    }

    pub fn order_in(&mut self, group: &str, properties: Value) -> String {
        let body = json!({"groupId": group, "agentId": self.agent, "serviceTypeId": self.service_type, "name": "demo",
            "properties": properties});
        self.id("/services", body)
    }

    pub fn service(&mut self, id: &str) -> Value {
        self.admin("GET", &format!("/services/{id}"), Value::Null).1
    }

    pub fn act(&mut self, service: &str, action: &str) {
        let (status, value) = self.admin("POST", &format!("/services/{service}/{action}"), Value::Null);
        assert_eq!(status, 200, "{value}");
    }

    pub fn change(&mut self, service: &str, properties: Value) {
        let (status, value) = self.admin("PATCH", &format!("/services/{service}"), json!({"properties": properties}));
        assert_eq!(status, 200, "{value}");
    }

    pub fn error(&self, job: &str) -> String {
        self.core.jobs().iter().find(|row| row.meta.id == job).unwrap().error.clone()
    }

    pub fn state(&self, job: &str) -> String {
        self.core.jobs().iter().find(|row| row.meta.id == job).unwrap().status.as_str().to_owned()
    }

    pub fn forward(&mut self, sent: &Sent) -> Reply {
        let request = Request {
            method: sent.method().to_owned(),
            path: sent.path().to_owned(),
            query: sent.queries().to_vec(),
            body: sent.body().to_vec(),
            ..Request::default()
        };
        // What the host adds; recordings tell by it whose request it is.
        let mut request = request.header("user-agent", "agentkube/test");
        if let Some(kind) = sent.header("content-type") {
            request = request.header("content-type", kind);
        }
        match self.core.exchange(&request.bearer(&self.token), self.now, &mut self.random) {
            Answer::Now(answer) => {
                Reply::Answer(Response { headers: answer.headers, body: answer.body, ..empty(answer.status) })
            }
            _ => Reply::Lost(empty(0)),
        }
    }
}

impl Lab {
    pub fn new() -> Self {
        Lab::with(Settings::default(), service_type())
    }

    pub fn with(settings: Settings, service_type: Value) -> Self {
        let mut random = Random::new(11);
        let core = Core::new(settings, START, &mut random);
        let text = String::new;
        let mut queue = Queue {
            core,
            random,
            now: START,
            token: text(),
            agent: text(),
            agent_type: text(),
            service_type: text(),
            provider: text(),
            group: text(),
            consumer: text(),
        };
        queue.service_type = queue.id("/service-types", service_type);
        let mut agent_type: Value = serde_json::from_str(include_str!("../../agent-type.json")).unwrap();
        agent_type["serviceTypeIds"] = json!([queue.service_type]);
        queue.agent_type = queue.id("/agent-types", agent_type);
        queue.provider = queue.id("/participants", json!({"name": "Provider", "status": "Enabled"}));
        queue.consumer = queue.id("/participants", json!({"name": "Consumer", "status": "Enabled"}));
        queue.group = queue.new_group("g1");
        (queue.agent, queue.token) = queue.new_agent("dc1");
        let queue = Rc::new(RefCell::new(queue));
        let (world, served) = (World::new(), queue.clone());
        let config = json!({"connection": "core"});
        world.config(config.clone()).manifest(manifest());
        world.http("core", move |sent| served.borrow_mut().forward(sent));
        let plugin = Fulcrum::new(serde_json::from_value(config).unwrap()).unwrap();
        Lab { queue, world, plugin }
    }

    pub fn order(&self) -> String {
        let mut queue = self.queue.borrow_mut();
        let group = queue.group.clone();
        queue.order_in(&group, wanted())
    }

    pub fn pending(&self) -> Vec<Job> {
        self.world.run(self.plugin.pending()).unwrap()
    }

    /// The only pending job, claimed.
    pub fn claimed(&self) -> Job {
        let mut pending = self.pending();
        assert_eq!(pending.len(), 1, "{pending:?}");
        let job = pending.remove(0);
        let claimed = self.world.run(self.plugin.claim(job.id.clone())).unwrap();
        assert_eq!(claimed, agentkube_sdk::job_source::Claimed::Ours);
        job
    }

    pub fn settle(&self, job: &Job, settlement: Settlement) -> Result<agentkube_sdk::job_source::Settled> {
        self.world.run(self.plugin.settle(job.id.clone(), job.service.clone(), settlement))
    }

    /// Claims and completes the only pending job.
    pub fn done(&self) -> Job {
        let job = self.claimed();
        assert_eq!(self.settle(&job, self.completed()), Ok(agentkube_sdk::job_source::Settled::Accepted));
        job
    }

    /// A service whose creation is completed.
    pub fn started(&self) -> String {
        let service = self.order();
        self.done();
        service
    }

    /// A completion with all there is.
    pub fn completed(&self) -> Settlement {
        let kubeconfig = self.world.secret("owner", KUBECONFIG);
        let node = |name: &str, pool: &str| Node {
            name: name.to_owned(),
            pool: pool.to_owned(),
            ready: true,
            version: "v1.35.2".to_owned(),
            address: "10.0.0.7".to_owned(),
            machine: Some(format!("pve/{name}")),
        };
        let pool = |name: &str, wanted| PoolReport { name: name.to_owned(), provider: "machines".to_owned(), wanted };
        Settlement::Completed(Completion {
            instance_id: "lab/core/1".to_owned(),
            endpoint: Some("https://10.0.0.5:6443".to_owned()),
            ca: Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned()),
            kubeconfig: Some(kubeconfig),
            version: Some("v1.35.2".to_owned()),
            phase: "Provisioned".to_owned(),
            conditions: vec![Standing {
                condition: Condition {
                    name: "Ready".to_owned(),
                    status: Some(true),
                    reason: "Provisioned".to_owned(),
                    message: String::new(),
                },
                since_ms: START,
            }],
            pools: vec![pool("a", 2), pool("b", 1)],
            nodes: vec![node("k-a-00", "a"), node("k-a-01", "a"), node("k-b-00", "b")],
            observed_generation: 1,
            more: vec![("cluster".to_owned(), "\"kabc\"".to_owned())],
        })
    }
}

pub const KUBECONFIG: &str = "apiVersion: v1\nusers: [{\"token\": \"t0p\\secret\"}]\n";

pub fn wanted() -> Value {
    json!({"kubernetesVersion": "v1.35.2", "nodePools": {"a": {"size": "s1", "count": 2}, "b": {"size": "s2", "count": 1}}})
}

pub fn failed(code: &str) -> Settlement {
    Settlement::Failed(Failure { fault: Fault::invalid(code, "because"), status: None })
}

pub fn because(fault: Fault) -> Settlement {
    Settlement::Failed(Failure { fault, status: None })
}
