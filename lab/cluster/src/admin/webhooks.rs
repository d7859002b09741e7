//! Kamaji's webhooks and the CEL rules of its kinds.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::definitions::{GROUP, PLANES, STORES};
use super::version::Version;
use crate::api::{Admission, Failure, Kind, Resource, Store};

/// The newest minor that the operator's kubeadm supports (Kamaji 26.8.2-edge: v1.36.0).
const NEWEST_MINOR: u32 = 36;

/// The webhooks; `down` makes every write of a Kamaji object fail, as their failure policy says.
pub struct Webhooks {
    /// Shared with the cluster, which switches it.
    pub down: Arc<AtomicBool>,
}

impl Admission for Webhooks {
    fn mutate(&self, kind: &Kind, plane: &mut Value, live: Option<&Value>, _: &Store) -> Result<(), Failure> {
        if kind.plural != PLANES || kind.group != GROUP || live.is_some() {
            return Ok(());
        }
        self.is_up()?;
        defaults(plane);
        Ok(())
    }

    fn validate(&self, kind: &Kind, object: &Value, live: Option<&Value>, store: &Store) -> Result<(), Failure> {
        if kind.group != GROUP {
            return Ok(());
        }
        self.is_up()?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if kind.plural == STORES {
            let changed = live.is_some_and(|live| live["spec"]["driver"] != object["spec"]["driver"]);
            return if changed { Err(denied("vdatastore", "driver of a DataStore cannot be changed")) } else { Ok(()) };
        }
        if kind.plural != PLANES {
            return Ok(());
        }
        let causes = rules(&object["spec"], live.map(|live| &live["spec"]));
        if !causes.is_empty() {
            return Err(Failure::invalid(GROUP, &kind.kind, name, &causes));
        }
        // Finalizers of a plane that goes away must come off whatever its spec says.
        if object["metadata"]["deletionTimestamp"].is_string() {
            return Ok(());
        }
        let refused = |why: String| Err(denied("vtenantcontrolplane", &why));
        if live.is_none() && !is_dns_1035(name) {
            return refused(format!("the provided name is invalid: {name:?} is no RFC 1035 label"));
        }
        let sans =
            object["spec"]["networkProfile"]["certSANs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(san) = sans.into_iter().find(|san| san.parse::<IpAddr>().is_err() && san.contains(':')) {
            return refused(format!("the certificate SAN {san} holds a port"));
        }
        if let Some(why) = version(&object["spec"], live.map(|live| &live["spec"])) {
            return refused(why);
        }
        // On an update the webhook looks at the old object, so a changed address passes unseen.
        if let Some(why) = dns_outside(&live.unwrap_or(object)["spec"]["networkProfile"]) {
            return refused(why);
        }
        let data_store = object["spec"]["dataStore"].as_str().unwrap_or_default();
        if store.get(&Resource::new(GROUP, STORES), "", data_store).is_none() {
            return refused(format!("{data_store} DataStore does not exist"));
        }
        if object["spec"]["controlPlane"]["gateway"].is_object() {
            return refused("the Gateway API is not installed in the management cluster".to_owned());
        }
        Ok(())
    }
}

impl Webhooks {
    fn is_up(&self) -> Result<(), Failure> {
        if !self.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Failure::internal(
            "Internal error occurred: failed calling webhook \"mtenantcontrolplane.kb.io\": failed to call webhook: Post \
             \"https://kamaji-webhook-service.kamaji-system.svc:443/mutate?timeout=30s\": dial tcp 10.96.12.34:443: connect: connection refused",
        ))
    }
}

fn denied(webhook: &str, why: &str) -> Failure {
    Failure::forbidden(format!("admission webhook \"{webhook}.kb.io\" denied the request: {why}"))
}

