//! The only place that knows protobuf: the services, who calls, and what errors look like on the wire.

mod access;
mod accounts;
mod audit;
mod auth;
mod automations;
mod catalogue;
mod convert;
mod events;
mod executions;
mod explain;
mod jobs;
mod name;
mod status;
mod tls;
mod watch;
mod webhooks;

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::extract::State;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Code, Status,
    body::Body,
    codec::CompressionEncoding,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
    service::Routes,
    transport::{Server, server::Router},
};
use tracing::Instrument;
use uuid::Uuid;

pub use self::{
    auth::{Authenticator, Claims, LEEWAY_SECONDS, SECRET_BYTES_MIN, TokenRules, check_key_file, mint},
    events::UNACKED_BYTES_OF_ALL_MAX,
    tls::{TlsFiles, incoming},
};
use crate::{
    domain::{
        address::AddressPolicy,
        decision::Rules,
        id::AccountId,
        refusal::{Refusal, Violations},
        url::UrlPolicy,
    },
    engine::Engine,
    store::{AccountView, Store},
    telemetry::{CALL_TARGET, Metrics, Spans, enter_trace},
};

/// The wire format, made from `proto/`.
#[expect(unused_qualifications, clippy::allow_attributes, clippy::large_enum_variant, reason = "made by a generator")]
pub mod pb {
    tonic::include_proto!("hookline.v1");

    /// The encoded description of the wire format, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hookline.bin"));
}

/// The services whose health can be asked for by name.
pub const SERVICE_NAMES: [&str; 10] = [
    pb::account_service_server::SERVICE_NAME,
    pb::webhook_service_server::SERVICE_NAME,
    pb::audit_service_server::SERVICE_NAME,
    pb::automation_service_server::SERVICE_NAME,
    pb::catalogue_service_server::SERVICE_NAME,
    pb::event_service_server::SERVICE_NAME,
    pb::execution_service_server::SERVICE_NAME,
    pb::explain_service_server::SERVICE_NAME,
    pb::job_service_server::SERVICE_NAME,
    pb::watch_service_server::SERVICE_NAME,
];
/// The methods that stream.
const PUBLISH: &str = "hookline.v1.EventService/Publish";
const WATCH: &str = "hookline.v1.WatchService/Watch";
const STREAMS: [&str; 2] = [PUBLISH, WATCH];
/// How often a silent client is asked whether it is still there, and how long it may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How large the metadata of a call may be.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// How large a message may be: a frame of events.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whether a new webhook is well-formed, as far as that can be told without its account and installation.
pub fn check_webhook(webhook: pb::Webhook) -> Result<(), Status> {
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|block| block.parse().ok()).collect();
    let policy = UrlPolicy { allow_http: true, addresses: AddressPolicy { allowed: anywhere } };
    let mut faults = Violations::default();
    let _ = convert::new_webhook(webhook, &policy, &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))
}

/// Whether a new automation is well-formed, as far as that can be told without its account.
pub fn check_automation(account: &AccountId, automation: pb::Automation) -> Result<(), Status> {
    automations::new_automation(account, automation).map(drop)
}

/// Every service, over one engine and one store.
#[derive(Clone)]
pub struct Api {
    /// Decides and sends.
    pub engine: Engine,
    /// Reads.
    pub store: Store,
    /// Room for the bytes of all streams that are held unacknowledged.
    pub room: Arc<Semaphore>,
    /// Makes the spans of events.
    pub spans: Spans,
    /// Measures calls.
    pub metrics: Metrics,
    /// Verifies tokens.
    pub auth: Authenticator,
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

/// The services of the port: closed until the database is ours, then open. Health answers from the start.
#[derive(Clone, Default)]
pub struct Doors(Arc<OnceLock<axum::Router>>);

impl Doors {
    /// What the port serves.
    pub fn router<H>(&self, health: H) -> Router
    where
        H: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Future: Send + 'static,
    {
        let doors = self.clone();
        let mut routes = Routes::new(health);
        let router = routes.axum_router_mut();
        *router =
            std::mem::take(router).fallback(async move |request: Request<axum::body::Body>| match doors.0.get() {
                Some(services) => services.clone().call(request).await,
                None => Ok(status::starting().into_http()),
            });
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
            .add_routes(routes)
    }

