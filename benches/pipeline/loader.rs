//! The loader: streams events over gRPC.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use hookline::grpc::pb;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    desk::Desk,
    harness::{Client, Server, automation, deal},
};

/// Events of one frame.
pub const FRAME_EVENTS: usize = 16;
/// How many accounts are made at a time.
const SET_UP_AT_ONCE_MAX: usize = 64;
const BODY: &str = r#"{"sent": {{deal.sent}}, "id": {{deal.id}}, "title": "{{deal.title}}", "value": {{deal.value}}, "currency": "{{deal.currency}}", "stage": {{deal.stage_id}}, "custom": {{deal.custom_fields}}, "by": "{{event.user_id}}", "previous": {{previous.stage_id}}, "note": "Deal {{deal.title}} of account {{account.id}} moved to stage {{deal.stage_id}} by {{event.user_id}}; {{automation.name}} sent this as {{execution.id}} for {{event.id}}."}"#;

/// What is published, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many accounts the frames go to in turn.
    pub accounts: usize,
    /// How many automations each event makes run.
    pub fan_out: usize,
    /// How many requests are published and not yet delivered.
    pub outstanding: usize,
    /// Whether each frame goes to an account of a slow endpoint, too, which nobody waits for.
    pub with_slow: bool,
}

/// How fast it goes.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as requests arrive.
    Outstanding,
    /// So many events a second.
    PerSecond(u64),
}

/// An automation that every event of the loader makes run.
fn matching(account: &str) -> pb::Automation {
    let mut one = automation(account, "hook", "deal", pb::EventAction::Change, BODY);
    one.conditions = Some(pb::ConditionGroup {
        r#match: pb::ConditionMatch::All.into(),
        conditions: vec![pb::Condition {
            kind: Some(pb::condition::Kind::Clause(pb::Clause {
                field: "stage_id".into(),
                operator: pb::Operator::Changed.into(),
                ..Default::default()
            })),
        }],
    });
    one
}

/// Publishes matching events, and waits until each has arrived.
pub struct Loader {
    pub client: Client,
    desk: Arc<Desk>,
    load: Load,
    next_event: AtomicU64,
    /// The state of a deal, without its opening brace.
    payload: String,
}

impl Loader {
    /// Makes the accounts, with their webhooks and automations.
    pub async fn set_up(server: &Server, desk: &Arc<Desk>, url: &str, load: Load) -> Self {
        let client = server.client("service", "*", &[]).await;
        let channel = server.channel().await;
        let names = (0..load.accounts).map(|at| (format!("bench-{at}"), url.to_owned()));
        let slow = load.with_slow.then(|| ("bench-slow".to_owned(), format!("{url}slow/")));
        let of_account = |(id, url): (String, String)| {
            let token = server.token("global_admin", &id, &["--user", "1"]);
            let (service, admin) = (client.clone(), Client::new(channel.clone(), &token));
            async move {
                service.create_account(&id, pb::Plan::Enterprise).await.expect("creates");
                admin.create_webhook(&id, "hook", &url).await.expect("creates");
                for _ in 0..load.fan_out {
                    admin.create_automation(&id, matching(&id)).await.expect("creates");
                }
            }
        };
        stream::iter(names.chain(slow)).for_each_concurrent(SET_UP_AT_ONCE_MAX, of_account).await;
        let sample: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/samples/v2-change-deal-custom-field.json")).expect("JSON");
        let payload = sample["data"].to_string().trim_start_matches('{').to_owned();
        Self { client, desk: Arc::clone(desk), load, next_event: AtomicU64::new(0), payload }
    }

    fn frame(&self, sequence: u64, account: &str) -> pb::PublishRequest {
        let event = |_| {
            let number = self.next_event.fetch_add(1, Ordering::SeqCst);
            let data = format!("{{\"sent\": {}, {}", self.desk.now_us(), self.payload);
            // Ids as platforms give them, in no order.
            let id = uuid::Uuid::from_u64_pair(hookline::clock::random(), hookline::clock::random());
            let mut input = deal(&id.to_string(), &format!("{}", number % 1_000), &data);
            if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
                event.previous = (&br#"{"stage_id": 1}"#[..]).into();
            }
            input
        };
        let events = (0..FRAME_EVENTS).map(event).collect();
        pb::PublishRequest { sequence, parent: format!("accounts/{account}"), events, accepts_retry_later: false }
    }

    /// Has so many requests delivered, in whole frames. Answers how many.
    pub async fn run(&self, requests: u64, pace: Pace) -> u64 {
        let of_frame = (FRAME_EVENTS * self.load.fan_out) as u64;
        let frames = (requests / of_frame).max(1);
        self.desk.expect(frames * of_frame);
        let room = Arc::new(Semaphore::new(self.load.outstanding.max(FRAME_EVENTS * self.load.fan_out)));
        let is_paced = matches!(pace, Pace::PerSecond(_));
        *self.desk.room.lock().expect("unpoisoned") = (!is_paced).then(|| Arc::clone(&room));
        let (sender, receiver) = mpsc::channel(4);
        let request = self.client.ask(ReceiverStream::new(receiver));
        let mut events = self.client.events();
        let (answers, ()) = tokio::join!(events.publish(request), async {
            let begun = Instant::now();
            let mut sequence = 0;
            for frame in 0..frames {
                match pace {
                    Pace::Outstanding => {
                        room.acquire_many(of_frame as u32).await.expect("open").forget();
                    }
                    Pace::PerSecond(rate) => {
                        let due = Duration::from_micros(frame * FRAME_EVENTS as u64 * 1_000_000 / rate.max(1));
                        tokio::time::sleep_until((begun + due).into()).await;
                    }
                }
                let account = format!("bench-{}", frame as usize % self.load.accounts);
                let slow = self.load.with_slow.then(|| "bench-slow".to_owned());
                for account in [Some(account), slow].into_iter().flatten() {
                    sequence += 1;
                    sender.send(self.frame(sequence, &account)).await.expect("the stream is open");
                }
                if frame == 0 {
                    tokio::task::yield_now().await;
                }
            }
            drop(sender);
        });
        let mut answers = answers.expect("opens").into_inner();
        while let Some(answer) = answers.next().await {
            assert!(answer.expect("an acknowledgement").results.is_empty(), "every event is new and accepted");
        }
        self.desk.all_arrived.notified().await;
        *self.desk.room.lock().expect("unpoisoned") = None;
        frames * of_frame
    }
}
