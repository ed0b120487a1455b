//! Databases as the version of before one row an execution left them, after a kill, are carried over: every execution is shown
//! as it was, and what was under way goes on.

use std::{collections::BTreeMap, io::Read, path::Path, process::Stdio, sync::LazyLock};

use hookline::grpc::pb;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::harness::{Client, Database, Server, deal, eventually};

/// Limits as they were when the databases were made, and requests that go nowhere.
const FLAGS: [&str; 8] = [
    "--request-deadline-ms",
    "2500",
    "--lease-ms",
    "5000",
    "--paused-executions-max",
    "3",
    "--execution-window-ms",
    "86400000",
];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade").join(name);
    let mut text = String::new();
    let bytes = std::fs::read(&path).expect("a file");
    match name.ends_with(".gz") {
        true => flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).expect("unpacks"),
        false => (&*bytes).read_to_string(&mut text).expect("reads"),
    };
    text
}

/// A database of before, with the key that it was sealed by.
async fn restored(database: &Database) {
    let kind = if database.url.starts_with("postgres") { "postgres" } else { "sqlite" };
    // What a dump of SQLite leaves out.
    let prefix = match kind {
        "sqlite" => "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;",
        _ => "",
    };
    if kind == "sqlite" {
        std::fs::File::create(&database.url).expect("makes a file");
        // Who calls needs another key than what is sealed.
        std::fs::write(format!("{}.signing.key", database.url), file("sealing.key")).expect("writes");
    }
    database.execute(&format!("{prefix}{}", file(&format!("{kind}.sql.gz")))).await;
    let key = database.folder.path().join("sealing.key");
    std::fs::write(key, file("sealing.key")).expect("writes");
}

/// What the version of before said, by account.
fn expected(database: &Database) -> BTreeMap<String, Value> {
    let kind = if database.url.starts_with("postgres") { "postgres" } else { "sqlite" };
    serde_json::from_str(&file(&format!("expected-{kind}.json.gz"))).expect("JSON")
}

/// Runs `hookline migrate`.
fn migrate(database: &Database, more: &[&str]) -> tokio::process::Child {
    Command::new(env!("CARGO_BIN_EXE_hookline"))
        .arg("migrate")
        .args(["--database", &database.url])
        .args(more)
        .current_dir(database.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

async fn start(database: &Database) -> Server {
    let key = database.folder.path().join("sealing.key").display().to_string();
    Server::start(database, &[&FLAGS[..], &["--sealing-key-file", &key]].concat()).await
}

/// An execution is shown as JSON says that it was.
fn same(shown: &pb::Execution, json: &Value) {
    // Answers did not say yet what a body is.
    let request = |request: &pb::Request| pb::Request { content_type: String::new(), ..request.clone() };
    let shown = pb::Execution { requests: shown.requests.iter().map(request).collect(), ..shown.clone() };
    static EXECUTION: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).expect("a description");
        pool.get_message_by_name("hookline.v1.Execution").expect("executions")
    });
    let expected = DynamicMessage::deserialize(EXECUTION.clone(), json.clone()).expect("an execution");
    let shown = DynamicMessage::decode(EXECUTION.clone(), shown.encode_to_vec().as_slice()).expect("decodes");
    for field in EXECUTION.fields() {
        let (shown, expected) = (shown.get_field(&field), expected.get_field(&field));
        assert!(shown == expected, "{} of {}: {shown} instead of {expected}", field.name(), json["name"]);
    }
}

/// Everything that has ended is shown as before, in pages too, to whoever may see what.
async fn history_is_as_it_was(server: &Server, expected: &BTreeMap<String, Value>) {
    let service = server.client("service", "*", &[]).await;
    for (account, expected) in expected {
        let id = account.strip_prefix("accounts/").expect("a name");
        let admin = server.client("global_admin", id, &["--user", "1"]).await;
        let listed = pages(&service, account, 7).await;
        let names: Vec<_> = listed.iter().map(|one| one.name.clone()).collect();
        let ended = expected["executions"].as_array().expect("executions");
        let unfinished = expected["unfinished"].as_array().expect("executions");
        assert_eq!(names.len(), ended.len() + unfinished.len(), "of {account}");
        for one in ended {
            let name = one["list"]["name"].as_str().expect("a name");
            same(listed.iter().find(|listed| listed.name == name).expect("listed"), &one["list"]);
            same(&admin.execution(name).await, &one["get_global_admin"]);
            let to_service = if one["get_service"] == "same" { &one["get_global_admin"] } else { &one["get_service"] };
            same(&service.execution(name).await, to_service);
        }
        let at = |name: &str| names.iter().position(|listed| listed == name).expect("listed");
        let order: Vec<_> = ended.iter().map(|one| at(one["list"]["name"].as_str().expect("a name"))).collect();
        assert!(order.is_sorted(), "newest first, as before: {order:?}");
        for one in unfinished {
            assert!(names.iter().any(|name| name.ends_with(one["id"].as_str().expect("an id"))), "{}", one["id"]);
        }
    }
}

