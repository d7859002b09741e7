//! One function per endpoint. Each returns the answer or a refusal; none waits.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab_wire::{GuestReport, Millis, Random, Request, Response};
use serde::Deserialize;
use serde_json::json;

use crate::cloud::ToyCloud;
use crate::error::Refusal;
use crate::fault::Mishap;
use crate::list::Query;
use crate::machine::{Machine, State};
use crate::operation::Kind;

type Answered = Result<Response, Refusal>;

/// The most bytes of user data: what small clouds allow.
const USER_DATA_LIMIT: usize = 64 * 1024;

/// The body of `POST /v1/machines`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    cores: u32,
    memory_mib: u64,
    image: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    user_data: Option<String>,
}

/// The body of `PUT /v1/machines/{id}/user-data`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    user_data: String,
}

/// Finds the endpoint and calls it. `mishap` is what is to go wrong with the operation that it starts, if any.
pub(crate) fn route(
    cloud: &mut ToyCloud,
    request: &Request,
    mishap: Option<&Mishap>,
    now: Millis,
    random: &mut Random,
) -> Answered {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["v1", "images"]) => Ok(Response::json(200, &json!({ "images": cloud.config.images }))),
        ("POST", ["v1", "machines"]) => create(cloud, request, mishap, now, random),
        ("GET", ["v1", "machines"]) => {
            let seen_before = now.saturating_sub(cloud.config.list_lag_ms);
            Ok(Response::json(200, &Query::read(request)?.page(cloud.machines(), seen_before)))
        }
        ("GET", ["v1", "machines", id]) => Ok(Response::json(200, &machine(cloud, id)?.view())),
        ("DELETE", ["v1", "machines", id]) => change(cloud, id, Kind::Delete, mishap, now, random),
        ("POST", ["v1", "machines", id, "start"]) => change(cloud, id, Kind::Start, mishap, now, random),
        ("POST", ["v1", "machines", id, "stop"]) => change(cloud, id, Kind::Stop, mishap, now, random),
        ("PUT", ["v1", "machines", id, "user-data"]) => deliver(cloud, id, request),
        ("DELETE", ["v1", "machines", id, "user-data"]) => {
            machine(cloud, id)?.user_data = None;
            Ok(Response::empty(204))
        }
        ("GET", ["v1", "operations", id]) => match cloud.operation(id) {
            Some(operation) => Ok(Response::json(200, &operation.view())),
            None => Err(Refusal::not_found(&format!("operation {id:?}"))),
        },
        (_, ["v1", "images" | "machines"] | ["v1", "machines" | "operations", _])
        | (_, ["v1", "machines", _, "start" | "stop" | "user-data"]) => Err(Refusal::method_not_allowed()),
        _ => Err(Refusal::not_found("such path")),
    }
}

fn machine<'a>(cloud: &'a mut ToyCloud, id: &str) -> Result<&'a mut Machine, Refusal> {
    cloud.machine_mut(id).ok_or_else(|| Refusal::not_found(&format!("machine {id:?}")))
}

fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| Refusal::invalid(error.to_string()))
}

fn user_data(text: &str) -> Result<Vec<u8>, Refusal> {
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() <= USER_DATA_LIMIT => Ok(bytes),
        Ok(_) => Err(Refusal::invalid(format!("user_data is longer than {USER_DATA_LIMIT} bytes"))),
        Err(error) => Err(Refusal::invalid(format!("user_data is not base64: {error}"))),
    }
}

/// Not idempotent: the same order twice makes two machines. That is why clients look for their tags first.
fn create(
    cloud: &mut ToyCloud,
    request: &Request,
    mishap: Option<&Mishap>,
    now: Millis,
    random: &mut Random,
) -> Answered {
    let order: Order = body(request)?;
    if order.name.is_empty() || order.name.len() > 63 {
        return Err(Refusal::invalid("name must have 1 to 63 characters"));
    }
    if !(1..=64).contains(&order.cores) {
        return Err(Refusal::invalid("cores must be from 1 to 64"));
    }
    if !(512..=1_048_576).contains(&order.memory_mib) {
        return Err(Refusal::invalid("memory_mib must be from 512 to 1048576"));
    }
    if !cloud.config.images.iter().any(|image| image.name == order.image) {
        return Err(Refusal::invalid(format!("there is no image {:?}", order.image)));
    }
    let user_data = order.user_data.as_deref().map(user_data).transpose()?;
    let quota = cloud.config.quota;
    if cloud.machines().count() >= quota.machines {
        return Err(Refusal::quota(format!("at most {} machines", quota.machines)));
    }
    let cores: u32 = cloud.machines().map(|machine| machine.cores).sum();
    if cores + order.cores > quota.cores {
        return Err(Refusal::quota(format!("at most {} cores, {cores} are in use", quota.cores)));
    }
    let tail: Vec<String> = random.bytes(5).iter().map(|byte| format!("{byte:02x}")).collect();
    let machine = Machine {
        id: format!("m-{}", random.token(10)),
        name: order.name,
        cores: order.cores,
        memory_mib: order.memory_mib,
        image: order.image,
        tags: order.tags,
        user_data,
        mac: format!("02:{}", tail.join(":")),
        state: State::Creating,
        created: now,
        operation: None,
        guest: GuestReport::default(),
    };
    let id = machine.id.clone();
    cloud.insert(machine);
    Ok(Response::json(202, &cloud.begin(&id, Kind::Create, mishap, now, random)))
}

/// Starts, stops or deletes a machine.
fn change(
    cloud: &mut ToyCloud,
    id: &str,
    kind: Kind,
    mishap: Option<&Mishap>,
    now: Millis,
    random: &mut Random,
) -> Answered {
    let machine = machine(cloud, id)?;
    if let Some(operation) = &machine.operation {
        return Err(Refusal::busy(operation));
    }
    machine.state = match (kind, machine.state) {
        (Kind::Start, State::Stopped) => State::Starting,
        (Kind::Stop, State::Running) => State::Stopping,
        (Kind::Delete, _) => State::Deleting,
        (Kind::Start, State::Running) => return Err(Refusal::wrong_state("the machine is running already")),
        (Kind::Stop, State::Stopped) => return Err(Refusal::wrong_state("the machine is stopped already")),
        _ => return Err(Refusal::wrong_state("the machine failed and can only be deleted")),
    };
    Ok(Response::json(202, &cloud.begin(id, kind, mishap, now, random)))
}

/// A machine reads its user data when it boots, so only a stopped one takes new ones.
fn deliver(cloud: &mut ToyCloud, id: &str, request: &Request) -> Answered {
    let delivery: Delivery = body(request)?;
    let bytes = user_data(&delivery.user_data)?;
    let machine = machine(cloud, id)?;
    if machine.state != State::Stopped {
        return Err(Refusal::wrong_state("user data can only be changed while the machine is stopped"));
    }
    machine.user_data = Some(bytes);
    Ok(Response::empty(204))
}
