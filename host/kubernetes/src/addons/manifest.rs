//! Files to objects.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

/// One object of an add-on.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// `v1`, `apps/v1` …
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// As it is applied.
    pub(crate) body: Value,
}

impl Object {
    /// Whether others need it before they can be applied: namespaces and definitions of kinds.
    pub(crate) fn founds(&self) -> bool {
        matches!(
            (self.api_version.as_str(), self.kind.as_str()),
            ("v1", "Namespace") | ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        )
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// All objects of an add-on, in the order of file names and of documents within them.
pub(crate) async fn load(addon: &str, path: &Path) -> Result<Vec<Object>> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Error::addon("ADDON_FILES", format!("add-on `{addon}`: {}: {error}", path.display()))
    };
    let mut files: Vec<PathBuf> = Vec::new();
    if tokio::fs::metadata(path).await.map_err(|error| unreadable(path, error))?.is_dir() {
        let mut entries = tokio::fs::read_dir(path).await.map_err(|error| unreadable(path, error))?;
        while let Some(entry) = entries.next_entry().await.map_err(|error| unreadable(path, error))? {
            let file = entry.path();
            if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let mut objects = Vec::new();
    for file in &files {
        let text = tokio::fs::read_to_string(file).await.map_err(|error| unreadable(file, error))?;
        objects.extend(parse(addon, &file.display().to_string(), &text)?);
    }
    if objects.is_empty() {
        let message = format!("add-on `{addon}`: {} holds no *.yaml file with an object", path.display());
        return Err(Error::addon("ADDON_FILES", message));
    }
    Ok(objects)
}

/// The objects of one file; `kind: List` stands for its items.
pub(crate) fn parse(addon: &str, file: &str, text: &str) -> Result<Vec<Object>> {
    let wrong = |what: String| Error::addon("ADDON_YAML", format!("add-on `{addon}`: {file}: {what}"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| wrong(error.to_string()))?;
    let mut objects = Vec::new();
    for (n, document) in documents.into_iter().filter(|document| !document.is_null()).enumerate() {
        let items = match document {
            Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
                match fields.remove("items") {
                    Some(Value::Array(items)) => items,
                    _ => return Err(wrong(format!("document {} is a List without items", n + 1))),
                }
            }
            other => vec![other],
        };
        for body in items {
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
            let object = match (text("/apiVersion"), text("/kind"), text("/metadata/name")) {
                (Some(api_version), Some(kind), Some(name)) => Object {
                    api_version: api_version.to_owned(),
                    kind: kind.to_owned(),
                    namespace: text("/metadata/namespace").map(str::to_owned),
                    name: name.to_owned(),
                    body: Value::Null,
                },
                _ => return Err(wrong(format!("document {} lacks apiVersion, kind or metadata.name", n + 1))),
            };
            objects.push(Object { body, ..object });
        }
    }
    Ok(objects)
}
