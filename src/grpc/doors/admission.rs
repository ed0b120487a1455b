//! The first door of every call. It sees headers only: who calls, and whether there is a place for one more call. What a
//! stranger sends is never read.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{body::Body, extract::State, middleware::Next};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{
    Status,
    codegen::http::{HeaderMap, Request, Response},
};

use super::{
    auth::Authenticator,
    identities::{Identified, Identities, IngestFor},
};
use crate::{
    domain::caller::{Caller, Party},
    grpc::calls::{
        bounds::{self, MethodBounds},
        receiving::{Framing, ReceivingBody},
        status::{self, TokenFault},
    },
    port::{Connection, HeldBody},
    shares::{Share, Shares},
};

/// What may be asked without a token: whether the service serves.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
/// How many calls of one stranger's connection are under way at once.
const STRANGER_CALLS_MAX: usize = 8;
/// How large a call may be of the services that are not ours: health and reflection.
const FOREIGN_BYTES_MAX: usize = 4 * 1024;
const FOREIGN_METHOD: MethodBounds =
    MethodBounds { bytes_max: FOREIGN_BYTES_MAX, whole_bytes_max: FOREIGN_BYTES_MAX, is_stream: true };
/// Which share of the calls at once services may have, and people; the rest is kept for the other kind.
const KIND_SHARE: (usize, usize) = (3, 4);
/// Which part of the calls at once the people of one account may have, or services of the same accounts.
const PARTY_SHARE: usize = 4;
/// Which part of the bytes that are received at once they may have.
const PARTY_RECEIVING_SHARE: usize = 4;

/// How much goes on at once.
#[derive(Debug, Clone)]
pub struct CallBounds {
    /// How many calls are under way in all, streams included.
    pub calls_max: usize,
    /// How many calls of one caller are under way.
    pub calls_of_caller_max: usize,
    /// How many bytes of messages are received at once, in all.
    pub receiving_bytes_max: usize,
    /// How long one message may take from its first byte to its last.
    pub message_timeout: Duration,
    /// Whether the port describes itself to callers with a token (gRPC reflection).
    pub reflection: bool,
}

/// Lets calls in.
#[derive(Clone)]
pub struct Admission {
    auth: Authenticator,
    bounds: Arc<CallBounds>,
    of_all: Arc<Semaphore>,
    of_services: Arc<Semaphore>,
    of_people: Arc<Semaphore>,
    of_caller: Shares<Caller>,
    of_party: Shares<Party>,
    receiving: Arc<Semaphore>,
    receiving_of_party: Shares<Party>,
    /// Those whose credentials are no tokens; none while the database is not ours.
    identities: Arc<OnceLock<Identities>>,
}

/// A place for one call, free again when it is dropped.
pub struct CallPermit {
    _of_caller: Share<Caller>,
    _of_party: Share<Party>,
    _permits: [OwnedSemaphorePermit; 2],
    receiving: Share<Party>,
}

impl Admission {
    /// Lets nobody wait: a call has a place, or is refused.
    pub fn new(auth: Authenticator, bounds: CallBounds) -> Self {
        let (share, whole) = KIND_SHARE;
        let receiving = (bounds.receiving_bytes_max / PARTY_RECEIVING_SHARE).max(bounds::EVENTS_BYTES_MAX);
        Self {
            auth,
            of_all: Arc::new(Semaphore::new(bounds.calls_max)),
            of_services: Arc::new(Semaphore::new((bounds.calls_max * share / whole).max(1))),
            of_people: Arc::new(Semaphore::new((bounds.calls_max * share / whole).max(1))),
            of_caller: Shares::new(bounds.calls_of_caller_max),
            of_party: Shares::new((bounds.calls_max / PARTY_SHARE).max(1)),
            receiving: Arc::new(Semaphore::new(bounds.receiving_bytes_max)),
            receiving_of_party: Shares::new(receiving),
            identities: Arc::default(),
            bounds: Arc::new(bounds),
        }
    }

    /// Basic credentials are known from now on.
    pub fn know(&self, identities: Identities) {
        let _ = self.identities.set(identities);
    }

    /// Whether reflection is on.
    pub fn reflects(&self) -> bool {
        self.bounds.reflection
    }

