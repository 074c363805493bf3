//! A hash that stays what it is.

use std::hash::Hasher;

use sha2::{Digest as _, Sha256};

/// SHA-256 where `std` would hash, which may do it otherwise in its next release: checkpoints, and which molecules
/// are watched, outlive a toolchain.
#[derive(Default)]
pub struct Digest(Sha256);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first eight bytes.
    fn finish(&self) -> u64 {
        let found = self.0.clone().finalize();
        found.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256() {
        let mut digest = Digest::default();
        digest.write(b"a");
        digest.write(b"bc");
        // FIPS 180-4, example of "abc".
        assert_eq!(digest.finish(), 0xba7816bf_8f01cfea);
    }
}
