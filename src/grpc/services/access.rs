//! The door of every method: what a caller must be is a type in its handler's signature, so that no handler can be
//! written without saying so. The account's own decision checks it again.

use std::marker::PhantomData;

use sha2::{Digest, Sha256};
use tonic::{Request, Status};
use uuid::Uuid;

use super::api::Api;
use crate::{
    domain::{
        caller::{AccountScope, Caller},
        id::AccountId,
        refusal::Refusal,
        trace_context::TraceContext,
    },
    grpc::{
        calls::status::{self, TokenFault},
        convert::name,
        pb,
    },
    shares::Share,
    telemetry::call_context,
};

/// What a caller must be to enter an account.
pub trait Access {
    /// Refuses those who are not.
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal>;
}

/// Anyone whose token names the account.
pub enum Member {}
/// A backend whose token names the account.
pub enum Service {}
/// A global admin of the account.
pub enum GlobalAdmin {}
/// A backend whose token names the account, or an ingest identity of it.
pub enum Publisher {}
/// A backend or a global admin.
pub enum Operator {}
/// A backend, a global admin, or a user whose token carries `automations.write`.
pub enum Explainer {}
/// A global admin or a user of the account.
pub enum AnyUser {}
/// A global admin of the account, or a user of it whose token carries `automations.write`.
pub enum AutomationWriter {}

impl Access for Member {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_member(account)
    }
}

impl Access for Service {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_service(account)
    }
}

impl Access for GlobalAdmin {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_global_admin(account)
    }
}

impl Access for Publisher {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_publisher(account)
    }
}

impl Access for Operator {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_operator(account)
    }
}

impl Access for Explainer {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        match caller {
            Caller::Service { .. } => caller.require_service(account),
            _ => caller.require_automation_writer(account).map(drop),
        }
    }
}

impl Access for AnyUser {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_user(account).map(drop)
    }
}

impl Access for AutomationWriter {
    fn check(caller: &Caller, account: &AccountId) -> Result<(), Refusal> {
        caller.require_automation_writer(account).map(drop)
    }
}

/// A caller who was let into the account that a request names.
pub struct Entered<A> {
    /// Who calls.
    pub caller: Caller,
    /// The account.
    pub account: AccountId,
    /// The trace context of the call.
    pub trace: Option<TraceContext>,
    access: PhantomData<A>,
}

impl<A> Entered<A> {
    /// Refuses those who are not what a part of the method needs, and says what that part is.
    pub fn require<B: Access>(&self, message: &str) -> Result<(), Status> {
        B::check(&self.caller, &self.account).map_err(|_| status::refused(&Refusal::denied(message)))
    }
}

/// A backend, whatever accounts its token names.
pub struct Backend {
    caller: Caller,
    /// The trace context of the call.
    pub trace: Option<TraceContext>,
}

impl Backend {
    /// Which accounts its token names.
    pub fn scope(&self) -> &AccountScope {
        match &self.caller {
            Caller::Service { accounts } => accounts,
            Caller::Publisher { .. } | Caller::GlobalAdmin { .. } | Caller::User { .. } => {
                const { &AccountScope::Only(Vec::new()) }
            }
        }
    }

    /// Refuses those whose token does not list every account, and says what that is needed for.
    pub fn require_all(&self, message: &str) -> Result<(), Status> {
        match self.scope() {
            AccountScope::All => Ok(()),
            AccountScope::Only(_) => Err(status::refused(&Refusal::denied(message))),
        }
    }

    /// Refuses accounts that its token does not name.
    pub fn check(&self, account: &AccountId) -> Result<(), Status> {
        Service::check(&self.caller, account).map_err(|refusal| status::refused(&refusal))
    }
}

/// What a handler takes to know that its caller was let in.
pub trait Enter<R>: Sized {
    /// Lets a caller in, or says why not.
    fn enter(caller: Caller, trace: Option<TraceContext>, request: &R) -> Result<Self, Status>;
}

