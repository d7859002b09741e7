//! Kamaji's own definitions against this lab's: run only where `AGENTKUBE_CONTRACTS` names a folder that holds them.

use std::collections::BTreeMap;
use std::path::Path;

use lab_wire::Random;
use serde_json::{Value, json};

use super::definitions::definitions;
use super::{AdminCluster, AdminSettings, GROUP, PLANES, STORES};
use crate::api::schema_faults;

/// The published definition of a kind, or `None` when the checks cannot run.
fn published(plural: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("AGENTKUBE_CONTRACTS") else {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"contract checks NOT RUN: AGENTKUBE_CONTRACTS is not set\n",
        );
        return None;
    };
    let path = Path::new(&folder).join("kamaji").join(format!("{GROUP}_{plural}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The file is larger than the reader's default limits.
    let options = serde_saphyr::options! { budget: None };
    Some(serde_saphyr::from_str_with_options(&text, options).unwrap())
}

fn schema_of(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Every field with its type, default and whether it is required; what lies below a free-form field is left out.
fn fields(schema: &Value, path: &str, stop: &dyn Fn(&str) -> bool, found: &mut BTreeMap<String, Value>) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let required = schema["required"].as_array().is_some_and(|list| list.iter().any(|f| f == name));
        let kind =
            if part["x-kubernetes-int-or-string"] == true { "int-or-string".into() } else { part["type"].clone() };
        found.insert(
            path.clone(),
            json!({"type": kind, "default": part.get("default"), "required": required, "enum": part.get("enum")}),
        );
        if !stop(&path) {
            fields(part, &path, stop, found);
        }
    }
}

#[test]
fn the_outlines_are_kamajis_own_fields() {
    for ours in definitions() {
        let plural = ours["spec"]["names"]["plural"].as_str().unwrap();
        let Some(theirs) = published(plural) else { return };
        for field in ["group", "scope"] {
            assert_eq!(ours["spec"][field], theirs["spec"][field], "{plural} {field}");
        }
        let scale = |definition: &Value| definition["spec"]["versions"][0]["subresources"]["scale"].clone();
        assert_eq!(scale(&ours), scale(&theirs), "{plural}");
        let paths = |definition: &Value| -> Vec<Value> {
            let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
            columns.iter().map(|column| json!([column["name"], column["jsonPath"], column["type"]])).collect()
        };
        assert_eq!(paths(&ours), paths(&theirs), "{plural}");
        let spec = |definition: &Value| schema_of(definition)["properties"]["spec"].clone();
        let (ours, theirs) = (spec(&ours), spec(&theirs));
        let pointer = |path: &str| path.split('.').skip(1).map(|p| format!("/properties/{p}")).collect::<String>();
        let free = |path: &str| {
            let part = ours.pointer(&pointer(path));
            part.is_none_or(|part| part["x-kubernetes-preserve-unknown-fields"] == true || part["type"] == "array")
        };
        let (mut mine, mut published) = (BTreeMap::new(), BTreeMap::new());
        fields(&ours, "", &free, &mut mine);
        fields(&theirs, "", &free, &mut published);
        assert_eq!(mine.keys().collect::<Vec<_>>(), published.keys().collect::<Vec<_>>(), "{plural}");
        for (path, field) in &mine {
            assert_eq!(field, &published[path], "{plural} {path}");
        }
    }
}

#[test]
fn what_the_controller_writes_fits_kamajis_schema() {
    let (Some(planes), Some(stores)) = (published(PLANES), published(STORES)) else { return };
    let mut random = Random::new(3);
    let mut now = 1_790_000_000_000;
    let mut cluster = AdminCluster::new(AdminSettings::default(), now, &mut random).unwrap();
    let plane = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {
            "controlPlane": {"service": {"serviceType": "LoadBalancer"}},
            "kubernetes": {"version": "v1.33.4", "kubelet": {}},
            "addons": {"coreDNS": {}, "kubeProxy": {}, "konnectivity": {}},
        },
    });
    let mut request =
        lab_wire::Request::new("POST", &format!("/apis/{GROUP}/v1alpha1/namespaces/default/{PLANES}")).json(&plane);
    request.peer.common_name = Some("boss".to_owned());
    request.peer.organizations = vec!["system:masters".to_owned()];
    use lab_wire::Server;
    cluster.handle(&request, now, &mut random);
    let mut states = Vec::new();
    for _ in 0..100 {
        now += 50;
        cluster.tick(now, &mut random);
        let object = cluster.admin().get(GROUP, PLANES, "default", "a").unwrap();
        assert_eq!(schema_faults(schema_of(&planes), object), Vec::<String>::new());
        states.push(object["status"]["kubernetesResources"]["version"]["status"].clone());
    }
    assert!(states.contains(&"Ready".into()), "{states:?}");
    let store = cluster.admin().get(GROUP, STORES, "", "default").unwrap();
    assert_eq!(schema_faults(schema_of(&stores), store), Vec::<String>::new());
}
