//! One module per version of the contract; each converts to the domain types.

pub mod v0_1;
