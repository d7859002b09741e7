//! The few protobuf bodies that kubectl sends: `create namespace`, `create configmap`, `create token`, `auth can-i`, evictions.
//!
//! Kubernetes wraps a message in `k8s\0` and an envelope with the kind. Field numbers are those of the `generated.proto`
//! files of k8s.io/api and k8s.io/apimachinery. Kinds that are not listed here are not understood.

use serde_json::{Map, Value};

/// One field: its number, its name, and what it holds.
type Field = (u64, &'static str, Holds);

#[derive(Clone, Copy)]
enum Holds {
    Text,
    Texts,
    Message(&'static [Field]),
}

const META: Field = (
    1,
    "metadata",
    Holds::Message(&[
        (1, "name", Holds::Text),
        (2, "generateName", Holds::Text),
        (3, "namespace", Holds::Text),
        (11, "labels", Holds::Texts),
        (12, "annotations", Holds::Texts),
    ]),
);

const REVIEW: &[Field] = &[
    (
        1,
        "resourceAttributes",
        Holds::Message(&[
            (1, "namespace", Holds::Text),
            (2, "verb", Holds::Text),
            (3, "group", Holds::Text),
            (4, "version", Holds::Text),
            (5, "resource", Holds::Text),
            (6, "subresource", Holds::Text),
            (7, "name", Holds::Text),
        ]),
    ),
    (2, "nonResourceAttributes", Holds::Message(&[(1, "path", Holds::Text), (2, "verb", Holds::Text)])),
];

fn fields_of(kind: &str) -> Option<&'static [Field]> {
    const SPEC: Field = (2, "spec", Holds::Message(REVIEW));
    Some(match kind {
        "Namespace" | "ServiceAccount" | "Eviction" | "TokenRequest" | "SelfSubjectReview" => &[META],
        "ConfigMap" => &[META, (2, "data", Holds::Texts)],
        "SelfSubjectAccessReview" => &[META, SPEC],
        _ => return None,
    })
}

/// The object in a protobuf body, if it is of a kind that is understood.
pub fn decode(body: &[u8]) -> Option<Value> {
    const TYPE: Field = (1, "type", Holds::Message(&[(1, "apiVersion", Holds::Text), (2, "kind", Holds::Text)]));
    let envelope = body.strip_prefix(b"k8s\0")?;
    let head = message(envelope, &[TYPE])?;
    let raw = parts(envelope)?.into_iter().find(|(number, _)| *number == 2)?.1;
    let mut object = message(raw, fields_of(head["type"]["kind"].as_str()?)?)?;
    for field in ["apiVersion", "kind"] {
        object.insert(field.to_owned(), head["type"][field].clone());
    }
    Some(Value::Object(object))
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    for (number, content) in parts(bytes)? {
        let Some((_, name, holds)) = fields.iter().find(|(n, ..)| *n == number) else { continue };
        match holds {
            Holds::Text if content.is_empty() => {}
            Holds::Text => {
                object.insert((*name).to_owned(), text(content)?.into());
            }
            Holds::Message(fields) => {
                object.insert((*name).to_owned(), Value::Object(message(content, fields)?));
            }
            Holds::Texts => {
                let pair = message(content, &[(1, "key", Holds::Text), (2, "value", Holds::Text)])?;
                let part = |name: &str| pair.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let map = object.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
                map[part("key")] = part("value").into();
            }
        }
    }
    Some(object)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The length-delimited fields of a message; numbers are skipped. `None` when it is malformed.
fn parts(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        match tag & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            5 => bytes = bytes.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                parts.push((tag >> 3, content));
                bytes = rest;
            }
            _ => return None,
        }
    }
    Some(parts)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    #[test]
    fn a_namespace_and_a_config_map_are_read() {
        let head = |kind: &str| field(1, &[field(1, b"v1"), field(2, kind.as_bytes())].concat());
        let body = |kind: &str, raw: &[u8]| [b"k8s\0".to_vec(), head(kind), field(2, raw), field(3, b"")].concat();
        let meta = field(1, &[field(1, b"demo"), field(2, b""), vec![7 << 3, 0]].concat());
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}});
        assert_eq!(decode(&body("Namespace", &meta)), Some(wanted));
        let map = [meta.clone(), field(2, &[field(1, b"k"), field(2, b"v")].concat())].concat();
        assert_eq!(decode(&body("ConfigMap", &map)).unwrap()["data"], json!({"k": "v"}));
        assert_eq!(decode(&body("Pod", &meta)), None);
        assert_eq!(decode(&body("Namespace", &meta[..3])), None, "cut short");
    }
}
