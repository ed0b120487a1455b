//! A server process, a receiver, databases and clients for the tests.

mod client;
pub mod nginx;
pub mod proxy;
mod receiver;

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use clap::Parser;
use hookline::{
    cli::command::{Cli, Command as Task},
    grpc::pb,
};
use sea_orm::ConnectionTrait;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tonic::transport::Channel;

pub use self::{
    client::{Answer, Client},
    receiver::Receiver,
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often `eventually` looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A database of a test's own.
pub struct Database {
    pub folder: tempfile::TempDir,
    pub url: String,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = folder.path().join("test.db").display().to_string();
        Self { folder, url }
    }

    pub async fn postgres() -> Self {
        let admin = std::env::var("HOOKLINE_TEST_POSTGRES")
            .expect("HOOKLINE_TEST_POSTGRES names a PostgreSQL server; ./tests/run starts one");
        let connection = sea_orm::Database::connect(format!("{admin}/postgres")).await.expect("connects");
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("creates");
        connection.close().await.expect("closes");
        Self { folder: tempfile::tempdir().expect("a folder"), url: format!("{admin}/{name}") }
    }

    /// Runs a statement. No server may run.
    pub async fn execute(&self, sql: &str) {
        let connection = self.connect().await;
        connection.execute_unprepared(sql).await.expect(sql);
        connection.close().await.expect("closes");
    }

    async fn connect(&self) -> sea_orm::DatabaseConnection {
        let url = if self.url.starts_with("postgres") { self.url.clone() } else { format!("sqlite://{}", self.url) };
        sea_orm::Database::connect(url).await.expect("connects")
    }

    /// Moves the whole history this long into the past, and has every account look at it. No server may run.
    pub async fn age(&self, by: Duration) {
        let connection = self.connect().await;
        let by_us = i64::try_from(by.as_micros()).expect("fits");
        // Numbers are made of times, and keys of parts of numbers.
        let numbers = i64::try_from(by.as_millis()).expect("fits") << 12;
        let parts = numbers << 2;
        for sql in [
            format!("UPDATE attempts SET execution = execution - {numbers}"),
            format!("UPDATE parts SET id = id - {parts}"),
            format!("UPDATE executions SET id = id - {numbers}, event_part = event_part - {parts}"),
        ] {
            connection.execute_unprepared(&sql).await.expect("ages");
        }
        let shift = format!("UPDATE executions SET created_at = created_at - {by_us}, ended_at = ended_at - {by_us}");
        let deleted = format!("UPDATE webhooks SET deleted_at = deleted_at - {by_us}");
        for sql in [shift.as_str(), deleted.as_str(), "UPDATE accounts SET expires_at = 1, next_due_at = 1"] {
            connection.execute_unprepared(sql).await.expect("ages");
        }
        connection.close().await.expect("closes");
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        self.numbers(&format!("SELECT COUNT(*) FROM {table}")).await[0]
    }

    /// The numbers that a query answers.
    pub async fn numbers(&self, sql: &str) -> Vec<i64> {
        let connection = self.connect().await;
        let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
        let rows = connection.query_all_raw(statement).await.expect("answers");
        connection.close().await.expect("closes");
        rows.iter().map(|row| row.try_get_by_index(0).expect("a number")).collect()
    }
}

/// How long leases are in tests: whoever starts after a kill waits for the end of one.
const LEASE: [&str; 4] = ["--lease-ms", "5000", "--request-deadline-ms", "2500"];

/// What a server on PostgreSQL is told of its lease, where the test does not.
fn lease(url: &str, flags: &[&str]) -> &'static [&'static str] {
    let is_told = flags.contains(&"--lease-ms") || flags.contains(&"--request-deadline-ms");
    if url.starts_with("postgres") && !is_told { &LEASE } else { &[] }
}

/// A server process.
pub struct Server {
    child: Child,
    log: PathBuf,
    pub address: SocketAddr,
    /// The URL of the operations port.
    pub operations: String,
    /// The URL of the HTTP port, where it has one.
    pub http: String,
    key_folder: PathBuf,
    database: String,
}

impl Server {
    /// Starts a server and waits until it serves.
    pub async fn start(database: &Database, more: &[&str]) -> Self {
        Self::start_with(database, more, &[]).await
    }

