//! Writing YAML that every reader understands alike. Strings are always quoted, so no reader takes `no`, `1e3` or `~` for something
//! else, and nothing in a value can end it: YAML 1.1 and 1.2, cloud-init's Python and kubeadm's Go agree on what stands there.

use serde_json::Value;

/// A value on one line, JSON that is YAML.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", quote(key), inline(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// A value as a document for people to read: one field per line.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                out.push_str(&format!("{pad}{}:", key_text(key)));
                below(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                match item {
                    // The first field stands behind the dash, the others below it.
                    Value::Object(fields) if !fields.is_empty() => {
                        let mut inner = String::new();
                        block(item, indent + 2, &mut inner);
                        out.push_str(&format!("{pad}- {}", inner.trim_start()));
                    }
                    scalar => out.push_str(&format!("{pad}- {}\n", inline(scalar))),
                }
            }
        }
        scalar => out.push_str(&format!("{pad}{}\n", inline(scalar))),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, indent + 2, out);
    } else {
        out.push_str(&format!(" {}\n", inline(value)));
    }
}

/// Field names of Kubernetes and cloud-init stand bare; all else is quoted.
fn key_text(key: &str) -> String {
    let bare = key.len() > 1
        && key.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
        && !RESERVED.contains(&key.to_ascii_lowercase().as_str());
    if bare { key.to_owned() } else { quote(key) }
}

const RESERVED: [&str; 7] = ["true", "false", "yes", "no", "on", "off", "null"];

/// A double-quoted scalar. What YAML does not hold as it is, or folds, is escaped; the rest stays readable.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_comes_back_as_it_was() {
        let hostile = json!({
            "plain": "a", "no": "yes", "n": "no", "1": 1, "true": true, "": null, "key: [x": "v",
            "lines": "a: b\n- c\n#cloud-config\n\"'{{ x }}\\\t\r",
            "odd": "\u{0}\u{7}\u{85}\u{2028}\u{feff}é😀\u{7f}",
            "list": ["~", "1e3", "0o7", {"a": "b", "c": [1, 2], "d": {}}, [], ["x"]],
            "deep": {"a": {"b": {"c": ["d"]}}},
        });
        assert_eq!(serde_saphyr::from_str::<Value>(&document(&hostile)).unwrap(), hostile);
        assert_eq!(serde_saphyr::from_str::<Value>(&inline(&hostile)).unwrap(), hostile);
        assert!(inline(&hostile).lines().count() == 1);
    }
}
