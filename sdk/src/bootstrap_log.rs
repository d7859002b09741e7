//! Optional, for a node provider that can show what happened inside a machine.

use crate::call::Call;
use crate::machine::MachineKey;
use crate::{NodeProvider, Result};

/// What a node provider may offer beside its role: the log of a machine's first boot, for the text of a create that failed.
///
/// `export!(NodeProvider + BootstrapLog for Mine)` exports it, and `manifest!(NodeProvider + BootstrapLog for Mine, "mine")` says so.
#[allow(async_fn_in_trait)]
pub trait BootstrapLog: NodeProvider {
    /// The last lines of the machine's first-boot log, at most 16 KiB. `unsupported` when the operator has not switched it on. The
    /// host cuts it shorter and takes out what looks like a credential before anybody sees it.
    async fn tail(&self, call: Call, key: MachineKey, instance_id: String) -> Result<String>;
}
