//! Components as files: read without running them, made from core modules.

mod imports;
mod inspect;
mod pack;
mod section;
mod sentences;

pub use self::inspect::{Inspection, inspect};
pub use self::pack::pack;
