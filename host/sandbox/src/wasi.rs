//! WASI for components of other toolchains: nothing in it but our clock and our randomness.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use agentkube_contract::{Clock, Random};
use rand_core::TryRng;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

use crate::services::Services;

/// A context without environment, arguments, directories or sockets.
pub(crate) fn context(services: &Services) -> WasiCtx {
    let (clock, random) = (&services.clock, &services.random);
    let mut builder = WasiCtxBuilder::new();
    builder
        .secure_random(Randomness(Arc::clone(random)))
        .insecure_random(Randomness(Arc::clone(random)))
        .insecure_random_seed(0)
        .wall_clock(Time(Arc::clone(clock)))
        .monotonic_clock(Time(Arc::clone(clock)))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

struct Time(Arc<dyn Clock>);

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now())
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now().saturating_mul(1_000_000)
    }
}

struct Randomness(Arc<dyn Random>);

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}