async fn pages(client: &Client, account: &str, size: i32) -> Vec<pb::Execution> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListExecutionsRequest {
            parent: account.to_owned(),
            page_size: size,
            page_token: token,
            ..pb::ListExecutionsRequest::default()
        };
        let page = client.executions().list_executions(client.ask(request)).await.expect("lists").into_inner();
        found.extend(page.executions);
        token = page.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

async fn what_was_is_carried_over(database: Database) {
    restored(&database).await;
    let expected = expected(&database);
    let output = migrate(&database, &[]).wait_with_output().await.expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // States, places and attempts of what had not ended, before anything goes on.
    for (at, count) in [2, 6, 13, 4, 26, 8, 2, 2].into_iter().enumerate() {
        let sql = format!("SELECT COUNT(*) FROM executions WHERE state = {}", at + 1);
        assert_eq!(database.numbers(&sql).await, [count], "{sql}");
    }
    assert_eq!(database.numbers("SELECT COUNT(*) FROM executions WHERE uid IS NULL").await, [0], "ids are kept");
    let server = start(&database).await;
    history_is_as_it_was(&server, &expected).await;
    let service = server.client("service", "*", &[]).await;
    // What was under way is sent again, what was retried goes on with its next attempt.
    eventually("everything that may go on does", || async {
        let found = pages(&service, "accounts/42", 100).await;
        let waits =
            |one: &pb::Execution| matches!(one.state(), pb::ExecutionState::Pending | pb::ExecutionState::Running);
        (!found.iter().any(waits)).then_some(())
    })
    .await;
    let unfinished = expected["accounts/42"]["unfinished"].as_array().expect("executions");
    for one in unfinished.iter().filter(|one| one["state"] == "RUNNING") {
        let name = format!("accounts/42/executions/{}", one["id"].as_str().expect("an id"));
        let before = &one["before_kill"]["get_global_admin"]["requests"];
        let attempts = |requests: &Value| {
            let of = |request: &Value| request["attempts"].as_array().map_or(0, Vec::len);
            requests.as_array().expect("requests").iter().map(of).sum::<usize>()
        };
        let now = service.execution(&name).await;
        let made: usize = now.requests.iter().map(|request| request.attempts.len()).sum();
        assert!(made > attempts(before), "{name} has another attempt");
    }
    // An event of before is known, a run of before runs again, and the new one is linked to it.
    let known = expected["accounts/42"]["executions"][0]["list"]["event_id"].as_str().expect("an id").to_owned();
    let results = service.publish("42", vec![deal(&known, "8", "{}")]).await.expect("acks");
    assert_eq!(results.first().map(|one| one.status()), Some(pb::EventStatus::Duplicate), "{results:?}");
    let ended = expected["accounts/42"]["executions"].as_array().expect("executions");
    let failed = ended.iter().find(|one| one["list"]["reason"] == "UNAUTHORIZED").expect("one was not authorized");
    let name = failed["list"]["name"].as_str().expect("a name").to_owned();
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let request = pb::RetryExecutionRequest { name: name.clone(), ..pb::RetryExecutionRequest::default() };
    let retried = admin.executions().retry_execution(admin.ask(request)).await.expect("runs again").into_inner();
    let retried = retried.execution.expect("an execution");
    assert_eq!((retried.retry_of.as_str(), retried.run), (name.as_str(), 1));
    assert_eq!(service.execution(&retried.name).await.event_id, failed["list"]["event_id"].as_str().expect("an id"));
    assert!(server.terminate().await);
}

