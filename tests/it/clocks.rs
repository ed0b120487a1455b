//! A clock that jumps: nothing is deleted, disabled or ended by a time that nobody believes.

use std::time::Duration;

use hookline::grpc::pb;

use crate::{
    faults::{account, publish, reconcile},
    harness::{Client, Database, Receiver, Server, deal, eventually},
    operations::page,
};

crate::on_both_databases!(a_start_with_a_wrong_clock_deletes_nothing);

const DAY: Duration = Duration::from_secs(86_400);

async fn confirm(client: &Client) -> Result<(), tonic::Status> {
    client.clocks().confirm_clock(client.ask(pb::ConfirmClockRequest {})).await.map(drop)
}

async fn readiness(server: &Server) -> String {
    let (status, text) = page(server, "readyz").await;
    assert_eq!(status, 200, "it serves: {text}");
    text
}

async fn a_start_with_a_wrong_clock_deletes_nothing(database: Database) {
    let receiver = Receiver::start().await;
    let server = Server::start(&database, &[]).await;
    let (service, _) = account(&server, &receiver.url).await;
    publish(&service, 0..5, "").await.expect("acknowledges");
    reconcile(&service, &(0..5).collect(), &receiver).await;
    let told = || async { database.numbers("SELECT wall_time FROM leases WHERE partition = 0").await[0] };
    assert!(readiness(&server).await.starts_with("ok\n"));
    let (_, text) = page(&server, "metrics").await;
    assert!(text.contains("hookline_clock_distrusted 0"), "{text}");
    assert!(server.terminate().await);
    let at_end = told().await;
    database.age(16 * DAY).await;
    // The machine starts two days later, or before the time that was known last.
    for (number, moved) in (0..).zip([-172_800_000_000, 7_200_000_000]) {
        database.execute(&format!("UPDATE leases SET wall_time = {}", at_end + moved)).await;
        let server = Server::start(&database, &["--event-age-max-ms", "60000"]).await;
        let service = server.client("service", "*", &[]).await;
        let text = readiness(&server).await;
        assert!(text.contains("the clock is not trusted") && text.contains("confirm-clock"), "{text}");
        let (_, text) = page(&server, "metrics").await;
        assert!(text.contains("hookline_clock_distrusted 1"), "{text}");
        // Everything else goes on; what looks too old is taken, because nobody knows how old it is.
        let mut old = deal(&format!("old{number}"), "8", r#"{"n": 7}"#);
        if let Some(pb::event_input::Kind::Event(event)) = &mut old.kind {
            event.occur_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
        }
        let answers = service.publish("42", vec![old]).await.expect("acknowledges");
        assert!(answers.is_empty(), "{answers:?}");
        // By the time that this has ended, the account has looked at what is due more than once.
        eventually("it ends", || async {
            let history = service.history("42").await;
            history.iter().all(|one| one.end_time.is_some()).then_some(())
        })
        .await;
        assert_eq!(service.history("42").await.len(), 6 + number, "nothing is deleted");
        assert!(server.terminate().await);
        assert_eq!(told().await, at_end + moved, "what is not trusted is told to nobody");
    }
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    service.publish("42", vec![deal("awake", "8", r#"{"n": 8}"#)]).await.expect("acknowledges");
    for denied in [&admin, &server.client("service", "42", &[]).await] {
        let denied = confirm(denied).await.expect_err("not of the installation");
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);
    }
    confirm(&service).await.expect("a person's word");
    eventually("the old is deleted", || async { (service.history("42").await.len() == 3).then_some(()) }).await;
    eventually("it is trusted", || async { readiness(&server).await.starts_with("ok\n").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_while_it_runs_deletes_nothing_and_keeps_the_order() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let clock = database.folder.path().join("clock");
    std::fs::write(&clock, "+0").expect("writes");
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/libfaketime.so.1");
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a path")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let one = ["--plan-requests-in-flight", "8,1,1,1,1"];
    let server = Server::start_with(&database, &one, &variables).await;
    account(&server, &receiver.url).await;
    let service = server.client("service", "*", &["--ttl-seconds", "2592000"]).await;
    publish(&service, 0..5, "").await.expect("acknowledges");
    reconcile(&service, &(0..5).collect(), &receiver).await;
    let set = |offset: &str| std::fs::write(&clock, offset).expect("writes");
    let doubted = || async { readiness(&server).await.contains("not trusted").then_some(()) };
    let trusted = || async { readiness(&server).await.starts_with("ok\n").then_some(()) };
    set("+20d");
    eventually("it is not trusted", doubted).await;
    publish(&service, 5..6, "").await.expect("acknowledges");
    reconcile(&service, &(0..6).collect(), &receiver).await;
    assert_eq!(service.history("42").await.len(), 6, "nothing is deleted");
    set("+0");
    eventually("what was taken back is trusted", trusted).await;
    // What waits for a slot has no time: set back, the clock neither holds it up nor lets newer requests pass.
    receiver.hold();
    publish(&service, 10..14, "").await.expect("acknowledges");
    set("-3h");
    eventually("it is not trusted", doubted).await;
    publish(&service, 14..18, "").await.expect("acknowledges");
    let before = receiver.got().len();
    receiver.release();
    let arrived = eventually("all of them arrive", || async {
        let got = receiver.got();
        (got.len() == before - 1 + 8).then(|| got[before - 1..].iter().map(|one| one.body.clone()).collect::<Vec<_>>())
    })
    .await;
    let expected: Vec<_> = (10..18).map(|number| format!("[{number}]")).collect();
    assert_eq!(arrived, expected);
    let (_, text) = page(&server, "metrics").await;
    assert!(text.contains("hookline_clock_distrusted 1"), "{text}");
}
