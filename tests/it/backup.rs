//! Backup and restore, as `docs/operations.md` says it: a copy of a database in use is a whole installation again.

use hookline::grpc::pb;
use tokio::process::Command;

use crate::harness::{Database, Receiver, Server, account_42, automation, deal, eventually};

crate::on_both_databases!(a_copy_goes_on_where_it_was_made);

/// Copies a database that is in use, by the commands of the docs.
async fn copy(database: &Database) -> Database {
    let copied = if database.url.starts_with("postgres") { Database::postgres().await } else { Database::sqlite() };
    let done = if database.url.starts_with("postgres") {
        let dump = copied.folder.path().join("hookline.dump");
        let dumped = Command::new("pg_dump").args(["--format=custom", "--file"]).arg(&dump).arg(&database.url).status();
        assert!(dumped.await.expect("runs").success());
        let mut restore = Command::new("pg_restore");
        restore.args(["--no-owner", "--exit-on-error", "--dbname", &copied.url]).arg(&dump);
        restore.output().await.expect("runs")
    } else {
        let mut backup = Command::new(env!("CARGO_BIN_EXE_hookline"));
        backup.args(["backup", "--database", &database.url, &copied.url]).output().await.expect("runs")
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for entry in std::fs::read_dir(database.folder.path()).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".key") {
            std::fs::copy(entry.path(), copied.folder.path().join(name)).expect("copies");
        }
    }
    copied
}

async fn a_copy_goes_on_where_it_was_made(database: Database) {
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let server = Server::start(&database, &["--retry-delays-ms", "4000,1000,1000"]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    let retrying = eventually("the first attempt fails", || async {
        service.history("42").await.into_iter().find(|one| one.state() == pb::ExecutionState::Retrying)
    })
    .await;
    let copied = copy(&database).await;
    // What comes after the copy is not in it: its sender has it acknowledged, so this is what a backup loses.
    service.publish("42", vec![deal("e2", "8", "{}")]).await.expect("acks");
    server.kill().await;
    receiver.answer_with(200);

    let server = Server::start(&copied, &["--retry-delays-ms", "4000,1000,1000"]).await;
    let service = server.client("service", "*", &[]).await;
    let execution = eventually("what waited is sent", || async {
        let found = service.execution(&retrying.name).await;
        (found.state() == pb::ExecutionState::Succeeded).then_some(found)
    })
    .await;
    assert_eq!(execution.requests[0].attempts.len(), 2);
    assert_eq!(service.history("42").await.len(), 1);
    let results = service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    assert_eq!(results[0].status(), pb::EventStatus::Duplicate, "what it has is recognised");
    // Secrets open: the webhook signs as before.
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let request = pb::TestWebhookRequest { name: "accounts/42/webhooks/hook".into() };
    assert!(admin.webhooks().test_webhook(admin.ask(request)).await.expect("tests").into_inner().succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_never_overwrites() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let backup = async |to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        let output = command.args(["backup", "--database", &database.url, to]).output().await.expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, error) = backup(&database.url).await;
    assert!(!ok && error.contains("exists: name a new file"), "{error}");
    let (ok, error) = backup("/nowhere/at/all.db").await;
    assert!(!ok && error.contains("the copy: "), "{error}");
    drop(server);
}