    /// Starts a server with more variables, too.
    pub async fn start_with(database: &Database, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::until_serving(Self::spawn(database, more, variables).await).await
    }

    /// Starts a server that sends to public addresses only.
    pub async fn start_strict(database: &Database) -> Self {
        Self::until_serving(Self::spawn_with(database, &["--allow-http"], &[]).await).await
    }

    /// Starts a server; it has its port, but may not serve yet.
    pub async fn spawn(database: &Database, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let open = ["--allow-http", "--allow-addresses", "127.0.0.0/8"];
        Self::spawn_with(database, &[&open, more].concat(), variables).await
    }

    /// Starts a server by another command, such as one that sets its limits.
    pub async fn start_under(under: &[&str], database: &Database, more: &[&str]) -> Self {
        let open = ["--allow-http", "--allow-addresses", "127.0.0.0/8"];
        Self::until_serving(Self::spawn_under(under, database, &[&open, more].concat(), &[]).await).await
    }

    async fn until_serving(server: Self) -> Self {
        let serving = hookline::demo::until_serving(server.channel().await);
        tokio::time::timeout(PATIENCE, serving).await.expect("in time").expect("serves");
        server
    }

    async fn spawn_with(database: &Database, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn_under(&[], database, flags, variables).await
    }

    async fn spawn_under(under: &[&str], database: &Database, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = database.folder.path().join(format!("{}.log", uuid::Uuid::now_v7()));
        let words = [under, &[env!("CARGO_BIN_EXE_hookline")]].concat();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["serve", "--operations-listen", "127.0.0.1:0"])
            .args(if flags.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] })
            .args(["--database", &database.url])
            .args(flags)
            .args(lease(&database.url, flags))
            .envs(variables.iter().copied())
            .current_dir(database.folder.path())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .kill_on_drop(true);
        let mut child = command.spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output")).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("reads");
        let line = line.expect("a line");
        let address = line.strip_prefix("listening on ").expect("an address").parse().expect("an address");
        let line = lines.next_line().await.expect("reads").expect("a line");
        let operations = line.strip_prefix("operations on ").expect("an address").to_owned();
        let http = if flags.contains(&"--http-listen") {
            let line = lines.next_line().await.expect("reads").expect("a line");
            line.strip_prefix("HTTP on ").expect("a URL").trim_end_matches('/').to_owned()
        } else {
            String::new()
        };
        let key_folder = database.folder.path().to_owned();
        Self { child, log, address, operations, http, key_folder, database: database.url.clone() }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("runs")
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("kills");
    }

    /// SIGTERM, without waiting for the end.
    pub async fn signal(&self) {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await.expect("signals");
    }

    /// SIGTERM; answers whether the exit status was 0.
    pub async fn terminate(self) -> bool {
        self.terminate_with_log().await.0
    }

    /// SIGTERM; answers whether the exit status was 0, and the whole log.
    pub async fn terminate_with_log(self) -> (bool, String) {
        self.signal().await;
        self.ended().await
    }

    /// Waits for its end after a signal; answers whether the exit status was 0.
    pub async fn terminate_after_signal(self) -> bool {
        self.ended().await.0
    }

    /// Waits for its end by itself; answers whether the exit status was 0, and the whole log.
    pub async fn end(self) -> (bool, String) {
        self.ended().await
    }

    async fn ended(mut self) -> (bool, String) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("in time");
        (ended.expect("ends").success(), self.log())
    }

    /// A client with a token.
    pub async fn client(&self, role: &str, account: &str, more: &[&str]) -> Client {
        self.client_with(&self.token(role, account, more)).await
    }

    /// A token as `hookline token` makes it, made in this process; the command line's own tests start the binary.
    pub fn token(&self, role: &str, account: &str, more: &[&str]) -> String {
        let words = ["hookline", "token", "--database", &self.database, "--role", role, "--account", account];
        // Beside SQLite's file, which is a whole path; with PostgreSQL in the server's working directory.
        let local_key = self.key_folder.join("hookline.signing.key").display().to_string();
        let is_elsewhere = self.database.starts_with("postgres") && !more.contains(&"--signing-key-file");
        let key: &[&str] = if is_elsewhere { &["--signing-key-file", &local_key] } else { &[] };
        let cli = Cli::try_parse_from(words.iter().chain(key).chain(more)).expect("arguments");
        let Task::Token(args) = cli.command else { panic!("no token was asked for") };
        hookline::cli::token::token(&args).expect("a token")
    }

    pub async fn client_with(&self, token: &str) -> Client {
        Client::new(self.channel().await, token)
    }

    /// A client that takes only so many bytes of a stream before it has read them.
    pub async fn narrow_client(&self, token: &str, window_bytes: u32) -> Client {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        let endpoint = endpoint.initial_stream_window_size(window_bytes);
        let channel = endpoint.connect().await.expect("connects");
        Client::new(channel, token)
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("an address");
        tokio::time::timeout(PATIENCE, endpoint.connect()).await.expect("in time").expect("connects")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Account 42 on the plan POWER, and its webhook `hook`. Answers a service and the admin.
pub async fn account_42(server: &Server, url: &str) -> (Client, Client) {
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", url).await.expect("creates");
    (service, admin)
}

/// A regular webhook: its name is its id, too.
pub fn regular(name: &str, url: &str, subscription: &str) -> pb::CreateWebhookRequest {
    let webhook = pb::Webhook {
        display_name: name.into(),
        kind: pb::WebhookKind::Regular.into(),
        endpoint_url: url.into(),
        subscription: subscription.into(),
        ..Default::default()
    };
    pb::CreateWebhookRequest {
        parent: "accounts/42".into(),
        webhook_id: name.into(),
        webhook: Some(webhook),
        request_id: String::new(),
    }
}

/// Has an execution run again.
pub async fn retry(
    client: &Client,
    name: &str,
    start: pb::RetryStart,
    requests: pb::RetryRequests,
) -> Answer<pb::Execution> {
    let request = pb::RetryExecutionRequest {
        name: name.into(),
        start: start.into(),
        requests: requests.into(),
        request_id: String::new(),
    };
    let answer = client.executions().retry_execution(client.ask(request)).await?.into_inner();
    Ok(answer.execution.expect("an execution"))
}

/// An automation with one raw POST.
pub fn automation(account: &str, webhook: &str, object: &str, action: pb::EventAction, body: &str) -> pb::Automation {
    pb::Automation {
        display_name: "An automation".into(),
        trigger_object: object.into(),
        trigger_action: action.into(),
        actions: vec![pb::WebhookAction {
            webhook: format!("accounts/{account}/webhooks/{webhook}"),
            method: pb::HttpMethod::Post.into(),
            body: Some(pb::webhook_action::Body::RawJson(body.into())),
            ..pb::WebhookAction::default()
        }],
        ..pb::Automation::default()
    }
}

/// One condition, compared with numbers.
pub fn condition(field: &str, operator: pb::Operator, numbers: &[&str]) -> pb::ConditionGroup {
    let number = |text: &&str| pb::Scalar { kind: Some(pb::scalar::Kind::Number((*text).to_owned())) };
    let clause = pb::Clause {
        field: field.into(),
        operator: operator.into(),
        values: numbers.iter().map(number).collect(),
        ..Default::default()
    };
    pb::ConditionGroup {
        r#match: pb::ConditionMatch::All.into(),
        conditions: vec![pb::Condition { kind: Some(pb::condition::Kind::Clause(clause)) }],
    }
}

/// A change of a deal.
pub fn deal(event_id: &str, entity_id: &str, data: &str) -> pb::EventInput {
    pb::EventInput {
        kind: Some(pb::event_input::Kind::Event(pb::Event {
            event_id: event_id.into(),
            object: "deal".into(),
            action: pb::EventAction::Change.into(),
            entity_id: entity_id.into(),
            occur_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            user_id: "7".into(),
            data: data.as_bytes().to_vec().into(),
            ..pb::Event::default()
        })),
        ..pb::EventInput::default()
    }
}

/// The next answer of a stream, in time.
pub async fn next<T>(stream: &mut tonic::Streaming<T>) -> Answer<Option<T>> {
    tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time")
}

/// The reason of a status.
pub fn reason(status: &tonic::Status) -> String {
    let details = tonic_types::StatusExt::get_error_details(status);
    details.error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// The first field that a status names.
pub fn bad_field(status: &tonic::Status) -> String {
    let details = tonic_types::StatusExt::get_error_details(status);
    let violation = details.bad_request().and_then(|fault| fault.field_violations.first());
    violation.map(|violation| violation.field.clone()).unwrap_or_default()
}

/// Looks again and again until something is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}
