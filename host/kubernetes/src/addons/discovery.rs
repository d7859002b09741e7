//! Kinds to paths: what the cluster itself says about each kind, asked once per group and version.

use std::collections::HashMap;

use serde_json::Value;

use super::manifest::Object;
use crate::Result;
use crate::api::{Api, segment};

/// What is known of the cluster's kinds.
#[derive(Default)]
pub(crate) struct Discovery {
    /// By group and version and by kind: the resource's name, and whether it lies in namespaces.
    known: HashMap<(String, String), (String, bool)>,
}

impl Discovery {
    /// Where the object stands; `None` while the cluster knows no such kind.
    pub(crate) async fn path(&mut self, api: &Api, object: &Object) -> Result<Option<String>> {
        let key = (object.api_version.clone(), object.kind.clone());
        if !self.known.contains_key(&key) {
            self.learn(api, &object.api_version).await?;
        }
        let Some((resource, namespaced)) = self.known.get(&key) else { return Ok(None) };
        let (base, resource, name) = (base(&object.api_version)?, segment(resource)?, segment(&object.name)?);
        Ok(Some(if *namespaced {
            let namespace = segment(object.namespace.as_deref().unwrap_or("default"))?;
            format!("{base}/namespaces/{namespace}/{resource}/{name}")
        } else {
            format!("{base}/{resource}/{name}")
        }))
    }

    async fn learn(&mut self, api: &Api, api_version: &str) -> Result<()> {
        let Some(list) = api.find(&base(api_version)?).await? else { return Ok(()) };
        for resource in list.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| resource.get(field).and_then(Value::as_str).unwrap_or_default();
            let namespaced = resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default();
            // `deployments/scale` and the like are views of an object, of another kind or of the same.
            if !text("name").contains('/') {
                let key = (api_version.to_owned(), text("kind").to_owned());
                self.known.insert(key, (text("name").to_owned(), namespaced));
            }
        }
        Ok(())
    }
}

fn base(api_version: &str) -> Result<String> {
    match api_version.split_once('/') {
        Some((group, version)) => Ok(format!("/apis/{}/{}", segment(group)?, segment(version)?)),
        None => Ok(format!("/api/{}", segment(api_version)?)),
    }
}
