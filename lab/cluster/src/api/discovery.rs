//! Discovery: which groups, versions and resources there are.

use lab_wire::{Request, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::kind::Kind;
use super::server::ApiServer;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl ApiServer {
    pub(super) fn discovery(&self, request: &Request, words: &[&str]) -> Result<Response, Failure> {
        let accept = request.header_value("accept").unwrap_or_default();
        let aggregated = accept
            .split(',')
            .any(|item| item.contains("as=APIGroupDiscoveryList") && item.split(';').any(|part| part.trim() == "v=v2"));
        match words {
            [] => Ok(Response::json(200, &json!({"paths": self.paths()}))),
            [root @ ("api" | "apis")] if aggregated => {
                let body = serde_json::to_vec(&self.aggregated(*root == "api")).unwrap_or_default();
                Ok(Response::text(200, AGGREGATED, body))
            }
            ["api"] => Ok(Response::json(
                200,
                &json!({
                    "kind": "APIVersions", "versions": ["v1"],
                    "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
                }),
            )),
            ["apis"] => {
                let groups: Vec<Value> = self.groups().iter().filter(|(g, _)| !g.is_empty()).map(group).collect();
                Ok(Response::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
            }
            ["apis", name] => {
                let groups = self.groups();
                let found = groups.iter().find(|(g, _)| g == name).ok_or_else(Failure::no_such_path)?;
                let mut body = group(found);
                body["kind"] = "APIGroup".into();
                body["apiVersion"] = "v1".into();
                Ok(Response::json(200, &body))
            }
            ["api", version] => self.resources("", version),
            ["apis", group, version] => self.resources(group, version),
            _ => Err(Failure::no_such_path()),
        }
    }

    /// Groups with their versions, in the order of registration.
    pub(super) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for kind in self.registry.kinds() {
            match groups.iter_mut().find(|(group, _)| *group == kind.group) {
                Some((_, versions)) => {
                    if !versions.contains(&kind.version) {
                        versions.push(kind.version.clone());
                    }
                }
                None => groups.push((kind.group.clone(), vec![kind.version.clone()])),
            }
        }
        groups
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for (group, versions) in self.groups().iter().filter(|(group, _)| !group.is_empty()) {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        }
        paths.extend(["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
        paths
    }

    fn kinds_of<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.registry.kinds().iter().map(AsRef::as_ref).filter(move |k| k.group == group && k.version == version)
    }

    fn resources(&self, group: &str, version: &str) -> Result<Response, Failure> {
        let mut resources = Vec::new();
        for kind in self.kinds_of(group, version) {
            let mut entry = json!({
                "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
                "verbs": kind.verbs(),
            });
            for (field, words) in [("shortNames", &kind.short), ("categories", &kind.categories)] {
                if !words.is_empty() {
                    entry[field] = words.clone().into();
                }
            }
            resources.push(entry);
            for (name, of, verbs) in subresources(kind) {
                let mut entry = json!({
                    "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                    "kind": of.2, "verbs": verbs,
                });
                if !of.0.is_empty() && of.0 != kind.group {
                    entry["group"] = of.0.into();
                    entry["version"] = of.1.into();
                }
                resources.push(entry);
            }
        }
        if resources.is_empty() {
            return Err(Failure::no_such_path());
        }
        let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Ok(Response::json(
            200,
            &json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
            }),
        ))
    }

    fn aggregated(&self, core: bool) -> Value {
        let groups = self.groups();
        let items: Vec<Value> = groups
            .iter()
            .filter(|(group, _)| group.is_empty() == core)
            .map(|(group, versions)| {
                let versions: Vec<Value> =
                    versions.iter().map(|version| self.aggregated_version(group, version)).collect();
                let metadata = if core {
                    json!({"creationTimestamp": null})
                } else {
                    json!({"name": group, "creationTimestamp": null})
                };
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    }

    fn aggregated_version(&self, group: &str, version: &str) -> Value {
        let mut resources = Vec::new();
        for kind in self.kinds_of(group, version) {
            let mut entry = json!({
                "resource": kind.plural, "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": kind.singular, "verbs": kind.verbs(),
            });
            for (field, words) in [("shortNames", &kind.short), ("categories", &kind.categories)] {
                if !words.is_empty() {
                    entry[field] = words.clone().into();
                }
            }
            let subs: Vec<Value> = subresources(kind)
                .into_iter()
                .map(|(name, (group, version, kind), verbs)| {
                    json!({
                        "subresource": name, "verbs": verbs,
                        "responseKind": {"group": group, "version": version, "kind": kind},
                    })
                })
                .collect();
            if !subs.is_empty() {
                entry["subresources"] = subs.into();
            }
            resources.push(entry);
        }
        json!({"version": version, "freshness": "Current", "resources": resources})
    }
}

type Sub = (&'static str, (String, String, String), &'static [&'static str]);

fn subresources(kind: &Kind) -> Vec<Sub> {
    let own = (kind.group.clone(), kind.version.clone(), kind.kind.clone());
    let mut list: Vec<Sub> = Vec::new();
    if kind.status {
        list.push(("status", own.clone(), &["get", "patch", "update"]));
    }
    if kind.scale.is_some() {
        let scale = ("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned());
        list.push(("scale", scale, &["get", "patch", "update"]));
    }
    for action in &kind.actions {
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        list.push(match *action {
            "eviction" => (action, text("policy", "v1", "Eviction"), &["create"]),
            "binding" => (action, text("", "v1", "Binding"), &["create"]),
            "token" => (action, text("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
            "approval" => (action, own.clone(), &["get", "patch", "update"]),
            _ => (action, own.clone(), &["update"]),
        });
    }
    list
}

fn group((name, versions): &(String, Vec<String>)) -> Value {
    let entry = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}
