//! What a plugin needs against what it is given, checked when it is loaded.

use agentkube_manifest::{KubeRule, Manifest, RequestNeed};
use serde_json::Value;

use crate::core::names_at;
use crate::grants::Grants;
use crate::{ConfigMistake, Error, Result};

/// Every need marked required is granted.
pub(crate) fn check_grants(plugin: &str, manifest: &Manifest, config: &Value, grants: &Grants) -> Result<()> {
    let missing = |need: String, line: String| Error::NotGranted { plugin: plugin.to_owned(), need, line };
    for need in &manifest.needs.http {
        let connections = named(plugin, config, &need.connection, need.required, &need.purpose)?;
        for connection in connections {
            if need.required && grants.connection(&connection).is_err() {
                let what = format!("connection `{connection}` ({})", need.purpose);
                return Err(missing(what, grants.line(&format!("connection = \"{connection}\""))));
            }
            let refused = |request: &&RequestNeed| !grants.overlaps(&connection, &request.method, &request.path);
            let refused: Vec<&RequestNeed> = need.requests.iter().filter(refused).collect();
            if let Some(first) = refused.first().filter(|_| need.required) {
                let what = format!("{} {} on connection `{connection}` ({})", first.method, first.path, need.purpose);
                let rule =
                    |need: &&RequestNeed| format!("{{ methods = [\"{}\"], path = \"{}\" }}", need.method, need.path);
                let rules: Vec<String> = refused.iter().map(rule).collect();
                let keys = format!("connection = \"{connection}\", requests = [\n  {},\n]", rules.join(",\n  "));
                return Err(missing(what, grants.line(&keys)));
            }
        }
    }
    for need in &manifest.needs.kube {
        let connections = named(plugin, config, &need.connection, need.required, &need.purpose)?;
        for connection in connections {
            let lacking = match need.required {
                true => lacking(grants, &connection, &need.rules),
                false => Vec::new(),
            };
            if let Some(first) = lacking.first() {
                let (verb, resource) = (first.verbs.join(", "), &first.resource);
                let what = format!("to {verb} {resource} on connection `{connection}` ({})", need.purpose);
                let rules: Vec<String> = lacking.iter().map(ToString::to_string).collect();
                let keys = format!("connection = \"{connection}\", kube = [\n  {},\n]", rules.join(",\n  "));
                return Err(missing(what, grants.line(&keys)));
            }
        }
    }
    let reserves = manifest.needs.capabilities.iter().any(|name| name == "reservations");
    if reserves && !grants.any_range() {
        // Which one is the operator's to say.
        return Err(missing("a range to take values from".to_owned(), grants.line("range = \"NAME-OF-A-RANGE\"")));
    }
    Ok(())
}

/// What of a need no grant covers: one kind of object.
struct Lacking<'a> {
    group: &'a str,
    resource: &'a str,
    verbs: Vec<&'a str>,
}

impl std::fmt::Display for Lacking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lacking { group, resource, verbs } = self;
        let verbs: Vec<String> = verbs.iter().map(|verb| format!("\"{verb}\"")).collect();
        write!(f, "{{ group = \"{group}\", resources = [\"{resource}\"], verbs = [{}]", verbs.join(", "))?;
        // Which names is the operator's to say; this asks for it.
        let secret = group.is_empty() && resource.split('/').next() == Some("secrets");
        f.write_str(if secret { ", names = [\"NAME-OR-PATTERN\"] }" } else { ", namespaces = [\"*\"] }" })
    }
}

/// All that is missing at once, so that one paste mends it.
fn lacking<'a>(grants: &Grants, connection: &str, rules: &'a [KubeRule]) -> Vec<Lacking<'a>> {
    let kinds = rules.iter().flat_map(|rule| rule.resources.iter().map(move |resource| (rule, resource)));
    kinds
        .map(|(rule, resource)| {
            let verbs = rule.verbs.iter().map(String::as_str);
            let verbs = verbs.filter(|verb| !grants.kube_somewhere(connection, verb, &rule.group, resource)).collect();
            Lacking { group: &rule.group, resource, verbs }
        })
        .filter(|lacking| !lacking.verbs.is_empty())
        .collect()
}

/// The names of the connections that serve a need.
fn named(plugin: &str, config: &Value, pointer: &str, required: bool, purpose: &str) -> Result<Vec<String>> {
    let names = names_at(config, pointer);
    if names.is_empty() && required {
        let message = format!("the name of a connection must stand here ({purpose})");
        let mistakes = vec![ConfigMistake { path: pointer.to_owned(), message }];
        return Err(Error::PluginConfig { plugin: plugin.to_owned(), mistakes });
    }
    Ok(names)
}
