//! What the operator allows one plugin to use: `[[plugins.NAME.grants]]`.

use std::path::PathBuf;

use agentkube_contract::{Class, Fault, Locator};
use agentkube_manifest::path_fits;
use serde::Deserialize;

use crate::connections::address::Cidr;
use crate::{Error, Result};

/// One grant. It is about exactly one of `connection`, `secret`, `pass`, `files`, `range` and `tenant-addresses`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grant {
    /// A connection that it may use.
    pub connection: Option<String>,
    /// With `connection`: only these requests, out of those that its manifest asks for; none: all of those.
    pub requests: Vec<RequestGrant>,
    /// With `connection`: what it may do with Kubernetes objects there.
    pub kube: Vec<KubeGrant>,
    /// A named secret that it may look up (and never see).
    pub secret: Option<String>,
    /// A kind of reference that it may send out: `named`, `http` or `kube-secret`.
    pub pass: Option<Pass>,
    /// With `pass`: only references made for these plugins (patterns with `*`); none: any.
    pub from: Vec<String>,
    /// With `pass`: to these connections.
    pub to: Vec<String>,
    /// Name of a directory that it may read.
    pub files: Option<String>,
    /// With `files`: the directory.
    pub path: Option<PathBuf>,
    /// A range of numbers or addresses that it may reserve from.
    pub range: Option<String>,
    /// Where the API servers of the clusters may lie that it gives kubeconfigs of.
    pub tenant_addresses: Vec<String>,
}

/// A family of requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RequestGrant {
    /// Methods; `*` for all.
    pub methods: Vec<String>,
    /// Path template, `{name}` for one segment.
    pub path: String,
}

/// What may be done with some Kubernetes objects.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KubeGrant {
    /// `get`, `list`, `watch`, `create`, `patch`, `delete`, or `*`.
    pub verbs: Vec<String>,
    /// API group; empty for core.
    #[serde(default)]
    pub group: String,
    /// Plurals, with `/subresource` where one is meant; patterns with `*`.
    pub resources: Vec<String>,
    /// Patterns with `*`. Cluster-scoped kinds and requests over all namespaces need `*`.
    #[serde(default = "everywhere")]
    pub namespaces: Vec<String>,
    /// Patterns with `*`; none: any name. Secrets must be named.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A kind of reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pass {
    /// A secret that the operator named.
    Named,
    /// A value captured from an answer.
    Http,
    /// A key of a Kubernetes Secret.
    KubeSecret,
}

impl Pass {
    /// The kind of a locator.
    pub fn of(locator: &Locator) -> Pass {
        match locator {
            Locator::Named { .. } => Pass::Named,
            Locator::Http { .. } => Pass::Http,
            Locator::KubeSecret { .. } => Pass::KubeSecret,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Pass::Named => "named",
            Pass::Http => "http",
            Pass::KubeSecret => "kube-secret",
        }
    }
}

fn everywhere() -> Vec<String> {
    vec!["*".to_owned()]
}

/// One thing done with Kubernetes objects.
#[derive(Clone, Copy, Debug)]
pub struct KubeUse<'a> {
    /// `get` …
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural, with subresource.
    pub resource: &'a str,
    /// `None`: cluster-scoped, or all namespaces.
    pub namespace: Option<&'a str>,
    /// `None` for lists.
    pub name: Option<&'a str>,
}

/// All grants of one plugin.
#[derive(Clone, Debug)]
pub struct Grants {
    plugin: String,
    grants: Vec<Grant>,
    tenant_addresses: Vec<Cidr>,
}

impl Grants {
    /// The grants of a plugin, checked.
    pub fn new(plugin: &str, grants: Vec<Grant>) -> Result<Self> {
        let mut tenant_addresses = Vec::new();
        for (index, grant) in grants.iter().enumerate() {
            let bad = |message: String| Error::BadGrant { plugin: plugin.to_owned(), index: index + 1, message };
            check(grant).map_err(bad)?;
            for text in &grant.tenant_addresses {
                let range = Cidr::parse(text).ok_or_else(|| bad(format!("`{text}` is no range such as 10.0.0.0/8")))?;
                tenant_addresses.push(range);
            }
        }
        Ok(Grants { plugin: plugin.to_owned(), grants, tenant_addresses })
    }

