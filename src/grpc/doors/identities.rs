//! HTTP Basic credentials of ingest identities. They are looked up in the database, a few at a time, and what was found is
//! remembered for a moment: so a revocation holds soon, whichever process it was made in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};
use tonic::Status;

use crate::{
    domain::{
        caller::Caller,
        id::{AccountId, ResourceId},
    },
    grpc::calls::status::{self, TokenFault},
    store::Store,
};

/// How long what was found counts; a revocation holds after it.
const REMEMBERED_FOR: Duration = Duration::from_secs(2);
/// How many credentials are remembered, good ones and others.
const REMEMBERED_MAX: usize = 10_000;
/// How many are looked up at a time; more wait.
const LOOKUPS_AT_ONCE_MAX: usize = 4;
/// How long credentials are at most, in base64.
const CREDENTIALS_BYTES_MAX: usize = 512;

/// The account whose events Basic credentials may bring in: it goes along with a request to the one path that takes them.
#[derive(Debug, Clone)]
pub struct IngestFor(pub AccountId);

/// A hash of an account and of credentials for it.
type Mark = [u8; 32];

/// Knows ingest identities by their credentials.
#[derive(Clone)]
pub struct Identities {
    store: Store,
    remembered: Arc<Mutex<HashMap<Mark, (bool, Instant)>>>,
    lookups: Arc<Semaphore>,
}

impl Identities {
    /// Those of a store.
    pub fn new(store: Store) -> Self {
        Self { store, remembered: Arc::default(), lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE_MAX)) }
    }

    /// Who sends credentials, as `authorization: Basic` has them, for an account.
    pub async fn caller(&self, account: &AccountId, credentials: &str) -> Result<Caller, Status> {
        let (identity, secret) = read(credentials)?;
        let mark: Mark = Sha256::digest(format!("{account}\0{identity}\0{secret}")).into();
        if !self.is_good(&mark, account, &identity, &secret).await? {
            let message = "the account has no ingest identity of this name and secret: it may have been revoked";
            return Err(status::unauthenticated(TokenFault::Identity, message.to_owned()));
        }
        Ok(Caller::Publisher { account: account.clone(), identity })
    }

    async fn is_good(
        &self,
        mark: &Mark,
        account: &AccountId,
        identity: &ResourceId,
        secret: &str,
    ) -> Result<bool, Status> {
        let remembered = |mark| {
            let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(mark).copied();
            known.filter(|(_, until)| Instant::now() < *until).map(|(is_good, _)| is_good)
        };
        if let Some(is_good) = remembered(mark) {
            return Ok(is_good);
        }
        let _place = self.lookups.acquire().await;
        // Another one may have looked it up meanwhile.
        if let Some(is_good) = remembered(mark) {
            return Ok(is_good);
        }
        // It counts from before the look.
        let until = Instant::now() + REMEMBERED_FOR;
        let is_good = self.store.has_ingest_identity(account, identity, secret).await.map_err(status::store)?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(*mark, (is_good, until));
        Ok(is_good)
    }
}

/// The user name and the password of credentials.
fn read(credentials: &str) -> Result<(ResourceId, String), Status> {
    let malformed = || {
        let message = "must be Basic and the base64 of an ingest identity's id, a colon and its secret";
        status::unauthenticated(TokenFault::Malformed, message.to_owned())
    };
    if credentials.len() > CREDENTIALS_BYTES_MAX {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (identity, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok((identity.parse().map_err(|_| malformed())?, secret.to_owned()))
}