impl<A: Access, R: Addressed> Enter<R> for Entered<A> {
    fn enter(caller: Caller, trace: Option<TraceContext>, request: &R) -> Result<Self, Status> {
        let account = request.account()?;
        A::check(&caller, &account).map_err(|refusal| status::refused(&refusal))?;
        Ok(Self { caller, account, trace, access: PhantomData })
    }
}

impl<R> Enter<R> for Backend {
    fn enter(caller: Caller, trace: Option<TraceContext>, _: &R) -> Result<Self, Status> {
        match caller {
            Caller::Service { .. } => Ok(Self { caller, trace }),
            _ => Err(status::refused(&Refusal::denied("only a token of role service may do this"))),
        }
    }
}

/// What a method is let in with: most are about one account.
pub trait Entering {
    /// The account.
    fn account(&self) -> Option<&AccountId>;
}

impl<A> Entering for Entered<A> {
    fn account(&self) -> Option<&AccountId> {
        Some(&self.account)
    }
}

impl Entering for Backend {
    fn account(&self) -> Option<&AccountId> {
        None
    }
}

impl Api {
    /// Waits for a place among the readings of an account, if the method reads: nobody's pages hold up those of others.
    pub(super) async fn reading(&self, method: &str, account: Option<&AccountId>) -> Option<Share<AccountId>> {
        let reads =
            ["list_", "get_", "count_", "dry_run", "backtest"].iter().any(|beginning| method.starts_with(beginning));
        self.reads.of(account.filter(|_| reads)?).take().await
    }

    /// Takes a call in: its caller, as far as the method lets them, and its message.
    pub(super) fn enter<E: Enter<R>, R>(&self, request: Request<R>) -> Result<(E, R), Status> {
        // Verified before the message was read.
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| status::unauthenticated(TokenFault::Missing, "no token".to_owned()))?;
        let given = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let trace = call_context().or_else(|| TraceContext::parse(given("traceparent"), given("tracestate")));
        let message = request.into_inner();
        Ok((E::enter(caller, trace, &message)?, message))
    }
}

/// A request that names the account it is about.
pub trait Addressed {
    /// The account.
    fn account(&self) -> Result<AccountId, Status>;
}

macro_rules! addressed {
    ($($request:ident by $parse:expr;)*) => {
        $(impl Addressed for pb::$request {
            fn account(&self) -> Result<AccountId, Status> {
                let parse: fn(&Self) -> Result<AccountId, Status> = $parse;
                parse(self)
            }
        })*
    };
}

fn of<T>(named: Result<(AccountId, T), Status>) -> Result<AccountId, Status> {
    named.map(|(account, _)| account)
}

