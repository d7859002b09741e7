//! Where the capabilities go: to the host in a component, to the doubles of [`crate::testing`] natively.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::host::agentkube::host::*;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::backend::*;
