//! What a toy cloud is made with.

use lab_wire::Millis;
use serde::Serialize;

/// Settings of one toy cloud.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bearer token that every request must carry.
    pub token: String,
    /// Images that machines can be made from.
    pub images: Vec<Image>,
    /// How long operations take.
    pub timings: Timings,
    /// What is refused.
    pub quota: Quota,
    /// How long a new machine is missing from lists (asking for its id finds it at once).
    pub list_lag_ms: Millis,
}

/// An image that machines can be made from.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    /// Its name, as a machine's `image` says it.
    pub name: String,
    /// What is on it, for people.
    pub description: String,
}

/// How long operations take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Making a machine.
    pub create: Millis,
    /// Starting it (until its firmware runs; what it boots takes its own time).
    pub start: Millis,
    /// Stopping it.
    pub stop: Millis,
    /// Deleting it.
    pub delete: Millis,
}

impl Timings {
    /// The same durations, `factor` times shorter (at least 1 ms each).
    pub fn faster(self, factor: u64) -> Self {
        let shorter = |time: Millis| (time / factor.max(1)).max(1);
        Timings {
            create: shorter(self.create),
            start: shorter(self.start),
            stop: shorter(self.stop),
            delete: shorter(self.delete),
        }
    }
}

/// Limits of one account.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Machines at most; one more is answered 409 `quota_exceeded`.
    pub machines: usize,
    /// Cores of all machines at most; more are answered 409 `quota_exceeded`.
    pub cores: u32,
    /// Requests in one second at most; more are answered 429 with `Retry-After`. `None`: as many as you like.
    pub requests_per_second: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        let image = |name: &str, description: &str| Image { name: name.into(), description: description.into() };
        Config {
            token: "toy-token".into(),
            images: vec![
                image("ubuntu-24.04", "Ubuntu 24.04 LTS with cloud-init"),
                image("debian-13", "Debian 13 with cloud-init"),
            ],
            timings: Timings { create: 20_000, start: 3_000, stop: 5_000, delete: 5_000 },
            quota: Quota { machines: 1_000, cores: 8_000, requests_per_second: None },
            list_lag_ms: 0,
        }
    }
}
