//! The lab: local servers that speak the real protocols of the systems around AgentKube.
//!
//! - [`Shell`] puts any [`lab_wire::Server`] behind real TLS on loopback.
//! - [`Lab`] is all of it: Fulcrum Core, an admin cluster with Kamaji and its tenants, Proxmox VE, the toy cloud.
//! - [`machine`]: machines that boot from what was delivered to them.
//! - [`daemon`] runs the real `agentkube` against it; [`customer`] orders clusters at Core.
//! - [`faults`] befall the servers at random from a seed.
//! - [`up`] starts it for people, and [`order`] is what they type then.
//! - [`demo`] tells the whole story: a cluster comes, is used, and goes without a trace.
//! - [`ca`] and [`tls`] make and read the certificates for that.
//! - [`Clock`] is the time of everything.

pub mod ca;
mod clock;
pub mod customer;
pub mod daemon;
pub mod demo;
mod error;
pub mod faults;
pub mod lab;
pub mod machine;
pub mod order;
mod shell;
pub mod tls;
mod tools;
pub mod up;

pub use clock::Clock;
pub use error::Error;
pub use lab::Lab;
pub use machine::{Machine, Machines};
pub use shell::Shell;
pub use tools::Tools;
