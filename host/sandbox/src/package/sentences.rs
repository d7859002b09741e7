//! What a plugin asks for, in plain sentences for the operator.

use agentkube_manifest::{Manifest, Offer};

pub(super) fn sentences(manifest: &Manifest) -> Vec<String> {
    let mut said = Vec::new();
    for need in &manifest.needs.http {
        let must = if need.required { "needs" } else { "can use" };
        let changing = need.requests.iter().filter(|request| request.has_effect()).count();
        said.push(format!(
            "It {must} the HTTP connection named at {} of its configuration: {}. It sends {} kinds of request there, {changing} of \
             which change something.",
            need.connection,
            need.purpose.trim_end_matches('.'),
            need.requests.len()
        ));
        for request in &need.requests {
            let effect = if request.has_effect() { " (changes something)" } else { "" };
            said.push(format!("  {} {}{effect}", request.method, request.path));
        }
    }
    for need in &manifest.needs.kube {
        let must = if need.required { "needs" } else { "can use" };
        said.push(format!(
            "It {must} the Kubernetes connection named at {} of its configuration: {}.",
            need.connection,
            need.purpose.trim_end_matches('.')
        ));
        for rule in &need.rules {
            let group = if rule.group.is_empty() { "core" } else { rule.group.as_str() };
            said.push(format!("  {} {} of group {group}", rule.verbs.join(", "), rule.resources.join(", ")));
        }
        for path in &need.raw {
            said.push(format!("  reads {path}"));
        }
    }
    said.extend(Offer::ALL.into_iter().filter(|offer| manifest.offers(*offer)).map(|offer| offered(offer).to_owned()));
    said.extend(manifest.needs.capabilities.iter().filter_map(|name| capability(name)).map(str::to_owned));
    said
}

fn offered(offer: Offer) -> &'static str {
    match offer {
        Offer::BootstrapLog => "It can show what happened inside a machine, when you switch that on.",
        Offer::JoinMaterial => "It makes the first-boot data of its machines itself, instead of the host's template.",
    }
}

fn capability(name: &str) -> Option<&'static str> {
    Some(match name {
        "ledger" => "It writes down what it makes, so that nothing is lost or made twice.",
        "permits" => "It takes turns with other plugins where the other side cannot do two things at once.",
        "reservations" => "It takes numbers or addresses from ranges that you grant.",
        "secrets" => "It passes on secrets that you name, without seeing them.",
        "files" => "It reads directories that you grant.",
        "clock" => "It reads the clock and waits.",
        "random" => "It uses random numbers.",
        "log" => "It writes into the log.",
        "config" => "It reads its own configuration.",
        _ => return None,
    })
}
