//! The doors: who may call which method, over which connection, and how calls and streams that misbehave end.

use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};

use hookline::grpc::pb;
use prost::Message;
use tokio::process::Command;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};
use tonic_types::StatusExt;

use crate::harness::{Client, Database, Receiver, Server, automation, deal, eventually};

crate::on_both_databases!(
    every_method_lets_in_whom_it_should,
    a_shutdown_lets_requests_end_and_starts_no_other,
    a_second_signal_ends_the_waiting,
);

/// How long a sender that is held back is watched.
const HELD_BACK: Duration = Duration::from_secs(2);

/// Who may call a method for an account of their own: service, global admin, user with `automations.write`, user.
pub const ACCESS: [(&str, [bool; 4]); 51] = [
    ("AccountService/CreateAccount", [true, false, false, false]),
    ("AccountService/GetAccount", [true, true, true, true]),
    ("AccountService/ListAccounts", [true, false, false, false]),
    ("AccountService/SetAccountPlan", [true, false, false, false]),
    ("AccountService/SetAccountLimits", [true, false, false, false]),
    ("AccountService/GetAccountUsage", [true, true, true, true]),
    ("AccountService/DeleteAccount", [true, false, false, false]),
    ("WebhookService/CreateWebhook", [false, true, false, false]),
    ("WebhookService/GetWebhook", [true, true, true, true]),
    ("WebhookService/ListWebhooks", [true, true, true, true]),
    ("WebhookService/UpdateWebhook", [false, true, true, true]),
    ("WebhookService/RotateWebhookSecret", [false, true, true, true]),
    ("WebhookService/GetWebhookHealth", [true, true, true, true]),
    ("WebhookService/TestWebhook", [false, true, true, true]),
    ("ExplainService/DryRun", [true, true, true, false]),
    ("WebhookService/DeleteWebhook", [false, true, true, true]),
    ("AutomationService/CreateAutomation", [false, true, true, false]),
    ("AutomationService/GetAutomation", [true, true, true, true]),
    ("AutomationService/ListAutomations", [true, true, true, true]),
    ("AutomationService/UpdateAutomation", [false, true, true, false]),
    ("AutomationService/ActivateAutomation", [false, true, true, true]),
    ("AutomationService/DeactivateAutomation", [false, true, true, true]),
    ("AutomationService/DeleteAutomation", [false, true, true, false]),
    ("EventService/Publish", [true, false, false, false]),
    ("EventService/PublishBatch", [true, false, false, false]),
    ("EventService/GetEvent", [true, true, false, false]),
    ("EventService/ListRecentEvents", [true, true, false, false]),
    ("ExplainService/Backtest", [true, true, true, false]),
    ("ExplainService/TestAutomation", [false, true, true, false]),
    ("ExecutionService/CancelExecution", [true, true, false, false]),
    ("ExecutionService/CountExecutions", [true, true, false, false]),
    ("ExecutionService/RetryExecution", [true, true, false, false]),
    ("ExplainService/ListMisses", [true, true, true, true]),
    ("IngestIdentityService/CreateIngestIdentity", [true, false, false, false]),
    ("IngestIdentityService/ListIngestIdentities", [true, false, false, false]),
    ("IngestIdentityService/DeleteIngestIdentity", [true, false, false, false]),
    ("CallerService/GetCaller", [true, true, true, true]),
    ("AuditService/ListAuditEntries", [true, true, false, false]),
    ("CatalogueService/ListObjects", [true, true, true, true]),
    ("CatalogueService/ListFields", [true, true, true, true]),
    ("CatalogueService/SetFields", [true, false, false, false]),
    ("WatchService/Watch", [true, true, true, true]),
    ("JobService/RetryExecutions", [true, true, false, false]),
    ("JobService/CancelExecutions", [true, true, false, false]),
    ("JobService/GetJob", [true, true, false, false]),
    ("JobService/ListJobs", [true, true, false, false]),
    ("JobService/CancelJob", [true, true, false, false]),
    // Only for a service of every account.
    ("KeyService/RotateKeys", [false, false, false, false]),
    ("ClockService/ConfirmClock", [false, false, false, false]),
    ("ExecutionService/GetExecution", [true, true, true, true]),
    ("ExecutionService/ListExecutions", [true, true, true, true]),
];

