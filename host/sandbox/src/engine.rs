//! The one function that builds every engine: what is compiled by one is loaded by any other.

use std::thread;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{Error, Result, Settings};

/// Instances of the pool that are kept for calls outside every concurrency limit.
const EXEMPT: u32 = 16;

/// An engine with its ticker. The ticker is a thread of the operating system, because a runtime that is starved by guests
/// would not tick; it ends when the last engine is gone.
pub(crate) fn build(settings: &Settings) -> Result<Engine> {
    let engine = Engine::new(&config(settings)).map_err(|e| Error::runtime("building the engine", e))?;
    let (weak, tick) = (engine.weak(), settings.tick);
    thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(tick);
            }
        })
        .map_err(|e| Error::runtime("starting the epoch thread", e))?;
    Ok(engine)
}

fn config(settings: &Settings) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.gc_support(false);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
    if settings.pooling {
        // Calls outside every concurrency limit find a place although all others are taken.
        let (size, limits) = (settings.pool_size.saturating_add(EXEMPT), &settings.limits);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(size)
            .total_core_instances(size.saturating_mul(4))
            .total_memories(size)
            .total_tables(size.saturating_mul(4))
            .total_stacks(size)
            .max_memory_size(limits.memory)
            .table_elements(limits.table_elements)
            // About what a call of a small guest touches: more is only cleared for nothing.
            .linear_memory_keep_resident(64 << 10)
            .table_keep_resident(16 << 10)
            .async_stack_keep_resident(16 << 10);
        // Without it each slot reserves 4 GiB of address space.
        config.memory_reservation(limits.memory as u64);
        config.memory_guard_size(64 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}
