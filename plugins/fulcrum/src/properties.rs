//! From the properties of a service to a cluster description.
//!
//! Core checks the outline of an order and never what is inside a `json` property, so everything is checked here, strictly: a
//! misspelt key is a mistake, not a wish that silently stays unmet. All mistakes are told at once, each with its path and what to do.

use agentkube_sdk::cluster::{Card, Cluster, ControlPlaneWish, Network, Pool, Shape, StaticAddress, Taint};
use agentkube_sdk::job_source::Mistake;
use serde_json::{Value, json};

use crate::api::Object;
use crate::config::{Config, Defaults};
use crate::reading::{Reading, Unit, place};

const POOL: &[&str] =
    &["size", "cores", "memory", "disk", "count", "labels", "taints", "image", "provider", "networks", "settings"];
const CONTROL_PLANE: &[&str] = &["provider", "settings"];
const TAINT: &[&str] = &["key", "value", "effect"];
const CARD: &[&str] = &["network", "vlan", "firewall", "address"];
const ADDRESS: &[&str] = &["cidr", "gateway", "dns"];

/// Most machines that one pool may ask for.
const MOST_MACHINES: u64 = 1000;
/// Stands where a shape could not be read (MiB).
const SOME_MEMORY: u64 = 2048;
/// Stands where a text could not be read.
const SOME_NAME: &str = "x";
/// Likewise, where the effect of a taint is needed.
const SOME_EFFECT: &str = "NoExecute";

/// The parts of the properties whose shape is not ours: settings of providers, and properties that an operator added. Only there
/// may secrets stand.
pub fn free_parts<'v>(config: &Config, given: &'v mut Object) -> Vec<&'v mut Value> {
    let names = &config.properties;
    let mut parts = Vec::new();
    for (name, value) in given {
        if *name == names.control_plane {
            parts.extend(value.get_mut("settings"));
        } else if *name == names.pools {
            let pools = value.as_object_mut().into_iter().flat_map(|pools| pools.values_mut());
            parts.extend(pools.filter_map(|pool| pool.get_mut("settings")));
        } else if is_extra(config, name) {
            parts.push(value);
        }
    }
    parts
}

fn is_extra(config: &Config, name: &str) -> bool {
    let names = &config.properties;
    !names.wanted().contains(&name) && !names.written().contains(&name)
}

/// The host's paths of a description, and the properties that they stand in.
pub fn names(config: &Config) -> Value {
    let names = &config.properties;
    json!({
        "version": names.version, "controlPlane.replicas": names.replicas, "network.podCidrs": names.pod_cidr,
        "network.serviceCidrs": names.service_cidr, "network.domain": names.domain, "controlPlane.certSans": names.cert_sans,
        "controlPlane": names.control_plane, "pools": names.pools, "addons": names.addons,
    })
}

/// The description, as far as it can be read, and every mistake. Where something cannot be read, something stands in its place that
/// nobody takes for another mistake; the host looks for the rest.
pub fn cluster(config: &Config, defaults: &Defaults, given: &Object, powered: bool) -> (Cluster, Vec<Mistake>) {
    let names = &config.properties;
    let mut reading = Reading::default();
    let version = reading.text(&names.version, given.get(&names.version)).or_else(|| defaults.version.clone());
    if version.is_none() && !reading.has_mistakes() {
        reading.wrong(&names.version, "MISSING", "is missing; give a Kubernetes version such as v1.35.2");
    }
    let replicas = reading.number(&names.replicas, "REPLICAS", given.get(&names.replicas), 1..=9);
    let mut cidrs = |name: &str, default: &Option<String>, builtin: &str| {
        let said = given.get(name).filter(|value| !value.is_null());
        let text = match (reading.text(name, said), said) {
            (Some(text), _) => text,
            (None, Some(_)) => return Vec::new(),
            (None, None) => default.clone().unwrap_or_else(|| builtin.to_owned()),
        };
        text.split(',').map(|cidr| cidr.trim().to_owned()).collect::<Vec<String>>()
    };
    let network = Network {
        pod_cidrs: cidrs(&names.pod_cidr, &defaults.pod_cidr, "10.244.0.0/16"),
        service_cidrs: cidrs(&names.service_cidr, &defaults.service_cidr, "10.96.0.0/16"),
        domain: reading
            .text(&names.domain, given.get(&names.domain))
            .or_else(|| defaults.domain.clone())
            .unwrap_or_else(|| "cluster.local".to_owned()),
    };
    let (provider, settings) = control_plane(&mut reading, &names.control_plane, given.get(&names.control_plane));
    let control_plane = ControlPlaneWish {
        provider,
        replicas: replicas.or(defaults.replicas).unwrap_or(2),
        cert_sans: reading.texts(&names.cert_sans, given.get(&names.cert_sans)),
        settings,
    };
    let pools = pools(&mut reading, config, given.get(&names.pools));
    let addons = reading.texts(&names.addons, given.get(&names.addons));
    let more = given.iter().filter(|(name, value)| is_extra(config, name) && !value.is_null());
    let more = more.map(|(name, value)| (name.clone(), value.to_string())).collect();
    let cluster =
        Cluster { version: version.unwrap_or_default(), network, control_plane, pools, addons, powered, more };
    (cluster, reading.mistakes())
}