macro_rules! call {
    ($client:ident, $clients:ident . $method:ident ( $request:ident { $($field:ident : $value:expr),* $(,)? } )) => {{
        let request = pb::$request { $($field: $value,)* ..Default::default() };
        $client.$clients().$method($client.ask(request)).await.err()
    }};
}

/// Calls a method about an account with a request that harms nothing. Answers how it ended.
#[expect(clippy::needless_update, reason = "some requests have one field only")]
async fn attempt(client: &Client, method: &str, account: &str) -> Option<Status> {
    let parent = format!("accounts/{account}");
    let webhook = format!("{parent}/webhooks/none");
    let automation = format!("{parent}/automations/none");
    match method {
        "AccountService/CreateAccount" => {
            call!(client, accounts.create_account(CreateAccountRequest { account_id: account.into() }))
        }
        "AccountService/GetAccount" => call!(client, accounts.get_account(GetAccountRequest { name: parent })),
        "AccountService/ListAccounts" => call!(client, accounts.list_accounts(ListAccountsRequest {})),
        "AccountService/SetAccountPlan" => {
            call!(client, accounts.set_account_plan(SetAccountPlanRequest { name: parent }))
        }
        "AccountService/SetAccountLimits" => {
            call!(client, accounts.set_account_limits(SetAccountLimitsRequest { name: parent }))
        }
        "AccountService/GetAccountUsage" => {
            call!(client, accounts.get_account_usage(GetAccountUsageRequest { name: parent }))
        }
        "AccountService/DeleteAccount" => {
            call!(client, accounts.delete_account(DeleteAccountRequest { name: parent, etag: "\"no\"".into() }))
        }
        "WebhookService/CreateWebhook" => {
            call!(client, webhooks.create_webhook(CreateWebhookRequest { parent: parent }))
        }
        "WebhookService/GetWebhook" => call!(client, webhooks.get_webhook(GetWebhookRequest { name: webhook })),
        "WebhookService/ListWebhooks" => call!(client, webhooks.list_webhooks(ListWebhooksRequest { parent: parent })),
        "WebhookService/UpdateWebhook" => call!(
            client,
            webhooks.update_webhook(UpdateWebhookRequest {
                webhook: Some(pb::Webhook { name: webhook, ..Default::default() }),
            })
        ),
        "WebhookService/RotateWebhookSecret" => {
            call!(client, webhooks.rotate_webhook_secret(RotateWebhookSecretRequest { name: webhook }))
        }
        "WebhookService/GetWebhookHealth" => {
            call!(client, webhooks.get_webhook_health(GetWebhookHealthRequest { name: webhook }))
        }
        "WebhookService/TestWebhook" => call!(client, webhooks.test_webhook(TestWebhookRequest { name: webhook })),
        "ExplainService/DryRun" => call!(client, explain.dry_run(DryRunRequest { parent: parent })),
        "WebhookService/DeleteWebhook" => {
            call!(client, webhooks.delete_webhook(DeleteWebhookRequest { name: webhook }))
        }
        "AutomationService/CreateAutomation" => {
            call!(client, automations.create_automation(CreateAutomationRequest { parent: parent }))
        }
        "AutomationService/GetAutomation" => {
            call!(client, automations.get_automation(GetAutomationRequest { name: automation }))
        }
        "AutomationService/ListAutomations" => {
            call!(client, automations.list_automations(ListAutomationsRequest { parent: parent }))
        }
        "AutomationService/UpdateAutomation" => call!(
            client,
            automations.update_automation(UpdateAutomationRequest {
                automation: Some(pb::Automation { name: automation, ..Default::default() }),
            })
        ),
        "AutomationService/ActivateAutomation" => {
            call!(client, automations.activate_automation(ActivateAutomationRequest { name: automation }))
        }
        "AutomationService/DeactivateAutomation" => {
            call!(client, automations.deactivate_automation(DeactivateAutomationRequest { name: automation }))
        }
        "AutomationService/DeleteAutomation" => {
            call!(client, automations.delete_automation(DeleteAutomationRequest { name: automation }))
        }
        _ => attempt_about_what_runs(client, method, account).await,
    }
}

