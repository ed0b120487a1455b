//! Secrets at rest: sealed with XChaCha20-Poly1305, each to its account, webhook and field.
//!
//! The installation's keys seal what is configured, and each account's *data key*. The data key seals the secrets in the
//! account's history, so that to change the installation's key re-seals few values, and to erase an account begins with
//! its data key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;
use crate::keys::SEALING_KEY_BYTES;

const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
/// What stands in the place of a key's id where the account's data key seals.
pub const DATA_KEY_ID: [u8; KEY_ID_BYTES] = [0; KEY_ID_BYTES];
/// How long a stored fingerprint is: the id of its key, and an HMAC.
pub const FINGERPRINT_BYTES: usize = KEY_ID_BYTES + 32;
/// How many accounts' data keys are kept in memory; the history of others is sealed by the installation's key, and opened
/// after a look into the database.
const DATA_KEYS_MAX: usize = 200_000;
const FINGERPRINT_PURPOSE: &[u8] = b"hookline: fingerprints of answers, 1";

/// Seals with the first of its keys, opens with any.
pub struct Sealer {
    current: [u8; KEY_ID_BYTES],
    keys: HashMap<[u8; KEY_ID_BYTES], WorkingKey>,
    data_keys: Mutex<HashMap<Uuid, Arc<WorkingKey>>>,
}

/// A key that is in use.
struct WorkingKey {
    cipher: XChaCha20Poly1305,
    /// Derived from it, for fingerprints only.
    fingerprints: Hmac<Sha256>,
}

impl WorkingKey {
    fn new(key: [u8; SEALING_KEY_BYTES]) -> Result<Self, StoreError> {
        let mut derived = hmac_of(&key)?;
        derived.update(FINGERPRINT_PURPOSE);
        let fingerprints = hmac_of(&derived.finalize().into_bytes())?;
        Ok(Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), fingerprints })
    }
}

/// What a sealed value belongs to: it opens nowhere else.
#[derive(Clone, Copy)]
pub struct SealContext {
    /// The account.
    pub account: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// The field.
    pub field: &'static str,
}

impl SealContext {
    /// Where an account's data key is sealed.
    pub fn of_data_key(account: Uuid) -> Self {
        Self { account, webhook: Uuid::nil(), field: "data_key" }
    }

    fn bytes(self) -> Vec<u8> {
        [self.account.as_bytes(), self.webhook.as_bytes(), self.field.as_bytes()].concat()
    }
}

fn id_of(key: &[u8; SEALING_KEY_BYTES]) -> [u8; KEY_ID_BYTES] {
    let digest = Sha256::digest(key);
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&digest[..KEY_ID_BYTES]);
    id
}

fn hmac_of(key: &[u8]) -> Result<Hmac<Sha256>, StoreError> {
    Hmac::<Sha256>::new_from_slice(key).map_err(|_| StoreError::Sealing("no key for fingerprints"))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Sealing("no randomness"))?;
    Ok(bytes)
}

fn encrypt(
    cipher: &XChaCha20Poly1305,
    id: [u8; KEY_ID_BYTES],
    context: SealContext,
    plain: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let aad = context.bytes();
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .map_err(|_| StoreError::Sealing("encryption failed"))?;
    Ok([&id[..], &nonce, &sealed].concat())
}

fn decrypt(cipher: &XChaCha20Poly1305, context: SealContext, rest: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(StoreError::Sealing("too short"))?;
    let nonce = XNonce::try_from(nonce).map_err(|_| StoreError::Sealing("too short"))?;
    let aad = context.bytes();
    cipher
        .decrypt(&nonce, Payload { msg: sealed, aad: &aad })
        .map_err(|_| StoreError::Sealing("altered, or moved from another row"))
}

impl Sealer {
    /// A sealer of keys: the first one seals, all of them open.
    pub fn new(keys: &[[u8; SEALING_KEY_BYTES]]) -> Result<Self, StoreError> {
        let first = keys.first().ok_or(StoreError::Sealing("no key"))?;
        let of_key = |key: &[u8; SEALING_KEY_BYTES]| Ok((id_of(key), WorkingKey::new(*key)?));
        let keys = keys.iter().map(of_key).collect::<Result<_, StoreError>>()?;
        Ok(Self { current: id_of(first), keys, data_keys: Mutex::default() })
    }

