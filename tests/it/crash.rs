//! Ten times `kill -9` while matched events stream in: nothing acknowledged is lost, nothing is recorded twice.

use std::collections::{BTreeSet, HashSet};

use hookline::grpc::pb;
use tokio_stream::StreamExt;

use crate::harness::{Client, Database, Receiver, Server, automation, deal, eventually};

crate::on_both_databases!(what_is_acknowledged_survives_ten_kills);

const KILLS: u64 = 10;
const EVENTS_PER_LIFE: u64 = 120;

/// Numbers that look random and are the same at every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn received(receiver: &Receiver) -> HashSet<u64> {
    receiver.got().iter().filter_map(|got| got.body.trim_matches(['[', ']']).parse().ok()).collect()
}

/// Publishes events one a frame until so many are acknowledged. Answers which were.
async fn publish_some(client: &Client, wanted: &BTreeSet<u64>, until: u64) -> Vec<u64> {
    let order: Vec<u64> = wanted.iter().copied().collect();
    let frames: Vec<_> = (1_u64..)
        .zip(&order)
        .map(|(sequence, number)| pb::PublishRequest {
            sequence,
            parent: "accounts/42".into(),
            events: vec![deal(&format!("e{number}"), "8", &format!(r#"{{"n": {number}}}"#))],
        })
        .collect();
    let Ok(answers) = client.events().publish(client.ask(tokio_stream::iter(frames))).await else {
        return Vec::new();
    };
    let mut answers = answers.into_inner();
    let mut acked = 0;
    while let Some(Ok(answer)) = answers.next().await {
        acked = answer.acked_sequence;
        if acked >= until {
            break;
        }
    }
    order.into_iter().take(usize::try_from(acked).expect("fits")).collect()
}

async fn what_is_acknowledged_survives_ten_kills(database: Database) {
    let receiver = Receiver::start().await;
    let mut server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "[{{deal.n}}]");
    admin.create_automation("42", one).await.expect("creates");

    let mut seeded = Seeded(7);
    let mut acknowledged = BTreeSet::new();
    let mut unacknowledged = BTreeSet::new();
    let (mut committed_unsent, mut sent_unrecorded) = (0, 0);
    for life in 0..KILLS {
        unacknowledged.extend(life * EVENTS_PER_LIFE..(life + 1) * EVENTS_PER_LIFE);
        let service = server.client("service", "*", &[]).await;
        if life % 2 == 1 {
            // What is in the receiver's hands now is sent, and cannot be recorded before the kill.
            receiver.hold();
        }
        let before = receiver.got().len();
        let acked = publish_some(&service, &unacknowledged, 1 + seeded.below(EVENTS_PER_LIFE)).await;
        if life % 2 == 1 {
            eventually("the receiver holds a request", || async { (receiver.got().len() > before).then_some(()) })
                .await;
            sent_unrecorded += 1;
        }
        server.kill().await;
        let arrived = received(&receiver);
        committed_unsent += acked.iter().filter(|number| !arrived.contains(number)).count();
        for number in acked {
            unacknowledged.remove(&number);
            acknowledged.insert(number);
        }
        receiver.release();
        server = Server::start(&database, &[]).await;
    }
    assert!(committed_unsent > 0, "no kill fell between commit and send");
    assert!(sent_unrecorded > 0, "no kill fell between send and record");

    let service = server.client("service", "*", &[]).await;
    let rest = publish_some(&service, &unacknowledged, u64::MAX).await;
    acknowledged.extend(rest);
    let all = KILLS * EVENTS_PER_LIFE;
    assert_eq!(acknowledged.len() as u64, all, "every event is acknowledged in the end");
    let history = eventually("every execution ends", || async {
        let found = service.history("42").await;
        let is_done = found.len() as u64 >= all && found.iter().all(|execution| execution.end_time.is_some());
        is_done.then_some(found)
    })
    .await;
    assert_eq!(history.len() as u64, all, "each match has exactly one execution");
    let events: HashSet<_> = history.iter().map(|execution| &execution.event_id).collect();
    assert_eq!(events.len(), history.len());
    let arrived = received(&receiver);
    assert!(acknowledged.iter().all(|number| arrived.contains(number)), "each acknowledged match is delivered");
    assert!(history.iter().all(|execution| execution.state() == pb::ExecutionState::Succeeded));
}