    /// Lets calls in.
    pub fn open(&self, api: Api) -> Result<(), tonic_reflection::server::Error> {
        let metrics = api.metrics.clone();
        let services = api.routes()?.prepare().into_axum_router();
        let _ = self.0.set(services.layer(axum::middleware::from_fn_with_state(metrics, observed)));
        Ok(())
    }
}

/// Puts every call into a span of its own, under the context that the call came with, and measures it.
async fn observed(
    State(metrics): State<Metrics>,
    request: Request<axum::body::Body>,
    next: axum::middleware::Next,
) -> Response<axum::body::Body> {
    let mut measured = Measured { metrics, method: String::new(), code: Code::Cancelled, begun: Instant::now() };
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let span = tracing::info_span!(
        target: CALL_TARGET,
        "call",
        otel.name = %method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = %method,
        rpc.response.status_code = tracing::field::Empty,
    );
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(given) = given {
        enter_trace(&span, given);
    }
    measured.method.clone_from(&method);
    let response = next.run(request).instrument(span.clone()).await;
    // A refusal's status is in the headers; what is in the trailers ended well, or says so in its events' results.
    let code = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
    let code = Code::from(code.unwrap_or(0));
    let word = format!("{code:?}");
    span.record("rpc.response.status_code", word.as_str());
    let took = measured.begun.elapsed();
    span.in_scope(|| {
        tracing::debug!(
            rpc.method = %method,
            rpc.response.status_code = word,
            duration_ms = took.as_secs_f64() * 1e3,
            "a call was answered"
        );
    });
    measured.code = code;
    // A stream that has begun well is measured when it ends.
    if code == Code::Ok && STREAMS.contains(&measured.method.as_str()) {
        measured.method.clear();
    }
    response
}

/// A call or a stream that is measured when it ends, also where the client gives it up.
pub(crate) struct Measured {
    metrics: Metrics,
    /// The method; nothing is measured where it is empty.
    method: String,
    code: Code,
    begun: Instant,
}

impl Measured {
    /// A stream that begins now.
    fn stream(metrics: &Metrics, method: &str) -> Self {
        Self { metrics: metrics.clone(), method: method.to_owned(), code: Code::Cancelled, begun: Instant::now() }
    }

    /// It ended, with a status or well.
    fn end(mut self, status: Option<&Status>) {
        self.code = status.map_or(Code::Ok, Status::code);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.method.is_empty() {
            return;
        }
        // Whoever calls what does not exist must not make labels.
        let known = match self.code {
            Code::Unimplemented => "_OTHER".to_owned(),
            _ => std::mem::take(&mut self.method),
        };
        self.metrics.call(known, format!("{:?}", self.code), self.begun.elapsed());
    }
}

impl Api {
    fn routes(self) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let api = Arc::new(self);
        macro_rules! service {
            ($module:ident, $server:ident) => {
                pb::$module::$server::from_arc(Arc::clone(&api))
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip)
            };
        }
        Ok(Routes::new(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(service!(account_service_server, AccountServiceServer))
            .add_service(service!(webhook_service_server, WebhookServiceServer))
            .add_service(service!(automation_service_server, AutomationServiceServer))
            .add_service(service!(event_service_server, EventServiceServer))
            .add_service(service!(execution_service_server, ExecutionServiceServer))
            .add_service(service!(explain_service_server, ExplainServiceServer))
            .add_service(service!(job_service_server, JobServiceServer))
            .add_service(service!(watch_service_server, WatchServiceServer))
            .add_service(service!(audit_service_server, AuditServiceServer))
            .add_service(service!(catalogue_service_server, CatalogueServiceServer)))
    }

    /// The account that a caller has entered.
    async fn account_of(&self, id: &AccountId) -> Result<AccountView, Status> {
        let found = self.store.find_account(id).await.map_err(status::store)?;
        found.ok_or_else(|| status::refused(&Refusal::not_found("account", format!("accounts/{id}"))))
    }
}

/// The place of a page token that is a UUID.
fn uuid_place(token: &str, query: &str) -> Result<Option<Uuid>, Status> {
    let malformed = || status::invalid("page_token", "is not a token of this list");
    let place = name::page_place(token, query)?;
    place.map(|place| Uuid::try_parse(&place).map_err(|_| malformed())).transpose()
}

/// The token of the next page, empty where there is none.
fn next_token(next: Option<Uuid>, query: &str) -> String {
    next.map(|next| name::page_token(&next.to_string(), query)).unwrap_or_default()
}
