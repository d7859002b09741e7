//! From the object's status to ours.
//!
//! Kamaji has no conditions. `Unknown` is normal during any rollout; `NotReady` is what a new control plane shows first; `Ready`
//! comes before the kubeadm phases that machines need for joining have run.

use agentkube_sdk::control_plane::{Phase, Status};
use agentkube_sdk::prelude::*;
use serde_json::Value;

use crate::mark;

fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn number(object: &Value, path: &str) -> Option<u64> {
    object.pointer(path).and_then(Value::as_u64)
}

/// Kamaji's own word.
pub fn word(object: &Value) -> &str {
    text(object, "/status/kubernetesResources/version/status").unwrap_or("Provisioning")
}

/// `host:port` of the API server.
pub fn endpoint(object: &Value) -> Option<&str> {
    text(object, "/status/controlPlaneEndpoint")
}

/// Name of the Secret with the administrators' kubeconfigs.
pub fn kubeconfig_secret(object: &Value) -> Option<&str> {
    text(object, "/status/kubeconfig/admin/secretName")
}

/// Whether the status is about the spec as it is now. Releases before 26.3 say nothing about it.
fn observed(object: &Value) -> bool {
    match (number(object, "/status/observedGeneration"), number(object, "/metadata/generation")) {
        (Some(observed), Some(generation)) => observed >= generation,
        _ => true,
    }
}

/// Whether an API server answers.
pub fn serves(object: &Value) -> bool {
    number(object, "/status/kubernetesResources/deployment/readyReplicas").unwrap_or(0) > 0
        && word(object) != "Sleeping"
}

/// Whether somebody told Kamaji to leave the object alone; its finalizers then do nothing either.
pub fn is_paused(object: &Value) -> bool {
    mark::annotation(object, "kamaji.clastix.io/paused").is_some()
}

/// What machines still wait for; `None` when they can join.
pub fn not_joinable(object: &Value) -> Option<String> {
    if !observed(object) {
        if is_paused(object) {
            return Some("its reconciliation is paused by the annotation kamaji.clastix.io/paused".to_owned());
        }
        return Some("Kamaji has not looked at the newest version of the object yet".to_owned());
    }
    if endpoint(object).is_none() {
        return Some("the API server has no address yet".to_owned());
    }
    if !serves(object) {
        return Some(format!("no API server is ready yet (status {})", word(object)));
    }
    if kubeconfig_secret(object).is_none() {
        return Some("the kubeconfig has not been made yet".to_owned());
    }
    // The checksum appears once the phase that lets bootstrap tokens in has run.
    if text(object, "/status/kubeadmPhase/bootstrapToken/checksum").is_none() {
        return Some("the kubeadm phase for bootstrap tokens has not run yet".to_owned());
    }
    None
}

/// What is still missing until all is as wanted; `None` when it is stable.
pub fn not_ready(object: &Value, version: &str) -> Option<String> {
    if let Some(reason) = not_joinable(object) {
        return Some(reason);
    }
    match word(object) {
        "Ready" => match text(object, "/status/kubernetesResources/version/version") {
            Some(serving) if serving == version => None,
            serving => Some(format!("version {} serves, {version} is wanted", serving.unwrap_or("none"))),
        },
        // Write limits mask Ready, and the version is not moved on under them: the Deployment tells.
        "WriteLimited" => rollout(object),
        word => Some(format!("status is {word}")),
    }
}

fn rollout(object: &Value) -> Option<String> {
    let of = |field: &str| number(object, &format!("/status/kubernetesResources/deployment/{field}")).unwrap_or(0);
    let wanted = number(object, "/spec/controlPlane/deployment/replicas").unwrap_or(0);
    let done = of("unavailableReplicas") == 0 && of("updatedReplicas") == wanted && of("readyReplicas") == wanted;
    (!done).then(|| format!("{} of {wanted} replicas are ready", of("readyReplicas")))
}

/// Our status of the object.
pub fn status(object: &Value) -> Status {
    let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    let phase = match word(object) {
        _ if deleting => Phase::Deleting,
        "Ready" | "WriteLimited" => Phase::Ready,
        "Sleeping" => Phase::Sleeping,
        "Upgrading" => Phase::Upgrading,
        "Provisioning" => Phase::Provisioning,
        // Pods are replaced while others serve: an eviction, a renewed certificate, another replica.
        "Unknown" if serves(object) => Phase::Ready,
        // New ones and broken ones look alike but for the version that once served.
        _ if text(object, "/status/kubernetesResources/version/version").is_none() => Phase::Provisioning,
        _ => Phase::Degraded,
    };
    let waiting = not_joinable(object);
    let ready = Condition {
        name: "ControlPlaneReady".to_owned(),
        status: Some(waiting.is_none()),
        reason: word(object).to_owned(),
        message: waiting.unwrap_or_default(),
    };
    Status {
        id: mark::uid(object).to_owned(),
        phase,
        endpoint: endpoint(object).map(str::to_owned),
        version: text(object, "/status/kubernetesResources/version/version").map(str::to_owned),
        conditions: vec![ready],
        more: Vec::new(),
    }
}
