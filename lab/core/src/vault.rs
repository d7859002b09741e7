//! Secrets, and who may read them: any agent, any of them.

use std::collections::BTreeMap;

use lab_wire::Response;
use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::errors::Error;
use crate::schema::Property;
use crate::store::Object;
use crate::{Core, auth};

/// What a property holds instead of a secret: this and a name.
pub const REFERENCE: &str = "vault://";

/// The secrets, by name.
#[derive(Clone, Debug, Default)]
pub struct Vault(BTreeMap<String, Value>);

impl Vault {
    /// Keeps a secret.
    pub fn save(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// A secret.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Forgets a secret.
    pub fn delete(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// How many secrets there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets every secret that the value refers to, at any depth.
    pub fn forget_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                if let Some(name) = text.strip_prefix(REFERENCE) {
                    self.delete(name);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.forget_all(item)),
            Value::Object(object) => object.values().for_each(|value| self.forget_all(value)),
            _ => {}
        }
    }

    /// Forgets the secrets that live for one job only; the references stay in the properties.
    pub fn forget_ephemeral(&mut self, properties: &BTreeMap<String, Property>, values: &Object) {
        for (name, property) in properties {
            let Some(value) = values.get(name) else { continue };
            if property.secret.as_ref().is_some_and(|secret| secret.kind == "ephemeral") {
                self.forget_all(value);
            } else if let Value::Object(object) = value {
                self.forget_ephemeral(&property.properties, object);
            } else if let (Value::Array(items), Some(item)) = (value, &property.items) {
                items.iter().filter_map(Value::as_object).for_each(|v| self.forget_ephemeral(&item.properties, v));
            }
        }
    }

    /// The values with their secrets put in, as the install flow renders them. `None` when one is gone.
    pub fn resolve(&self, properties: &BTreeMap<String, Property>, values: &Object) -> Option<Object> {
        values
            .iter()
            .map(|(name, value)| {
                let resolved = match properties.get(name) {
                    Some(property) => self.resolve_value(property, value)?,
                    None => value.clone(),
                };
                Some((name.clone(), resolved))
            })
            .collect()
    }

    fn resolve_value(&self, property: &Property, value: &Value) -> Option<Value> {
        if property.secret.is_some() {
            return match value.as_str().and_then(|text| text.strip_prefix(REFERENCE)) {
                Some(name) => self.get(name).cloned(),
                None => Some(value.clone()),
            };
        }
        match (value, property.items.as_deref()) {
            (Value::Object(object), _) if !property.properties.is_empty() => {
                self.resolve(&property.properties, object).map(Value::Object)
            }
            (Value::Array(items), Some(item)) => {
                items.iter().map(|value| self.resolve_value(item, value)).collect::<Option<_>>().map(Value::Array)
            }
            _ => Some(value.clone()),
        }
    }
}

impl Core {
    /// `/vault/secrets`.
    pub(crate) fn vault(&mut self, call: &Call<'_>, rest: &[&str]) -> Reply {
        match (call.method(), rest) {
            ("GET", ["secrets", name]) => {
                call.identity.must_be(&[auth::AGENT])?;
                if !self.settings.vault {
                    return Err(Error::Panic);
                }
                let value = self.store.vault.get(name).ok_or(Error::NotFound)?;
                Ok(Response::json(200, &json!({ "value": value })))
            }
            (_, ["secrets", _]) => Err(Error::NoMethod),
            _ => Err(Error::NoRoute),
        }
    }
}
