//! HTTP Basic credentials of ingest identities. They are looked up in the database, a few at a time, and what was found is
//! remembered for a moment: so a revocation holds soon, whichever process it was made in.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
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
/// How many good credentials are remembered, and how many others.
const REMEMBERED_MAX: usize = 10_000;
/// How many credentials are looked up at a time that were good before, and how many others; more wait.
const LOOKUPS_AT_ONCE_MAX: usize = 2;
/// How many credentials wait for that which were never good.
const STRANGERS_WAITING_MAX: usize = 256;
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
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// Those that were good when they were looked up last, and until when that counts.
    good: Mutex<HashMap<Mark, Instant>>,
    /// Those that were not.
    bad: Mutex<HashMap<Mark, Instant>>,
    /// Places for looking up those that were good, and those that were not: strangers hold up nobody else.
    of_good: Semaphore,
    of_others: Semaphore,
    waiting: AtomicUsize,
}

/// An identity whose credentials were good: it goes along with a call, so that they can be asked for again once a message is
/// there, which may take its time.
#[derive(Clone)]
pub struct Identified {
    identities: Identities,
    account: AccountId,
    identity: ResourceId,
    secret: SecretString,
}

impl Identified {
    /// Who it is.
    pub fn caller(&self) -> Caller {
        Caller::Publisher { account: self.account.clone(), identity: self.identity.clone() }
    }

    /// Refuses it where its credentials are good no more.
    pub async fn check(&self) -> Result<(), Status> {
        self.identities.check(&self.account, &self.identity, &self.secret, None).await
    }
}

impl Identities {
    /// Those of a store.
    pub fn new(store: Store) -> Self {
        let places = || Semaphore::new(LOOKUPS_AT_ONCE_MAX);
        let inner = Inner {
            store,
            good: Mutex::default(),
            bad: Mutex::default(),
            of_good: places(),
            of_others: places(),
            waiting: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Who sends credentials, as `authorization: Basic` has them, for an account. Over a connection with more
    /// calls than a stranger may have only those that are known.
    pub async fn identified(
        &self,
        account: &AccountId,
        credentials: &str,
        crowded_beyond: Option<usize>,
    ) -> Result<Identified, Status> {
        let (identity, secret) = read(credentials)?;
        self.check(account, &identity, &secret, crowded_beyond).await?;
        Ok(Identified { identities: self.clone(), account: account.clone(), identity, secret })
    }

    async fn check(
        &self,
        account: &AccountId,
        identity: &ResourceId,
        secret: &SecretString,
        crowded_beyond: Option<usize>,
    ) -> Result<(), Status> {
        let secret = secret.expose_secret();
        let mark: Mark = Sha256::digest(format!("{account}\0{identity}\0{secret}")).into();
        let is_good = match self.remembered(&mark) {
            Known::Good => true,
            Known::Bad => false,
            Known::WasGood => {
                let _place = self.inner.of_good.acquire().await;
                self.looked_up(&mark, account, identity, secret).await?
            }
            Known::Never => {
                if let Some(most) = crowded_beyond {
                    return Err(status::too_many_calls("of a connection, with credentials that are not known", most));
                }
                let _place = self.place_of_stranger().await?;
                self.looked_up(&mark, account, identity, secret).await?
            }
        };
        if is_good {
            return Ok(());
        }
        let message = "the account has no ingest identity of this name and secret: it may have been revoked";
        Err(status::unauthenticated(TokenFault::Identity, message.to_owned()))
    }

    /// A place for looking up credentials that were never good.
    async fn place_of_stranger(&self) -> Result<Option<SemaphorePermit<'_>>, Status> {
        let inner = &self.inner;
        if inner.waiting.fetch_add(1, Ordering::SeqCst) >= STRANGERS_WAITING_MAX {
            inner.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(status::too_many_calls("with credentials that are not known yet", STRANGERS_WAITING_MAX));
        }
        let waiting = Waiting(&inner.waiting);
        let place = inner.of_others.acquire().await.ok();
        drop(waiting);
        Ok(place)
    }

    fn remembered(&self, mark: &Mark) -> Known {
        let now = Instant::now();
        match lock(&self.inner.good).get(mark) {
            Some(until) if now < *until => return Known::Good,
            Some(_) => return Known::WasGood,
            None => {}
        }
        let is_bad = lock(&self.inner.bad).get(mark).is_some_and(|until| now < *until);
        if is_bad { Known::Bad } else { Known::Never }
    }

    async fn looked_up(
        &self,
        mark: &Mark,
        account: &AccountId,
        identity: &ResourceId,
        secret: &str,
    ) -> Result<bool, Status> {
        // Another one may have looked it up while this one waited.
        match self.remembered(mark) {
            Known::Good => return Ok(true),
            Known::Bad => return Ok(false),
            Known::WasGood | Known::Never => {}
        }
        // It counts from before the look.
        let until = Instant::now() + REMEMBERED_FOR;
        let is_good = self.inner.store.has_ingest_identity(account, identity, secret).await.map_err(status::store)?;
        let (to, from) =
            if is_good { (&self.inner.good, &self.inner.bad) } else { (&self.inner.bad, &self.inner.good) };
        lock(from).remove(mark);
        let mut to = lock(to);
        if to.len() >= REMEMBERED_MAX {
            let now = Instant::now();
            to.retain(|_, until| now < *until);
            if to.len() >= REMEMBERED_MAX {
                to.clear();
            }
        }
        to.insert(*mark, until);
        Ok(is_good)
    }
}

/// What is remembered of credentials.
enum Known {
    Good,
    WasGood,
    Bad,
    Never,
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The user name and the password of credentials.
fn read(credentials: &str) -> Result<(ResourceId, SecretString), Status> {
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
    Ok((identity.parse().map_err(|_| malformed())?, secret.into()))
}
