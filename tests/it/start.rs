//! How the service starts: keys, the loopback rule, and one process at a time on a database.

use std::os::unix::fs::PermissionsExt;

use hookline::grpc::pb;
use tokio::process::Command;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::harness::{Database, Receiver, Server, account_42, automation, deal, eventually};

crate::on_both_databases!(
    a_second_process_waits_for_the_end_of_the_first,
    an_account_at_rest_wakes_when_its_retry_is_due
);

async fn a_second_process_waits_for_the_end_of_the_first(database: Database) {
    let first = Server::start(&database, &[]).await;
    let service = first.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let second = Server::spawn(&database, &[], &[]).await;
    assert_eq!(health(&second, "").await, ServingStatus::NotServing, "it has its port and says that it waits");
    assert_eq!(health(&second, "hookline.v1.EventService").await, ServingStatus::NotServing);
    assert_eq!(health(&second, "grpc.health.v1.Health").await, ServingStatus::Serving, "it lives");
    let third = Server::spawn(&database, &[], &[]).await;
    assert!(third.terminate().await, "who waits can be stopped");
    let waiting = second.client("service", "*", &[]).await;
    let refused = waiting.create_account("43", pb::Plan::Power).await.expect_err("the first process lives");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    service.create_account("44", pb::Plan::Power).await.expect("the first one works");
    assert!(first.terminate().await);
    hookline::demo::until_serving(second.channel().await).await.expect("the second process takes over");
    assert_eq!(health(&second, "hookline.v1.EventService").await, ServingStatus::Serving);
    waiting.create_account("43", pb::Plan::Power).await.expect("creates");
    assert_eq!(database.count("accounts").await, 3);
}

async fn health(server: &Server, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    let mut health = HealthClient::new(server.channel().await);
    health.check(request).await.expect("answers").into_inner().status()
}

async fn an_account_at_rest_wakes_when_its_retry_is_due(database: Database) {
    let server = Server::start(&database, &["--account-idle-ms", "100", "--retry-delays-ms", "2000"]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    receiver.answer_with(503);
    service.publish("42", vec![deal("e1", "8", "{}")]).await.expect("acks");
    eventually("the first attempt", || async { (!receiver.got().is_empty()).then_some(()) }).await;
    receiver.answer_with(200);
    let execution = eventually("the retry arrives", || async {
        service.history("42").await.into_iter().find(|execution| execution.end_time.is_some())
    })
    .await;
    assert_eq!(execution.state(), pb::ExecutionState::Succeeded);
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn without_keys_of_its_own_the_service_listens_on_the_loopback_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
    let refused = command.args(["serve", "--listen", "0.0.0.0:0"]).current_dir(folder.path()).output().await;
    let refused = refused.expect("runs");
    assert!(!refused.status.success());
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("--signing-key-file"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_secret_keeps_nobody_out() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    let (service, _) = account_42(&server, &receiver.url).await;
    service.create_account("43", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "43", &["--user", "1"]).await;
    admin.create_webhook("43", "damaged", &receiver.url).await.expect("creates");
    assert!(server.terminate().await);
    database.execute("UPDATE webhooks SET sealed_secrets = X'0011' WHERE id = 'damaged'").await;
    let server = Server::start(&database, &[]).await;
    assert!(server.log().contains("stored secrets of webhooks cannot be opened"), "{}", server.log());
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("the other account goes on");
    let admin = server.client("global_admin", "43", &["--user", "1"]).await;
    admin.create_webhook("43", "whole", &receiver.url).await.expect("its own account, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_not_made_anew_beside_a_database() {
    use std::os::unix::fs::MetadataExt;
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    assert_eq!(std::fs::metadata(&database.url).expect("a file").mode() & 0o777, 0o600, "events are in it");
    assert!(server.terminate().await);
    for what in ["signing", "sealing"] {
        let key = format!("{}.{what}.key", database.url);
        let kept = std::fs::read(&key).expect("a key");
        std::fs::remove_file(&key).expect("removes");
        let mut serve = Command::new(env!("CARGO_BIN_EXE_hookline"));
        serve.args(["serve", "--listen", "127.0.0.1:0", "--operations-listen", "127.0.0.1:0"]);
        let output = serve.args(["--database", &database.url]).output().await.expect("runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains("bring it back from a copy"), "{message}");
        assert!(!std::path::Path::new(&key).exists(), "nothing is in its place");
        std::fs::write(&key, kept).expect("writes");
    }
    Server::start(&database, &[]).await;
}

/// Starts a server with a sealing key that the database was not written with, which says so and ends.
async fn fail_with_another_sealing_key(database: &Database) {
    let other = database.folder.path().join("other.key");
    std::fs::write(&other, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("writes");
    let server = Server::spawn(database, &["--sealing-key-file", &other.display().to_string()], &[]).await;
    let (ok, log) = server.end().await;
    assert!(!ok && log.contains("give the key that this database was written with"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sealing_key_does_not_start() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    account_42(&server, &receiver.url).await;
    assert!(server.terminate().await);
    fail_with_another_sealing_key(&database).await;
    Server::start(&database, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_gives_the_lease_back() {
    let (database, receiver) = (Database::postgres().await, Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    account_42(&server, &receiver.url).await;
    assert!(server.terminate().await);
    fail_with_another_sealing_key(&database).await;
    let ends = database.numbers("SELECT ends_at FROM leases WHERE partition = 0").await;
    assert_eq!(ends, [0], "the next process need not wait for its end");
    Server::start(&database, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_keys_are_readable_by_their_owner_only() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    server
        .client("service", "*", &[])
        .await
        .create_account("42", pb::Plan::Power)
        .await
        .expect("the key is the server's");
    for key in ["signing", "sealing"] {
        let path = format!("{}.{key}.key", database.url);
        let mode = std::fs::metadata(&path).expect(&path).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    use sea_orm::ConnectionTrait;
    let database = Database::postgres().await;
    let admin = sea_orm::Database::connect(&database.url).await.expect("connects");
    let name = format!("latin_{}", uuid::Uuid::now_v7().simple());
    let sql = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    admin.execute_unprepared(&sql).await.expect("creates");
    let (server, _) = database.url.rsplit_once('/').expect("a database");
    let latin = Database { folder: tempfile::tempdir().expect("a folder"), url: format!("{server}/{name}") };
    let (is_well, log) = Server::spawn(&latin, &[], &[]).await.end().await;
    assert!(!is_well && log.contains("ENCODING 'UTF8'"), "{log}");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_hookline"));
    let output = doctor.args(["doctor", "--database", &latin.url]).current_dir(latin.folder.path()).output().await;
    let output = output.expect("runs");
    let told = [output.stdout, output.stderr].concat();
    assert!(
        !output.status.success() && String::from_utf8_lossy(&told).contains("UTF8"),
        "{}",
        String::from_utf8_lossy(&told)
    );
}
