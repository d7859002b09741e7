//! What its manifest asks for and its operator granted.

use std::sync::Arc;

use agentkube_contract::{Class, Fault};

use super::target::Kind;
use crate::connections::{Connection, is_kube};
use crate::core::Core;
use crate::grants::KubeUse;

/// One use of a kind.
pub(super) struct Use<'a> {
    pub verb: &'a str,
    pub kind: &'a Kind,
    pub subresource: Option<&'a str>,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
}

/// The connection, if it may be used so.
pub(super) fn check(core: &Core, name: &str, what: &Use<'_>) -> Result<Arc<Connection>, Fault> {
    let resource = match what.subresource {
        Some(subresource) => format!("{}/{subresource}", what.kind.plural),
        None => what.kind.plural.clone(),
    };
    let changes = !matches!(what.verb, "get" | "list" | "watch");
    if changes && what.kind.is_secret() {
        let message = "Secrets cannot be written by plugins: a plugin holds no secret to write";
        return Err(core.denied("kube", Fault::new(Class::Denied, "SECRETS_NOT_WRITABLE", message)));
    }
    asked(core, name, what.verb, what.kind, &resource)?;
    let group = what.kind.group.as_str();
    let (namespace, object) = (what.namespace, what.name);
    core.grants
        .kube(name, &KubeUse { verb: what.verb, group, resource: &resource, namespace, name: object })
        .map_err(|fault| core.denied("kube", fault))?;
    connection(core, name)
}

/// A question about something that the manifest asks for.
pub(super) fn check_question(core: &Core, name: &str, verb: &str, kind: &Kind) -> Result<Arc<Connection>, Fault> {
    asked(core, name, verb, kind, &kind.plural)?;
    core.grants.connection(name).map_err(|fault| core.denied("kube", fault))?;
    connection(core, name)
}

/// Whether a rule of the manifest is about it.
fn asked(core: &Core, name: &str, verb: &str, kind: &Kind, resource: &str) -> Result<(), Fault> {
    let group = kind.group.as_str();
    let asked = core.kube.get(name).into_iter().flatten().flat_map(|need| &need.rules).any(|rule| {
        rule.group == group
            && rule.resources.iter().any(|name| name == resource)
            && rule.verbs.iter().any(|asked| asked == verb)
    });
    if asked {
        return Ok(());
    }
    let plugin = &core.name;
    let keys = format!(
        "connection = \"{name}\", kube = [{{ group = \"{group}\", resources = [\"{resource}\"], verbs = [\"{verb}\"] }}]"
    );
    let message = format!(
        "{verb} {resource} on connection `{name}` is not among the rules that the manifest of plugin `{plugin}` asks for; its \
         author adds to needs.kube[].rules: {{ \"group\": \"{group}\", \"resources\": [\"{resource}\"], \"verbs\": [\"{verb}\"] }}, \
         and the operator then allows it with: {}",
        core.grants.line(&keys)
    );
    Err(core.denied("kube", Fault::new(Class::Denied, "NOT_IN_MANIFEST", message)))
}

/// A raw path that the manifest names.
pub(super) fn check_raw(core: &Core, name: &str, path: &str) -> Result<Arc<Connection>, Fault> {
    if !core.kube.get(name).into_iter().flatten().any(|need| need.raw.iter().any(|raw| raw == path)) {
        let message = format!(
            "GET {path} on connection `{name}` is not among the raw paths that the manifest of plugin `{}` asks for; its author adds \
             \"{path}\" to needs.kube[].raw",
            core.name
        );
        return Err(core.denied("kube", Fault::new(Class::Denied, "NOT_IN_MANIFEST", message)));
    }
    core.grants.connection(name).map_err(|fault| core.denied("kube", fault))?;
    connection(core, name)
}

fn connection(core: &Core, name: &str) -> Result<Arc<Connection>, Fault> {
    match core.services.connections.get(name) {
        Some(connection) if is_kube(connection) => Ok(Arc::clone(connection)),
        Some(_) => {
            let message =
                format!("connection `{name}` does not speak Kubernetes; set [connections.{name}] kind = \"kube\"");
            Err(Fault::new(Class::Denied, "WRONG_KIND", message))
        }
        None => {
            let message = format!("there is no connection `{name}`; configure it as [connections.{name}]");
            Err(Fault::new(Class::Denied, "NO_CONNECTION", message))
        }
    }
}
