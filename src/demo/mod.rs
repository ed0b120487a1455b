//! The whole job in front of your eyes: a real server on a throw-away SQLite file, a real receiver on the loopback,
//! everything else over the public API.

mod scenes;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    app::{Application, Signals, StartError, key_files, token_rules},
    cli::command::{Cli, Command},
    clock,
    grpc::{Claims, EVENTS_BYTES_MAX, TokenRules, mint, pb},
    keys::Keys,
    store::Location,
    telemetry::Telemetry,
};

/// The sample events, as platforms send them, and the account that each belongs to.
const SAMPLES: [(&str, &str); 7] = [
    ("8087566", include_str!("../../tests/samples/v2-create-deal.json")),
    ("8087566", include_str!("../../tests/samples/v2-change-deal-custom-field.json")),
    ("8087566", include_str!("../../tests/samples/v2-create-activity.json")),
    ("8087566", include_str!("../../tests/samples/v2-change-activity.json")),
    ("8087566", include_str!("../../tests/samples/v2-delete-activity.json")),
    ("12345678", include_str!("../../tests/samples/v2-change-lead.json")),
    ("1234567890", include_str!("../../tests/samples/v1-updated-deal.json")),
];
/// How long the demo waits for the executions to end.
const WAIT_MAX: Duration = Duration::from_secs(30);
const WAIT_STEP: Duration = Duration::from_millis(50);
/// What the demo must show: executions in all, and how many of them fail.
const EXPECTED: (usize, usize) = (6, 1);
/// The account with a regular webhook beside its automations, and the user who owns it and may see its deals.
const SUBSCRIBED: (&str, &str) = ("8087566", "123");

/// What the receiver got, and how it answers.
#[derive(Default)]
struct Desk {
    got: Mutex<Vec<[String; 3]>>,
    /// Whether the dying endpoint answers 503.
    is_dead: AtomicBool,
}

