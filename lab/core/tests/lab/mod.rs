//! A Core with a provider, a consumer, an agent and a service type, and short words to speak to it.
#![allow(dead_code)]

use lab_core::{ADMIN_TOKEN, Core, Settings};
use lab_wire::{Answer, Millis, Random, Request, Response, Server};
use serde_json::{Value, json};

/// 2026-11-20T11:53:20Z.
pub const START: Millis = 1_795_175_600_000;

pub struct Lab {
    pub core: Core,
    pub random: Random,
    pub now: Millis,
    pub provider: String,
    pub consumer: String,
    pub group: String,
    pub service_type: String,
    pub agent_type: String,
    pub agent: String,
    pub token: String,
}

impl Lab {
    pub fn new() -> Self {
        Lab::with(Settings::default(), service_type())
    }

    pub fn with(settings: Settings, service_type: Value) -> Self {
        let mut random = Random::new(7);
        let core = Core::new(settings, START, &mut random);
        let none = String::new;
        let (provider, consumer, group) = (none(), none(), none());
        let (service_type_id, agent_type, agent, token) = (none(), none(), none(), none());
        let mut lab = Lab {
            core,
            random,
            now: START,
            provider,
            consumer,
            group,
            service_type: service_type_id,
            agent_type,
            agent,
            token,
        };
        lab.service_type = lab.made("/service-types", service_type);
        let configuration = json!({"properties": {
            "site": {"type": "string", "label": "Site", "default": "dc1"},
            "apiToken": {"type": "string", "secret": {"type": "persistent"}},
        }});
        lab.agent_type = lab.made("/agent-types", json!({
            "name": "kube-agent", "serviceTypeIds": [lab.service_type.as_str()], "configurationSchema": configuration,
            "configContentType": "application/yaml",
            "configTemplate": "site: {{.site}}\ntoken: {{.apiToken}}\n",
            "cmdTemplate": "curl -H 'Authorization: Bearer {{.authToken}}' {{.configUrl}} && start",
        }));
        lab.provider = lab.made("/participants", json!({"name": "Provider", "status": "Enabled"}));
        lab.consumer = lab.made("/participants", json!({"name": "Consumer", "status": "Enabled"}));
        lab.group = lab.new_group("g1");
        (lab.agent, lab.token) = lab.new_agent("pve-1");
        lab
    }

    pub fn new_group(&mut self, name: &str) -> String {
        self.made("/service-groups", json!({"name": name, "consumerId": self.consumer.as_str()}))
    }

    /// Another agent of the provider, with its token.
    pub fn new_agent(&mut self, name: &str) -> (String, String) {
        let body = json!({
            "name": name, "providerId": self.provider.as_str(), "agentTypeId": self.agent_type.as_str(), "tags": ["kube"],
            "configuration": {"site": "dc1", "apiToken": "s3cret"},
        });
        let agent = self.made("/agents", body);
        let body = json!({
            "name": name, "role": "agent", "scopeId": agent.as_str(), "expireAt": "2035-01-01T00:00:00Z",
        });
        let token = self.admin("POST", "/tokens", body).value()["value"].as_str().unwrap().to_owned();
        (agent, token)
    }

    /// Sends a request as it is.
    pub fn send(&mut self, request: &Request) -> Answer {
        self.core.exchange(request, self.now, &mut self.random)
    }

