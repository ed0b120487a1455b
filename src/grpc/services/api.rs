//! Every service of the port, over one engine and one store.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, codec::CompressionEncoding, server::NamedService, service::Routes};

use crate::{
    domain::{
        account::Rules,
        decision::command::{AnswerKind, Command},
        id::AccountId,
        refusal::Refusal,
        url::UrlPolicy,
    },
    engine::{CommandReply, Engine},
    grpc::{
        calls::{bounds, byte_budget::ByteBudget, status},
        pb,
    },
    shares::Shares,
    store::{AccountView, Store},
    telemetry::{Metrics, Spans},
};

/// The services whose health can be asked for by name.
pub const SERVICE_NAMES: [&str; 14] = [
    pb::account_service_server::SERVICE_NAME,
    pb::webhook_service_server::SERVICE_NAME,
    pb::audit_service_server::SERVICE_NAME,
    pb::automation_service_server::SERVICE_NAME,
    pb::caller_service_server::SERVICE_NAME,
    pb::catalogue_service_server::SERVICE_NAME,
    pb::clock_service_server::SERVICE_NAME,
    pb::event_service_server::SERVICE_NAME,
    pb::execution_service_server::SERVICE_NAME,
    pb::explain_service_server::SERVICE_NAME,
    pb::ingest_identity_service_server::SERVICE_NAME,
    pb::job_service_server::SERVICE_NAME,
    pb::key_service_server::SERVICE_NAME,
    pb::watch_service_server::SERVICE_NAME,
];
/// How many calls of an account read at a time; more wait. There are eight connections for all.
pub const READS_OF_ACCOUNT_AT_ONCE_MAX: usize = 3;

/// Every service, over one engine and one store.
#[derive(Clone)]
pub struct Api {
    /// Decides and sends.
    pub engine: Engine,
    /// Reads what calls ask for.
    pub store: Store,
    /// Places for the readings of each account.
    pub reads: Shares<AccountId>,
    /// Room for the bytes of all streams that are held unacknowledged.
    pub budget: ByteBudget,
    /// Makes the spans of events.
    pub spans: Spans,
    /// Measures calls.
    pub metrics: Metrics,
    /// What endpoint URLs may be.
    pub urls: UrlPolicy,
    /// What decisions obey, for what is shown of it.
    pub rules: Rules,
    /// How long a reader of a watch may leave changes unread.
    pub watch_stall_max: Duration,
    /// Ends the streams when the process is about to end.
    pub stopping: CancellationToken,
    /// The streams that are open.
    pub tasks: TaskTracker,
}

impl Api {
    /// What the port serves.
    pub fn routes(self, reflects: bool) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let api = Arc::new(self);
        macro_rules! service {
            ($module:ident, $server:ident) => {
                pb::$module::$server::from_arc(Arc::clone(&api))
                    .max_decoding_message_size(bounds::bytes_max(<pb::$module::$server<Api> as NamedService>::NAME))
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip)
            };
        }
        let mut routes = Routes::new(service!(account_service_server, AccountServiceServer));
        if reflects {
            routes = routes.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
        }
        Ok(routes
            .add_service(service!(webhook_service_server, WebhookServiceServer))
            .add_service(service!(automation_service_server, AutomationServiceServer))
            .add_service(service!(caller_service_server, CallerServiceServer))
            .add_service(service!(clock_service_server, ClockServiceServer))
            .add_service(service!(event_service_server, EventServiceServer))
            .add_service(service!(execution_service_server, ExecutionServiceServer))
            .add_service(service!(explain_service_server, ExplainServiceServer))
            .add_service(service!(ingest_identity_service_server, IngestIdentityServiceServer))
            .add_service(service!(job_service_server, JobServiceServer))
            .add_service(service!(key_service_server, KeyServiceServer))
            .add_service(service!(watch_service_server, WatchServiceServer))
            .add_service(service!(audit_service_server, AuditServiceServer))
            .add_service(service!(catalogue_service_server, CatalogueServiceServer)))
    }

    /// Has a call decided, and makes its answer, or gives the first answer again.
    pub(super) async fn answer<A: AnswerKind, R: Message + Default>(
        &self,
        account: &AccountId,
        command: Command,
        show: impl Fn(&A) -> R,
    ) -> Result<R, Status> {
        match self.engine.command(account, command).await {
            Ok(reply) => shown(&reply, show),
            Err(error) => Err(status::engine(&error)),
        }
    }

    /// The account that a caller has entered.
    pub(super) async fn account_of(&self, id: &AccountId) -> Result<AccountView, Status> {
        let found = self.store.find_account(id).await.map_err(status::store)?;
        found.ok_or_else(|| status::refused(&Refusal::not_found("account", format!("accounts/{id}"))))
    }
}

/// The answer to a call, or the first answer to one that is repeated.
pub(super) fn shown<A: AnswerKind, R: Message + Default>(
    reply: &CommandReply,
    show: impl Fn(&A) -> R,
) -> Result<R, Status> {
    match reply {
        CommandReply::Fresh(answer) => {
            let answer =
                A::of(answer).ok_or_else(|| Status::internal("the answer is of another kind than the call"))?;
            Ok(show(answer))
        }
        CommandReply::Repeated(bytes) => R::decode(bytes.as_slice())
            .map_err(|error| Status::internal(format!("the stored answer cannot be read: {error}"))),
    }
}