type Received = Arc<Desk>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo; an error is anything that was not as expected.
pub async fn run(arbiters: Vec<actix::ArbiterHandle>, telemetry: &Telemetry) -> Result<(), StartError> {
    let folder = std::env::temp_dir().join(format!("hookline-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| StartError(format!("{}: {error}", folder.display())))?;
    let shown = show(folder.clone(), arbiters, telemetry).await;
    let _ = std::fs::remove_dir_all(&folder);
    shown.map_err(|error| StartError(format!("the demo did not go as expected: {error}")))
}

async fn show(folder: PathBuf, arbiters: Vec<actix::ArbiterHandle>, telemetry: &Telemetry) -> Result<(), Failure> {
    let database = folder.join("demo.db").display().to_string();
    let words = ["hookline", "serve", "--listen", "127.0.0.1:0", "--operations-listen", "127.0.0.1:0"];
    let words = words.into_iter().chain(["--http-listen", "127.0.0.1:0"]);
    let open = ["--allow-http", "--allow-addresses", "127.0.0.0/8"];
    let quick = ["--retry-delays-ms", "1000,1000,2000", "--breaker-open-ms", "2000", "--database", &database];
    let cli = <Cli as clap::Parser>::try_parse_from(words.chain(open).chain(quick))?;
    let Command::Serve(args) = cli.command else { return Err("no server".into()) };
    let location = Location::Sqlite(PathBuf::from(&database));
    // Made, where there are none.
    let files = key_files(&args.keys, &location);
    Keys::load(&files)?;
    let secret = files.signing_key()?;
    let rules = token_rules(&args.keys);
    let server = Application::build(*args).await?;
    let address = server.address();
    let http = server.http_url().unwrap_or_default();
    let signals = Signals::default();
    let (received, receiver) = receive().await?;
    println!("server    {address}, HTTP at {http}, SQLite at {database}\nreceiver  {receiver}\n");
    let stop = signals.shutdown.clone();
    let client = async {
        let result = drive((address, &http), receiver, (&secret, &rules), &received).await;
        stop.cancel();
        result
    };
    let (served, driven) = tokio::join!(server.run_until_stopped(arbiters, telemetry, signals), client);
    served?;
    driven
}

async fn receive() -> Result<(Received, SocketAddr), Failure> {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().fallback(take).with_state(Arc::clone(&received));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((received, address))
}

async fn take(
    State(received): State<Received>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let line = [format!("{method} {uri}"), String::from_utf8_lossy(&body).into_owned(), id];
    received.got.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    match uri.path().split('/').nth(1) {
        Some("broken") => StatusCode::FORBIDDEN,
        Some("dies") if received.is_dead.load(Ordering::SeqCst) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

/// Calls of one caller.
struct Client {
    channel: Channel,
    token: MetadataValue<tonic::metadata::Ascii>,
}

impl Client {
    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }
}

async fn drive(
    (address, http): (SocketAddr, &str),
    receiver: SocketAddr,
    (secret, rules): (&[u8], &TokenRules),
    received: &Received,
) -> Result<(), Failure> {
    let channel = connect(address).await?;
    let caller = |role: &str, account: &str| -> Result<Client, Failure> {
        let claims = Claims {
            role: role.to_owned(),
            accounts: vec![account.to_owned()],
            user_id: (role != "service").then(|| "1".to_owned()),
            permissions: Vec::new(),
        };
        let token = format!("Bearer {}", mint(secret, &claims, rules, clock::now().seconds(), 600)?).parse()?;
        Ok(Client { channel: channel.clone(), token })
    };
    let service = caller("service", "*")?;
    let mut accounts: Vec<_> = SAMPLES.iter().map(|(account, _)| *account).collect();
    accounts.dedup();
    for account in &accounts {
        create_account(&service, account).await?;
        set_up(&caller("global_admin", account)?, account, receiver).await?;
    }
    publish(&service).await?;
    again_over_http(http, &service).await?;
    let executions = wait_for_executions(&service, &accounts).await?;
    print_received(received);
    print_history(&executions);
    let count = |state: pb::ExecutionState| executions.iter().filter(|one| one.state() == state).count();
    let (succeeded, failed) = (count(pb::ExecutionState::Succeeded), count(pb::ExecutionState::Failed));
    if (executions.len(), failed) != EXPECTED || succeeded != EXPECTED.0 - EXPECTED.1 {
        return Err(format!("{} executions of which {} fail were expected", EXPECTED.0, EXPECTED.1).into());
    }
    println!("  one endpoint refuses on purpose; two events have no automation whose conditions hold");
    print_pair(&executions)?;
    let limit = scenes::limit(&service, &caller("global_admin", "limited")?, receiver).await?;
    let dying = scenes::dying_endpoint(&service, &caller("global_admin", "dying")?, receiver, received).await?;
    println!(
        "\ndemo: {} events, {} executions, {} succeeded, {failed} failed",
        SAMPLES.len() + limit.events + dying.events,
        executions.len() + limit.executions + dying.executions,
        succeeded + limit.succeeded + dying.succeeded,
    );
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<Channel, Failure> {
    let endpoint = Channel::from_shared(format!("http://{address}"))?;
    let channel = tokio::time::timeout(WAIT_MAX, endpoint.connect()).await??;
    tokio::time::timeout(WAIT_MAX, until_serving(channel.clone())).await??;
    Ok(channel)
}

/// How often the health of a server is watched anew that does not serve yet.
const HEALTH_WATCHES_MAX: usize = 10;

/// Waits until a server lets calls in: it takes its port first, and answers only about its health until its database
/// is open.
pub async fn until_serving(channel: Channel) -> Result<(), Status> {
    let mut health = HealthClient::new(channel);
    let mut ended = Status::unavailable("the server ended before it served");
    // A call without a token may take so long and no longer; a large database may take longer to be migrated.
    for _ in 0..HEALTH_WATCHES_MAX {
        let mut states = health.watch(HealthCheckRequest::default()).await?.into_inner();
        loop {
            match states.message().await {
                Ok(Some(state)) if state.status() == ServingStatus::Serving => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(status) => {
                    ended = status;
                    break;
                }
            }
        }
    }
    Err(ended)
}

async fn create_account(service: &Client, account: &str) -> Result<(), Failure> {
    let mut accounts = pb::account_service_client::AccountServiceClient::new(service.channel.clone());
    let plan = pb::Plan::Advanced.into();
    let request = pb::CreateAccountRequest {
        account_id: account.to_owned(),
        account: Some(pb::Account { plan, ..pb::Account::default() }),
        request_id: String::new(),
    };
    accounts.create_account(service.ask(request)).await?;
    Ok(())
}

fn clause(field: &str, operator: pb::Operator, values: &[pb::scalar::Kind]) -> pb::Condition {
    let values = values.iter().map(|kind| pb::Scalar { kind: Some(kind.clone()) }).collect();
    let clause = pb::Clause { field: field.to_owned(), operator: operator.into(), values, ..Default::default() };
    pb::Condition { kind: Some(pb::condition::Kind::Clause(clause)) }
}

fn all(conditions: Vec<pb::Condition>) -> Option<pb::ConditionGroup> {
    Some(pb::ConditionGroup { r#match: pb::ConditionMatch::All.into(), conditions })
}

async fn set_up(admin: &Client, account: &str, receiver: SocketAddr) -> Result<(), Failure> {
    let mut webhooks = pb::webhook_service_client::WebhookServiceClient::new(admin.channel.clone());
    for (id, path) in [("crm", "crm/"), ("broken", "broken/")] {
        let webhook = pb::Webhook {
            display_name: format!("The {id} endpoint"),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: format!("http://{receiver}/{path}"),
            ..pb::Webhook::default()
        };
        let request = pb::CreateWebhookRequest {
            parent: format!("accounts/{account}"),
            webhook_id: id.to_owned(),
            webhook: Some(webhook),
            request_id: String::new(),
        };
        webhooks.create_webhook(admin.ask(request)).await?;
    }
    if account == SUBSCRIBED.0 {
        let webhook = pb::Webhook {
            display_name: "Every change of a deal".to_owned(),
            kind: pb::WebhookKind::Regular.into(),
            endpoint_url: format!("http://{receiver}/subscribed/"),
            subscription: "change.deal".to_owned(),
            owner_user_id: SUBSCRIBED.1.to_owned(),
            ..pb::Webhook::default()
        };
        let parent = format!("accounts/{account}");
        let request =
            pb::CreateWebhookRequest { parent, webhook: Some(webhook), ..pb::CreateWebhookRequest::default() };
        webhooks.create_webhook(admin.ask(request)).await?;
    }
    let mut automations = pb::automation_service_client::AutomationServiceClient::new(admin.channel.clone());
    for automation in demo_automations(account) {
        let request = pb::CreateAutomationRequest {
            parent: format!("accounts/{account}"),
            automation_id: String::new(),
            automation: Some(automation),
            request_id: String::new(),
        };
        automations.create_automation(admin.ask(request)).await?;
    }
    Ok(())
}

fn demo_automations(account: &str) -> Vec<pb::Automation> {
    use pb::{EventAction, HttpMethod, Operator, scalar::Kind, webhook_action::Body};
    let action = |webhook: &str, method: HttpMethod, path: &str, body: Body| pb::WebhookAction {
        webhook: format!("accounts/{account}/webhooks/{webhook}"),
        method: method.into(),
        path: path.to_owned(),
        body: Some(body),
        ..pb::WebhookAction::default()
    };
    let automation = |name: &str, object: &str, on: EventAction, conditions, action| pb::Automation {
        display_name: name.to_owned(),
        trigger_object: object.to_owned(),
        trigger_action: on.into(),
        conditions,
        actions: vec![action],
        ..pb::Automation::default()
    };
    let entry = |key: &str, value: &str| pb::KeyValueEntry { key: key.to_owned(), value: value.to_owned() };
    let entries = vec![
        entry("id", "{{deal.id}}"),
        entry("title", "{{deal.title}}"),
        entry("labels", "{{deal.label_ids}}"),
        entry("note", "{{automation.name}}: {{deal.value}} {{deal.currency}}"),
    ];
    let key_value = Body::KeyValue(pb::KeyValueBody { entries });
    let raw = |text: &str| Body::RawJson(text.to_owned());
    let address = "custom_fields.3d0fa3429dfa2d3dec265b4fc5dc8258ab66cdf3.value";
    vec![
        automation(
            "Mirror deals whose address was set",
            "deal",
            EventAction::Change,
            all(vec![
                clause(address, Operator::Changed, &[]),
                clause("value", Operator::Gte, &[Kind::Number("50".into())]),
            ]),
            action("crm", HttpMethod::Put, "deals/{{deal.id}}?by={{event.user_id}}", key_value),
        ),
        automation(
            "Announce large deals (none is)",
            "deal",
            EventAction::Create,
            all(vec![clause("value", Operator::Gt, &[Kind::Number("100".into())])]),
            action("crm", HttpMethod::Post, "large", raw(r#"{"id": {{deal.id}}}"#)),
        ),
        automation(
            "Report renamed activities",
            "activity",
            EventAction::Change,
            all(vec![clause("subject", Operator::Changed, &[])]),
            action(
                "crm",
                HttpMethod::Post,
                "activities",
                raw(r#"{"id": {{activity.id}}, "was": "{{previous.subject}}", "is": "{{activity.subject}}"}"#),
            ),
        ),
        automation(
            "Forget deleted activities",
            "activity",
            EventAction::Delete,
            None,
            action(
                "crm",
                HttpMethod::Delete,
                "activities/{{activity.id}}",
                raw(r#"{"subject": {{activity.subject}}}"#),
            ),
        ),
        automation(
            "Copy leads with a value",
            "lead",
            EventAction::Change,
            all(vec![clause("value.amount", Operator::Changed, &[])]),
            action("crm", HttpMethod::Post, "leads", raw(r#"{"lead": "{{lead.id}}", "value": {{lead.value}}}"#)),
        ),
        automation(
            "Tell an endpoint that refuses",
            "activity",
            EventAction::Create,
            None,
            action("broken", HttpMethod::Post, "activities", raw(r#"{"id": {{activity.id}}}"#)),
        ),
    ]
}

async fn publish(service: &Client) -> Result<(), Failure> {
    let mut events = pb::event_service_client::EventServiceClient::new(service.channel.clone())
        .max_decoding_message_size(EVENTS_BYTES_MAX);
    let frames: Vec<_> = (1_u64..)
        .zip(SAMPLES)
        .map(|(sequence, (account, text))| pb::PublishRequest {
            sequence,
            parent: format!("accounts/{account}"),
            events: vec![pb::EventInput {
                kind: Some(pb::event_input::Kind::Envelope(text.as_bytes().into())),
                ..pb::EventInput::default()
            }],
            accepts_retry_later: false,
        })
        .collect();
    let last = SAMPLES.len() as u64;
    let mut answers = events.publish(service.ask(tokio_stream::iter(frames))).await?.into_inner();
    let mut acked = 0;
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        acked = answer.acked_sequence;
        if let Some(result) = answer.results.first() {
            return Err(format!("{}: {}", result.field, result.message).into());
        }
    }
    println!("published {acked} of {last} sample events, every one acknowledged\n");
    if acked == last { Ok(()) } else { Err("not every event was acknowledged".into()) }
}

/// The HTTP port takes the platform's own envelope, and knows what was published over gRPC.
async fn again_over_http(http: &str, service: &Client) -> Result<(), Failure> {
    let (account, envelope) = SAMPLES[1];
    let request = reqwest::Client::builder().no_proxy().build()?.post(format!("{http}v1/accounts/{account}/events"));
    let request = request.header("authorization", service.token.to_str()?).header("content-type", "application/json");
    let answer = request.body(envelope).send().await?.text().await?;
    println!("one of them again, over HTTP: {answer}\n");
    if answer.contains("DUPLICATE") { Ok(()) } else { Err("the HTTP port did not know the event".into()) }
}

async fn wait_for_executions(service: &Client, accounts: &[&str]) -> Result<Vec<pb::Execution>, Failure> {
    let mut history = pb::execution_service_client::ExecutionServiceClient::new(service.channel.clone());
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    loop {
        let mut found = Vec::new();
        for account in accounts {
            let request = pb::ListExecutionsRequest {
                parent: format!("accounts/{account}"),
                ..pb::ListExecutionsRequest::default()
            };
            let listed = history.list_executions(service.ask(request)).await?.into_inner();
            for execution in listed.executions {
                let request = pb::GetExecutionRequest { name: execution.name };
                found.extend(history.get_execution(service.ask(request)).await?.into_inner().execution);
            }
        }
        let ended = found.iter().filter(|execution| execution.end_time.is_some()).count();
        if ended == found.len() && ended >= EXPECTED.0 {
            return Ok(found);
        }
        if tokio::time::Instant::now() > deadline {
            print_history(&found);
            return Err(format!("{ended} executions ended in time").into());
        }
        tokio::time::sleep(WAIT_STEP).await;
    }
}

fn print_received(received: &Received) {
    println!("what the receiver got");
    let lines = received.got.lock().unwrap_or_else(PoisonError::into_inner);
    for [request, body, id] in lines.iter() {
        println!("  {request}\n    webhook-id {id}\n    {body}");
    }
}

fn print_history(executions: &[pb::Execution]) {
    println!("\nthe history");
    let titles = ["automation", "state", "reason", "status", "tries"];
    println!("  {:<36} {:<10} {:<13} {:>6} {:<5} conditions", titles[0], titles[1], titles[2], titles[3], titles[4]);
    for execution in executions {
        let attempts: Vec<_> = execution.requests.iter().flat_map(|request| &request.attempts).collect();
        let status = attempts.last().map_or(0, |attempt| attempt.http_status);
        let state = execution.state().as_str_name().trim_start_matches("EXECUTION_STATE_");
        let clauses: Vec<_> = execution.explanation.iter().map(|clause| clause.compared.as_str()).collect();
        println!(
            "  {:<36} {:<10} {:<13} {:>6} {:<5} {}",
            execution.source_display_name,
            state,
            if execution.reason.is_empty() { "-" } else { &execution.reason },
            status,
            attempts.len(),
            if clauses.is_empty() { "none".to_owned() } else { clauses.join(" | ") },
        );
    }
}

/// Shows what the two kinds of webhooks were sent for the same event.
fn print_pair(executions: &[pb::Execution]) -> Result<(), Failure> {
    let regular = executions.iter().find(|one| one.source_kind() == pb::SourceKind::RegularWebhook);
    let regular = regular.ok_or("the regular webhook got nothing")?;
    let is_other = |one: &&pb::Execution| one.event_id == regular.event_id && one.name != regular.name;
    let of_automation = executions.iter().find(is_other).ok_or("the automation did not run for the same event")?;
    println!("\none event, {}, for both kinds of webhooks", regular.event_id);
    for (kind, execution) in [("automation", of_automation), ("regular", regular)] {
        let request = execution.requests.first().ok_or("an execution without a request")?;
        let method = request.method().as_str_name().trim_start_matches("HTTP_METHOD_");
        println!("  {kind:<10}  {method} {}{}", request.endpoint_url, request.path);
        println!(
            "              {}",
            String::from_utf8_lossy(&request.body).split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    Ok(())
}
