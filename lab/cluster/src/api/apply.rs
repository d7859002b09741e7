//! Server-side apply.

use serde_json::{Map, Value, json};

use super::failure::{Failure, qualified};
use super::fields::Fields;
use super::kind::Kind;
use super::managers::{self, Manager};
use super::shape::{Shape, item_key, shape};

/// What an apply makes of an object, with `managedFields` written.
///
/// `live` is `None` when the object does not exist yet. `writer.fields` is ignored.
pub fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    writer: Manager,
    force: bool,
) -> Result<Value, Failure> {
    let mut applied = applied.clone();
    strip_nulls(&mut applied);
    let wanted = Fields::of(kind, &applied, &writer.subresource);
    let base = live.cloned().unwrap_or_else(|| json!({"metadata": {}}));
    let mut managers = managers::read(&base);
    let at = managers.iter().position(|m| m.is(&writer.name, true, &writer.subresource));
    let before = at.map(|at| managers.remove(at));

    let mut merged = base.clone();
    merge(kind, &mut Vec::new(), &mut merged, &applied);
    let (changed, _) = Fields::diff(kind, &base, &merged, &writer.subresource);
    let contested: Vec<(String, Fields)> = managers
        .iter()
        .map(|manager| (describe(manager), manager.fields.and(&changed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if !contested.is_empty() && !force {
        return Err(conflict(&contested));
    }
    for manager in &mut managers {
        manager.fields = manager.fields.minus(&changed);
    }
    if let Some(before) = &before {
        let mut given_up = before.fields.minus(&wanted);
        for manager in &managers {
            given_up = given_up.minus(&manager.fields);
        }
        given_up.remove_from(&mut merged);
    }
    let time = match &before {
        Some(before) if before.fields == wanted && merged == base => before.time.clone(),
        _ => writer.time.clone(),
    };
    managers.push(Manager { apply: true, fields: wanted, time, ..writer });
    managers::write(&mut merged, &managers);
    Ok(merged)
}

fn describe(manager: &Manager) -> String {
    let mut text = format!("\"{}\"", manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource \"{}\"", manager.subresource);
    }
    if !manager.apply {
        text = format!("{text} using {}", manager.version);
    }
    text
}

fn conflict(contested: &[(String, Fields)]) -> Failure {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for (who, fields) in contested {
        lines.push(format!("conflicts with {who}:"));
        for path in fields.paths() {
            lines.push(format!("- {path}"));
            causes.push(json!({
                "reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path,
            }));
        }
    }
    let noun = if causes.len() == 1 { "conflict" } else { "conflicts" };
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one["message"].as_str().unwrap_or_default(),
            one["field"].as_str().unwrap_or_default()
        ),
        many => format!("Apply failed with {} {noun}: {}", many.len(), lines.join("\n")),
    };
    Failure::new(409, "Conflict", message).causes(causes)
}

fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, child| !child.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

