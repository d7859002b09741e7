//! What plugins may use, one folder or file each, in domain types: no version of the contract is known here.

pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod kube;
pub(crate) mod ledger;
pub(crate) mod log;
pub(crate) mod permits;
pub(crate) mod reference;
pub(crate) mod reservations;
pub(crate) mod secrets;
