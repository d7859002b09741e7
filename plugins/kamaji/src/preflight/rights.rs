//! Every verb that the plugin uses, asked one by one, so that what is missing is named exactly.

use agentkube_sdk::fan_out;
use agentkube_sdk::kube::Resource;
use agentkube_sdk::prelude::*;

use crate::Kamaji;
use crate::manifest::{DIAGNOSTICS, RULES};

/// Questions at the same time.
const AT_ONCE: usize = 4;

impl Kamaji {
    pub(super) async fn look_at_rights(&self) -> Vec<Finding> {
        let shared = (!self.config.owns_namespace()).then(|| self.config.namespace.clone());
        let questions = RULES
            .iter()
            .chain(&DIAGNOSTICS)
            // A shared namespace is the operator's: it is neither made nor deleted.
            .filter(|(_, plural, _)| shared.is_none() || *plural != "namespaces")
            .flat_map(|(group, plural, verbs)| verbs.iter().map(move |verb| (*group, *plural, *verb)));
        let answers = fan_out(
            AT_ONCE,
            questions.map(|(group, plural, verb)| {
                let place = shared.as_deref().filter(|_| plural != "datastores");
                async move {
                    let version = if group.is_empty() { "v1" } else { "v1alpha1" };
                    let allowed = self.admin.may(verb, &Resource::new(group, version, plural), place).await;
                    (group, plural, verb, allowed)
                }
            }),
        )
        .await;
        let place = shared.as_deref().map_or("in all namespaces".to_owned(), |name| format!("in namespace {name}"));
        let count = answers.len();
        let mut findings: Vec<Finding> = Vec::new();
        for (group, plural, verb, allowed) in answers {
            match allowed {
                Ok(true) => {}
                Ok(false) => findings.push(missing(group, plural, verb, &place)),
                Err(fault) => {
                    let message = format!("whether the agent may {verb} {plural} cannot be asked: {fault}");
                    let remedy = "let the agent create selfsubjectaccessreviews, as system:basic-user does";
                    findings.push(Finding::warning("RIGHTS_UNKNOWN", message, remedy));
                    break;
                }
            }
        }
        if findings.is_empty() {
            findings.push(Finding::ok("RIGHTS_COMPLETE", format!("the agent has all {count} rights that it needs")));
        }
        findings
    }
}

fn missing(group: &str, plural: &str, verb: &str, place: &str) -> Finding {
    let what = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let message = format!("the agent may not {verb} {what} {place}");
    let remedy = format!(
        "add to the rules of the agent's role: {{ apiGroups: [\"{group}\"], resources: [\"{plural}\"], verbs: [\"{verb}\"] }}"
    );
    match DIAGNOSTICS.iter().any(|(_, diagnosed, _)| *diagnosed == plural) {
        true => Finding::warning("VERB_MISSING", message, remedy),
        false => Finding::error("VERB_MISSING", message, remedy),
    }
}
