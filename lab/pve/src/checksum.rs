//! Checksums that an upload may carry.

use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// Checksum of `bytes` in lower-case hexadecimal; empty for an algorithm that is none.
pub fn hex(algorithm: &str, bytes: &[u8]) -> String {
    fn of<D: Digest>(bytes: &[u8]) -> Vec<u8> {
        D::digest(bytes).to_vec()
    }
    let digest = match algorithm {
        "md5" => of::<Md5>(bytes),
        "sha1" => of::<Sha1>(bytes),
        "sha224" => of::<Sha224>(bytes),
        "sha256" => of::<Sha256>(bytes),
        "sha384" => of::<Sha384>(bytes),
        "sha512" => of::<Sha512>(bytes),
        _ => Vec::new(),
    };
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(hex("md5", b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex("sha1", b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert!(hex("sha256", b"").starts_with("e3b0c44298fc1c14"));
    }
}