/// The same of the methods about events, executions, jobs and the installation.
#[expect(clippy::needless_update, reason = "some requests have one field only")]
async fn attempt_about_what_runs(client: &Client, method: &str, account: &str) -> Option<Status> {
    let parent = format!("accounts/{account}");
    let automation = format!("{parent}/automations/none");
    let job = format!("{parent}/jobs/jo-01kawdkvp7e0pvx9qgr0j8n2d3");
    match method {
        "EventService/PublishBatch" => call!(client, events.publish_batch(PublishBatchRequest { parent: parent })),
        "EventService/Publish" => {
            let frame = pb::PublishRequest { sequence: 1, parent, events: Vec::new(), accepts_retry_later: false };
            match client.events().publish(client.ask(tokio_stream::iter([frame]))).await {
                Ok(answers) => answers.into_inner().next().await.and_then(Result::err),
                Err(status) => Some(status),
            }
        }
        "ExecutionService/CancelExecution" => call!(
            client,
            executions.cancel_execution(CancelExecutionRequest {
                name: format!("{parent}/executions/ex-01kawdkvp7e0pvx9qgr0j8n2d3"),
            })
        ),
        "ExecutionService/CountExecutions" => {
            call!(client, executions.count_executions(CountExecutionsRequest { parent: parent }))
        }
        "ExecutionService/RetryExecution" => call!(
            client,
            executions.retry_execution(RetryExecutionRequest {
                name: format!("{parent}/executions/ex-01kawdkvp7e0pvx9qgr0j8n2d3"),
            })
        ),
        "JobService/RetryExecutions" => call!(client, jobs.retry_executions(RetryExecutionsRequest { parent: parent })),
        "JobService/CancelExecutions" => call!(
            client,
            jobs.cancel_executions(CancelExecutionsRequest {
                parent: parent,
                filter: Some(pb::ExecutionFilter { states: vec![99], ..Default::default() }),
            })
        ),
        "WatchService/Watch" => {
            let request = pb::WatchRequest { parent, only_new: true, ..Default::default() };
            match client.watches().watch(client.ask(request)).await {
                Ok(answers) => answers.into_inner().next().await.and_then(Result::err),
                Err(status) => Some(status),
            }
        }
        "IngestIdentityService/CreateIngestIdentity" => {
            call!(client, ingest.create_ingest_identity(CreateIngestIdentityRequest { parent: parent }))
        }
        "IngestIdentityService/ListIngestIdentities" => {
            call!(client, ingest.list_ingest_identities(ListIngestIdentitiesRequest { parent: parent }))
        }
        "IngestIdentityService/DeleteIngestIdentity" => call!(
            client,
            ingest.delete_ingest_identity(DeleteIngestIdentityRequest {
                name: format!("{parent}/ingestIdentities/none"),
            })
        ),
        "EventService/GetEvent" => call!(client, events.get_event(GetEventRequest { parent: parent })),
        "EventService/ListRecentEvents" => {
            call!(client, events.list_recent_events(ListRecentEventsRequest { parent: parent }))
        }
        "ExplainService/Backtest" => call!(client, explain.backtest(BacktestRequest { parent: parent })),
        "ExplainService/TestAutomation" => {
            call!(client, explain.test_automation(TestAutomationRequest { name: automation }))
        }
        "ExplainService/ListMisses" => call!(client, explain.list_misses(ListMissesRequest { automation: automation })),
        "AuditService/ListAuditEntries" => {
            call!(client, audit.list_audit_entries(ListAuditEntriesRequest { parent: parent }))
        }
        "CatalogueService/ListObjects" => call!(client, catalogue.list_objects(ListObjectsRequest { parent: parent })),
        "CatalogueService/ListFields" => call!(client, catalogue.list_fields(ListFieldsRequest { parent: parent })),
        "CatalogueService/SetFields" => call!(client, catalogue.set_fields(SetFieldsRequest { parent: parent })),
        "KeyService/RotateKeys" => call!(client, keys.rotate_keys(RotateKeysRequest {})),
        "CallerService/GetCaller" => call!(client, callers.get_caller(GetCallerRequest {})),
        "ClockService/ConfirmClock" => call!(client, clocks.confirm_clock(ConfirmClockRequest {})),
        "JobService/GetJob" => call!(client, jobs.get_job(GetJobRequest { name: job })),
        "JobService/ListJobs" => call!(client, jobs.list_jobs(ListJobsRequest { parent: parent })),
        "JobService/CancelJob" => call!(client, jobs.cancel_job(CancelJobRequest { name: job })),
        "ExecutionService/GetExecution" => {
            call!(
                client,
                executions.get_execution(GetExecutionRequest {
                    name: format!("{parent}/executions/ex-01kawdkvp7e0pvx9qgr0j8n2d3"),
                })
            )
        }
        "ExecutionService/ListExecutions" => {
            call!(client, executions.list_executions(ListExecutionsRequest { parent: parent }))
        }
        other => panic!("no call of {other} here"),
    }
}

