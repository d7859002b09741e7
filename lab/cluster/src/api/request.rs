//! From a request to an answer: authentication, routing, authorization.

use lab_wire::{Answer, Millis, Random, Request, Response};
use serde_json::{Value, json};

use super::apply::manager_of;
use super::failure::{Failure, qualified};
use super::fault::{self, FaultKind};
use super::log::{self, LogEntry};
use super::patch::Patch;
use super::protobuf;
use super::rbac::{self, Attributes};
use super::registry::Target;
use super::selector::Selector;
use super::server::ApiServer;
use super::user::{User, authenticate};

/// Everything about a request but its target.
pub struct Context {
    /// Who asks.
    pub user: User,
    /// When.
    pub now: Millis,
    /// Field manager, given or derived.
    pub manager: String,
    /// Whether the request named its field manager.
    pub manager_given: bool,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// `force=true`.
    pub force: bool,
    /// `fieldValidation=Strict`.
    pub strict: bool,
}

impl ApiServer {
    pub(super) fn answer(&mut self, request: &Request, now: Millis, random: &mut Random) -> Answer {
        let fault = fault::take(&mut self.faults, request);
        let mut entry = LogEntry {
            at: now,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            user: String::new(),
            status: 0,
        };
        match fault {
            Some(FaultKind::DropRequest) => {
                log::push(&mut self.log, entry);
                return Answer::Drop;
            }
            Some(FaultKind::Status { code, retry_after }) => {
                entry.status = code;
                log::push(&mut self.log, entry);
                return broken(code, retry_after).response().into();
            }
            Some(kind @ (FaultKind::Conflict | FaultKind::Quota)) => {
                let failure = self.refused(request, &kind);
                entry.status = failure.code;
                log::push(&mut self.log, entry);
                return failure.response().into();
            }
            _ => {}
        }
        let answer = match authenticate(request, &self.tokens, &self.store, self.settings.bootstrap_tokens, now) {
            Ok(user) => {
                entry.user = user.name.clone();
                self.route(request, user, now, random).unwrap_or_else(|failure| failure.response().into())
            }
            Err(failure) => failure.response().into(),
        };
        entry.status = match &answer {
            Answer::Now(response) | Answer::At(_, response) | Answer::Stream(_, response) => response.status,
            Answer::Drop => 0,
        };
        log::push(&mut self.log, entry);
        match (fault, answer) {
            (Some(FaultKind::DropReply), _) => Answer::Drop,
            (Some(FaultKind::Delay(ms)), Answer::Now(response)) => Answer::At(now + ms, response),
            (_, answer) => answer,
        }
    }

    /// A refusal about the object that the request names, as far as it names one.
    fn refused(&self, request: &Request, kind: &FaultKind) -> Failure {
        let segments = request.segments();
        let target = self.registry.target(&segments).ok();
        let (group, plural) = target.as_ref().map_or(("", ""), |target| (&target.kind.group, &target.kind.plural));
        let posted = || parse_body(request).ok()?["metadata"]["name"].as_str().map(str::to_owned);
        let name = target.as_ref().and_then(|target| target.name.clone()).or_else(posted).unwrap_or_default();
        if *kind == FaultKind::Conflict {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Failure::conflict(group, plural, &name, why);
        }
        let what = qualified(group, plural);
        let room = format!("requested: count/{what}=1, used: count/{what}=1, limited: count/{what}=1");
        Failure::forbidden(format!("{what} \"{name}\" is forbidden: exceeded quota: tenants, {room}"))
            .about(group, plural, &name)
    }

    fn route(&mut self, request: &Request, user: User, now: Millis, random: &mut Random) -> Result<Answer, Failure> {
        let segments = request.segments();
        let is_resource = match segments.first().map(String::as_str) {
            Some("api") => segments.len() > 2,
            Some("apis") => segments.len() > 3,
            _ => false,
        };
        if !is_resource {
            return self.document(request, &segments, &user).map(Answer::Now);
        }
        let target = self.registry.target(&segments)?;
        let selector =
            Selector::parse(request.query_value("labelSelector"), request.query_value("fieldSelector"), &target.kind)?;
        let watch = matches!(request.query_value("watch"), Some("true" | "1"));
        let verb = verb(request, &target, watch)?;
        let wanted = attributes(&target, verb, &selector);
        if !rbac::allowed(&self.store, &user, &wanted) {
            return Err(rbac::refusal(&user, &wanted));
        }
        self.refuse_blocked(verb, &user)?;
        let context = context(request, user, now);
        let body = |request: &Request| parse_body(request);
        let subresource = target.subresource.clone();
        Ok(match (verb, subresource.as_deref()) {
            ("watch", _) => self.watch(request, &target, selector, now, random)?,
            ("list", _) => self.list(request, &target, &selector, now)?.into(),
            ("get", _) => self.read(request, &target, now)?.into(),
            ("create", None) if target.kind.question => self.question(&target, body(request)?, &context)?.into(),
            ("create", None) => self.create(request, &target, body(request)?, &context, random)?.into(),
            ("create", Some(action)) => self.act(request, &target, action, body(request)?, &context, random)?.into(),
            ("update", _) => self.update(request, &target, body(request)?, &context, random)?.into(),
            ("patch", _) => {
                let patch = Patch::of(request.header_value("content-type").unwrap_or_default())?;
                self.patch(request, &target, patch, body(request)?, &context, random)?.into()
            }
            ("delete", _) => self.delete(request, &target, optional_body(request)?, &context)?.into(),
            ("deletecollection", _) => {
                self.delete_collection(&target, &selector, &optional_body(request)?, &context)?.into()
            }
            _ => return Err(Failure::method_not_allowed()),
        })
    }

