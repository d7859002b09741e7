//! Whether an object works. Kinds without a notion of it work once they exist.

use serde_json::Value;

/// Whether an object works.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It does.
    Works,
    /// It may yet.
    NotYet(String),
    /// It never will.
    Broken(String),
}

/// Judges an object as the cluster gives it; null for one that is not there.
pub(crate) fn of(object: &Value) -> Health {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let group = object.get("apiVersion").and_then(Value::as_str).and_then(|version| version.split_once('/'));
    match (group.map(|(group, _)| group).unwrap_or_default(), kind) {
        _ if object.is_null() => Health::NotYet("it does not exist".to_owned()),
        ("apps", "DaemonSet") => rolled_out(
            object,
            number(object, "/status/desiredNumberScheduled"),
            number(object, "/status/updatedNumberScheduled"),
            number(object, "/status/numberAvailable"),
        ),
        ("apps", "Deployment" | "StatefulSet") => rolled_out(
            object,
            object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
            number(object, "/status/updatedReplicas"),
            number(object, "/status/availableReplicas"),
        ),
        ("batch", "Job") => match condition(object, "Failed") {
            Some((true, message)) => Health::Broken(format!("the job failed: {message}")),
            _ => needs(object, "Complete"),
        },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => needs(object, "Established"),
        ("apiregistration.k8s.io", "APIService") => needs(object, "Available"),
        _ => Health::Works,
    }
}

fn rolled_out(object: &Value, wanted: u64, updated: u64, available: u64) -> Health {
    if number(object, "/status/observedGeneration") < number(object, "/metadata/generation") {
        return Health::NotYet("its controller has not seen it".to_owned());
    }
    if updated < wanted || available < wanted {
        return Health::NotYet(format!("{available} of {wanted} available, {updated} updated"));
    }
    Health::Works
}

fn needs(object: &Value, name: &str) -> Health {
    match condition(object, name) {
        Some((true, _)) => Health::Works,
        Some((false, message)) => Health::NotYet(format!("not {name}: {message}")),
        None => Health::NotYet(format!("not {name}")),
    }
}

fn condition(object: &Value, name: &str) -> Option<(bool, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition.get("type").is_some_and(|kind| kind == name))?;
    let message = condition.get("message").and_then(Value::as_str).unwrap_or_default();
    Some((condition.get("status")? == "True", crate::api::clip(message, 200)))
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn workloads_work_once_rolled_out() {
        let set = |generation: u64, updated: u64, available: u64| {
            of(&json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 2},
                "status": {"observedGeneration": generation, "desiredNumberScheduled": 3,
                           "updatedNumberScheduled": updated, "numberAvailable": available},
            }))
        };
        assert_eq!(set(2, 3, 3), Health::Works);
        assert!(matches!(set(1, 3, 3), Health::NotYet(_)), "the old generation is no proof");
        assert!(matches!(set(2, 2, 3), Health::NotYet(_)));
        assert!(matches!(set(2, 3, 2), Health::NotYet(_)));
        let fresh = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 1}});
        assert!(matches!(of(&fresh), Health::NotYet(_)));
    }

    #[test]
    fn conditions_decide_for_kinds_that_have_them() {
        let of = |api: &str, kind: &str, name: &str, status: &str| {
            let conditions = json!([{"type": name, "status": status, "message": "m"}]);
            of(&json!({"apiVersion": api, "kind": kind, "status": {"conditions": conditions}}))
        };
        assert_eq!(of("batch/v1", "Job", "Complete", "True"), Health::Works);
        assert!(matches!(of("batch/v1", "Job", "Failed", "True"), Health::Broken(_)));
        assert_eq!(of("apiextensions.k8s.io/v1", "CustomResourceDefinition", "Established", "True"), Health::Works);
        assert!(matches!(of("apiregistration.k8s.io/v1", "APIService", "Available", "False"), Health::NotYet(_)));
        assert_eq!(of("v1", "ConfigMap", "x", "False"), Health::Works);
        assert!(matches!(super::of(&Value::Null), Health::NotYet(_)));
    }
}
