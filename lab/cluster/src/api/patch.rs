//! JSON patch, merge patch and strategic merge patch.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::kind::Kind;
use super::shape::merge_key;

/// How a PATCH request means its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists merge by key.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    /// By the content type.
    pub fn of(content_type: &str) -> Result<Self, Failure> {
        Ok(match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Patch::Json,
            "application/merge-patch+json" => Patch::Merge,
            "application/strategic-merge-patch+json" => Patch::Strategic,
            "application/apply-patch+yaml" => Patch::Apply,
            other => {
                return Err(Failure::unsupported_media(format!(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                     application/apply-patch+yaml (got {other:?})"
                )));
            }
        })
    }

    /// The object after the patch (not for [`Patch::Apply`]).
    pub fn patched(self, kind: &Kind, live: &Value, body: &Value) -> Result<Value, Failure> {
        let mut object = live.clone();
        match self {
            Patch::Json => {
                let patch: json_patch::Patch = serde_json::from_value(body.clone())
                    .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
                // The real server does not say which operation failed, nor why.
                json_patch::patch(&mut object, &patch).map_err(|_| {
                    let message = "the server rejected our request due to an error in our request";
                    Failure { details: Some(json!({})), ..Failure::new(422, "Invalid", message) }
                })?;
            }
            Patch::Merge | Patch::Apply => json_patch::merge(&mut object, body),
            Patch::Strategic if kind.custom => {
                return Err(Failure::unsupported_media(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
            Patch::Strategic => strategic(&mut Vec::new(), &mut object, body),
        }
        Ok(object)
    }
}

fn strategic(path: &mut Vec<String>, live: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *live = patch.clone();
        return;
    };
    match fields.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *live = Value::Object(
                fields.iter().filter(|(k, _)| *k != "$patch").map(|(k, v)| (k.clone(), v.clone())).collect(),
            );
            return;
        }
        Some("delete") => {
            *live = Value::Object(Map::new());
            return;
        }
        _ => {}
    }
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Some(map) = live.as_object_mut() else { return };
    if let Some(retained) = fields.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|key, _| retained.iter().any(|kept| kept == key));
    }
    for (name, value) in fields {
        if let Some(target) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(list), Some(gone)) = (map.get_mut(target).and_then(Value::as_array_mut), value.as_array()) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        path.push(name.clone());
        if value.is_null() {
            map.remove(name);
        } else if let Some(items) = value.as_array() {
            strategic_list(path, map.entry(name.clone()).or_insert(Value::Null), items);
        } else {
            strategic(path, map.entry(name.clone()).or_insert(Value::Null), value);
        }
        path.pop();
    }
}

fn strategic_list(path: &mut Vec<String>, live: &mut Value, items: &[Value]) {
    let Some(key) = merge_key(path) else {
        let merged_set = path.last().is_some_and(|name| name == "finalizers");
        match live.as_array_mut().filter(|_| merged_set) {
            Some(list) => {
                let new: Vec<Value> = items.iter().filter(|item| !list.contains(item)).cloned().collect();
                list.extend(new);
            }
            None => *live = items.to_vec().into(),
        }
        return;
    };
    let replace = items.iter().any(|item| item["$patch"] == "replace" && item.get(key).is_none());
    if !live.is_array() || replace {
        *live = Value::Array(Vec::new());
    }
    let Some(list) = live.as_array_mut() else { return };
    path.push("[]".to_owned());
    for item in items.iter().filter(|item| item.get(key).is_some()) {
        let at = list.iter().position(|there| there[key] == item[key]);
        if item["$patch"] == "delete" {
            if let Some(at) = at {
                list.remove(at);
            }
            continue;
        }
        match at.and_then(|at| list.get_mut(at)) {
            Some(there) => strategic(path, there, item),
            None => {
                let mut new = Value::Object(Map::new());
                strategic(path, &mut new, item);
                list.push(new);
            }
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(plural: &str) -> Kind {
        super::super::builtin::kinds().into_iter().find(|k| k.plural == plural).unwrap()
    }

    #[test]
    fn strategic_patches_merge_lists_by_their_key() {
        let node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]},
                          "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}});
        let patch = json!({"spec": {"taints": [{"key": "a", "$patch": "delete"}], "unschedulable": true},
                           "status": {"conditions": [{"type": "Ready", "status": "True"}], "$setElementOrder/conditions": []}});
        let out = Patch::Strategic.patched(&kind("nodes"), &node, &patch).unwrap();
        assert_eq!(out["spec"], json!({"taints": [{"key": "b", "effect": "NoExecute"}], "unschedulable": true}));
        assert_eq!(out["status"]["conditions"], json!([{"type": "Ready", "status": "True", "reason": "x"}]));
    }

    #[test]
    fn merge_and_json_patches_are_the_rfcs() {
        let kind = kind("configmaps");
        let object = json!({"data": {"a": "1", "b": "2"}});
        let merged = Patch::Merge.patched(&kind, &object, &json!({"data": {"a": null}})).unwrap();
        assert_eq!(merged["data"], json!({"b": "2"}));
        let test = json!([{"op": "test", "path": "/data/a", "value": "9"}]);
        let refused = Patch::Json.patched(&kind, &object, &test).unwrap_err();
        // Word for word as Kubernetes 1.34 says it.
        let said = "the server rejected our request due to an error in our request";
        assert_eq!((refused.code, refused.message.as_str()), (422, said));
        assert_eq!(Patch::of("text/plain").unwrap_err().code, 415);
    }
}
