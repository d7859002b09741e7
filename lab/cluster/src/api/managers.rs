//! `metadata.managedFields`: who owns which field.

use serde_json::{Value, json};

use super::fields::Fields;

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    /// Field manager's name.
    pub name: String,
    /// True for `Apply`, false for `Update`.
    pub apply: bool,
    /// `status`, or empty.
    pub subresource: String,
    /// `apiVersion` of the fields.
    pub version: String,
    /// When the set last changed.
    pub time: String,
    /// What it owns.
    pub fields: Fields,
}

impl Manager {
    /// Whether an entry is the one of this writer.
    pub fn is(&self, name: &str, apply: bool, subresource: &str) -> bool {
        self.name == name && self.apply == apply && self.subresource == subresource
    }
}

/// Reads `metadata.managedFields`.
pub fn read(object: &Value) -> Vec<Manager> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["manager"].is_string() || entry["operation"].is_string())
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            Manager {
                name: text("manager"),
                apply: entry["operation"] == "Apply",
                subresource: text("subresource"),
                version: text("apiVersion"),
                time: text("time"),
                fields: Fields::from_json(&entry["fieldsV1"]),
            }
        })
        .collect()
}

/// Writes `metadata.managedFields`; entries that own nothing are left out.
pub fn write(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<Value> = managers
        .iter()
        .filter(|manager| !manager.fields.is_empty())
        .map(|manager| {
            let mut entry = json!({
                "manager": manager.name,
                "operation": if manager.apply { "Apply" } else { "Update" },
                "apiVersion": manager.version,
                "time": manager.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": manager.fields.to_json(),
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = manager.subresource.clone().into();
            }
            entry
        })
        .collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), entries.into());
        }
    }
}

/// Books an ordinary write: what changed now belongs to the writer and to nobody else.
pub fn book_update(managers: &mut Vec<Manager>, writer: Manager, changed: &Fields, removed: &Fields) {
    if changed.is_empty() && removed.is_empty() {
        return;
    }
    for manager in managers.iter_mut() {
        manager.fields = manager.fields.minus(changed).minus(removed);
    }
    if changed.is_empty() {
        return;
    }
    match managers.iter_mut().find(|m| m.is(&writer.name, false, &writer.subresource)) {
        Some(entry) => {
            entry.fields.add(changed);
            entry.time = writer.time;
            entry.version = writer.version;
        }
        None => managers.push(Manager { fields: changed.clone(), ..writer }),
    }
}