    /// A place for one more call of a caller.
    fn permit(&self, caller: &Caller) -> Result<CallPermit, Status> {
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_owned().ok();
        let most = self.of_caller.most();
        let of_caller =
            self.of_caller.of(caller).try_take().ok_or_else(|| status::too_many_calls("of this caller", most))?;
        let party = caller.party();
        let most = self.of_party.most();
        let of_party = self.of_party.of(&party).try_take();
        let of_party = of_party.ok_or_else(|| status::too_many_calls("of this account, or of such services", most))?;
        let (kind, of_kind) = match party {
            Party::Service(_) => ("of services", &self.of_services),
            Party::Account(_) => ("of people", &self.of_people),
        };
        let (share, whole) = KIND_SHARE;
        let most = self.bounds.calls_max * share / whole;
        let of_kind = take(of_kind).ok_or_else(|| status::too_many_calls(kind, most))?;
        let of_all = take(&self.of_all).ok_or_else(|| status::too_many_calls("of all", self.bounds.calls_max))?;
        let receiving = self.receiving_of_party.of(&party);
        Ok(CallPermit { _of_caller: of_caller, _of_party: of_party, _permits: [of_kind, of_all], receiving })
    }

    fn receiving(&self, body: Body, method: MethodBounds, framing: Framing, permit: Option<&CallPermit>) -> Body {
        // The caller's own first: who waits for that must not hold any of what is everybody's.
        let budgets = [permit.and_then(|permit| permit.receiving.semaphore()), Some(&self.receiving)];
        let budgets = budgets.into_iter().flatten().cloned().collect();
        Body::new(ReceivingBody::new(body, method, framing, budgets, self.bounds.message_timeout))
    }
}

/// Lets a call in, or answers why not without reading what it sends.
pub async fn admitted(State(admission): State<Admission>, request: Request<Body>, next: Next) -> Response<Body> {
    match admission.admit(request).await {
        Ok((request, permit)) => {
            let answer = next.run(request).await;
            answer.map(|body| match permit {
                Some(permit) => Body::new(HeldBody::new(body, permit)),
                None => body,
            })
        }
        Err(status) => status.into_http(),
    }
}

impl Admission {
    async fn admit(&self, mut request: Request<Body>) -> Result<(Request<Body>, Option<CallPermit>), Status> {
        let path = request.uri().path();
        let method = bounds::method(path).unwrap_or(FOREIGN_METHOD);
        let framing = request.extensions().get::<Framing>().copied().unwrap_or(Framing::Prefixed);
        let connection = request.extensions().get::<Connection>().cloned();
        let is_health = path == HEALTH_CHECK || path == HEALTH_WATCH;
        if is_health && !has_token(request.headers()) {
            if connection.is_some_and(|connection| connection.calls() > STRANGER_CALLS_MAX) {
                return Err(status::too_many_calls("of a connection, without a token", STRANGER_CALLS_MAX));
            }
            let request = request.map(|body| self.receiving(body, method, framing, None));
            return Ok((request, None));
        }
        let caller = match basic(request.headers()) {
            None => {
                let (caller, token_end) = self.auth.caller(request.headers())?;
                request.extensions_mut().insert(token_end);
                caller
            }
            Some(credentials) => {
                let calls = connection.as_ref().map_or(0, Connection::calls);
                let crowded_beyond = (calls > STRANGER_CALLS_MAX).then_some(STRANGER_CALLS_MAX);
                let identified = self.identified(request.extensions().get(), credentials, crowded_beyond).await?;
                let caller = identified.caller();
                request.extensions_mut().insert(identified);
                caller
            }
        };
        let permit = self.permit(&caller)?;
        if let Some(connection) = &connection {
            connection.trust(caller.party());
        }
        request.extensions_mut().insert(caller);
        let request = request.map(|body| self.receiving(body, method, framing, Some(&permit)));
        Ok((request, Some(permit)))
    }
}

impl Admission {
    /// Who sends Basic credentials, where they are taken.
    async fn identified(
        &self,
        ingest: Option<&IngestFor>,
        credentials: &str,
        crowded_beyond: Option<usize>,
    ) -> Result<Identified, Status> {
        let Some(IngestFor(account)) = ingest else {
            let message = "Basic credentials are taken at /v1/accounts/{account}/events only: send `authorization: Bearer \
                           <token>`";
            return Err(status::unauthenticated(TokenFault::Missing, message.to_owned()));
        };
        match self.identities.get() {
            Some(identities) => identities.identified(account, credentials, crowded_beyond).await,
            None => Err(status::starting()),
        }
    }
}

/// The credentials of `authorization: Basic`.
fn basic(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get("authorization")?.to_str().ok()?;
    header.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("basic")).map(|(_, credentials)| credentials)
}

fn has_token(headers: &HeaderMap) -> bool {
    headers.contains_key("authorization")
}
