//! Whether a component is valid WebAssembly, without compiling it.

use wasmparser::{Validator, WasmFeatures};

use crate::{Error, Result};

/// Reads every function of it once. What this lets pass can still fail to link, when its functions have other types than the
/// contract's.
pub(crate) fn validate(bytes: &[u8]) -> Result<()> {
    let checked = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
    checked.map(|_| ()).map_err(|error| Error::Malformed(error.to_string()))
}
