//! A hash that stays what it is.

use sha2::{Digest as _, Sha256};

/// SHA-256 of bytes that are named one by one. What `std` would hash, and how, may be otherwise in
/// its next release: checkpoints, and which molecules are watched, outlive a toolchain.
#[derive(Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Takes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes a number.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Takes numbers to the last bit.
    pub fn floats<'a>(&mut self, numbers: impl IntoIterator<Item = &'a f64>) {
        numbers.into_iter().for_each(|number| self.number(number.to_bits()));
    }

    /// The first eight bytes.
    pub fn finish(&self) -> u64 {
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
        digest.bytes(b"a");
        digest.bytes(b"bc");
        // FIPS 180-4, example of "abc".
        assert_eq!(digest.finish(), 0xba7816bf_8f01cfea);
    }
}
