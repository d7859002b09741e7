//! The plugin against Core's state machine, over the SDK's doubles: only TLS and the sandbox are missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod lab;

mod contract;
mod ending;
mod identity;
mod measuring;
mod queue;
mod types;
