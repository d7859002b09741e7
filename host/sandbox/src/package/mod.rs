//! Components as files: read without running them, made from core modules.

mod file;
mod imports;
mod inspect;
mod pack;
mod section;
mod sentences;
mod validate;

pub use self::file::read;
pub use self::inspect::{Inspection, inspect};
pub use self::pack::pack;
pub(crate) use self::validate::validate;
