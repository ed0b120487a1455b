//! The receiver: counts what arrives, and how long after it was published.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, http::Uri};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
};

/// How long a request to `/slow/` takes.
const SLOW: Duration = Duration::from_millis(300);

/// Counts what arrives.
#[derive(Default)]
pub struct Desk {
    arrived: AtomicU64,
    wanted: AtomicU64,
    pub all_arrived: Notify,
    latencies_us: Mutex<Vec<u64>>,
    /// Room for what is published and has not arrived.
    pub room: Mutex<Option<Arc<Semaphore>>>,
    /// A body as it arrived.
    pub sample: Mutex<Bytes>,
    begun: Mutex<Option<Instant>>,
}

impl Desk {
    /// Listens, and answers the URL.
    pub async fn open() -> (Arc<Self>, String) {
        let desk = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(receive).with_state(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (desk, url)
    }

    /// Microseconds since the first question.
    pub fn now_us(&self) -> u64 {
        let begun = *self.begun.lock().expect("unpoisoned").get_or_insert_with(Instant::now);
        u64::try_from(begun.elapsed().as_micros()).expect("fits")
    }

    /// Waits for so many more.
    pub fn expect(&self, count: u64) {
        self.latencies_us.lock().expect("unpoisoned").clear();
        self.arrived.store(0, Ordering::SeqCst);
        self.wanted.store(count, Ordering::SeqCst);
    }

    /// How long after they were published so many percent had arrived, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let mut found = self.latencies_us.lock().expect("unpoisoned").clone();
        found.sort_unstable();
        let at = (found.len() * percent / 100).min(found.len().saturating_sub(1));
        found.get(at).map_or(f64::NAN, |us| *us as f64 / 1_000.0)
    }
}

async fn receive(State(desk): State<Arc<Desk>>, uri: Uri, body: Bytes) -> StatusCode {
    if uri.path().starts_with("/slow/") {
        tokio::time::sleep(SLOW).await;
        return StatusCode::OK;
    }
    let digits = body.iter().skip(9).take_while(|byte| byte.is_ascii_digit());
    let sent = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let latency = desk.now_us().saturating_sub(sent);
    desk.latencies_us.lock().expect("unpoisoned").push(latency);
    if let Some(room) = desk.room.lock().expect("unpoisoned").as_ref() {
        room.add_permits(1);
    }
    if desk.arrived.fetch_add(1, Ordering::SeqCst) + 1 == desk.wanted.load(Ordering::SeqCst) {
        *desk.sample.lock().expect("unpoisoned") = body;
        desk.all_arrived.notify_one();
    }
    StatusCode::OK
}
