//! Status of workloads: they run where nodes are. No pods are made.

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use crate::api::ApiServer;

/// Brings every workload's status up to date.
pub fn run(api: &mut ApiServer, now: Millis, random: &mut Random) {
    let nodes = api.objects("", "nodes", None);
    let is_ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    let any_ready = nodes.iter().any(|node| is_ready(node));
    for set in api.objects("apps", "daemonsets", None) {
        let template = &set["spec"]["template"]["spec"];
        let fits = |node: &Value| {
            let wanted = template["nodeSelector"].as_object().into_iter().flatten();
            wanted.into_iter().all(|(key, value)| node["metadata"]["labels"][key.as_str()] == *value)
        };
        let chosen: Vec<_> = nodes.iter().filter(|node| fits(node)).collect();
        // Pods in the host's network start before the node has one of its own.
        let running = chosen.iter().filter(|node| template["hostNetwork"] == true || is_ready(node)).count();
        let (desired, running) = (chosen.len(), running);
        let mut status = json!({
            "currentNumberScheduled": desired, "desiredNumberScheduled": desired, "numberMisscheduled": 0,
            "numberReady": running, "updatedNumberScheduled": desired, "observedGeneration": set["metadata"]["generation"],
        });
        for (field, count) in [("numberAvailable", running), ("numberUnavailable", desired - running)] {
            if count > 0 {
                status[field] = count.into();
            }
        }
        store(api, &set, status, now, random);
    }
    for plural in ["deployments", "statefulsets", "replicasets"] {
        for object in api.objects("apps", plural, None) {
            let status = replicated(&object, plural, any_ready, now);
            store(api, &object, status, now, random);
        }
    }
    for job in api.objects("batch", "jobs", None) {
        if any_ready && job["status"]["succeeded"].is_null() {
            let condition = json!({"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(now)});
            let status = json!({
                "succeeded": 1, "startTime": rfc3339(now), "completionTime": rfc3339(now), "conditions": [condition],
            });
            store(api, &job, status, now, random);
        }
    }
}

fn replicated(object: &Value, plural: &str, any_ready: bool, now: Millis) -> Value {
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let running = if any_ready { wanted } else { 0 };
    let mut status = json!({"replicas": wanted, "observedGeneration": object["metadata"]["generation"]});
    if plural != "replicasets" {
        status["updatedReplicas"] = wanted.into();
    }
    if running > 0 {
        status["readyReplicas"] = running.into();
        status["availableReplicas"] = running.into();
    }
    if plural != "deployments" {
        return status;
    }
    if running < wanted {
        status["unavailableReplicas"] = (wanted - running).into();
    }
    let available = running >= wanted;
    let old = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = |kind: &str, state: bool, reason: &str, message: &str| {
        let state = if state { "True" } else { "False" };
        let same = old.iter().find(|c| c["type"] == kind && c["status"] == state);
        let since = same.map_or_else(|| rfc3339(now).into(), |c| c["lastTransitionTime"].clone());
        json!({"type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": since, "lastUpdateTime": since})
    };
    let (reason, message) = if available {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let progress = if available { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    status["conditions"] =
        json!([condition("Available", available, reason, message), condition("Progressing", true, progress, "")]);
    status
}

fn store(api: &mut ApiServer, object: &Value, status: Value, now: Millis, random: &mut Random) {
    if object["status"] != status {
        let mut object = object.clone();
        object["status"] = status;
        api.put(object, now, random);
    }
}
