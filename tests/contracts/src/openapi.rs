//! An OpenAPI description that is split into files: following references, and schemas without them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result, read};

/// A part of a description, and the file that it stands in.
#[derive(Clone, Debug)]
pub struct Part {
    /// Relative to the description's folder.
    file: PathBuf,
    /// What stands there.
    pub value: Value,
}

impl Part {
    /// A child; `Null` where there is none.
    pub fn child(&self, name: &str) -> Part {
        Part { file: self.file.clone(), value: self.value.get(name).cloned().unwrap_or(Value::Null) }
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<Part> {
        let items = self.value.as_array().into_iter().flatten();
        items.map(|value| Part { file: self.file.clone(), value: value.clone() }).collect()
    }
}

/// All files of a description.
pub struct Description {
    folder: PathBuf,
    files: BTreeMap<PathBuf, Value>,
}

impl Description {
    /// Reads every YAML file below a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut description = Description { folder: folder.to_owned(), files: BTreeMap::new() };
        description.gather(folder)?;
        Ok(description)
    }

    fn gather(&mut self, folder: &Path) -> Result<()> {
        let trouble = |source| Error::Read { path: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            if path.is_dir() {
                self.gather(&path)?;
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.strip_prefix(&self.folder).unwrap_or(&path).to_owned();
                self.files.insert(name, yaml(&path)?);
            }
        }
        Ok(())
    }

    /// A whole file.
    pub fn file(&self, name: &str) -> Result<Part> {
        self.get(Path::new(name), "")
    }

    fn get(&self, file: &Path, pointer: &str) -> Result<Part> {
        let found = self.files.get(file).and_then(|value| value.pointer(pointer));
        let problem = || Error::Schema { path: self.folder.join(file), problem: format!("has no {pointer}") };
        Ok(Part { file: file.to_owned(), value: found.ok_or_else(problem)?.clone() })
    }

    /// What a part refers to, or the part itself.
    pub fn follow(&self, part: &Part) -> Result<Part> {
        let mut part = part.clone();
        while let Some(reference) = part.value.get("$ref").and_then(Value::as_str) {
            part = self.target(&part.file, reference)?;
        }
        Ok(part)
    }

    fn target(&self, from: &Path, reference: &str) -> Result<Part> {
        let (path, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        if path.is_empty() {
            return self.get(from, pointer);
        }
        let joined = from.parent().unwrap_or(Path::new("")).join(path);
        let mut plain = PathBuf::new();
        for part in joined.components() {
            match part {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                other => plain.push(other),
            }
        }
        self.get(&plain, pointer)
    }

    /// A schema in one piece: what it refers to stands in its `$defs`.
    pub fn schema(&self, part: &Part) -> Result<Map<String, Value>> {
        let mut known = Vec::new();
        let mut definitions = Map::new();
        let mut schema = match self.bundled(&part.file, &part.value, false, &mut known)? {
            Value::Object(object) => object,
            other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
        };
        let mut done = 0;
        while let Some((file, reference)) = known.get(done).cloned() {
            let target: Part = self.target(&file, &reference)?;
            let value = self.bundled(&target.file, &target.value, false, &mut known)?;
            definitions.insert(format!("d{done}"), value);
            done += 1;
        }
        if !definitions.is_empty() {
            schema.insert("$defs".to_owned(), Value::Object(definitions));
        }
        Ok(schema)
    }

    fn bundled(&self, file: &Path, node: &Value, named: bool, known: &mut Vec<(PathBuf, String)>) -> Result<Value> {
        match node {
            Value::Object(object) => {
                let mut copy = Map::new();
                for (key, value) in object {
                    match value {
                        // Examples are no schemas; a property may still be called so.
                        _ if !named && key.starts_with("example") => continue,
                        Value::String(reference) if key == "$ref" => {
                            let place = (file.to_owned(), reference.clone());
                            let at = known.iter().position(|other| *other == place).unwrap_or_else(|| {
                                known.push(place);
                                known.len() - 1
                            });
                            copy.insert(key.clone(), json!(format!("#/$defs/d{at}")));
                        }
                        _ => {
                            let names = !named && key == "properties";
                            copy.insert(key.clone(), self.bundled(file, value, names, known)?);
                        }
                    }
                }
                Ok(Value::Object(copy))
            }
            Value::Array(items) => {
                items.iter().map(|item| self.bundled(file, item, false, known)).collect::<Result<_>>().map(Value::Array)
            }
            other => Ok(other.clone()),
        }
    }
}

/// Reads a YAML file of any size.
pub fn yaml(path: &Path) -> Result<Value> {
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_str_with_options(&read(path)?, options)
        .map_err(|error| Error::Schema { path: path.to_owned(), problem: error.to_string() })
}
