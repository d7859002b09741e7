//! What a store may grow to. Unlike wasmtime's own limiter it counts over the whole store, and remembers what was hit.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::ResourceLimiter;

use crate::settings::Limits;

/// What is known of a call after its store is gone.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    hit: Mutex<Option<&'static str>>,
    last_error: Mutex<Option<String>>,
}

impl Traces {
    /// A limit was hit.
    pub fn hit(&self, limit: &'static str) {
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = Some(limit);
    }

    /// The limit that was hit last.
    pub fn limit(&self) -> Option<&'static str> {
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest logged an error; a panic says its message this way.
    pub fn error(&self, message: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.chars().take(500).collect());
    }

    /// The last error that the guest logged.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The limiter of one store.
pub(crate) struct Limiter {
    limits: Limits,
    memory: usize,
    table_elements: usize,
    traces: Arc<Traces>,
}

impl Limiter {
    /// Nothing used yet.
    pub fn new(limits: Limits, traces: Arc<Traces>) -> Self {
        Limiter { limits, memory: 0, table_elements: 0, traces }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let fits = total <= self.limits.memory;
        if fits {
            self.memory = total
        } else {
            self.traces.hit("memory")
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        let fits = total <= self.limits.table_elements;
        if fits {
            self.table_elements = total
        } else {
            self.traces.hit("table")
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}
