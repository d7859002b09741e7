//! What an administrator and a customer do at Fulcrum Core, over its real API: register the types, make an agent, order a cluster.

use std::time::Duration;

use reqwest::{Certificate, Client, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::lab::Access;

/// Somebody with an administrator's token.
#[derive(Clone, Debug)]
pub struct Customer {
    client: Client,
    base: String,
    token: String,
}

/// What was registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Id of the service type.
    pub service_type: String,
    /// Id of the agent.
    pub agent: String,
    /// The agent's token.
    pub agent_token: String,
    /// Id of the customer.
    pub consumer: String,
}

/// How long Core is left alone before a request is sent again; then twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest such time.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// The two types that ship with the job-source plugin.
const SERVICE_TYPE: &str = include_str!("../../../plugins/fulcrum/service-type.json");
const AGENT_TYPE: &str = include_str!("../../../plugins/fulcrum/agent-type.json");

/// The service type and the agent type that ship with the job-source plugin.
pub fn shipped_types() -> Result<(Value, Value), Error> {
    let parse = |text| serde_json::from_str(text).map_err(|error| Error::Daemon(format!("a shipped type: {error}")));
    Ok((parse(SERVICE_TYPE)?, parse(AGENT_TYPE)?))
}

impl Customer {
    /// A client of the lab's Core.
    pub fn new(access: &Access) -> Result<Self, Error> {
        // Fails only where one was installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = Certificate::from_pem(access.ca.as_bytes()).map_err(trouble)?;
        let client = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(trouble)?;
        Ok(Customer { client, base: format!("{}/api/v1", access.core.url), token: access.core.admin_token.clone() })
    }

    /// One request; anything but success is an error. What Core could not take now, and what changes nothing and got no answer, is
    /// sent again; of what changes something it is unknown then whether it arrived.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.once(&method, path, body).await {
                Err(Error::Core { again: true, wait: asked, .. }) if wait <= LONGEST_WAIT => {
                    tokio::time::sleep(wait.max(Duration::from_secs(asked.unwrap_or(0)))).await;
                    wait *= 2;
                }
                result => return result,
            }
        }
    }

    async fn once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reads = *method == Method::GET;
        let lost = |error: reqwest::Error| Error::Core {
            again: reads || error.is_connect(),
            wait: None,
            text: format!("{method} {path}: Core does not answer: {}", with_causes(&error)),
        };
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.map_err(lost)?;
        if !status.is_success() {
            // 429 and 503 are said before anything happened.
            let again = matches!(status.as_u16(), 429 | 503) || (reads && status.is_server_error());
            return Err(Error::Core { text: format!("{method} {path}: {status} {text}"), again, wait: after });
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> Result<String, Error> {
        let made = self.call(Method::POST, path, Some(&body)).await?;
        Ok(made.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Registers types, provider, customer and agent. The two types are those that ship with the plugin.
    pub async fn register(&self, service_type: &Value, agent_type: &Value) -> Result<Registration, Error> {
        let service_type = self.post("/service-types", service_type.clone()).await?;
        let mut agent_type = agent_type.clone();
        if let Some(agent_type) = agent_type.as_object_mut() {
            agent_type.insert("serviceTypeIds".to_owned(), json!([service_type]));
        }
        let agent_type = self.post("/agent-types", agent_type).await?;
        let provider = self.post("/participants", json!({ "name": "Provider", "status": "Enabled" })).await?;
        let consumer = self.post("/participants", json!({ "name": "Customer", "status": "Enabled" })).await?;
        let agent = json!({ "name": "agentkube", "providerId": provider, "agentTypeId": agent_type, "tags": ["kube"] });
        let agent = self.post("/agents", agent).await?;
        let token =
            json!({ "name": "agentkube", "role": "agent", "scopeId": agent, "expireAt": "2099-01-01T00:00:00Z" });
        let token = self.call(Method::POST, "/tokens", Some(&token)).await?;
        for name in METRICS {
            self.post("/metric-types", json!({ "name": name, "entityType": "Resource" })).await?;
        }
        let agent_token = token.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Registration { service_type, agent, agent_token, consumer })
    }

    /// Orders a cluster in a group of its own; gives the service's id.
    pub async fn order(&self, registration: &Registration, name: &str, properties: Value) -> Result<String, Error> {
        let group = self.post("/service-groups", json!({ "name": name, "consumerId": registration.consumer })).await?;
        let service = json!({
            "groupId": group, "agentId": registration.agent, "serviceTypeId": registration.service_type,
            "name": name, "properties": properties,
        });
        self.post("/services", service).await
    }

    /// The service as it is.
    pub async fn service(&self, id: &str) -> Result<Value, Error> {
        self.call(Method::GET, &format!("/services/{id}"), None).await
    }

    /// The newest job of a service for an action, if there is one yet.
    pub async fn job(&self, service: &str, action: &str) -> Result<Option<Value>, Error> {
        let path = format!("/jobs?serviceId={service}&action={action}&sort=-createdAt&pageSize=1");
        Ok(self.list(&path).await?.into_iter().next())
    }

    /// The newest measurements of a service, newest first.
    pub async fn metrics(&self, service: &str) -> Result<Vec<Value>, Error> {
        self.list(&format!("/metric-entries?serviceId={service}&sort=-createdAt&pageSize=100")).await
    }

    /// A service with this name that is not deleted, as it is.
    pub async fn named(&self, name: &str) -> Result<Option<Value>, Error> {
        let services = self.list("/services?pageSize=100").await?;
        let text = |service: &Value, key: &str| service.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(services.into_iter().find(|service| text(service, "name") == name && text(service, "status") != "Deleted"))
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let page = self.call(Method::GET, path, None).await?;
        Ok(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Asks for its deletion.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("/services/{id}"), None).await.map(|_| ())
    }
}

/// Metric types that the plugins report under.
const METRICS: [&str; 9] = [
    "cpu.usage",
    "memory.size",
    "memory.usage",
    "nodes.total",
    "nodes.ready",
    "nodes.ready.ratio",
    "control-plane.ready",
    "control-plane.replicas",
    "control-plane.replicas.ready",
];

fn trouble(error: reqwest::Error) -> Error {
    Error::Daemon(format!("Core: {error}"))
}

/// An error with what is behind it: `reqwest` says only that sending failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