    /// Paths that are about no resource: health, version, discovery, schemas.
    fn document(&self, request: &Request, segments: &[String], user: &User) -> Result<Response, Failure> {
        let path = format!("/{}", segments.join("/"));
        let wanted = Attributes { verb: "get".to_owned(), path: Some(path), ..Attributes::default() };
        if !rbac::allowed(&self.store, user, &wanted) {
            return Err(rbac::refusal(user, &wanted));
        }
        if request.method != "GET" {
            return Err(Failure::method_not_allowed());
        }
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Ok(Response::text(200, "text/plain; charset=utf-8", "ok")),
            ["version"] => Ok(Response::json(200, &self.version_document())),
            ["openapi", rest @ ..] => self.openapi(request, rest),
            words => self.discovery(request, words),
        }
    }

    fn version_document(&self) -> Value {
        let version = self.settings.version.as_str();
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        json!({
            "major": major, "minor": minor, "gitVersion": version, "gitCommit": "0".repeat(40),
            "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.25",
            "compiler": "gc", "platform": "linux/amd64",
        })
    }

    fn refuse_blocked(&self, verb: &str, user: &User) -> Result<(), Failure> {
        let blocked = match verb {
            "create" => self.block.creation,
            "update" | "patch" => self.block.update,
            "delete" | "deletecollection" => self.block.deletion,
            _ => false,
        };
        if blocked && user.name != "system:kube-controller-manager" {
            return Err(Failure::forbidden(format!(
                "admission webhook \"catchall.write-permissions.kamaji.clastix.io\" denied the request: {verb} is blocked"
            )));
        }
        Ok(())
    }
}

fn broken(code: u16, retry_after: Option<u64>) -> Failure {
    let (reason, message) = match code {
        429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        410 => return Failure::expired("The resourceVersion for the provided watch is too old."),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "the server was unable to return a response in the time allotted"),
        _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
    };
    Failure { retry_after, ..Failure::new(code, reason, message) }
}

fn verb(request: &Request, target: &Target, watch: bool) -> Result<&'static str, Failure> {
    Ok(match (request.method.as_str(), target.name.is_some()) {
        ("GET", _) if watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", false) => "create",
        ("POST", true) if target.subresource.is_some() => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) if target.subresource.is_none() => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(Failure::method_not_allowed()),
    })
}

fn attributes(target: &Target, verb: &str, selector: &Selector) -> Attributes {
    let resource = match &target.subresource {
        Some(sub) => format!("{}/{sub}", target.kind.plural),
        None => target.kind.plural.clone(),
    };
    let name = target.name.as_deref().or(selector.name()).unwrap_or_default();
    // A namespace is its own namespace for the authorizer, so that a Role in it can grant access to it.
    let namespace = match &target.namespace {
        Some(namespace) => namespace.clone(),
        None if target.kind.plural == "namespaces" && target.kind.group.is_empty() => {
            target.name.clone().unwrap_or_default()
        }
        None => String::new(),
    };
    Attributes {
        verb: verb.to_owned(),
        group: target.kind.group.clone(),
        resource,
        namespace,
        name: name.to_owned(),
        path: None,
    }
}

fn context(request: &Request, user: User, now: Millis) -> Context {
    let given = request.query_value("fieldManager").filter(|name| !name.is_empty());
    Context {
        manager: given.map_or_else(|| manager_of(request.header_value("user-agent")), str::to_owned),
        manager_given: given.is_some(),
        dry_run: request.query_value("dryRun") == Some("All"),
        force: matches!(request.query_value("force"), Some("true" | "1")),
        strict: request.query_value("fieldValidation") == Some("Strict"),
        user,
        now,
    }
}

/// The body as JSON or YAML.
pub fn parse_body(request: &Request) -> Result<Value, Failure> {
    let kind = request.header_value("content-type").unwrap_or("application/json");
    if kind.contains("protobuf")
        && let Some(object) = protobuf::decode(&request.body)
    {
        return Ok(object);
    }
    if kind.contains("protobuf") || kind.contains("cbor") {
        return Err(Failure::unsupported_media(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml (got {kind:?})"
        )));
    }
    if let Ok(value) = serde_json::from_slice(&request.body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(&request.body).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
    if !kind.contains("yaml") {
        return Err(Failure::bad_request("the object provided is unrecognized: the body is not JSON"));
    }
    serde_saphyr::from_str(text).map_err(|error| Failure::bad_request(format!("error parsing YAML: {error}")))
}

fn optional_body(request: &Request) -> Result<Value, Failure> {
    if request.body.is_empty() { Ok(Value::Null) } else { parse_body(request) }
}