    /// Where the clusters of this plugin may lie.
    pub fn tenant_addresses(&self) -> &[Cidr] {
        &self.tenant_addresses
    }

    /// The names of the connections that it may use.
    pub fn connections(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().filter_map(|grant| grant.connection.as_deref())
    }

    /// Whether it may send this request.
    pub fn request(&self, connection: &str, method: &str, path: &str) -> std::result::Result<(), Fault> {
        let mut here = self.on(connection).peekable();
        if here.peek().is_none() {
            return Err(self.denial(
                "CONNECTION_NOT_GRANTED",
                &format!("connection `{connection}`"),
                &format!("connection = \"{connection}\""),
            ));
        }
        let fits = here.any(|grant| {
            grant.kube.is_empty() && grant.requests.is_empty()
                || grant.requests.iter().any(|request| {
                    request.methods.iter().any(|m| m == "*" || m == method) && path_fits(&request.path, path)
                })
        });
        if fits {
            return Ok(());
        }
        Err(self.denial(
            "REQUEST_NOT_GRANTED",
            &format!("{method} {path} on connection `{connection}`"),
            &format!("connection = \"{connection}\", requests = [{{ methods = [\"{method}\"], path = \"{path}\" }}]"),
        ))
    }

    /// Whether there is a request of this family that it may send; grants may be narrower than what a manifest asks for.
    pub fn overlaps(&self, connection: &str, method: &str, template: &str) -> bool {
        self.on(connection).any(|grant| {
            grant.kube.is_empty() && grant.requests.is_empty()
                || grant.requests.iter().any(|request| {
                    request.methods.iter().any(|m| m == "*" || m == method) && templates_meet(&request.path, template)
                })
        })
    }

    /// Whether it may take values out of any range at all.
    pub fn any_range(&self) -> bool {
        self.grants.iter().any(|grant| grant.range.is_some())
    }

    /// Whether it may do this with Kubernetes objects.
    pub fn kube(&self, connection: &str, what: &KubeUse<'_>) -> std::result::Result<(), Fault> {
        let fits = |rule: &KubeGrant| {
            rule.covers(what.verb, what.group, what.resource)
                && rule.namespaces.iter().any(|pattern| match what.namespace {
                    Some(namespace) => matches(pattern, namespace),
                    None => pattern == "*",
                })
                && rule.names_fit(what)
        };
        if self.on(connection).flat_map(|grant| &grant.kube).any(fits) {
            return Ok(());
        }
        let (group, resource, verb) = (what.group, what.resource, what.verb);
        let namespace = what.namespace.unwrap_or("*");
        let names = match what.name {
            Some(name) if is_secret(what) => format!(", names = [\"{name}\"]"),
            _ => String::new(),
        };
        Err(self.denial(
            "KUBE_NOT_GRANTED",
            &format!("{verb} {resource} in namespace {namespace} on connection `{connection}`"),
            &format!(
                "connection = \"{connection}\", kube = [{{ group = \"{group}\", resources = [\"{resource}\"], \
                 verbs = [\"{verb}\"], namespaces = [\"{namespace}\"]{names} }}]"
            ),
        ))
    }

    /// Whether this is granted for some namespace and name; asked when the plugin is loaded.
    pub fn kube_somewhere(&self, connection: &str, verb: &str, group: &str, resource: &str) -> bool {
        // Without a name no rule grants a Secret.
        let secret = is_secret(&KubeUse { verb, group, resource, namespace: None, name: None });
        let fits = |rule: &KubeGrant| rule.covers(verb, group, resource) && !(secret && rule.names.is_empty());
        self.on(connection).flat_map(|grant| &grant.kube).any(fits)
    }