/// The methods that the port has, from its own description.
fn methods() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).expect("a description");
    let ours = set.file.into_iter().filter(|file| file.package() == "hookline.v1");
    ours.flat_map(|file| file.service)
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| format!("{name}/{}", method.name()))
        })
        .collect()
}

async fn every_method_lets_in_whom_it_should(database: Database) {
    let listed: BTreeSet<_> = ACCESS.iter().map(|(method, _)| (*method).to_owned()).collect();
    assert_eq!(listed, methods(), "the table has every method");
    let server = Server::start(&database, &[]).await;
    let all = server.client("service", "*", &[]).await;
    for account in ["42", "43"] {
        all.create_account(account, pb::Plan::Power).await.expect("creates");
    }
    let writer = ["--user", "2", "--permissions", "automations.write"];
    let callers = [
        server.client("service", "42", &[]).await,
        server.client("global_admin", "42", &["--user", "1"]).await,
        server.client("user", "42", &writer).await,
        server.client("user", "42", &["--user", "3"]).await,
    ];
    let nobody = server.client_with("x.y.z").await;
    for (method, allowed) in ACCESS {
        for (caller, is_allowed) in callers.iter().zip(allowed) {
            let own = attempt(caller, method, "42").await;
            let is_denied = own.as_ref().is_some_and(|status| status.code() == Code::PermissionDenied);
            assert_eq!(is_denied, !is_allowed, "{method}: {own:?}");
            if method == "AccountService/ListAccounts" || method == "CallerService/GetCaller" {
                continue;
            }
            for foreign in ["43", "no-such"] {
                let denied = attempt(caller, method, foreign).await.expect("a foreign account");
                assert_eq!(denied.code(), Code::PermissionDenied, "{method} of {foreign}: {denied:?}");
            }
        }
        let unknown = attempt(&nobody, method, "42").await.expect("no good token");
        assert_eq!(unknown.code(), Code::Unauthenticated, "{method}");
        let reason = unknown.get_details_error_info().expect("a reason").reason;
        assert_eq!(reason, "TOKEN_MALFORMED", "{method}");
    }
}

/// A certificate for the loopback, signed by an authority of the test's own, and a client's.
pub async fn certificates(folder: &Path) {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
            -keyout ca.key -out ca.pem
        for name in server next client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > extensions
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out $name.pem
        done"#;
    let mut command = Command::new("bash");
    command.args(["-ec", script]).current_dir(folder).stderr(Stdio::null());
    assert!(command.status().await.expect("runs").success(), "openssl makes certificates");
}

