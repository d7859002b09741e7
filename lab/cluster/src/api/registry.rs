//! Which kinds are served, and what a path means.

use std::sync::Arc;

use serde_json::Value;

use super::failure::Failure;
use super::kind::{Kind, Resource};

/// The kinds that a server serves now.
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: Vec<Arc<Kind>>,
}

/// What a resource path names.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind.
    pub kind: Arc<Kind>,
    /// Namespace in the path.
    pub namespace: Option<String>,
    /// Name in the path.
    pub name: Option<String>,
    /// What follows the name.
    pub subresource: Option<String>,
}

impl Registry {
    /// A registry with these kinds.
    pub fn new(kinds: Vec<Kind>) -> Self {
        Registry { kinds: kinds.into_iter().map(Arc::new).collect() }
    }

    /// All served kinds.
    pub fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// Serves a kind (a version of it that was served before is replaced).
    pub fn add(&mut self, kind: Kind) {
        self.kinds.retain(|k| (&k.group, &k.plural, &k.version) != (&kind.group, &kind.plural, &kind.version));
        self.kinds.push(Arc::new(kind));
    }

    /// Stops serving a resource.
    pub fn remove(&mut self, resource: &Resource) {
        self.kinds.retain(|k| (&k.group, &k.plural) != (&resource.group, &resource.plural));
    }

    /// The kind behind a resource, in its first served version.
    pub fn of(&self, resource: &Resource) -> Option<Arc<Kind>> {
        self.kinds.iter().find(|k| k.group == resource.group && k.plural == resource.plural).cloned()
    }

    /// The kind of an object by its `apiVersion` and `kind`.
    pub fn of_object(&self, object: &Value) -> Option<Arc<Kind>> {
        let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        self.kinds.iter().find(|k| k.kind == kind && k.api_version() == version).cloned()
    }

    /// Reads a path below `/api` or `/apis` as a resource.
    pub fn target(&self, segments: &[String]) -> Result<Target, Failure> {
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match words.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_path()),
        };
        let find = |plural: &str| {
            self.kinds.iter().find(|k| k.group == group && k.version == version && k.plural == plural).cloned()
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, more @ ..] if find(plural).is_some_and(|kind| kind.namespaced) => {
                (Some((*namespace).to_owned()), [&[*plural], more].concat())
            }
            other => (None, other.to_vec()),
        };
        let (plural, name, subresource) = match rest.as_slice() {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
            _ => return Err(Failure::no_such_path()),
        };
        let kind = find(plural).ok_or_else(Failure::no_such_path)?;
        if kind.namespaced && namespace.is_none() && name.is_some() {
            return Err(Failure::no_such_path());
        }
        if let Some(subresource) = subresource {
            let served = match subresource {
                "status" => kind.status,
                "scale" => kind.scale.is_some(),
                action => kind.actions.contains(&action),
            };
            if !served {
                return Err(Failure::no_such_path());
            }
        }
        Ok(Target { kind, namespace, name: name.map(str::to_owned), subresource: subresource.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Result<Target, Failure> {
        let registry = Registry::new(super::super::builtin::kinds());
        registry.target(&path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_namespace_is_both_a_place_and_an_object() {
        let pod = target("/api/v1/namespaces/a/pods/b").unwrap();
        assert_eq!(
            (pod.kind.kind.as_str(), pod.namespace.as_deref(), pod.name.as_deref()),
            ("Pod", Some("a"), Some("b"))
        );
        let status = target("/api/v1/namespaces/a/status").unwrap();
        assert_eq!((status.kind.kind.as_str(), status.subresource.as_deref()), ("Namespace", Some("status")));
        assert!(target("/apis/apps/v1/pods").is_err());
        assert!(target("/api/v1/secrets/no-namespace").is_err());
        assert!(target("/api/v1/namespaces/a/secrets/b/status").is_err());
    }
}
