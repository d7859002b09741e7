//! Objects as a `Table`, the form in which kubectl asks for lists.

use lab_wire::{Millis, parse_rfc3339};
use serde_json::{Value, json};

use super::kind::Kind;
use super::printers::{self, Column};
use super::read::metadata_of;

/// The objects as a `meta.k8s.io/v1` Table without list metadata.
pub fn table(kind: &Kind, objects: &[&Value], now: Millis, include: Option<&str>) -> Value {
    let (definitions, rows): (Vec<Value>, Vec<Vec<Value>>) =
        if kind.custom { custom(kind, objects, now) } else { builtin(&printers::columns(kind), objects, now) };
    let rows: Vec<Value> = rows
        .into_iter()
        .zip(objects)
        .map(|(cells, object)| {
            let mut row = json!({"cells": cells});
            match include {
                Some("None") => {}
                Some("Object") => row["object"] = (*object).clone(),
                _ => row["object"] = metadata_of(object),
            }
            row
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": definitions, "rows": rows})
}

fn builtin(columns: &[Column], objects: &[&Value], now: Millis) -> (Vec<Value>, Vec<Vec<Value>>) {
    let definitions = columns.iter().map(|column| definition(column.name, "string", "", column.wide)).collect();
    let rows = objects.iter().map(|object| columns.iter().map(|column| (column.cell)(object, now)).collect()).collect();
    (definitions, rows)
}

fn custom(kind: &Kind, objects: &[&Value], now: Millis) -> (Vec<Value>, Vec<Vec<Value>>) {
    let mut definitions = vec![definition("Name", "string", "name", false)];
    let mut columns = kind.columns.clone();
    if columns.is_empty() {
        columns.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
    }
    for column in &columns {
        let text = |field: &str| column[field].as_str().unwrap_or_default();
        definitions.push(definition(
            text("name"),
            text("type"),
            text("format"),
            column["priority"].as_i64().unwrap_or(0) > 0,
        ));
    }
    let row = |object: &&Value| {
        let mut cells = vec![object["metadata"]["name"].clone()];
        for column in &columns {
            let value = at_path(object, column["jsonPath"].as_str().unwrap_or_default());
            cells.push(match (column["type"].as_str(), value) {
                (_, None) => Value::Null,
                (Some("date"), Some(value)) => age(&value, now),
                (_, Some(Value::Array(items))) => items.first().cloned().unwrap_or(Value::Null),
                (_, Some(value)) => value,
            });
        }
        cells
    };
    (definitions, objects.iter().map(row).collect())
}

fn definition(name: &str, kind: &str, format: &str, wide: bool) -> Value {
    let format = if name == "Name" { "name" } else { format };
    json!({"name": name, "type": kind, "format": format, "description": "", "priority": i32::from(wide)})
}

/// A JSON path of printer columns: fields, and list items by index or by one field (`[?(@.type=="Ready")]`).
fn at_path(object: &Value, path: &str) -> Option<Value> {
    let mut at = object.clone();
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let (inside, tail) = tail.split_once(']')?;
            at = match inside.strip_prefix("?(@.") {
                Some(filter) => {
                    let (field, value) = filter.trim_end_matches(')').split_once("==")?;
                    let value = value.trim().trim_matches(['"', '\'']);
                    at.as_array()?.iter().find(|item| item[field.trim()].as_str() == Some(value))?.clone()
                }
                None => at.get(inside.parse::<usize>().ok()?)?.clone(),
            };
            rest = tail;
            continue;
        }
        let tail = rest.strip_prefix('.').unwrap_or(rest);
        let mut end = tail.len();
        let mut escaped = false;
        for (i, c) in tail.char_indices() {
            if !escaped && (c == '.' || c == '[') {
                end = i;
                break;
            }
            escaped = c == '\\';
        }
        let (name, next) = tail.split_at(end);
        at = at.get(name.replace('\\', "").as_str())?.clone();
        rest = next;
    }
    Some(at)
}

/// The age of a timestamp in kubectl's short form.
pub fn age(timestamp: &Value, now: Millis) -> Value {
    match timestamp.as_str().and_then(parse_rfc3339) {
        Some(then) => short_duration(now.saturating_sub(then) / 1000).into(),
        None => "<unknown>".into(),
    }
}

fn short_duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: u64, unit: char, small: u64, sub: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{sub}") }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, 'y', days % 365, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_printer_columns_find_their_values() {
        let object = json!({"status": {"conditions": [{"type": "A"}, {"type": "Ready", "status": "True"}]},
                            "metadata": {"labels": {"a.b/c": "x"}}});
        assert_eq!(at_path(&object, ".status.conditions[?(@.type==\"Ready\")].status"), Some("True".into()));
        assert_eq!(at_path(&object, ".status.conditions[0].type"), Some("A".into()));
        assert_eq!(at_path(&object, ".metadata.labels.a\\.b/c"), Some("x".into()));
        assert_eq!(at_path(&object, ".status.gone.deeper"), None);
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in
            [(5, "5s"), (125, "2m5s"), (3000, "50m"), (14_400, "4h"), (200_000, "2d7h"), (900_000, "10d")]
        {
            assert_eq!(short_duration(seconds), text);
        }
    }
}
