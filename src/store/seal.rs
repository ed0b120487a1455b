//! Secrets at rest: sealed with XChaCha20-Poly1305, each to its account, webhook and field.

use std::collections::HashMap;

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;

const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
/// How long a sealing key is.
pub const SEALING_KEY_BYTES: usize = 32;

/// Seals with the first of its keys, opens with any.
pub struct Sealer {
    current: [u8; KEY_ID_BYTES],
    ciphers: HashMap<[u8; KEY_ID_BYTES], XChaCha20Poly1305>,
}

/// What a sealed value belongs to: it opens nowhere else.
#[derive(Clone, Copy)]
pub struct Place {
    /// The account.
    pub account: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// The field.
    pub field: &'static str,
}

impl Place {
    fn bytes(self) -> Vec<u8> {
        [self.account.as_bytes(), self.webhook.as_bytes(), self.field.as_bytes()].concat()
    }
}

impl Sealer {
    /// A sealer of a key.
    pub fn new(key: [u8; SEALING_KEY_BYTES]) -> Self {
        let digest = Sha256::digest(key);
        let mut current = [0; KEY_ID_BYTES];
        current.copy_from_slice(&digest[..KEY_ID_BYTES]);
        let cipher = XChaCha20Poly1305::new(&Key::from(key));
        Self { current, ciphers: HashMap::from([(current, cipher)]) }
    }

    /// Seals a value: key id, nonce, ciphertext.
    pub fn seal(&self, place: Place, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| StoreError::Sealing("no randomness"))?;
        let cipher = self.ciphers.get(&self.current).ok_or(StoreError::Sealing("no key"))?;
        let aad = place.bytes();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
            .map_err(|_| StoreError::Sealing("encryption failed"))?;
        Ok([&self.current[..], &nonce, &sealed].concat())
    }

    /// Opens a sealed value.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (key_id, rest) = sealed.split_at_checked(KEY_ID_BYTES).ok_or(StoreError::Sealing("too short"))?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(StoreError::Sealing("too short"))?;
        let nonce = XNonce::try_from(nonce).map_err(|_| StoreError::Sealing("too short"))?;
        let unknown = "sealed with another key: start with the sealing key that this database was written with";
        let cipher = self.ciphers.get(key_id).ok_or(StoreError::Sealing(unknown))?;
        let aad = place.bytes();
        cipher
            .decrypt(&nonce, Payload { msg: sealed, aad: &aad })
            .map_err(|_| StoreError::Sealing("altered, or moved from another row"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_with_its_key() {
        let sealer = Sealer::new([1; 32]);
        let place = Place { account: Uuid::from_u128(1), webhook: Uuid::from_u128(2), field: "url" };
        let sealed = sealer.seal(place, b"secret").expect("seals");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(sealer.open(place, &sealed).expect("opens"), b"secret");
        assert!(sealer.open(Place { webhook: Uuid::from_u128(3), ..place }, &sealed).is_err());
        assert!(sealer.open(Place { field: "secrets", ..place }, &sealed).is_err());
        assert!(Sealer::new([2; 32]).open(place, &sealed).is_err());
        assert!(sealer.open(place, &sealed[..10]).is_err());
    }
}
