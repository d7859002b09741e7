//! The object of a first cluster, posted without effect: it goes through Kamaji's schema and webhooks, and comes back with the
//! server's time on it.

use agentkube_sdk::clock;
use agentkube_sdk::cluster::{Cluster, ControlPlaneWish, Network};
use agentkube_sdk::prelude::*;
use serde_json::{Value, json};

use crate::{Kamaji, template, tenant_control_planes};

/// Name of the object that is never made.
const NAME: &str = "agentkube-preflight";
/// A version that every release of Kamaji's matrix takes: there is an upper bound only.
const VERSION: &str = "v1.30.0";
/// Clocks that differ by more than this are worth a look: certificates and tokens have times in them.
const SKEW_MS: u64 = 30_000;
/// More than this, and join tokens or certificates are not valid when they are used.
const MOST_SKEW_MS: u64 = 300_000;

impl Kamaji {
    pub(super) async fn rehearse(&self, without_store: bool) -> Vec<Finding> {
        let owner = Owner {
            installation: "preflight".to_owned(),
            source: "preflight".to_owned(),
            service: "preflight".to_owned(),
            cluster: NAME.to_owned(),
            display_name: String::new(),
        };
        let mut object = match template::object(&self.config, &owner, &sample()) {
            Ok(object) => object,
            Err(fault) => return vec![refused(&fault)],
        };
        // A namespace of its own is not there yet, and only what exists is let through to the webhooks.
        let namespace = if self.config.owns_namespace() { "default" } else { &self.config.namespace };
        if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let target = tenant_control_planes().target(Some(namespace), NAME);
        match self.admin.rehearse::<Value>(&target, &object).await {
            Ok(answer) => {
                let ok = Finding::ok("WEBHOOK_ANSWERS", "Kamaji's webhooks answer and take what would be posted");
                [Some(ok), look_at_clock(&answer)].into_iter().flatten().collect()
            }
            // Missing rights and a missing DataStore are told already.
            Err(fault) if fault.code == "FORBIDDEN" => Vec::new(),
            Err(fault) if fault.class == Class::Invalid && without_store => Vec::new(),
            Err(fault) if fault.class == Class::Invalid => vec![refused(&fault)],
            Err(fault) if fault.code == "WEBHOOK_UNAVAILABLE" => {
                let remedy =
                    "look at the pods of kamaji-system and at cert-manager, which makes the webhook's certificate";
                vec![Finding::error(
                    "WEBHOOK_DOWN",
                    format!("Kamaji's webhook does not answer: {}", fault.message),
                    remedy,
                )]
            }
            Err(fault) if fault.class == Class::NotFound => {
                let message = format!("there is no namespace {namespace} in the admin cluster");
                vec![Finding::error("NAMESPACE_MISSING", message, format!("kubectl create namespace {namespace}"))]
            }
            // Of a quota where no control plane would stand, nothing follows.
            Err(fault) if fault.code == "QUOTA_EXCEEDED" && self.config.owns_namespace() => Vec::new(),
            Err(fault) if fault.code == "QUOTA_EXCEEDED" => {
                let message = format!("namespace {namespace} takes no further control plane: {}", fault.message);
                vec![Finding::error("QUOTA_EXCEEDED", message, "raise the ResourceQuota of the namespace")]
            }
            Err(fault) => {
                let message = format!("what would be posted could not be tried: {fault}");
                vec![Finding::warning("WEBHOOK_UNTRIED", message, "the first cluster will show it")]
            }
        }
    }
}

fn refused(fault: &Fault) -> Finding {
    let message = format!("a control plane as it is configured would be refused: {}", fault.message);
    Finding::error("TEMPLATE_REFUSED", message, "mend the plugin's service-type, port, data-store or overrides")
}

/// The least that a cluster can be.
fn sample() -> Cluster {
    Cluster {
        version: VERSION.to_owned(),
        network: Network {
            pod_cidrs: vec!["10.244.0.0/16".to_owned()],
            service_cidrs: vec!["10.96.0.0/16".to_owned()],
            domain: "cluster.local".to_owned(),
        },
        control_plane: ControlPlaneWish { provider: None, replicas: 1, cert_sans: vec![], settings: "{}".to_owned() },
        pools: vec![],
        addons: vec![],
        powered: true,
        more: vec![],
    }
}

fn look_at_clock(answer: &Value) -> Option<Finding> {
    let theirs = milliseconds(answer.pointer("/metadata/creationTimestamp")?.as_str()?)?;
    let ours = clock::now();
    let skew = ours.abs_diff(theirs);
    if skew <= SKEW_MS {
        return Some(Finding::ok("CLOCK_AGREES", "our clock and the admin cluster's agree"));
    }
    let side = if ours > theirs { "ahead of" } else { "behind" };
    let message = format!("our clock is {} s {side} the admin cluster's", skew / 1000);
    let remedy = "synchronise both with NTP: join tokens and certificates are only good between two times";
    Some(match skew > MOST_SKEW_MS {
        true => Finding::error("CLOCK_SKEW", message, remedy),
        false => Finding::warning("CLOCK_SKEW", message, remedy),
    })
}

/// Milliseconds since the epoch of a time as API servers write it: `2026-08-25T12:00:00Z`.
fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<Vec<u64>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let (date, time) = (numbers(date, '-')?, numbers(time.split('.').next()?, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    // Years begin in March, so that the leap day is a year's last.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    // 1970-01-01, counted so.
    let days = days.checked_sub(719_469)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_api_servers_write_them() {
        assert_eq!(milliseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(milliseconds("2000-02-29T23:59:59Z"), Some(951_868_799_000));
        assert_eq!(milliseconds("2026-08-25T12:00:00.123456Z"), Some(1_787_659_200_000));
        for bad in ["", "yesterday", "2026-08-25", "2026-08-25T12:00:00+02:00"] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