fn merge(kind: &Kind, path: &mut Vec<String>, live: &mut Value, applied: &Value) {
    let shape = if path.is_empty() { Shape::Granular } else { shape(kind, path, applied) };
    match (shape, applied) {
        (Shape::Granular, Value::Object(fields)) => {
            if !live.is_object() {
                *live = Value::Object(Map::new());
            }
            let Some(map) = live.as_object_mut() else { return };
            for (name, value) in fields {
                path.push(name.clone());
                merge(kind, path, map.entry(name.clone()).or_insert(Value::Null), value);
                path.pop();
            }
        }
        (Shape::Set, Value::Array(items)) if live.is_array() => {
            let Some(list) = live.as_array_mut() else { return };
            for item in items {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        (Shape::Keyed(keys), Value::Array(items)) if live.is_array() => {
            let Some(list) = live.as_array_mut() else { return };
            path.push("[]".to_owned());
            for item in items {
                let key = item_key(item, &keys);
                match list.iter_mut().find(|there| item_key(there, &keys) == key) {
                    Some(there) => merge(kind, path, there, item),
                    None => list.push(item.clone()),
                }
            }
            path.pop();
        }
        _ => *live = applied.clone(),
    }
}

/// The manager's name of a request that names none: the first word of its user agent.
pub fn manager_of(user_agent: Option<&str>) -> String {
    let agent = user_agent.unwrap_or_default().split(['/', ' ']).next().unwrap_or_default();
    if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
}

/// The refusal of an apply that names no manager.
pub fn nameless(kind: &Kind) -> Failure {
    Failure::invalid(
        "meta.k8s.io",
        "PatchOptions",
        "",
        &[(
            "fieldManager".to_owned(),
            format!("Required value: is required for apply patch of {}", qualified(&kind.group, &kind.plural)),
        )],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(plural: &str) -> Kind {
        super::super::builtin::kinds().into_iter().find(|k| k.plural == plural).unwrap()
    }

    fn by(name: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            apply: true,
            subresource: String::new(),
            version: "v1".to_owned(),
            time: "t".to_owned(),
            fields: Fields::default(),
        }
    }

    #[test]
    fn what_a_manager_no_longer_wants_goes_away_unless_another_owns_it() {
        let kind = kind("configmaps");
        let one = apply(&kind, None, &json!({"data": {"a": "1", "b": "2"}}), by("x"), false).unwrap();
        let two = apply(&kind, Some(&one), &json!({"data": {"b": "2"}}), by("y"), false).unwrap();
        let three = apply(&kind, Some(&two), &json!({"metadata": {"labels": {"l": "1"}}}), by("x"), false).unwrap();
        assert_eq!(three["data"], json!({"b": "2"}), "a is gone, b is y's too");
        let four = apply(&kind, Some(&three), &json!({}), by("y"), false).unwrap();
        assert_eq!(four.get("data"), None);
    }

    #[test]
    fn a_changed_field_of_another_is_a_conflict_that_force_wins() {
        let kind = kind("deployments");
        let base =
            json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "a"}]}}}});
        let live = apply(&kind, None, &base, by("x"), false).unwrap();
        let mut wish = base.clone();
        wish["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
        let failure = apply(&kind, Some(&live), &wish, by("y"), false).unwrap_err();
        assert_eq!((failure.code, failure.reason), (409, "Conflict"));
        assert!(failure.message.contains(r#".spec.template.spec.containers[name="c"].image"#), "{}", failure.message);
        assert_eq!(failure.details.unwrap()["causes"][0]["reason"], "FieldManagerConflict");
        let forced = apply(&kind, Some(&live), &wish, by("y"), true).unwrap();
        assert_eq!(forced["spec"]["template"]["spec"]["containers"][0]["image"], "b");
        let back = apply(&kind, Some(&forced), &base, by("x"), false).unwrap_err();
        assert_eq!(back.code, 409, "the image is y's now");
    }

    #[test]
    fn items_of_keyed_lists_are_owned_one_by_one() {
        let kind = kind("deployments");
        let container =
            |name: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": "i"}]}}}});
        let one = apply(&kind, None, &container("a"), by("x"), false).unwrap();
        let two = apply(&kind, Some(&one), &container("b"), by("y"), false).unwrap();
        let list = &two["spec"]["template"]["spec"]["containers"];
        assert_eq!(list.as_array().unwrap().len(), 2);
        let three = apply(&kind, Some(&two), &json!({}), by("x"), false).unwrap();
        assert_eq!(three["spec"]["template"]["spec"]["containers"], json!([{"name": "b", "image": "i"}]));
    }

    #[test]
    fn the_same_apply_again_changes_nothing() {
        let kind = kind("services");
        let wish =
            json!({"metadata": {"finalizers": ["a/b"]}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
        let one = apply(&kind, None, &wish, by("x"), false).unwrap();
        let later = Manager { time: "later".to_owned(), ..by("x") };
        assert_eq!(apply(&kind, Some(&one), &wish, later, false).unwrap(), one);
    }
}
