//! The endpoints: one file per family, one table of all.

mod access;
mod agent;
mod clone;
mod cluster;
mod config;
mod content;
mod keys;
mod metrics;
mod migrate;
mod nodes;
mod pools;
mod power;
mod qemu;
mod storage;
mod tasks;

use lab_wire::Random;

use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::auth::Identity;
use crate::effects::missing_on;
use crate::formats::{NODE, STORAGE, VMID};
use crate::params::{Args, Kind, Param, need};
use crate::settings::Release;
use crate::store::Vm;

/// A request that found its endpoint.
pub(crate) struct Call {
    pub who: Identity,
    /// The node that it came in at.
    pub receiver: String,
    pub args: Args,
    /// An uploaded file.
    pub file: Option<Vec<u8>>,
}

impl Call {
    /// The node in the path.
    pub fn node(&self) -> &str {
        self.args.word("node")
    }

    /// The VM in the path.
    pub fn vmid(&self) -> u32 {
        self.args.vmid("vmid")
    }
}

/// What an endpoint demands before its parameters are even looked at.
pub(crate) enum Need {
    /// To be somebody.
    Anyone,
    /// All of these at a path, in which `{x}` stands for a parameter.
    All(&'static str, &'static [&'static str]),
    /// One of these.
    Any(&'static str, &'static [&'static str]),
    /// To ask the guest agent; `true` for what goes beyond asking.
    Agent(bool),
    /// What a function says.
    Check(fn(&Pve, &Call) -> Result<(), String>),
}

/// An endpoint.
pub(crate) struct Route {
    pub method: &'static str,
    /// Its path, with `{x}` for parameters; a last `{volume}` takes the rest.
    pub path: &'static str,
    pub params: &'static [&'static [Param]],
    pub need: Need,
    /// Whether it is forwarded to the node in the path.
    pub proxied: bool,
    /// Whether it takes a file.
    pub upload: bool,
    pub handler: fn(&mut Pve, &Call, &mut Random) -> Handled,
}

/// An endpoint that a node answers for itself.
const fn route(
    method: &'static str,
    path: &'static str,
    params: &'static [&'static [Param]],
    need: Need,
    handler: fn(&mut Pve, &Call, &mut Random) -> Handled,
) -> Route {
    Route { method, path, params, need, proxied: true, upload: false, handler }
}

const ON_NODE: &[Param] = &[need("node", NODE)];
const ON_STORAGE: &[Param] = &[need("node", NODE), need("storage", STORAGE)];
const ON_VM: &[Param] = &[need("node", NODE), need("vmid", VMID)];

const FAMILIES: &[&[Route]] = &[
    access::ROUTES,
    agent::ROUTES,
    clone::ROUTES,
    cluster::ROUTES,
    config::ROUTES,
    content::ROUTES,
    metrics::ROUTES,
    migrate::ROUTES,
    nodes::ROUTES,
    pools::ROUTES,
    power::ROUTES,
    qemu::ROUTES,
    storage::ROUTES,
    tasks::ROUTES,
];

/// Finds the endpoint of a request, and the parameters in its path.
pub(crate) fn find(method: &str, segments: &[String]) -> Option<(&'static Route, Vec<(String, String)>)> {
    let routes = FAMILIES.iter().flat_map(|family| family.iter()).filter(|route| route.method == method);
    routes.into_iter().find_map(|route| Some((route, matches(route.path, segments)?)))
}

fn matches(path: &str, segments: &[String]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = segments.iter();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some("volume") => {
                let volume: Vec<&str> = rest.by_ref().map(String::as_str).collect();
                let volume = Some(volume.join("/")).filter(|volume| !volume.is_empty())?;
                found.push(("volume".to_owned(), volume));
                return Some(found);
            }
            Some(name) => found.push((name.to_owned(), rest.next()?.clone())),
            None if rest.next()? == part => {}
            None => return None,
        }
    }
    rest.next().is_none().then_some(found)
}

/// Checks what an endpoint demands. It comes before the parameter checks, so it sees parameters as they were given.
pub(crate) fn permitted(pve: &Pve, route: &Route, call: &Call) -> Result<(), Failure> {
    let access = pve.access();
    let fill = |path: &str| {
        let parts = path.split('/').map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => call.args.word(name),
            None => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let vm = format!("/vms/{}", call.args.word("vmid"));
    let modern = pve.settings.release >= Release::V9_1;
    let checked = match &route.need {
        Need::Anyone => Ok(()),
        Need::All(path, privileges) => access.check(&call.who, &fill(path), privileges),
        Need::Any(path, privileges) => access.check_any(&call.who, &fill(path), privileges),
        Need::Agent(false) if modern => {
            access.check_any(&call.who, &vm, &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"])
        }
        Need::Agent(true) if modern => access.check(&call.who, &vm, &["VM.GuestAgent.Unrestricted"]),
        Need::Agent(_) => access.check(&call.who, &vm, &["VM.Monitor"]),
        Need::Check(check) => check(pve, call),
    };
    checked.map_err(Failure::denied)
}

impl Pve {
    /// The VM in the path, if it is on the node in the path.
    pub(crate) fn local_vm(&self, call: &Call) -> Result<&Vm, Failure> {
        let vm = self.store.vm(call.vmid()).filter(|vm| vm.node == call.node());
        vm.ok_or_else(|| Failure::died(missing_on(call.node(), call.vmid())))
    }

    /// Refuses options that only `root@pam` may use.
    pub(crate) fn only_root(call: &Call, options: &[&str]) -> Result<(), Failure> {
        match options.iter().find(|option| call.args.flag(option) && !call.who.is_root()) {
            Some(option) => Err(Failure::parameter(option, "Only root may use this option.")),
            None => Ok(()),
        }
    }

    /// Milliseconds at this cluster's speed.
    pub(crate) fn millis(&self, of: fn(&crate::Durations) -> u64) -> u64 {
        self.settings.scaled(of(&self.settings.durations))
    }
}

/// One endpoint as a test sees it.
#[derive(Clone, Debug)]
pub struct Served {
    /// Method.
    pub method: &'static str,
    /// Path, with `{x}` for parameters.
    pub path: &'static str,
    /// Parameters, those in the path included.
    pub params: Vec<Param>,
}

/// Every endpoint with its parameters.
pub fn served() -> Vec<Served> {
    let routes = FAMILIES.iter().flat_map(|family| family.iter());
    let all = |route: &Route| route.params.iter().flat_map(|group| group.iter().copied()).collect();
    routes.map(|route| Served { method: route.method, path: route.path, params: all(route) }).collect()
}

/// Text of any kind, in a path.
const ANY: Kind = Kind::Text;