    /// Whether it may watch these objects in all namespaces; one watch then serves all waiters.
    pub fn watches_everywhere(&self, connection: &str, group: &str, resource: &str) -> bool {
        let everywhere = |rule: &KubeGrant| {
            rule.covers("watch", group, resource) && rule.namespaces.iter().any(|n| n == "*") && rule.names.is_empty()
        };
        self.on(connection).flat_map(|grant| &grant.kube).any(everywhere)
    }

    /// Whether it may use the connection at all, as for raw paths that its manifest names.
    pub fn connection(&self, connection: &str) -> std::result::Result<(), Fault> {
        if self.on(connection).next().is_some() {
            return Ok(());
        }
        let line = format!("connection = \"{connection}\"");
        Err(self.denial("CONNECTION_NOT_GRANTED", &format!("connection `{connection}`"), &line))
    }

    /// Whether it may look up a named secret.
    pub fn secret(&self, name: &str) -> std::result::Result<(), Fault> {
        if self.grants.iter().any(|grant| grant.secret.as_deref() == Some(name)) {
            return Ok(());
        }
        Err(self.denial("SECRET_NOT_GRANTED", &format!("secret `{name}`"), &format!("secret = \"{name}\"")))
    }

    /// Whether it may send this kind of reference, made for that plugin, to the connection.
    pub fn pass(&self, kind: Pass, maker: &str, connection: &str) -> std::result::Result<(), Fault> {
        let fits = self.grants.iter().any(|grant| {
            grant.pass == Some(kind)
                && grant.to.iter().any(|to| matches(to, connection))
                && (grant.from.is_empty() || grant.from.iter().any(|from| matches(from, maker)))
        });
        if fits {
            return Ok(());
        }
        Err(self.denial(
            "REFERENCE_NOT_GRANTED",
            &format!("sending a {} reference of `{maker}` to connection `{connection}`", kind.as_str()),
            &format!("pass = \"{}\", from = [\"{maker}\"], to = [\"{connection}\"]", kind.as_str()),
        ))
    }

    /// The granted directory of that name.
    pub fn directory(&self, name: &str) -> std::result::Result<&PathBuf, Fault> {
        let granted = self.grants.iter().find(|grant| grant.files.as_deref() == Some(name));
        granted.and_then(|grant| grant.path.as_ref()).ok_or_else(|| {
            let line = format!("files = \"{name}\", path = \"/…\"");
            self.denial("FILES_NOT_GRANTED", &format!("directory `{name}`"), &line)
        })
    }

    /// Whether it may reserve from a range.
    pub fn range(&self, name: &str) -> std::result::Result<(), Fault> {
        if self.grants.iter().any(|grant| grant.range.as_deref() == Some(name)) {
            return Ok(());
        }
        Err(self.denial("RANGE_NOT_GRANTED", &format!("range `{name}`"), &format!("range = \"{name}\"")))
    }

    /// The lines that would allow something, as they can be pasted.
    pub fn line(&self, keys: &str) -> String {
        format!("[[plugins.{}.grants]]\n{}", self.plugin, lines(keys))
    }

    fn on(&self, connection: &str) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| grant.connection.as_deref() == Some(connection))
    }

    fn denial(&self, code: &str, what: &str, keys: &str) -> Fault {
        let message = format!("{what} is not granted to plugin `{}`; allow it with:\n{}", self.plugin, self.line(keys));
        Fault::new(Class::Denied, code, message)
    }
}

impl KubeGrant {
    fn covers(&self, verb: &str, group: &str, resource: &str) -> bool {
        self.group == group
            && self.verbs.iter().any(|v| v == "*" || v == verb)
            && self.resources.iter().any(|r| matches(r, resource))
    }

    /// A Secret is only granted where its name is.
    fn names_fit(&self, what: &KubeUse<'_>) -> bool {
        match what.name {
            None => self.names.is_empty() && !is_secret(what),
            Some(name) => {
                self.names.is_empty() && !is_secret(what) || self.names.iter().any(|pattern| matches(pattern, name))
            }
        }
    }
}