fn control_plane(reading: &mut Reading, path: &str, value: Option<&Value>) -> (Option<String>, String) {
    let Some(wish) = reading.object(path, value, Some(CONTROL_PLANE)) else { return (None, no_settings()) };
    (reading.text(&format!("{path}.provider"), wish.get("provider")), settings(reading, path, wish))
}

fn pools(reading: &mut Reading, config: &Config, value: Option<&Value>) -> Vec<Pool> {
    let path = &config.properties.pools;
    if value.is_some_and(Value::is_array) {
        reading.wrong(path, "BAD_TYPE", "is a list; give an object in which each pool stands under its name");
        return Vec::new();
    }
    if value.is_none_or(Value::is_null) {
        reading.wrong(
            path,
            "MISSING",
            r#"is missing; give pools by name, such as {"workers": {"size": "s2", "count": 3}}; {} for none"#,
        );
    }
    let Some(given) = reading.object(path, value, None) else { return Vec::new() };
    given.iter().filter_map(|(name, value)| pool(reading, config, name, value)).collect()
}

fn pool(reading: &mut Reading, config: &Config, name: &str, value: &Value) -> Option<Pool> {
    // Whether the name can be one, the host says.
    let path = place(&config.properties.pools, name);
    if value.is_null() {
        reading.wrong(&path, "BAD_TYPE", "is null; leave the pool out, or give it a count of 0");
    }
    let pool = reading.object(&path, Some(value), Some(POOL))?;
    let at = |key: &str| format!("{path}.{key}");
    let count = reading.number(&at("count"), "POOL_SIZE", pool.get("count"), 0..=MOST_MACHINES);
    if pool.get("count").is_none_or(Value::is_null) {
        reading.wrong(&at("count"), "MISSING", "is missing; say how many machines, 0 for none now");
    }
    let labels = reading.object(&at("labels"), pool.get("labels"), None);
    let labels = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), reading.text_or_empty(&place(&at("labels"), key), value)?)));
    let labels = labels.collect();
    Some(Pool {
        name: name.to_owned(),
        provider: reading.text(&at("provider"), pool.get("provider")),
        count: count.unwrap_or(0),
        shape: shape(reading, config, &path, pool),
        labels,
        taints: reading.each(&at("taints"), pool.get("taints"), taint),
        settings: settings(reading, &path, pool),
    })
}

fn shape(reading: &mut Reading, config: &Config, path: &str, pool: &Object) -> Shape {
    let at = |key: &str| format!("{path}.{key}");
    let has = |key: &str| pool.get(key).is_some_and(|value| !value.is_null());
    let known = || config.sizes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let named = reading.text(&at("size"), pool.get("size"));
    let named = named.and_then(|name| {
        let size = config.sizes.get(&name);
        if size.is_none() {
            reading.wrong(
                &at("size"),
                "UNKNOWN_SIZE",
                format!("{name:?} is not known; use one of {}, or cores and memory", known()),
            );
        }
        size
    });
    let cores = reading.number(&at("cores"), "POOL_SHAPE", pool.get("cores"), 1..=1024);
    let memory = reading.quantity(&at("memory"), pool.get("memory"), Unit::Mebi);
    let disk =
        reading.quantity(&at("disk"), pool.get("disk"), Unit::Gibi).map(|gib| u32::try_from(gib).unwrap_or(u32::MAX));
    match (has("size"), has("cores"), has("memory")) {
        (true, false, false) | (false, true, true) => {}
        (true, ..) => {
            reading.wrong(&at("size"), "POOL_SHAPE", "stands beside cores or memory; give either it, or the two")
        }
        _ => {
            let mend = format!("is missing; give a size ({}), or cores and memory", known());
            reading.wrong(&at("size"), "POOL_SHAPE", mend);
        }
    }
    Shape {
        cores: cores.or(named.map(|size| size.cores)).unwrap_or(1),
        memory_mib: memory.or(named.map(|size| size.memory_mib)).unwrap_or(SOME_MEMORY),
        disk_gib: disk.or(named.and_then(|size| size.disk_gib)),
        image: reading.text(&at("image"), pool.get("image")),
        networks: reading.each(&at("networks"), pool.get("networks"), card),
    }
}

