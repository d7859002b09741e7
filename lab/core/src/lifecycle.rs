//! States, actions and transitions of a service type.

use std::collections::BTreeSet;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::schema::or_default;

/// The state machine of a service type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Lifecycle {
    /// All states.
    #[serde(deserialize_with = "or_default")]
    pub states: Vec<State>,
    /// All actions.
    #[serde(deserialize_with = "or_default")]
    pub actions: Vec<Action>,
    /// State of a new service.
    #[serde(deserialize_with = "or_default")]
    pub initial_state: String,
    /// States in which nothing more can be done.
    pub terminal_states: Option<Vec<String>>,
    /// States that count as running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_states: Option<Vec<String>>,
}

/// A state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// An action: each job of it takes one transition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Action {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What its request holds; only documentation.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub request_schema_type: String,
    /// Its transitions, tried in order.
    #[serde(deserialize_with = "or_default")]
    pub transitions: Vec<Transition>,
}

/// From one state to another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Transition {
    /// Where it starts.
    #[serde(deserialize_with = "or_default")]
    pub from: String,
    /// Where it ends.
    #[serde(deserialize_with = "or_default")]
    pub to: String,
    /// Taken when the job fails.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub on_error: bool,
    /// Only when the error text matches; `""` matches all.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub on_error_regexp: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Lifecycle {
    /// The state after an action: `error` is the message of a failed job. `Err` says why there is none.
    pub fn next_state(&self, state: &str, action: &str, error: Option<&str>) -> Result<String, NoTransition> {
        let Some(found) = self.actions.iter().find(|a| a.name == action) else {
            return Err(NoTransition::UnknownAction(format!("action {action:?} not found in lifecycle schema")));
        };
        let from_here = || found.transitions.iter().filter(|t| t.from == state && t.on_error == error.is_some());
        let Some(error) = error else {
            return from_here().next().map(|t| t.to.clone()).ok_or_else(|| {
                NoTransition::None(format!(
                    "no valid transition found for action {action:?} from state {state:?}: no lifecycle transition found"
                ))
            });
        };
        from_here()
            .find(|t| {
                t.on_error_regexp.is_empty() || Regex::new(&t.on_error_regexp).is_ok_and(|regex| regex.is_match(error))
            })
            .map(|t| t.to.clone())
            .ok_or_else(|| NoTransition::None(format!("no valid error transition found for action {action:?}")))
    }

    /// Whether any transition of the action, also one on error, starts in the state.
    pub fn allowed(&self, state: &str, action: &str) -> Result<(), String> {
        let Some(found) = self.actions.iter().find(|a| a.name == action) else {
            return Err(format!("action {action:?} not found in lifecycle schema"));
        };
        if found.transitions.iter().any(|t| t.from == state) {
            return Ok(());
        }
        Err(format!("action {action:?} is not allowed from state {state:?}"))
    }

    /// Whether nothing more can be done in the state.
    pub fn terminal(&self, state: &str) -> bool {
        self.terminal_states.iter().flatten().any(|terminal| terminal == state)
    }

    /// What registration of a service type refuses.
    pub fn check(&self) -> Result<(), String> {
        if self.states.is_empty() {
            return Err("lifecycle must have at least one state".to_owned());
        }
        let mut states = BTreeSet::new();
        for state in &self.states {
            if state.name.is_empty() {
                return Err("lifecycle state name cannot be empty".to_owned());
            }
            if !states.insert(state.name.as_str()) {
                return Err(format!("duplicate lifecycle state name: {}", state.name));
            }
        }
        if self.initial_state.is_empty() {
            return Err("lifecycle must have an initial state".to_owned());
        }
        let known = |what: &str, name: &String| match states.contains(name.as_str()) {
            true => Ok(()),
            false => Err(format!("lifecycle {what} state {name:?} does not exist in states list")),
        };
        known("initial", &self.initial_state)?;
        self.terminal_states.iter().flatten().try_for_each(|name| known("terminal", name))?;
        self.running_states.iter().flatten().try_for_each(|name| known("running", name))?;
        if self.actions.is_empty() {
            return Err("lifecycle must have at least one action".to_owned());
        }
        let mut actions = BTreeSet::new();
        for action in &self.actions {
            if action.name.is_empty() {
                return Err("lifecycle action name cannot be empty".to_owned());
            }
            if !actions.insert(action.name.as_str()) {
                return Err(format!("duplicate lifecycle action name: {}", action.name));
            }
            if action.transitions.is_empty() {
                return Err(format!("lifecycle action {:?} must have at least one transition", action.name));
            }
            action.transitions.iter().try_for_each(|transition| transition.check(&action.name, &states))?;
        }
        Ok(())
    }
}