/// Copies of what had ended, so that the migration takes a while.
async fn multiply(database: &Database, count: u32) {
    let (numbers, uuid) = match database.url.starts_with("postgres") {
        true => (format!("generate_series(1, {count}) AS n (i)"), "gen_random_uuid()"),
        false => {
            let n = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n"
            );
            (format!("({n}) AS n"), "randomblob(16)")
        }
    };
    let prefix = if database.url.starts_with("postgres") { "SET search_path TO public;" } else { "" };
    let columns = "account_uid, source_kind, source_uid, run, object, action, entity_id, acting_user, state, reason, \
                   due_at, next_webhook, admitted_window, changed_revision, retry_of, trace, action_no, attempts, \
                   failed_actions, created_at, ended_at, requests, webhooks, may_be_done";
    database
        .execute(&format!(
            "{prefix} INSERT INTO executions (uid, event_id, {columns}) SELECT {uuid}, 'copy-' || i, {columns} \
             FROM {numbers} CROSS JOIN (SELECT * FROM executions WHERE state = 5 AND source_kind = 1 LIMIT 1) AS one"
        ))
        .await;
}

async fn a_migration_that_is_cut_goes_on(database: Database) {
    const COPIES: u32 = 30_000;
    restored(&database).await;
    multiply(&database, COPIES).await;
    let before = database.numbers("SELECT COUNT(*) FROM executions").await;
    for _ in 0..2 {
        let mut child = migrate(&database, &[]);
        eventually("some is carried over", || async {
            let tables = match database.url.starts_with("postgres") {
                true => "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'new_executions'",
                false => "SELECT COUNT(*) FROM sqlite_master WHERE name = 'new_executions'",
            };
            (database.numbers(tables).await == [1] && database.numbers("SELECT COUNT(*) FROM carried").await == [1])
                .then_some(())
        })
        .await;
        child.kill().await.expect("kills");
    }
    let half = database.numbers("SELECT COUNT(*) FROM new_executions").await;
    assert!(half < before && half != [0], "it was cut half-way: {half:?} of {before:?}");
    let server = start(&database).await;
    assert_eq!(database.numbers("SELECT COUNT(*) FROM executions").await, before, "nothing is lost, nothing is twice");
    let again = database.numbers("SELECT COUNT(DISTINCT uid) FROM executions").await;
    assert_eq!(again, before);
    let service = server.client("service", "*", &[]).await;
    let ended = expected(&database)["accounts/42"]["executions"].as_array().expect("executions").clone();
    for one in &ended {
        let to_service = if one["get_service"] == "same" { &one["get_global_admin"] } else { &one["get_service"] };
        same(&service.execution(one["list"]["name"].as_str().expect("a name")).await, to_service);
    }
    assert!(server.terminate().await);
}

/// Whoever migrates waits for the end of whoever has the database.
async fn a_migration_waits_for_who_serves(database: Database) {
    let server = Server::start(&database, &FLAGS).await;
    let output = migrate(&database, &["--while-serving"]).wait_with_output().await.expect("ends");
    assert!(output.status.success(), "nothing is left to do: {}", String::from_utf8_lossy(&output.stderr));
    // As if an older version served: its step is to be made again.
    let forget = "DELETE FROM hookline_migrations WHERE version = 'm0009_one_row'";
    database.execute(forget).await;
    let output = migrate(&database, &["--while-serving"]).wait_with_output().await.expect("ends");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("m0009_one_row needs the database for itself"), "{told}");
    let mut waiting = migrate(&database, &[]);
    let mut lines = BufReader::new(waiting.stderr.take().expect("standard error")).lines();
    let said = lines.next_line().await.expect("reads").expect("it says why it waits");
    assert!(said.contains("another process holds the database's"), "{said}");
    assert_eq!(database.count("hookline_migrations").await, 9, "it waits while the other serves");
    assert!(server.terminate().await);
    assert!(waiting.wait().await.expect("ends").success());
    assert_eq!(database.count("hookline_migrations").await, 10);
}

/// A version that does not know what was written says so.
async fn what_is_newer_is_refused(database: Database) {
    let output = migrate(&database, &[]).wait_with_output().await.expect("ends");
    assert!(output.status.success());
    database.execute("INSERT INTO hookline_migrations (version, applied_at) VALUES ('m9999_of_later', 0)").await;
    let output = migrate(&database, &[]).wait_with_output().await.expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("written by a newer version of hookline (m9999_of_later)"),
        "{said}"
    );
}

crate::on_both_databases!(
    what_was_is_carried_over,
    a_migration_that_is_cut_goes_on,
    a_migration_waits_for_who_serves,
    what_is_newer_is_refused,
);