async fn connect(server: &Server, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Channel::from_shared(format!("https://{}", server.address)).expect("an address");
    endpoint.tls_config(tls)?.connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_tls_asks_for_certificates_and_takes_new_ones() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::sqlite();
    let folder = database.folder.path();
    certificates(folder).await;
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
    let flags = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-client-ca-file", "ca.pem"];
    let server = Server::spawn(&database, &flags, &[]).await;
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca.pem")));
    let known = trusting.clone().identity(Identity::from_pem(read("client.pem"), read("client.key")));
    let channel = connect(&server, known.clone()).await.expect("a client with a certificate is let in");
    hookline::demo::until_serving(channel).await.expect("serves");
    let stranger = match connect(&server, trusting).await {
        Ok(channel) => hookline::demo::until_serving(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(stranger, "a client without a certificate is not");
    let plain = Channel::from_shared(format!("http://{}", server.address)).expect("an address").connect().await;
    let plain = match plain {
        Ok(channel) => hookline::demo::until_serving(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(plain, "nor one without TLS");

    // The command line does the same, and says what is missing.
    let say = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        let output = command.args(words).current_dir(folder).output().await.expect("runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (https, http) = (format!("https://{}", server.address), format!("http://{}", server.address));
    let trust = ["health", "--address", &https, "--ca-file", "ca.pem"];
    let (ok, said) = say(&[&trust[..], &["--cert-file", "client.pem", "--key-file", "client.key"]].concat()).await;
    assert!(ok, "{said}");
    let (ok, said) = say(&trust).await;
    assert!(!ok && said.contains("--cert-file, --key-file"), "{said}");
    let (ok, said) = say(&["health", "--address", &https]).await;
    assert!(!ok && said.contains("give --ca-file"), "{said}");
    let (ok, said) = say(&["health", "--address", &http]).await;
    assert!(!ok && said.contains("https://"), "{said}");

    let before = served_certificate(&server, folder).await;
    std::fs::rename(folder.join("next.key"), folder.join("server.key")).expect("renames");
    std::fs::rename(folder.join("next.pem"), folder.join("server.pem")).expect("renames");
    eventually("the new certificate is served", || async {
        (served_certificate(&server, folder).await != before).then_some(())
    })
    .await;
    connect(&server, known).await.expect("and is good");
    assert!(server.terminate().await);
}

/// Silent sockets, as many as one address may have, delay no honest handshake.
#[tokio::test(flavor = "multi_thread")]
async fn silent_handshakes_hold_up_nobody() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::sqlite();
    let folder = database.folder.path();
    certificates(folder).await;
    let flags = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--handshake-timeout-ms", "60000"];
    let server = Server::spawn(&database, &flags, &[]).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(tokio::net::TcpStream::connect(server.address).await.expect("connects"));
    }
    let authority = std::fs::read(folder.join("ca.pem")).expect("a file");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    let connected = tokio::time::timeout(Duration::from_secs(3), connect(&server, tls)).await;
    let channel = connected.expect("in time").expect("connects");
    hookline::demo::until_serving(channel).await.expect("serves");
}

/// The certificate that the port shows, as openssl sees it.
async fn served_certificate(server: &Server, folder: &Path) -> String {
    let script = format!(
        "openssl s_client -connect {} -alpn h2 -cert client.pem -key client.key -CAfile ca.pem </dev/null 2>/dev/null \
         | openssl x509 -noout -subject",
        server.address
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(folder).output().await.expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_over_its_limit_is_refused_and_harms_nobody() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let large = server.client_with(&"x".repeat(20_000)).await;
    let refused = large.create_account("42", pb::Plan::Power).await.expect_err("metadata over the limit");
    assert_ne!(refused.code(), Code::Ok);
    let long = server.client_with(&"x".repeat(9_000)).await;
    let refused = long.create_account("42", pb::Plan::Power).await.expect_err("a token over its limit");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    service.create_account("42", pb::Plan::Power).await.expect("others are served");
}

async fn with_an_automation(server: &Server, receiver: &Receiver) -> Client {
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    service
}

fn frame(sequence: u64, events: Vec<pb::EventInput>) -> pb::PublishRequest {
    pb::PublishRequest { sequence, parent: "accounts/42".into(), events, accepts_retry_later: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_sends_nothing_ends_well() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let nothing = tokio_stream::iter(Vec::<pb::PublishRequest>::new());
    let mut answers = service.events().publish(service.ask(nothing)).await.expect("opens").into_inner();
    assert!(answers.next().await.is_none(), "no answer, and status OK");
    let (sender, receiver) = tokio::sync::mpsc::channel::<pb::PublishRequest>(1);
    let mut silent =
        service.events().publish(service.ask(ReceiverStream::new(receiver))).await.expect("opens").into_inner();
    assert!(server.terminate().await, "a silent stream does not hold up a shutdown");
    let told = silent.next().await.expect("an answer").expect("an announcement");
    assert!(told.shutting_down);
    let end = silent.next().await.expect("an end").expect_err("a status");
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(end.get_details_error_info().expect("a reason").reason, "SHUTTING_DOWN");
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_sends_too_fast_is_held_back_and_loses_nothing() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = with_an_automation(&server, &receiver).await;
    // Nothing can be committed while another connection writes.
    let url = format!("sqlite://{}", database.url);
    let other = sea_orm::Database::connect(url).await.expect("connects");
    sea_orm::ConnectionTrait::execute_unprepared(&other, "BEGIN IMMEDIATE").await.expect("locks");
    const FRAMES: u64 = 24;
    let large = format!(r#"{{"text": "{}"}}"#, "x".repeat(900_000));
    let (sender, frames) = tokio::sync::mpsc::channel(1);
    let sending = tokio::spawn(async move {
        for sequence in 1..=FRAMES {
            let event = deal(&format!("e{sequence}"), "8", &large);
            sender.send(frame(sequence, vec![event])).await.expect("the stream is open");
        }
    });
    let mut answers =
        service.events().publish(service.ask(ReceiverStream::new(frames))).await.expect("opens").into_inner();
    let mut sending = Box::pin(sending);
    let held = tokio::time::timeout(HELD_BACK, &mut sending).await;
    assert!(held.is_err(), "the server reads no further than its bound");
    sea_orm::ConnectionTrait::execute_unprepared(&other, "ROLLBACK").await.expect("unlocks");
    let mut acked = 0;
    while let Some(answer) = answers.next().await {
        acked = answer.expect("an acknowledgement").acked_sequence;
    }
    sending.await.expect("sends");
    assert_eq!(acked, FRAMES, "everything is taken in once there is room");
    eventually("every execution ends", || async {
        let history = service.history("42").await;
        (history.len() as u64 == FRAMES && history.iter().all(|one| one.end_time.is_some())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_reads_its_answers_holds_up_nobody_else() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--shutdown-grace-ms", "500"]).await;
    let receiver = Receiver::start().await;
    let service = with_an_automation(&server, &receiver).await;
    let (sender, frames) = tokio::sync::mpsc::channel(1);
    let deaf = server.client("service", "*", &[]).await;
    let answers = deaf.events().publish(deaf.ask(ReceiverStream::new(frames))).await.expect("opens").into_inner();
    // Each event is answered with a result, so that the answers fill their bound.
    let sending = tokio::spawn(async move {
        for sequence in 1.. {
            let bad = (0..1_000).map(|at| deal(&format!("e{at}"), "8", "[]")).collect();
            if sender.send(frame(sequence, bad)).await.is_err() {
                return sequence;
            }
        }
        0
    });
    let mut sending = Box::pin(sending);
    assert!(tokio::time::timeout(HELD_BACK, &mut sending).await.is_err(), "it is held back in the end");
    service.publish("42", vec![deal("good", "8", "{}")]).await.expect("others are served");
    assert!(server.terminate().await, "and the shutdown does not wait for it");
    drop(answers);
}

async fn a_shutdown_lets_requests_end_and_starts_no_other(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = with_an_automation(&server, &receiver).await;
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let mut twice = automation("42", "hook", "person", pb::EventAction::Change, r#"{"action": 1}"#);
    twice.actions.push(twice.actions[0].clone());
    admin.create_automation("42", twice).await.expect("creates");
    receiver.hold();
    let mut person = deal("e1", "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut person.kind {
        event.object = "person".into();
    }
    service.publish("42", vec![person]).await.expect("acks");
    eventually("the receiver holds the first request", || async { (receiver.got().len() == 1).then_some(()) }).await;
    server.signal().await;
    eventually("it shuts down", || async { server.log().contains("shutting down").then_some(()) }).await;
    receiver.release();
    assert!(server.terminate_after_signal().await, "it waits for the request, records it and ends");
    assert_eq!(receiver.got().len(), 1, "the second action is left for the next start");
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    eventually("the second action is sent", || async {
        service.history("42").await.iter().any(|one| one.state() == pb::ExecutionState::Succeeded).then_some(())
    })
    .await;
    assert_eq!(receiver.got().len(), 2, "and the first one never again");
}

async fn a_second_signal_ends_the_waiting(database: Database) {
    let flags = ["--shutdown-grace-ms", "600000", "--request-deadline-ms", "60000", "--lease-ms", "120000"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let service = with_an_automation(&server, &receiver).await;
    receiver.hold();
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("the receiver holds the request", || async { (receiver.got().len() == 1).then_some(()) }).await;
    server.signal().await;
    eventually("it waits", || async { server.log().contains("a second signal ends the waiting").then_some(()) }).await;
    let (ended_well, log) = server.terminate_with_log().await;
    assert!(ended_well, "{log}");
    assert!(log.contains("not waiting any longer"), "{log}");
    receiver.release();
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    eventually("what was under way is sent again", || async {
        service.history("42").await.iter().any(|one| one.state() == pb::ExecutionState::Succeeded).then_some(())
    })
    .await;
    assert_eq!(receiver.got().len(), 2);
}