impl Transition {
    fn check(&self, action: &str, states: &BTreeSet<&str>) -> Result<(), String> {
        for (end, state) in [("from", &self.from), ("to", &self.to)] {
            if !states.contains(state.as_str()) {
                return Err(format!("lifecycle action {action:?} transition references invalid {end} state {state:?}"));
            }
        }
        if let Err(error) = Regex::new(&self.on_error_regexp) {
            let regexp = &self.on_error_regexp;
            return Err(format!("lifecycle action {action:?} transition has invalid error regexp {regexp:?}: {error}"));
        }
        Ok(())
    }
}

/// Why there is no next state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTransition {
    /// The lifecycle does not know the action.
    UnknownAction(String),
    /// No transition fits: a failed job then leaves the state as it is.
    None(String),
}

impl NoTransition {
    /// The text.
    pub fn text(self) -> String {
        match self {
            NoTransition::UnknownAction(text) | NoTransition::None(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle() -> Lifecycle {
        serde_json::from_value(serde_json::json!({
            "states": [{"name": "New"}, {"name": "Degraded"}, {"name": "CreateFailed"}, {"name": "Started"}],
            "initialState": "New", "terminalStates": null,
            "actions": [{"name": "create", "transitions": [
                {"from": "New", "to": "Started"},
                {"from": "New", "to": "Degraded", "onError": true, "onErrorRegexp": "(?i)quota"},
                {"from": "New", "to": "CreateFailed", "onError": true, "onErrorRegexp": "^FATAL"}]}],
        }))
        .unwrap()
    }

    #[test]
    fn the_first_matching_error_transition_wins() {
        let lifecycle = lifecycle();
        lifecycle.check().unwrap();
        let failed = |error| lifecycle.next_state("New", "create", Some(error));
        assert_eq!(failed("FATAL: Quota exceeded").unwrap(), "Degraded");
        assert_eq!(failed("FATAL: disk").unwrap(), "CreateFailed");
        assert!(matches!(failed("odd"), Err(NoTransition::None(_))));
        assert_eq!(lifecycle.next_state("New", "create", None).unwrap(), "Started");
        assert!(lifecycle.allowed("Started", "create").is_err());
    }

    #[test]
    fn registration_refuses_what_core_refuses() {
        let refused = |change: fn(&mut Lifecycle)| {
            let mut lifecycle = lifecycle();
            change(&mut lifecycle);
            lifecycle.check().unwrap_err()
        };
        assert!(refused(|l| l.states.clear()).contains("at least one state"));
        assert!(refused(|l| l.initial_state = "Old".into()).contains("initial state"));
        assert!(refused(|l| l.actions.clear()).contains("at least one action"));
        assert!(refused(|l| l.actions[0].transitions.clear()).contains("at least one transition"));
        assert!(refused(|l| l.actions[0].transitions[0].to = "Old".into()).contains("invalid to state"));
        assert!(refused(|l| l.actions[0].transitions[1].on_error_regexp = "(".into()).contains("invalid error regexp"));
        assert!(refused(|l| l.terminal_states = Some(vec!["Old".into()])).contains("terminal state"));
    }
}