    fn data_keys(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<WorkingKey>>> {
        self.data_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Result<&WorkingKey, StoreError> {
        self.keys.get(&self.current).ok_or(StoreError::Sealing("no key"))
    }

    /// The id of the key that seals.
    pub fn current_id(&self) -> [u8; KEY_ID_BYTES] {
        self.current
    }

    /// Seals a value: key id, nonce, ciphertext.
    pub fn seal(&self, context: SealContext, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        encrypt(&self.current()?.cipher, self.current, context, plain)
    }

    /// Opens a sealed value.
    pub fn open(&self, context: SealContext, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (id, rest) = sealed.split_at_checked(KEY_ID_BYTES).ok_or(StoreError::Sealing("too short"))?;
        if id == DATA_KEY_ID {
            let found = self.data_keys().get(&context.account).cloned();
            let key = found.ok_or(StoreError::Sealing("the account has no data key"))?;
            return decrypt(&key.cipher, context, rest);
        }
        let unknown = "sealed with another key: start with the sealing key that this database was written with";
        let key = self.keys.get(id).ok_or(StoreError::Sealing(unknown))?;
        decrypt(&key.cipher, context, rest)
    }

    /// Seals a secret of an account's history.
    pub fn seal_history(&self, context: SealContext, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let found = self.data_keys().get(&context.account).cloned();
        match found {
            Some(key) => encrypt(&key.cipher, DATA_KEY_ID, context, plain),
            None => self.seal(context, plain),
        }
    }

    /// A new data key for an account, sealed. It is used once it was stored and is taken from there.
    pub fn new_data_key(&self, account: Uuid) -> Result<Vec<u8>, StoreError> {
        let key: [u8; SEALING_KEY_BYTES] = random()?;
        self.seal(SealContext::of_data_key(account), &key)
    }

    /// Takes an account's data key into use, as it is stored.
    pub fn take_data_key(&self, account: Uuid, sealed: &[u8]) -> Result<(), StoreError> {
        let plain = self.open(SealContext::of_data_key(account), sealed)?;
        let key = plain.try_into().map_err(|_| StoreError::Sealing("a data key of another length"))?;
        let key = Arc::new(WorkingKey::new(key)?);
        let mut keys = self.data_keys();
        if keys.len() >= DATA_KEYS_MAX {
            keys.clear();
        }
        keys.insert(account, key);
        Ok(())
    }

    /// Whether an account's data key is in use.
    pub fn has_data_key(&self, account: Uuid) -> bool {
        self.data_keys().contains_key(&account)
    }

    /// Forgets an account's data key: it is being erased.
    pub fn forget_data_key(&self, account: Uuid) {
        self.data_keys().remove(&account);
    }

    /// A value that another key has sealed, sealed by the current one; none where there is nothing to do.
    pub fn resealed(&self, context: SealContext, sealed: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if sealed.starts_with(&self.current) {
            return Ok(None);
        }
        self.seal(context, &self.open(context, sealed)?).map(Some)
    }

    /// The fingerprint of what a call asks, as it is stored: nobody without the key can try out what was asked. The account's
    /// data key makes it, so that it stays good when the installation's key is changed.
    pub fn fingerprint(&self, account: Uuid, asked: &[u8]) -> Result<Vec<u8>, StoreError> {
        let of_account = self.data_keys().get(&account).cloned();
        let Some(key) = of_account else { return self.fingerprint_of_installation(asked) };
        let mut mac = key.fingerprints.clone();
        mac.update(asked);
        Ok([&DATA_KEY_ID[..], &mac.finalize().into_bytes()].concat())
    }

    /// The fingerprint of a call about an account that has no key yet, or soon none any more.
    pub fn fingerprint_of_installation(&self, asked: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut mac = self.current()?.fingerprints.clone();
        mac.update(asked);
        Ok([&self.current[..], &mac.finalize().into_bytes()].concat())
    }

    /// Whether a stored fingerprint is that of what a call asks.
    pub fn is_fingerprint(&self, account: Uuid, stored: &[u8], asked: &[u8]) -> bool {
        let Some((id, tag)) = stored.split_at_checked(KEY_ID_BYTES) else { return false };
        let of_account = self.data_keys().get(&account).cloned();
        let mut mac = match (id == DATA_KEY_ID, &of_account, self.keys.get(id)) {
            (true, Some(key), _) => key.fingerprints.clone(),
            (false, _, Some(key)) => key.fingerprints.clone(),
            // The account is gone, and its key with it: nobody can say any more what was asked.
            (true, None, _) | (false, _, None) => return false,
        };
        mac.update(asked);
        mac.verify_slice(tag).is_ok()
    }
}

#[cfg(test)]
#[path = "tests/seal.rs"]
mod tests;
