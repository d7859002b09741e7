//! Who we are, how we are, and what Core may set.

use agentkube_sdk::job_source::{Beat, Health, Identity};
use agentkube_sdk::{Result, log};
use serde_json::{Map, Value, json};

use crate::api::{Agent, Core, Object, read};
use crate::config::Defaults;

/// Intervals that the agent's configuration in Core may set: its key (seconds), the host's key (milliseconds), least, most.
const INTERVALS: [(&str, &str, u64, u64); 3] = [
    ("pollSeconds", "poll-ms", 1, 300),
    ("heartbeatSeconds", "heartbeat-ms", 1, 300),
    ("measureSeconds", "measure-ms", 0, 86_400),
];

/// Who we are. Only intervals and defaults are taken from Core; addresses, credentials and grants are the operator's.
pub async fn identify(core: &Core) -> Result<Identity> {
    let me = core.me().await?;
    let settings = settings(&me).to_string();
    Ok(Identity { disabled: me.is_disabled(), id: me.id, name: me.name, settings })
}

/// Says how we are, unless an administrator disabled us: the beat would undo that.
pub async fn heartbeat(core: &Core, health: Health) -> Result<Beat> {
    if core.me().await?.is_disabled() {
        return Ok(Beat { disabled: true });
    }
    let status = match health {
        Health::Connected => "Connected",
        Health::Error => "Error",
        Health::Disconnected => "Disconnected",
    };
    let _: Agent = read(core.put("/agents/me/status").json(&json!({ "status": status })).send().await?)?;
    Ok(Beat { disabled: false })
}

/// What Core sets, in the host's words.
fn settings(me: &Agent) -> Value {
    let Some(given) = &me.configuration else { return json!({}) };
    let mut settings = Map::new();
    for (key, ours, least, most) in INTERVALS {
        match given.get(key).map(Value::as_u64) {
            Some(Some(seconds)) if (least..=most).contains(&seconds) => {
                settings.insert(ours.to_owned(), json!(seconds * 1000));
            }
            Some(_) => {
                let range = format!("a whole number from {least} to {most}");
                log::warn(
                    "a setting of the agent's configuration in Core is left out",
                    &[("key", &key), ("needs", &range)],
                );
            }
            None => {}
        }
    }
    let defaults = defaults(given);
    let pairs = [
        ("version", defaults.version.map(Value::from)),
        ("replicas", defaults.replicas.map(Value::from)),
        ("pod-cidr", defaults.pod_cidr.map(Value::from)),
        ("service-cidr", defaults.service_cidr.map(Value::from)),
        ("domain", defaults.domain.map(Value::from)),
    ];
    let defaults: Object = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    if !defaults.is_empty() {
        settings.insert("defaults".to_owned(), Value::Object(defaults));
    }
    Value::Object(settings)
}

/// Defaults that the agent's configuration in Core sets.
pub fn defaults(configuration: &Object) -> Defaults {
    let text = |key: &str| configuration.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Defaults {
        version: text("defaultKubernetesVersion"),
        replicas: configuration
            .get("defaultControlPlaneReplicas")
            .and_then(Value::as_u64)
            .and_then(|replicas| u32::try_from(replicas).ok()),
        pod_cidr: text("defaultPodCidr"),
        service_cidr: text("defaultServiceCidr"),
        domain: text("defaultClusterDomain"),
    }
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::testing::World;

    use super::*;

    #[test]
    fn only_intervals_and_defaults_come_from_core() {
        let world = World::new();
        let configuration = json!({
            "pollSeconds": 7, "heartbeatSeconds": 0, "measureSeconds": 30, "defaultPodCidr": "10.1.0.0/16",
            "defaultControlPlaneReplicas": 3, "proxmoxApiUrl": "https://evil", "proxmoxApiToken": "vault://x", "connection": "y",
        });
        let me = serde_json::from_value(json!({"id": "a", "configuration": configuration})).unwrap();
        let expected = json!({
            "poll-ms": 7000, "measure-ms": 30000, "defaults": {"pod-cidr": "10.1.0.0/16", "replicas": 3},
        });
        assert_eq!(settings(&me), expected);
        assert!(world.logs()[0].contains("heartbeatSeconds"), "{:?}", world.logs());
    }

    #[test]
    fn an_agent_without_configuration_sets_nothing() {
        let _world = World::new();
        assert_eq!(settings(&serde_json::from_value(json!({"id": "a"})).unwrap()), json!({}));
    }
}
