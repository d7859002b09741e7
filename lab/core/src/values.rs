//! Values against a schema: defaults, authorizers, validators, secrets, and how old and new values merge.

use lab_wire::Random;
use serde_json::Value;

use crate::errors::Detail;
use crate::schema::{Property, Rule, Schema, check_type};
use crate::store::Object;
use crate::validators::{Surroundings, go_list, validate, validate_together};
use crate::vault::{REFERENCE, Vault};

/// Who sets values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person: administrators and participants.
    User,
    /// An agent.
    Agent,
}

impl Actor {
    fn as_str(self) -> &'static str {
        match self {
            Actor::User => "user",
            Actor::Agent => "agent",
        }
    }
}

/// One application of values to a schema.
pub struct Application<'a> {
    /// Who sets them.
    pub actor: Actor,
    /// State of the service; `None` while it is created.
    pub state: Option<&'a str>,
    /// What validators look at beyond the value.
    pub surroundings: Surroundings<'a>,
    /// Where secrets go; `None` without an encryption key.
    pub vault: Option<&'a mut Vault>,
    /// For the names of secrets and the order of errors.
    pub random: &'a mut Random,
}

impl Application<'_> {
    /// The values that result: only keys of the schema, unknown ones are dropped. `old` is `None` on creation.
    pub fn apply(&mut self, schema: &Schema, old: Option<&Object>, new: &Object) -> Result<Object, Vec<Detail>> {
        let rules = schema.validators.as_deref().unwrap_or_default();
        self.level(&schema.properties, rules, old, new)
    }

    fn level<'p>(
        &mut self,
        properties: impl IntoIterator<Item = (&'p String, &'p Property)>,
        rules: &[Rule],
        old: Option<&Object>,
        new: &Object,
    ) -> Result<Object, Vec<Detail>> {
        let mut result = Object::new();
        let mut refused = Vec::new();
        for (name, property) in properties {
            let old_value = old.and_then(|old| old.get(name)).filter(|value| !value.is_null());
            let new_value = new.get(name).filter(|value| !value.is_null());
            match self.property(name, property, old.is_some(), old_value, new_value) {
                Ok(Some(value)) => {
                    result.insert(name.clone(), value);
                }
                Ok(None) if property.required => {
                    refused.push(Detail { path: name.clone(), message: "required property is missing".to_owned() });
                }
                Ok(None) => {}
                Err(message) => refused.push(Detail { path: name.clone(), message }),
            }
        }
        for rule in rules {
            if let Err(message) = validate_together(&result, rule) {
                refused.push(Detail { path: String::new(), message });
                break;
            }
        }
        if refused.is_empty() {
            return Ok(result);
        }
        // Core walks a hash map: nobody may rely on the order.
        for at in (1..refused.len()).rev() {
            refused.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        Err(refused)
    }

    fn property(
        &mut self,
        name: &str,
        property: &Property,
        update: bool,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<Option<Value>, String> {
        if property.secret.is_some() && new.is_some_and(is_reference) {
            return Ok(new.cloned());
        }
        if let (true, true, Some(old), Some(new)) = (property.immutable, update, old, new)
            && !unchanged(old, new)
        {
            return Err(format!("{name}: property is immutable and cannot be changed"));
        }
        if new.is_some() {
            property.authorizers.iter().try_for_each(|rule| self.authorize(name, rule, update))?;
        }
        let value = match new {
            Some(new) => {
                self.check(name, property, new)?;
                new.clone()
            }
            None => match self.filled(name, property, old)? {
                Some(value) => value,
                None => return Ok(old.cloned()),
            },
        };
        let value = self.nested(name, property, update, old, value)?;
        match &property.secret {
            Some(_) => self.hide(name, old, value).map(Some),
            None => Ok(Some(value)),
        }
    }

    fn authorize(&self, name: &str, rule: &Rule, update: bool) -> Result<(), String> {
        let listed = |key: &str, word: &str| match rule.setting(key).and_then(Value::as_array) {
            Some(list) if list.iter().any(|item| item.as_str() == Some(word)) => Ok(()),
            Some(list) => Err(go_list(list)),
            None => Err("[]".to_owned()),
        };
        if rule.kind == "actor" {
            let actor = self.actor.as_str();
            return listed("actors", actor)
                .map_err(|allowed| format!("{name}: property can only be set by: {allowed} (current actor: {actor})"));
        }
        let Some(state) = self.state.filter(|_| update) else { return Ok(()) };
        listed("allowedStates", state).map_err(|allowed| {
            format!("{name}: property cannot be updated in state '{state}' (allowed states: {allowed})")
        })
    }

    fn check(&self, name: &str, property: &Property, value: &Value) -> Result<(), String> {
        check_type(name, value, &property.kind)?;
        property.validators.iter().try_for_each(|rule| validate(name, value, rule, &self.surroundings))
    }

    fn filled(&self, name: &str, property: &Property, old: Option<&Value>) -> Result<Option<Value>, String> {
        if old.is_some() {
            return Ok(None);
        }
        if let Some(default) = property.default.as_ref().filter(|default| !default.is_null()) {
            self.check(name, property, default)
                .map_err(|error| format!("{name}: default value failed validation: {error}"))?;
            return Ok(Some(default.clone()));
        }
        // Pools are not kept here, so no agent has one.
        match property.generator {
            Some(_) => Err(format!("{name}: agent does not have a pool set configured")),
            None => Ok(None),
        }
    }

    fn nested(
        &mut self,
        name: &str,
        property: &Property,
        update: bool,
        old: Option<&Value>,
        value: Value,
    ) -> Result<Value, String> {
        match (property.kind.as_str(), &value, property.items.as_deref()) {
            ("object", Value::Object(new), _) if !property.properties.is_empty() => {
                let empty = Object::new();
                let old = update.then(|| old.and_then(Value::as_object).unwrap_or(&empty));
                let fields = self.level(&property.properties, &[], old, new);
                fields.map(Value::Object).map_err(|details| crate::errors::Error::Validation(details).to_string())
            }
            ("array", Value::Array(new), Some(items)) => {
                let old = old.and_then(Value::as_array);
                let mut result = Vec::with_capacity(new.len());
                for (at, item) in new.iter().enumerate() {
                    let path = format!("{name}[{at}]");
                    // The old item at the same place, whatever it was: fields that the new one omits come from there.
                    let old = old.and_then(|old| old.get(at));
                    self.check(&path, items, item)?;
                    result.push(self.nested(&path, items, update, old, item.clone())?);
                }
                Ok(Value::Array(result))
            }
            _ => Ok(value),
        }
    }

    fn hide(&mut self, name: &str, old: Option<&Value>, value: Value) -> Result<Value, String> {
        let Some(vault) = self.vault.as_deref_mut() else {
            return Err(format!("{name}: vault is required for secret properties but not configured"));
        };
        if is_reference(&value) {
            return Ok(value);
        }
        let id = self.random.uuid();
        vault.save(&id, value);
        // At once, before the job that brings the new value is done.
        if let Some(old) = old.and_then(Value::as_str).and_then(|old| old.strip_prefix(REFERENCE)) {
            vault.delete(old);
        }
        Ok(Value::String(format!("{REFERENCE}{id}")))
    }
}

fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(REFERENCE))
}

/// Stored numbers are decimal texts and sent ones are floats, and these never compare equal.
fn unchanged(old: &Value, new: &Value) -> bool {
    old == new && !has_number(old)
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(items) => items.iter().any(has_number),
        Value::Object(object) => object.values().any(has_number),
        _ => false,
    }
}