/// Whether a path can fit both templates.
fn templates_meet(one: &str, other: &str) -> bool {
    let free = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
    let (one, other): (Vec<&str>, Vec<&str>) = (one.split('/').collect(), other.split('/').collect());
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| a == b || free(a) || free(b))
}

fn is_secret(what: &KubeUse<'_>) -> bool {
    what.group.is_empty() && what.resource.split('/').next() == Some("secrets")
}

/// Whether a grant's word for resources means Secrets by name. `*` alone means all that needs no name.
fn about_secrets(word: &str) -> bool {
    word != "*" && matches(word.split('/').next().unwrap_or_default(), "secrets")
}

fn check(grant: &Grant) -> std::result::Result<(), String> {
    let about = [
        grant.connection.is_some(),
        grant.secret.is_some(),
        grant.pass.is_some(),
        grant.files.is_some(),
        grant.range.is_some(),
        !grant.tenant_addresses.is_empty(),
    ];
    if about.iter().filter(|given| **given).count() != 1 {
        return Err("give exactly one of connection, secret, pass, files, range and tenant-addresses".to_owned());
    }
    if grant.connection.is_none() && !(grant.requests.is_empty() && grant.kube.is_empty()) {
        return Err("requests and kube belong to a connection".to_owned());
    }
    let names_secrets =
        |rule: &&KubeGrant| rule.group.is_empty() && rule.resources.iter().any(|word| about_secrets(word));
    if grant.kube.iter().filter(names_secrets).any(|rule| rule.names.is_empty()) {
        let message =
            "Secrets are granted by name, never wholesale: add the names, such as names = [\"*-admin-kubeconfig\"]";
        return Err(message.to_owned());
    }
    if grant.pass.is_some() == grant.to.is_empty() || grant.pass.is_none() && !grant.from.is_empty() {
        return Err("pass needs `to`, the connections it may go to; `from` and `to` belong to pass".to_owned());
    }
    if grant.files.is_some() != grant.path.is_some() {
        return Err("files and path belong together".to_owned());
    }
    Ok(())
}

/// `a = 1, b = [2, 3]` with each key on a line of its own.
fn lines(keys: &str) -> String {
    let (mut depth, mut quoted, mut lines) = (0_u32, false, String::new());
    let mut rest = keys.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                lines.push('\n');
                rest.next_if_eq(&' ');
                continue;
            }
            _ => {}
        }
        lines.push(c);
    }
    lines
}

/// Whether a text fits a pattern, in which `*` stands for any characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => match text.strip_prefix(start) {
            None => false,
            Some(text) => (0..=text.len()).any(|at| text.get(at..).is_some_and(|tail| matches(rest, tail))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(kube: &str) -> Result<Grants> {
        let grant = serde_json::json!({"connection": "admin", "kube": serde_json::from_str::<serde_json::Value>(kube).unwrap()});
        Grants::new("planes", vec![serde_json::from_value(grant).unwrap()])
    }

    #[test]
    fn secrets_are_granted_by_name_or_not_at_all() {
        for resources in [r#"["secrets"]"#, r#"["namespaces", "secrets"]"#, r#"["secret*"]"#] {
            let error = grants(&format!(r#"[{{"verbs": ["get"], "resources": {resources}}}]"#)).unwrap_err();
            assert_eq!(error.code(), "BAD_GRANT", "{resources}");
            assert!(error.to_string().contains("names = ["), "{error}");
        }
        let named = grants(r#"[{"verbs": ["get"], "resources": ["secrets"], "names": ["*-kubeconfig"]}]"#).unwrap();
        assert!(named.kube_somewhere("admin", "get", "", "secrets"));
        // Everything is everything but Secrets.
        let all = grants(r#"[{"verbs": ["*"], "resources": ["*"]}]"#).unwrap();
        assert!(all.kube_somewhere("admin", "get", "", "namespaces"));
        assert!(!all.kube_somewhere("admin", "get", "", "secrets"));
        // Secrets of another group are somebody's own kind.
        grants(r#"[{"verbs": ["get"], "group": "example.org", "resources": ["secrets"]}]"#).unwrap();
    }
}