fn defaults(plane: &mut Value) {
    let identity = plane["metadata"]["uid"].clone();
    let spec = &mut plane["spec"];
    let set = |at: &mut Value, field: &str, value: Value| {
        if at[field].as_str().is_none_or(str::is_empty) && !at[field].is_array() && !at[field].is_number() {
            at[field] = value;
        }
    };
    set(spec, "dataStore", "default".into());
    set(spec, "dataStoreSchema", identity.clone());
    set(spec, "dataStoreUsername", identity);
    set(&mut spec["controlPlane"]["deployment"], "replicas", 2.into());
    if spec["networkProfile"].is_null() {
        spec["networkProfile"] = json!({
            "port": 6443, "clusterDomain": "cluster.local", "serviceCidr": "10.96.0.0/16", "podCidr": "10.244.0.0/16",
        });
    }
    let profile = &mut spec["networkProfile"];
    for (list, scalar) in [("serviceCidrs", "serviceCidr"), ("podCidrs", "podCidr")] {
        if profile[list].as_array().is_none_or(Vec::is_empty) {
            profile[list] = json!([profile[scalar]]);
        }
    }
    if profile["dnsServiceIPs"].as_array().is_none_or(Vec::is_empty) {
        let cidrs = profile["serviceCidrs"].as_array().cloned().unwrap_or_default();
        let addresses: Vec<String> = cidrs.iter().filter_map(|cidr| dns_address(cidr.as_str()?)).collect();
        profile["dnsServiceIPs"] = addresses.into();
    }
}

/// The network's address plus 10 (IPv4) or 16 (IPv6).
fn dns_address(cidr: &str) -> Option<String> {
    let (address, _) = network(cidr)?;
    Some(match address {
        IpAddr::V4(v4) => std::net::Ipv4Addr::from_bits(v4.to_bits().wrapping_add(10)).to_string(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits().wrapping_add(16)).to_string(),
    })
}

/// A CIDR as (network address, mask).
fn network(cidr: &str) -> Option<(IpAddr, u128)> {
    let (address, length) = cidr.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
    match address {
        IpAddr::V4(v4) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Some((IpAddr::V4((v4.to_bits() & mask).into()), u128::from(mask)))
        }
        IpAddr::V6(v6) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            Some((IpAddr::V6((v6.to_bits() & mask).into()), mask))
        }
        _ => None,
    }
}