fn taint(reading: &mut Reading, path: &str, value: &Value) -> Option<Taint> {
    let taint = reading.object(path, Some(value), Some(TAINT))?;
    let key = reading.needed_text(&format!("{path}.key"), taint.get("key"));
    let effect = reading.needed_text(&format!("{path}.effect"), taint.get("effect"));
    let value = taint.get("value").filter(|value| !value.is_null());
    let value = value.and_then(|value| reading.text_or_empty(&format!("{path}.value"), value));
    Some(Taint {
        key: key.unwrap_or_else(|| SOME_NAME.to_owned()),
        value: value.unwrap_or_default(),
        effect: effect.unwrap_or_else(|| SOME_EFFECT.to_owned()),
    })
}

fn card(reading: &mut Reading, path: &str, value: &Value) -> Option<Card> {
    let card = reading.object(path, Some(value), Some(CARD))?;
    let at = |key: &str| format!("{path}.{key}");
    let network = reading.needed_text(&at("network"), card.get("network"));
    Some(Card {
        network: network.unwrap_or_else(|| SOME_NAME.to_owned()),
        vlan: reading.number(&at("vlan"), "BAD_VALUE", card.get("vlan"), 1..=4094),
        firewall: reading.flag(&at("firewall"), card.get("firewall")),
        address: address(reading, &at("address"), card.get("address")),
    })
}

fn address(reading: &mut Reading, path: &str, value: Option<&Value>) -> Option<StaticAddress> {
    let address = reading.object(path, value, Some(ADDRESS))?;
    let cidr = reading.needed_text(&format!("{path}.cidr"), address.get("cidr"));
    let gateway = reading.text(&format!("{path}.gateway"), address.get("gateway"));
    let dns = reading.texts(&format!("{path}.dns"), address.get("dns"));
    Some(StaticAddress { cidr: cidr?, gateway, dns })
}

fn settings(reading: &mut Reading, path: &str, of: &Object) -> String {
    let settings = reading.object(&format!("{path}.settings"), of.get("settings"), None);
    settings.map_or_else(no_settings, |settings| json!(settings).to_string())
}

