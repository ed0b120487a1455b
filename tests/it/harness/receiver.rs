//! An HTTP receiver whose answers can be changed and held back.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use tokio::{net::TcpListener, sync::watch};

/// A request as the receiver got it.
#[derive(Debug, Clone)]
pub struct Got {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Default)]
struct Desk {
    got: Mutex<Vec<Got>>,
    status: Mutex<u16>,
    /// Paths that are answered with a status of their own.
    at: Mutex<Vec<(String, u16)>>,
    /// Headers of every answer.
    headers: Mutex<HeaderMap>,
    /// The beginning of the paths whose answers are held back until it is open.
    held: Mutex<String>,
    open: watch::Sender<bool>,
}

/// An HTTP receiver whose answers can be changed and held back.
#[derive(Clone)]
pub struct Receiver {
    desk: Arc<Desk>,
    pub url: String,
}

impl Receiver {
    pub async fn start() -> Self {
        let desk = Arc::new(Desk { status: Mutex::new(200), open: watch::channel(true).0, ..Desk::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(receive).with_state(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { desk, url }
    }

    pub fn got(&self) -> Vec<Got> {
        self.desk.got.lock().expect("unpoisoned").clone()
    }

    pub fn answer_with(&self, status: u16) {
        *self.desk.status.lock().expect("unpoisoned") = status;
    }

    /// Answers at paths that begin so with a status of their own.
    pub fn answer_at(&self, path: &str, status: u16) {
        self.desk.at.lock().expect("unpoisoned").push((path.to_owned(), status));
    }

    /// Answers everywhere with the one status again.
    pub fn answer_alike(&self) {
        self.desk.at.lock().expect("unpoisoned").clear();
    }

    /// Asks to be left alone with every answer.
    pub fn retry_after(&self, text: &str) {
        self.answer_header("retry-after", text);
    }

    /// Has every answer carry a header.
    pub fn answer_header(&self, name: &'static str, value: &str) {
        self.desk.headers.lock().expect("unpoisoned").insert(name, value.parse().expect("a value"));
    }

    /// Holds every answer back from now on.
    pub fn hold(&self) {
        self.hold_at("");
    }

    /// Holds the answers at paths that begin so back from now on.
    pub fn hold_at(&self, path: &str) {
        path.clone_into(&mut self.desk.held.lock().expect("unpoisoned"));
        self.desk.open.send_replace(false);
    }

    pub fn release(&self) {
        self.desk.open.send_replace(true);
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, &'static str) {
    let path = uri.path().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    desk.got.lock().expect("unpoisoned").push(Got { method: method.to_string(), uri: uri.to_string(), headers, body });
    let is_held = path.starts_with(desk.held.lock().expect("unpoisoned").as_str());
    if is_held {
        let _ = desk.open.subscribe().wait_for(|open| *open).await;
    }
    let own =
        desk.at.lock().expect("unpoisoned").iter().find(|(at, _)| path.starts_with(at)).map(|(_, status)| *status);
    let status = own.unwrap_or(*desk.status.lock().expect("unpoisoned"));
    let answer_headers = desk.headers.lock().expect("unpoisoned").clone();
    (StatusCode::from_u16(status).expect("a status"), answer_headers, "the answer")
}