fn inside(address: &IpAddr, cidr: &str) -> bool {
    match (address, network(cidr)) {
        (IpAddr::V4(a), Some((IpAddr::V4(n), mask))) => u128::from(a.to_bits()) & mask == u128::from(n.to_bits()),
        (IpAddr::V6(a), Some((IpAddr::V6(n), mask))) => a.to_bits() & mask == n.to_bits(),
        _ => false,
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn dns_outside(profile: &Value) -> Option<String> {
    for text in texts(&profile["dnsServiceIPs"]) {
        let Ok(address) = text.parse::<IpAddr>() else { return Some(format!("{text} is no IP address")) };
        if !texts(&profile["serviceCidrs"]).any(|cidr| inside(&address, cidr)) {
            return Some(format!("the DNS service IP {text} is not part of the service CIDR"));
        }
    }
    None
}

fn version(spec: &Value, live: Option<&Value>) -> Option<String> {
    let text = spec["kubernetes"]["version"].as_str().unwrap_or_default();
    let Some(wanted) = Version::parse(text) else {
        return Some(format!("unable to parse the desired Kubernetes version {text:?}"));
    };
    if wanted.major != 1 || wanted.minor > NEWEST_MINOR {
        return Some(format!(
            "unable to create a TenantControlPlane with a Kubernetes version greater than the supported one, actually v1.{NEWEST_MINOR}.0"
        ));
    }
    let had = Version::parse(live?["kubernetes"]["version"].as_str()?)?;
    if wanted.minor < had.minor {
        return Some(format!("unable to downgrade a TenantControlPlane from {had} to {wanted}"));
    }
    (wanted.minor > had.minor + 1).then(|| {
        format!("unable to upgrade a TenantControlPlane from {had} to {wanted}: a minor version cannot be skipped")
    })
}

/// The CEL rules: (field, message) of each that is broken.
fn rules(spec: &Value, live: Option<&Value>) -> Vec<(String, String)> {
    let mut causes = Vec::new();
    let mut cause = |field: &str, why: &str| causes.push((format!("spec{field}"), format!("Invalid value: {why}")));
    let (service, profile) = (&spec["controlPlane"]["service"], &spec["networkProfile"]);
    let balanced = service["serviceType"] == "LoadBalancer";
    let filled = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    let only = "only with the service type LoadBalancer";
    if !balanced && filled(&profile["loadBalancerSourceRanges"]) {
        cause("", &format!("LoadBalancerSourceRanges are supported {only}"));
    }
    if !balanced && profile["loadBalancerClass"].is_string() {
        cause("", &format!("LoadBalancerClass is supported {only}"));
    }
    if !balanced && !service["allocateLoadBalancerNodePorts"].is_null() {
        cause("", &format!("allocateLoadBalancerNodePorts is supported {only}"));
    }
    if spec["controlPlane"]["ingress"].is_object() && spec["controlPlane"]["gateway"].is_object() {
        cause(".controlPlane", "using both ingress and gateway is not supported");
    }
    let advertise = profile["advertiseAddress"].as_str().unwrap_or_default();
    if !advertise.is_empty() && advertise.parse::<IpAddr>().is_err() {
        cause(".networkProfile.advertiseAddress", "must be an IP address");
    }
    if profile["clusterDomain"].as_str().is_some_and(|domain| !domain.contains('.')) {
        cause(".networkProfile.clusterDomain", "must contain a dot");
    }
    for field in ["serviceCidr", "podCidr"] {
        if profile[field].as_str().is_some_and(|cidr| !cidr.is_empty() && network(cidr).is_none()) {
            cause(&format!(".networkProfile.{field}"), "must be a valid CIDR");
        }
    }
    for (field, most) in [("serviceCidrs", 2), ("podCidrs", 2), ("loadBalancerSourceRanges", 16), ("dnsServiceIPs", 8)]
    {
        if profile[field].as_array().is_some_and(|list| list.len() > most) {
            cause(&format!(".networkProfile.{field}"), &format!("must have at most {most} items"));
        }
        if field != "dnsServiceIPs" && texts(&profile[field]).any(|cidr| network(cidr).is_none()) {
            cause(&format!(".networkProfile.{field}"), "all entries must be valid CIDRs");
        }
    }
    let agent = &spec["addons"]["konnectivity"]["agent"];
    let replicas = agent["replicas"].as_i64().unwrap_or(0);
    match agent["mode"].as_str() {
        Some("DaemonSet") if replicas != 0 => {
            cause(".addons.konnectivity.agent", "replicas must be 0 or unset when mode is DaemonSet");
        }
        Some("Deployment") if replicas <= 0 => {
            cause(".addons.konnectivity.agent", "replicas must be greater than 0 when mode is Deployment");
        }
        _ => {}
    }
    let Some(live) = live else { return causes };
    let given = |spec: &Value, field: &str| spec[field].as_str().is_some_and(|text| !text.is_empty());
    for field in ["dataStore", "dataStoreSchema", "dataStoreUsername"] {
        if given(live, field) && !given(spec, field) {
            cause("", &format!("unsetting the {field} is not supported"));
        } else if field != "dataStore" && given(live, field) && live[field] != spec[field] {
            cause(&format!(".{field}"), &format!("changing the {field} is not supported"));
        }
    }
    let old = &live["networkProfile"];
    if !old["clusterDomain"].is_null() && old["clusterDomain"] != profile["clusterDomain"] {
        cause(".networkProfile.clusterDomain", "changing the cluster domain is not supported");
    }
    if balanced
        && live["controlPlane"]["service"]["serviceType"] == "LoadBalancer"
        && old["loadBalancerClass"] != profile["loadBalancerClass"]
    {
        cause(".networkProfile.loadBalancerClass", "LoadBalancerClass cannot be set, changed or unset at runtime");
    }
    causes
}

/// A DNS-1035 label: begins with a letter, at most 63 characters.
fn is_dns_1035(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