addressed! {
    CreateAccountRequest by new_account;
    GetAccountRequest by |request| name::account("name", &request.name);
    SetAccountPlanRequest by |request| name::account("name", &request.name);
    SetAccountLimitsRequest by |request| name::account("name", &request.name);
    GetAccountUsageRequest by |request| name::account("name", &request.name);
    DeleteAccountRequest by |request| name::account("name", &request.name);
    CreateWebhookRequest by |request| name::account("parent", &request.parent);
    GetWebhookRequest by |request| of(name::resource("name", &request.name, "webhooks"));
    ListWebhooksRequest by |request| name::account("parent", &request.parent);
    UpdateWebhookRequest by |request| {
        let name = request.webhook.as_ref().map_or("", |webhook| &webhook.name);
        of(name::resource("webhook.name", name, "webhooks"))
    };
    RotateWebhookSecretRequest by |request| of(name::resource("name", &request.name, "webhooks"));
    GetWebhookHealthRequest by |request| of(name::resource("name", &request.name, "webhooks"));
    DeleteWebhookRequest by |request| of(name::resource("name", &request.name, "webhooks"));
    CreateAutomationRequest by |request| name::account("parent", &request.parent);
    GetAutomationRequest by |request| of(name::resource("name", &request.name, "automations"));
    ListAutomationsRequest by |request| name::account("parent", &request.parent);
    UpdateAutomationRequest by |request| {
        let name = request.automation.as_ref().map_or("", |automation| &automation.name);
        of(name::resource("automation.name", name, "automations"))
    };
    ActivateAutomationRequest by |request| of(name::resource("name", &request.name, "automations"));
    DeactivateAutomationRequest by |request| of(name::resource("name", &request.name, "automations"));
    DeleteAutomationRequest by |request| of(name::resource("name", &request.name, "automations"));
    PublishBatchRequest by |request| name::account("parent", &request.parent);
    TestWebhookRequest by |request| of(name::resource("name", &request.name, "webhooks"));
    DryRunRequest by |request| name::account("parent", &request.parent);
    BacktestRequest by |request| name::account("parent", &request.parent);
    TestAutomationRequest by |request| of(name::resource("name", &request.name, "automations"));
    CreateIngestIdentityRequest by |request| name::account("parent", &request.parent);
    ListIngestIdentitiesRequest by |request| name::account("parent", &request.parent);
    DeleteIngestIdentityRequest by |request| of(name::resource("name", &request.name, "ingestIdentities"));
    GetEventRequest by |request| name::account("parent", &request.parent);
    ListRecentEventsRequest by |request| name::account("parent", &request.parent);
    CountExecutionsRequest by |request| name::account("parent", &request.parent);
    RetryExecutionRequest by |request| of(name::execution("name", &request.name));
    RetryExecutionsRequest by |request| name::account("parent", &request.parent);
    CancelExecutionsRequest by |request| name::account("parent", &request.parent);
    GetJobRequest by |request| of(name::job("name", &request.name));
    ListJobsRequest by |request| name::account("parent", &request.parent);
    CancelJobRequest by |request| of(name::job("name", &request.name));
    ListMissesRequest by |request| of(name::resource("automation", &request.automation, "automations"));
    ListAuditEntriesRequest by |request| name::account("parent", &request.parent);
    ListObjectsRequest by |request| name::account("parent", &request.parent);
    ListFieldsRequest by |request| name::account("parent", &request.parent);
    SetFieldsRequest by |request| name::account("parent", &request.parent);
    WatchRequest by |request| name::account("parent", &request.parent);
    CancelExecutionRequest by |request| of(name::execution("name", &request.name));
    GetExecutionRequest by |request| of(name::execution("name", &request.name));
    ListExecutionsRequest by |request| name::account("parent", &request.parent);
}

/// The account to create. One that comes without an id gets one: the same for a repeated call.
fn new_account(request: &pb::CreateAccountRequest) -> Result<AccountId, Status> {
    match (request.account_id.as_str(), request.request_id.as_str()) {
        ("", "") => Ok(AccountId::fresh(Uuid::now_v7())),
        ("", key) => {
            let digest = Sha256::digest(format!("account:{key}"));
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            Ok(AccountId::fresh(Uuid::from_bytes(bytes)))
        }
        (id, _) => id.parse().map_err(|error: String| status::invalid("account_id", error)),
    }
}

/// Makes a service of handlers: each method enters by the access that its handler's signature asks for.
macro_rules! serve {
    ($module:ident :: $service:ident { $($method:ident ( $request:ident ) -> $response:ident ;)* } $($more:item)*) => {
        #[tonic::async_trait]
        impl pb::$module::$service for Api {
            $(async fn $method(
                &self,
                request: tonic::Request<pb::$request>,
            ) -> Result<tonic::Response<pb::$response>, Status> {
                let (entered, message) = self.enter(request)?;
                let _reading = self.reading(stringify!($method), $crate::grpc::services::access::Entering::account(&entered)).await;
                Api::$method(self, entered, message).await.map(tonic::Response::new)
            })*
            $($more)*
        }
    };
}
pub(super) use serve;
