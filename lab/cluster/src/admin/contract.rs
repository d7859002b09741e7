//! Kamaji's own definitions against this lab's: run only where `AGENTKUBE_CONTRACTS` names a folder that holds them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::GROUP;
use super::definitions::definitions;

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
