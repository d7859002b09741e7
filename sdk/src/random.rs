//! Randomness fit for identifiers and boundaries.

use crate::backend;

/// So many random bytes; the host gives at most 65,536 at once.
pub fn bytes(count: u32) -> Vec<u8> {
    backend::random::bytes(count)
}

/// A number in `0..bound`; 0 for a bound of 0.
pub fn below(bound: u64) -> u64 {
    let number = bytes(8).into_iter().fold(0u64, |number, byte| (number << 8) | u64::from(byte));
    number.checked_rem(bound).unwrap_or(0)
}

/// So many characters of `0-9a-f`.
pub fn hex(length: u32) -> String {
    let mut text: String = bytes(length.div_ceil(2)).iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(length as usize);
    text
}
