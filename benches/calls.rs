//! `cargo bench --bench calls`: what a call costs over HTTP and JSON, next to the same call over gRPC, in turn. One JSON line
//! a figure.
//!
//! `HOOKLINE_BENCH_ROUNDS` (default 5) and `HOOKLINE_BENCH_CALLS` (default 10000 a round) make a run shorter or longer.

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "shared with the benchmark `pipeline`, which uses all of it")]
#[path = "pipeline/measure.rs"]
mod measure;

use futures::{StreamExt as _, stream};
use hookline::grpc::pb;

use self::{
    harness::{Client, Database, Receiver, Server, account_42, automation, deal},
    measure::{cpu_ms, number, tell},
};

/// How many calls are under way.
const AT_ONCE: usize = 16;
/// How many webhooks a list has.
const LISTED: usize = 20;
/// How many events a batch has.
const EVENTS: usize = 20;
const DATA: &str = r#"{"id": 8, "title": "A deal of the usual length, say", "value": 100, "stage_id": 2}"#;

/// A call of each kind.
#[derive(Clone, Copy)]
enum Kind {
    List,
    Publish,
}

struct Sides {
    server: Server,
    service: Client,
    http: reqwest::Client,
    token: String,
}

impl Sides {
    async fn over_grpc(&self, kind: Kind, at: u64) {
        match kind {
            Kind::List => {
                let list = pb::ListWebhooksRequest { parent: "accounts/42".into(), ..Default::default() };
                let page = self.service.webhooks().list_webhooks(self.service.ask(list)).await.expect("lists");
                assert_eq!(page.into_inner().webhooks.len(), LISTED);
            }
            Kind::Publish => {
                let event = |no: usize| deal(&format!("g{at}-{no}"), "8", DATA);
                assert!(self.service.publish("42", (0..EVENTS).map(event).collect()).await.expect("acks").is_empty());
            }
        }
    }

    async fn over_http(&self, kind: Kind, at: u64) {
        let (method, body) = match kind {
            Kind::List => ("WebhookService/ListWebhooks", r#"{"parent": "accounts/42"}"#.to_owned()),
            Kind::Publish => {
                let event = |no: usize| {
                    serde_json::json!({ "event": {
                        "eventId": format!("h{at}-{no}"), "object": "deal", "action": "EVENT_ACTION_CHANGE", "entityId": "8",
                        "occurTime": "2026-01-01T00:00:00Z", "dataJson": DATA,
                    } })
                };
                let events: Vec<_> = (0..EVENTS).map(event).collect();
                (
                    "EventService/PublishBatch",
                    serde_json::json!({ "parent": "accounts/42", "events": events }).to_string(),
                )
            }
        };
        let request = self.http.post(format!("{}/hookline.v1.{method}", self.server.http)).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a body");
    }

    /// The server's processor time a call.
    async fn cost_us(&self, kind: Kind, is_http: bool, from: u64, calls: u64) -> f64 {
        let before = cpu_ms(&[self.server.pid()]);
        let call = async |at| if is_http { self.over_http(kind, at).await } else { self.over_grpc(kind, at).await };
        stream::iter(from..from + calls).for_each_concurrent(AT_ONCE, call).await;
        (cpu_ms(&[self.server.pid()]) - before) as f64 * 1_000.0 / calls as f64
    }
}

async fn run() {
    let rounds = number("HOOKLINE_BENCH_ROUNDS", 5);
    let calls = number("HOOKLINE_BENCH_CALLS", 10_000);
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &["--http-listen", "127.0.0.1:0"]).await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    for at in 1..LISTED {
        admin.create_webhook("42", &format!("hook{at}"), &receiver.url).await.expect("creates");
    }
    // Nothing runs: what is measured is the call.
    let one = automation("42", "hook", "lead", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let token = server.token("service", "42", &[]);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let sides = Sides { server, service, http, token };
    for (name, kind) in [("a list of 20 webhooks", Kind::List), ("a batch of 20 events", Kind::Publish)] {
        let mut measured = Vec::new();
        for round in 0..=rounds {
            let from = round * calls;
            let grpc = sides.cost_us(kind, false, from, calls).await;
            let http = sides.cost_us(kind, true, from, calls).await;
            // The first round warms up.
            if round > 0 {
                measured.push((http, Some(grpc)));
            }
        }
        tell(&format!("{name}: server's processor time a call in JSON, next to gRPC"), "us", &measured);
    }
    assert!(sides.server.terminate().await, "the server ends in order");
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(run());
}