    pub fn call(&mut self, token: &str, method: &str, path: &str, body: Value) -> Response {
        let mut request = Request::new(method, &format!("/api/v1{path}")).bearer(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        match self.send(&request) {
            Answer::Now(response) => response,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    pub fn admin(&mut self, method: &str, path: &str, body: Value) -> Response {
        self.call(ADMIN_TOKEN, method, path, body)
    }

    pub fn agent(&mut self, method: &str, path: &str, body: Value) -> Response {
        let token = self.token.clone();
        self.call(&token, method, path, body)
    }

    /// Makes something as administrator and says its id.
    pub fn made(&mut self, path: &str, body: Value) -> String {
        let response = self.admin("POST", path, body);
        assert_eq!(response.status, 201, "{path}: {}", response.value());
        response.value()["id"].as_str().unwrap().to_owned()
    }

    pub fn order(&mut self, properties: Value) -> Response {
        let group = self.group.clone();
        self.order_in(&group, properties)
    }

    pub fn order_in(&mut self, group: &str, properties: Value) -> Response {
        let body = json!({
            "groupId": group, "agentId": self.agent.as_str(), "serviceTypeId": self.service_type.as_str(), "name": "demo",
            "properties": properties,
        });
        self.admin("POST", "/services", body)
    }

    /// A new service, ordered with valid properties; its creation is pending.
    pub fn ordered(&mut self) -> String {
        let response = self.order(wanted());
        assert_eq!(response.status, 201, "{}", response.value());
        response.value()["id"].as_str().unwrap().to_owned()
    }

    /// A service whose creation is completed.
    pub fn started(&mut self) -> String {
        let service = self.ordered();
        let instance = json!({"agentInstanceId": format!("kube-{service}"), "agentInstanceData": {"schema": 1}});
        self.done(instance);
        service
    }

    pub fn pending(&mut self) -> Vec<Value> {
        self.agent("GET", "/jobs/pending?limit=200", Value::Null).value().as_array().unwrap().clone()
    }

    /// Id of the only pending job.
    pub fn next_job(&mut self) -> String {
        let pending = self.pending();
        assert_eq!(pending.len(), 1, "{pending:?}");
        pending[0]["id"].as_str().unwrap().to_owned()
    }

    pub fn claimed(&mut self) -> String {
        let job = self.next_job();
        assert_eq!(self.agent("POST", &format!("/jobs/{job}/claim"), Value::Null).status, 204);
        job
    }

    /// Claims and completes the only pending job.
    pub fn done(&mut self, body: Value) -> String {
        let job = self.claimed();
        let response = self.complete(&job, body);
        assert_eq!(response.status, 204, "{}", response.value());
        job
    }

    pub fn complete(&mut self, job: &str, body: Value) -> Response {
        self.agent("POST", &format!("/jobs/{job}/complete"), body)
    }

    pub fn fail(&mut self, job: &str, message: &str) -> Response {
        self.agent("POST", &format!("/jobs/{job}/fail"), json!({"errorMessage": message}))
    }

    pub fn service(&mut self, id: &str) -> Value {
        self.admin("GET", &format!("/services/{id}"), Value::Null).value()
    }

    pub fn job(&mut self, id: &str) -> Value {
        self.agent("GET", &format!("/jobs/{id}"), Value::Null).value()
    }

    pub fn pass(&mut self, time: Millis) {
        self.now += time;
        self.core.tick(self.now, &mut self.random);
    }
}

pub fn error(response: &Response) -> String {
    response.value()["error"].as_str().unwrap_or_default().to_owned()
}

pub fn wanted() -> Value {
    json!({"kubernetesVersion": "v1.30.2", "nodePools": {"a": {"size": "s1", "count": 2}}})
}

pub fn service_type() -> Value {
    let by_agent = json!([{"type": "actor", "config": {"actors": ["agent"]}}]);
    let on_error = |from: &str, to: &str| json!({"from": from, "to": to, "onError": true});
    let step = |from: &str, to: &str| json!({"from": from, "to": to});
    json!({
        "name": "kubernetes-cluster",
        "propertySchema": {"properties": {
            "kubernetesVersion": {"type": "string", "required": true,
                "authorizers": [{"type": "state", "config": {"allowedStates": ["Started", "Stopped"]}}],
                "validators": [{"type": "pattern", "config": {"pattern": "^v1\\.[0-9]+\\.[0-9]+$"}}]},
            "replicas": {"type": "integer", "default": 2,
                "validators": [{"type": "min", "config": {"value": 1}}, {"type": "max", "config": {"value": 5}}]},
            "podCidr": {"type": "string", "default": "10.244.0.0/16", "immutable": true},
            "slots": {"type": "integer", "immutable": true},
            "nodePools": {"type": "json", "required": true},
            "pools": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "labels": {"type": "json"}}}},
            "password": {"type": "string", "secret": {"type": "persistent"}},
            "once": {"type": "string", "secret": {"type": "ephemeral"}},
            "apiEndpoint": {"type": "string", "authorizers": by_agent},
            "apiPort": {"type": "integer", "authorizers": by_agent},
            "anybodys": {"type": "string"},
        }},
        "lifecycleSchema": {
            "states": [{"name": "New"}, {"name": "CreateFailed"}, {"name": "Degraded"}, {"name": "Started"},
                {"name": "Stopped"}, {"name": "Deleted"}],
            "initialState": "New", "terminalStates": ["Deleted"], "runningStates": ["Started"],
            "actions": [
                {"name": "create", "requestSchemaType": "properties", "transitions": [
                    step("New", "Started"), step("CreateFailed", "Started"),
                    {"from": "New", "to": "Degraded", "onError": true, "onErrorRegexp": "(?i)quota"},
                    {"from": "New", "to": "CreateFailed", "onError": true, "onErrorRegexp": "^FATAL"}]},
                {"name": "start", "transitions": [step("Stopped", "Started")]},
                {"name": "stop", "transitions": [step("Started", "Stopped")]},
                {"name": "update", "requestSchemaType": "properties", "transitions": [
                    step("Started", "Started"), step("Stopped", "Stopped"),
                    {"from": "Started", "to": "Started", "onError": true, "onErrorRegexp": "^FATAL"}]},
                {"name": "delete", "transitions": [
                    step("New", "Deleted"), step("CreateFailed", "Deleted"), step("Started", "Deleted"),
                    step("Stopped", "Deleted"), on_error("Started", "Started")]},
            ],
        },
    })
}