fn no_settings() -> String {
    "{}".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let sizes = json!({"big": {"cores": 16, "memory-mib": 65536, "disk-gib": 200}});
        serde_json::from_value::<Config>(json!({"connection": "core", "sizes": sizes})).unwrap().checked().unwrap()
    }

    /// The description, or what is told of its mistakes.
    fn read(given: Value) -> Result<Cluster, String> {
        told(cluster(&config(), &Defaults::default(), given.as_object().unwrap(), true))
    }

    fn told((cluster, mistakes): (Cluster, Vec<Mistake>)) -> Result<Cluster, String> {
        let lines: Vec<String> = mistakes.into_iter().map(|m| format!("{}: {}: {}", m.path, m.code, m.text)).collect();
        if lines.is_empty() { Ok(cluster) } else { Err(lines.join("\n")) }
    }

    fn with_pool(pool: Value) -> Result<Cluster, String> {
        read(json!({"kubernetesVersion": "v1.35.2", "nodePools": {"w": pool}}))
    }

    #[test]
    fn a_pool_says_all_that_a_pool_can() {
        let given = json!({
            "size": "big", "count": 3.0, "disk": "100Gi", "image": "ubuntu-24.04", "provider": "pve-b",
            "labels": {"tier": "app", "empty": ""},
            "taints": [{"key": "gpu", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoExecute"}],
            "networks": [
                {"network": "vmbr0", "vlan": 12, "firewall": true,
                 "address": {"cidr": "10.0.0.5/24", "gateway": "10.0.0.1", "dns": ["10.0.0.2"]}},
                {"network": "vmbr1"}],
            "settings": {"cloneMode": "linked"},
        });
        let pool = with_pool(given).unwrap().pools.remove(0);
        assert_eq!((pool.name.as_str(), pool.count, pool.provider.as_deref()), ("w", 3, Some("pve-b")));
        let address = StaticAddress {
            cidr: "10.0.0.5/24".to_owned(),
            gateway: Some("10.0.0.1".to_owned()),
            dns: vec!["10.0.0.2".to_owned()],
        };
        let card =
            |network: &str, vlan, firewall, address| Card { network: network.to_owned(), vlan, firewall, address };
        let shape = Shape {
            cores: 16,
            memory_mib: 65536,
            disk_gib: Some(100),
            image: Some("ubuntu-24.04".to_owned()),
            networks: vec![card("vmbr0", Some(12), true, Some(address)), card("vmbr1", None, false, None)],
        };
        assert_eq!(pool.shape, shape);
        assert_eq!(pool.labels, [("empty".to_owned(), String::new()), ("tier".to_owned(), "app".to_owned())]);
        let taint = |key: &str, value: &str, effect: &str| Taint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        };
        assert_eq!(pool.taints, [taint("gpu", "", "NoSchedule"), taint("a", "b", "NoExecute")]);
        assert_eq!(pool.settings, r#"{"cloneMode":"linked"}"#);
        let pool = with_pool(json!({"cores": 2, "memory": "3Gi", "count": 0})).unwrap().pools.remove(0);
        assert_eq!((pool.count, pool.shape.cores, pool.shape.memory_mib, pool.shape.disk_gib), (0, 2, 3072, None));
    }

    #[test]
    fn every_mistake_in_a_pool_names_its_place_and_what_to_do() {
        let good = || json!({"size": "s1", "count": 1});
        for (key, value, told) in [
            ("lables", json!({}), "nodePools.w.lables: UNKNOWN_KEY: is not known; known are size, cores,"),
            (
                "size",
                json!("s9"),
                r#"nodePools.w.size: UNKNOWN_SIZE: "s9" is not known; use one of big, s1, s2, s4, or cores and memory"#,
            ),
            ("size", json!(1), "nodePools.w.size: BAD_TYPE: is 1; a text in quotes is needed"),
            (
                "size",
                json!(null),
                "nodePools.w.size: POOL_SHAPE: is missing; give a size (big, s1, s2, s4), or cores and memory",
            ),
            ("cores", json!(4), "nodePools.w.size: POOL_SHAPE: stands beside cores or memory"),
            ("count", json!("3"), r#"nodePools.w.count: BAD_TYPE: is "3"; a whole number from 0 to 1000 is needed"#),
            ("count", json!(-1), "nodePools.w.count: POOL_SIZE: is -1;"),
            ("count", json!(1001), "nodePools.w.count: POOL_SIZE: is 1001;"),
            ("count", json!(null), "nodePools.w.count: MISSING: is missing; say how many machines"),
            ("labels", json!([]), "nodePools.w.labels: BAD_TYPE: is a list; an object is needed"),
            ("labels", json!({"a": 1}), "nodePools.w.labels.a: BAD_TYPE: is 1; a text in quotes is needed"),
            ("taints", json!({}), "nodePools.w.taints: BAD_TYPE: is an object; a list is needed"),
            ("taints", json!([{"effect": "NoExecute"}]), "nodePools.w.taints[0].key: MISSING: is missing"),
            (
                "labels",
                json!({"a.b/c": 1}),
                r#"nodePools.w.labels["a.b/c"]: BAD_TYPE: is 1; a text in quotes is needed"#,
            ),
            (
                "disk",
                json!("40GB"),
                r#"nodePools.w.disk: POOL_SHAPE: is "40GB"; a whole number of GiB, or a text such as `40Gi`"#,
            ),
            ("image", json!(""), "nodePools.w.image: EMPTY: is empty"),
            ("image", json!("vault://x"), "nodePools.w.image: SECRET: is a secret, and no secret can stand here"),
            ("networks", json!([{"vlan": 1}]), "nodePools.w.networks[0].network: MISSING: is missing"),
            ("networks", json!([{"network": "a", "vlan": 4095}]), "nodePools.w.networks[0].vlan: BAD_VALUE: is 4095;"),
            (
                "networks",
                json!([{"network": "a", "firewall": 1}]),
                "networks[0].firewall: BAD_TYPE: is 1; true or false is needed",
            ),
            ("networks", json!([{"network": "a", "address": {}}]), "networks[0].address.cidr: MISSING: is missing"),
            ("settings", json!("x"), r#"nodePools.w.settings: BAD_TYPE: is "x"; an object is needed"#),
        ] {
            let mut pool = good();
            pool[key] = value;
            let fault = with_pool(pool).unwrap_err();
            assert!(fault.contains(told), "{told}\n{fault}");
            assert!(!fault.contains('\n'), "one mistake, told once: {fault}");
        }
    }

    // Checklist 146.
    #[test]
    fn all_mistakes_are_told_at_once() {
        let given = json!({
            "kubernetesVersion": 1, "addons": "x", "controlPlane": {"replicas": 3},
            "nodePools": {"a.b": {"count": "1"}, "w": {
                "lables": {}, "count": 1, "taints": [{"key": 1, "effect": 2}],
                "networks": [{"vlan": 5000, "address": {"gateway": 1, "dns": [2]}}],
            }},
        });
        let message = read(given).unwrap_err();
        let told: Vec<&str> = message.lines().map(|line| line.split(": ").next().unwrap()).collect();
        let places = [
            "kubernetesVersion",
            "controlPlane.replicas",
            r#"nodePools["a.b"].count"#,
            r#"nodePools["a.b"].size"#,
            "nodePools.w.lables",
            "nodePools.w.size",
            "nodePools.w.networks[0].network",
            "nodePools.w.networks[0].vlan",
            "nodePools.w.networks[0].address.cidr",
            "nodePools.w.networks[0].address.gateway",
            "nodePools.w.networks[0].address.dns[0]",
            "nodePools.w.taints[0].key",
            "nodePools.w.taints[0].effect",
            "addons",
        ];
        assert_eq!(told, places, "{message}");
    }

    #[test]
    fn what_only_the_host_judges_is_handed_on() {
        let pool = json!({"size": "s1", "count": 1, "taints": [{"key": "a b", "effect": "Never"}]});
        let pool = read(json!({"kubernetesVersion": "v1.35.2", "nodePools": {"W": pool}})).unwrap().pools.remove(0);
        assert_eq!(
            (pool.name.as_str(), pool.taints[0].key.as_str(), pool.taints[0].effect.as_str()),
            ("W", "a b", "Never")
        );
    }

    #[test]
    fn pools_are_needed_and_may_be_none() {
        for (pools, told) in [
            (json!(null), "nodePools: MISSING: is missing; give pools by name"),
            (json!([]), "nodePools: BAD_TYPE: is a list; give an object"),
            (json!("x"), "nodePools: BAD_TYPE: is \"x\"; an object"),
            (json!({"w": null}), "nodePools.w: BAD_TYPE: is null"),
        ] {
            let fault = read(json!({"kubernetesVersion": "v1.35.2", "nodePools": pools})).unwrap_err();
            assert!(fault.starts_with(told), "{fault}");
        }
        assert!(read(json!({"kubernetesVersion": "v1.35.2", "nodePools": {}})).unwrap().pools.is_empty());
    }

    #[test]
    fn defaults_stand_where_an_order_says_nothing() {
        let defaults = Defaults {
            version: Some("v1.34.1".to_owned()),
            replicas: Some(3),
            pod_cidr: Some("10.1.0.0/16, fd00::/56".to_owned()),
            ..Defaults::default()
        };
        let read = |given: Value| told(cluster(&config(), &defaults, given.as_object().unwrap(), true)).unwrap();
        let wish = read(json!({"nodePools": {}}));
        assert_eq!((wish.version.as_str(), wish.control_plane.replicas), ("v1.34.1", 3));
        assert_eq!(wish.network.pod_cidrs, ["10.1.0.0/16", "fd00::/56"]);
        assert_eq!(wish.network.service_cidrs, ["10.96.0.0/16"]);
        let wish = read(json!({"nodePools": {}, "kubernetesVersion": "v1.35.2", "podCidr": "10.2.0.0/16"}));
        assert_eq!((wish.version.as_str(), wish.network.pod_cidrs.join(",")), ("v1.35.2", "10.2.0.0/16".to_owned()));
        assert!(super::tests::read(json!({"nodePools": {}})).unwrap_err().starts_with("kubernetesVersion: MISSING: "));
    }

    #[test]
    fn what_an_operator_added_rides_along_and_what_we_wrote_does_not() {
        let mut given = json!({
            "kubernetesVersion": "v1.35.2", "nodePools": {"w": {"size": "s1", "count": 1, "settings": {"a": 1}}},
            "controlPlane": {"provider": "k", "settings": {"b": 2}}, "sshPublicKeys": ["k"], "apiEndpoint": "https://x",
        });
        let wish = read(given.clone()).unwrap();
        assert_eq!(wish.more, [("sshPublicKeys".to_owned(), r#"["k"]"#.to_owned())]);
        assert_eq!(
            (wish.control_plane.provider.as_deref(), wish.control_plane.settings.as_str()),
            (Some("k"), r#"{"b":2}"#)
        );
        let parts = free_parts(&config(), given.as_object_mut().unwrap());
        assert_eq!(parts, [&json!({"b": 2}), &json!({"a": 1}), &json!(["k"])]);
    }
}
