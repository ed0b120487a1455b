//! The only place that knows protobuf: the services, who calls, and what errors look like on the wire.

mod access;
mod accounts;
mod admission;
mod audit;
mod auth;
mod automations;
mod bounds;
mod catalogue;
mod clock;
mod codec;
mod convert;
mod doors;
mod events;
mod executions;
mod explain;
mod jobs;
mod keys;
mod name;
mod receiving;
mod status;
mod watch;
mod webhooks;

use std::{sync::Arc, time::Duration};

use prost::Message;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, codec::CompressionEncoding, server::NamedService, service::Routes};
use uuid::Uuid;

use self::doors::Measured;
pub use self::{
    admission::{Admission, CallBounds},
    auth::{Authenticator, Claims, LEEWAY_SECONDS, SECRET_BYTES_MIN, TokenRules, check_key_file, mint},
    bounds::EVENTS_BYTES_MAX,
    codec::BoundedCodec,
    doors::{Doors, serve},
    events::Room,
};
use crate::{
    domain::{
        address::AddressPolicy,
        decision::Rules,
        id::AccountId,
        refusal::{Refusal, Violations},
        url::UrlPolicy,
        webhook::{WebhookKind, retry_of},
    },
    engine::Engine,
    shares::Shares,
    store::{AccountView, Page, Store},
    telemetry::{Metrics, Spans},
};

/// The wire format, made from `proto/`.
#[expect(unused_qualifications, clippy::allow_attributes, clippy::large_enum_variant, reason = "made by a generator")]
pub mod pb {
    tonic::include_proto!("hookline.v1");

    /// The encoded description of the wire format, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hookline.bin"));
}

/// The services whose health can be asked for by name.
pub const SERVICE_NAMES: [&str; 12] = [
    pb::account_service_server::SERVICE_NAME,
    pb::webhook_service_server::SERVICE_NAME,
    pb::audit_service_server::SERVICE_NAME,
    pb::automation_service_server::SERVICE_NAME,
    pb::catalogue_service_server::SERVICE_NAME,
    pb::clock_service_server::SERVICE_NAME,
    pb::event_service_server::SERVICE_NAME,
    pb::execution_service_server::SERVICE_NAME,
    pb::explain_service_server::SERVICE_NAME,
    pb::job_service_server::SERVICE_NAME,
    pb::key_service_server::SERVICE_NAME,
    pb::watch_service_server::SERVICE_NAME,
];
/// The methods that stream.
const PUBLISH: &str = "hookline.v1.EventService/Publish";
const WATCH: &str = "hookline.v1.WatchService/Watch";

/// Whether a new webhook is well-formed, as far as that can be told without its account and installation.
pub fn check_webhook(webhook: pb::Webhook) -> Result<(), Status> {
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|block| block.parse().ok()).collect();
    let policy = UrlPolicy { allow_http: true, addresses: AddressPolicy { allowed: anywhere } };
    let mut faults = Violations::default();
    let _ = convert::new_webhook(webhook, &policy, &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))
}

/// How a webhook that is written down tries failed requests again, as it is shown once it is made; nothing where it is the
/// installation's way.
pub fn shown_retry_policy(webhook: &pb::Webhook) -> Result<Option<pb::RetryPolicy>, Status> {
    let kind = match webhook.kind() {
        pb::WebhookKind::Regular => WebhookKind::Regular,
        _ => WebhookKind::Automation,
    };
    let mut faults = Violations::default();
    let read = convert::retry_policy(webhook.retry_policy.clone(), &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))?;
    Ok(read.and_then(|read| convert::shown_retry(&retry_of(kind, &read))))
}

/// Whether a new automation is well-formed, as far as that can be told without its account.
pub fn check_automation(account: &AccountId, automation: pb::Automation) -> Result<(), Status> {
    automations::new_automation(account, automation).map(drop)
}

/// Reads any text as a page token.
#[cfg(any(test, feature = "fuzzing"))]
pub fn read_page_token(text: &str) {
    for query in ["", "webhooks:42"] {
        if let Ok(Some(place)) = name::page_place(text, query) {
            assert_eq!(name::page_place(&name::page_token(&place, query), query).ok().flatten(), Some(place));
        }
    }
    let _ = uuid_place(text, "webhooks:42");
}

/// Reads any bytes as a filter of executions.
#[cfg(any(test, feature = "fuzzing"))]
pub fn read_filter(wire: &[u8]) {
    if let (Ok(account), Ok(filter)) = ("42".parse(), pb::ExecutionFilter::decode(wire)) {
        let _ = convert::execution_filter(&account, &filter, "filter.");
    }
}

/// Reads any bytes as the header of a token: none is good for a key that nobody has.
#[cfg(any(test, feature = "fuzzing"))]
pub fn read_token(header: &[u8]) {
    assert!(auth::turns_away(header), "a token is taken that nobody has signed");
}

/// Counts any bytes as each kind of request: what passes can be decoded or is refused, and is no larger than its bounds.
#[cfg(any(test, feature = "fuzzing"))]
pub fn read_wire(wire: &[u8]) {
    for kind in ["PublishBatchRequest", "CreateAutomationRequest", "UpdateWebhookRequest", "ListExecutionsRequest"] {
        let _ = bounds::check_wire(&format!("hookline.v1.{kind}"), wire);
    }
    let is_small = bounds::check_wire("hookline.v1.PublishBatchRequest", wire).is_ok();
    if let (true, Ok(batch)) = (is_small, pb::PublishBatchRequest::decode(wire)) {
        assert!(batch.events.len() <= 1_000, "{} events passed", batch.events.len());
    }
}

/// How many calls of an account read at a time; more wait. There are eight connections for all.
pub const READS_OF_ACCOUNT_AT_ONCE_MAX: usize = 3;

/// Every service, over one engine and one store.
#[derive(Clone)]
pub struct Api {
    /// Decides and sends.
    pub engine: Engine,
    /// Reads.
    pub store: Store,
    /// Places for the readings of each account.
    pub reads: Shares<AccountId>,
    /// Room for the bytes of all streams that are held unacknowledged.
    pub room: Room,
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
    fn routes(self, reflects: bool) -> Result<Routes, tonic_reflection::server::Error> {
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
            .add_service(service!(clock_service_server, ClockServiceServer))
            .add_service(service!(event_service_server, EventServiceServer))
            .add_service(service!(execution_service_server, ExecutionServiceServer))
            .add_service(service!(explain_service_server, ExplainServiceServer))
            .add_service(service!(job_service_server, JobServiceServer))
            .add_service(service!(key_service_server, KeyServiceServer))
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

/// How large a page of a list is, in bytes: clients take 4 MiB unless they are told otherwise. One item is a page in any case.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// As many items as a message should hold.
fn fitting<T, P: Message>(items: &[T], show: impl Fn(&T) -> P) -> Vec<P> {
    let mut bytes = 0;
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let one = show(item);
        bytes += one.encoded_len();
        if bytes > PAGE_BYTES_MAX && !shown.is_empty() {
            break;
        }
        shown.push(one);
    }
    shown
}

/// As many items of a page as a message should hold, and the token of the next page.
fn shown_page<T, P: Message>(
    page: &Page<T>,
    query: &str,
    place: impl Fn(&T) -> Uuid,
    show: impl Fn(&T) -> P,
) -> (Vec<P>, String) {
    let shown = fitting(&page.items, show);
    let is_cut = shown.len() < page.items.len();
    let next = if is_cut { page.items[..shown.len()].last().map(place) } else { page.next };
    (shown, next_token(next, query))
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
