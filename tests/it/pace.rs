//! How fast requests go to an endpoint, and what is kept of what it answers.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, StatusCode},
};
use flate2::{Compression, write::GzEncoder};
use hookline::grpc::pb;
use tokio::net::TcpListener;

use crate::harness::{Client, Database, Server, account_42, automation, deal, eventually};

crate::on_both_databases!(requests_a_second_hold_for_any_second, compressed_answers_are_readable,);

const PER_SECOND: usize = 10;

/// An endpoint that writes down when requests came.
async fn watch_clock() -> (String, Arc<Mutex<Vec<Instant>>>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&times);
    let app = Router::new().fallback(move || {
        kept.lock().expect("unpoisoned").push(Instant::now());
        async { "ok" }
    });
    (serve(app).await, times)
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn publish(service: &Client, name: &str, count: usize) {
    let events = (0..count).map(|at| deal(&format!("{name}-{at}"), &at.to_string(), "{}")).collect();
    service.publish("42", events).await.expect("acks");
}

async fn requests_a_second_hold_for_any_second(database: Database) {
    let server = Server::start(&database, &[]).await;
    let (url, times) = watch_clock().await;
    let (service, admin) = account_42(&server, &url).await;
    let webhook = pb::Webhook {
        name: "accounts/42/webhooks/hook".into(),
        requests_per_second: u32::try_from(PER_SECOND).expect("fits"),
        ..Default::default()
    };
    let update = pb::UpdateWebhookRequest {
        webhook: Some(webhook),
        update_mask: Some(prost_types::FieldMask { paths: vec!["requests_per_second".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(update)).await.expect("sets");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let came = async |count: usize| {
        eventually("they come", || async { (times.lock().expect("unpoisoned").len() >= count).then_some(()) }).await;
    };
    publish(&service, "rested", 25).await;
    came(25).await;
    // A new process does not know what the one before has just sent.
    publish(&service, "before", PER_SECOND).await;
    came(30).await;
    server.kill().await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    publish(&service, "after", 15).await;
    came(50).await;
    let times = times.lock().expect("unpoisoned").clone();
    for start in &times {
        let within = times.iter().filter(|at| *at >= start && **at < *start + Duration::from_secs(1)).count();
        assert!(within <= PER_SECOND, "{within} within a second");
    }
    let all = times[times.len() - 1] - times[0];
    assert!(all < Duration::from_secs(20), "and they do not stand still: {all:?}");
}

async fn compressed_answers_are_readable(database: Database) {
    let server = Server::start(&database, &[]).await;
    let answer = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(br#"{"error": "no such deal"}"#).expect("writes");
        let headers = [("content-encoding", "gzip"), ("content-type", "application/json"), ("retry-after", "30")];
        let headers =
            headers.map(|(name, value)| (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value")));
        (StatusCode::TOO_MANY_REQUESTS, HeaderMap::from_iter(headers), encoder.finish().expect("ends"))
    };
    let url = serve(Router::new().fallback(move || async move { answer() })).await;
    // A value of the query that a header has by chance.
    let (service, admin) = account_42(&server, &format!("{url}?timeout=30&id=")).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    publish(&service, "e", 1).await;
    let waiting = eventually("it was tried", || async {
        let found = service.history("42").await.into_iter().next()?;
        (found.state() == pb::ExecutionState::Retrying).then_some(found)
    })
    .await;
    let found = service.execution(&waiting.name).await;
    let attempt = &found.requests[0].attempts[0];
    assert_eq!(attempt.response_excerpt.as_ref(), br#"{"error": "no such deal"}"#);
    assert_eq!(attempt.response_headers["content-encoding"], "gzip", "as it came");
    assert_eq!(attempt.response_headers["retry-after"], "30", "a time is no secret");
    let due = found.due_time.expect("a time").seconds - attempt.start_time.expect("a time").seconds;
    assert!((29..=34).contains(&due), "it is obeyed: {due}");
}
