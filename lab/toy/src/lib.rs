//! A toy cloud: the smallest API that a node provider can be written for, and still one with the habits of real clouds.
//!
//! It is the other side of the SDK's worked example. `docs/toy-cloud.md` describes the API for whoever writes a client; this is
//! how the server is laid out:
//!
//! - [`ToyCloud`] is the state machine: a [`lab_wire::Server`] and a [`lab_wire::Hypervisor`], without I/O or clock.
//! - [`Config`]: token, images, durations, quotas.
//! - [`Machine`] and [`Operation`]: what it keeps. Everything that changes a machine is an operation that takes time.
//! - `api`: one function per endpoint.
//! - [`Fault`]: what a test may make go wrong, for the next so many matching requests.
//! - [`Entry`]: the request log, by which tests judge.
//!
//! ```
//! use lab_toy::{Config, ToyCloud};
//! use lab_wire::{Answer, Random, Request, Server};
//! use serde_json::json;
//!
//! let (mut cloud, mut random) = (ToyCloud::new(Config::default()), Random::new(1));
//! let order = json!({ "name": "a", "cores": 2, "memory_mib": 4096, "image": "ubuntu-24.04" });
//! let request = Request::new("POST", "/v1/machines").bearer("toy-token").json(&order);
//! let Answer::Now(response) = cloud.handle(&request, 0, &mut random) else { panic!() };
//! assert_eq!(response.status, 202);
//! assert_eq!(response.value()["state"], "running");
//! ```

mod api;
mod cloud;
mod config;
mod error;
mod fault;
mod list;
mod log;
mod machine;
mod operation;

pub use cloud::ToyCloud;
pub use config::{Config, Image, Quota, Timings};
pub use fault::{Fault, Mishap};
pub use log::{Entry, Outcome};
pub use machine::{Machine, State};
pub use operation::{Kind, Operation, Progress};
