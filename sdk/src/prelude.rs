//! What nearly every plugin names.

pub use crate::bootstrap_log::BootstrapLog;
pub use crate::call::{Call, Owner};
pub use crate::control_plane::ControlPlane;
pub use crate::fault::{Class, Fault, Outcome, Result, Scope};
pub use crate::job_source::JobSource;
pub use crate::join_material::JoinMaterial;
pub use crate::node_provider::NodeProvider;
pub use crate::observed::{Condition, Finding, Owned, OwnedPage, Sample, Severity};
pub use crate::{Entry, Manifest, More, Reference};
