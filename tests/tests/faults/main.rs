//! The real daemon meets every fault of the lab, one at a time. `docs/faults.md` lists them; `cargo xtask test --report faults` shows
//! what the user saw of each.

mod core;
mod kamaji;
mod proxmox;
