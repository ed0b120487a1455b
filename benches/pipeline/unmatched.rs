//! Events that make nothing run, next to a bare tonic stream of the same bytes.

use std::{pin::Pin, process::Stdio, time::Instant};

use hookline::grpc::pb;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    sync::mpsc,
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::harness::{Database, Server};

/// Events of one frame.
const FRAME_EVENTS: usize = 64;
/// How many frames are sent and not acknowledged.
const FRAMES_OUTSTANDING_MAX: usize = 32;

/// What tells a process that it is the bare server.
pub const BARE: &str = "HOOKLINE_BENCH_BARE";
/// How much a client may send ahead: enough for both servers never to wait for it.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Acknowledges every frame, and looks at none.
struct Bare;

#[tonic::async_trait]
impl pb::event_service_server::EventService for Bare {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<pb::PublishResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<Streaming<pb::PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let acknowledge = |frame: Result<pb::PublishRequest, Status>| {
            frame.map(|frame| pb::PublishResponse { acked_sequence: frame.sequence, ..Default::default() })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(acknowledge))))
    }

    async fn publish_batch(
        &self,
        _: Request<pb::PublishBatchRequest>,
    ) -> Result<Response<pb::PublishBatchResponse>, Status> {
        Err(Status::unimplemented("a bare stream only"))
    }

    async fn get_event(&self, _: Request<pb::GetEventRequest>) -> Result<Response<pb::GetEventResponse>, Status> {
        Err(Status::unimplemented("a bare stream only"))
    }

    async fn list_recent_events(
        &self,
        _: Request<pb::ListRecentEventsRequest>,
    ) -> Result<Response<pb::ListRecentEventsResponse>, Status> {
        Err(Status::unimplemented("a bare stream only"))
    }
}

/// Envelopes of about 1.4 KB.
fn frame(sequence: u64) -> pb::PublishRequest {
    let sample = include_str!("../../tests/samples/v2-change-deal-custom-field.json");
    let mut envelope: serde_json::Value = serde_json::from_str(sample).expect("JSON");
    envelope["meta"]["company_id"] = "bench".into();
    let mut event = |_| {
        let id = uuid::Uuid::from_u64_pair(hookline::clock::random(), hookline::clock::random());
        envelope["meta"]["id"] = id.to_string().into();
        let kind = pb::event_input::Kind::Envelope(envelope.to_string().into_bytes().into());
        pb::EventInput { kind: Some(kind), ..Default::default() }
    };
    let events = (0..FRAME_EVENTS).map(&mut event).collect();
    pb::PublishRequest { sequence, parent: "accounts/bench".to_owned(), events, accepts_retry_later: false }
}

/// Streams so many events; answers how many a second were acknowledged.
async fn stream(channel: Channel, token: &str, frames: &[pb::PublishRequest]) -> f64 {
    let mut events = pb::event_service_client::EventServiceClient::new(channel);
    let (sender, receiver) = mpsc::channel(FRAMES_OUTSTANDING_MAX);
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    let begun = Instant::now();
    let sent = async {
        for frame in frames.iter().cloned() {
            sender.send(frame).await.expect("the stream is open");
        }
        drop(sender);
    };
    let acknowledged = async {
        let mut answers = events.publish(request).await.expect("opens").into_inner();
        while let Some(answer) = answers.next().await {
            assert!(answer.expect("an acknowledgement").results.is_empty(), "every event is taken");
        }
    };
    tokio::join!(sent, acknowledged);
    (frames.len() * FRAME_EVENTS) as f64 / begun.elapsed().as_secs_f64()
}

/// The bare server's process: prints its URL, and serves until it is ended.
pub async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    let service = pb::event_service_server::EventServiceServer::new(Bare);
    let mut server = tonic::transport::Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .tcp_nodelay(true);
    server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await.expect("serves");
}

/// Alternating rounds of ours and of the bare stream.
pub async fn rounds(rounds: u64, events: u64) -> Vec<(f64, Option<f64>)> {
    let mut bare = Command::new(std::env::current_exe().expect("a path"))
        .env(BARE, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(bare.stdout.take().expect("standard output")).lines();
    let url = lines.next_line().await.expect("reads").expect("a URL");
    let channel = Channel::from_shared(url).expect("a URL").connect().await.expect("connects");
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let client = server.client("service", "*", &[]).await;
    client.create_account("bench", pb::Plan::Enterprise).await.expect("creates");
    let token = server.token("service", "*", &[]);
    let frames: Vec<_> = (1..=events / FRAME_EVENTS as u64).map(frame).collect();
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let ours = stream(server.channel().await, &token, &frames).await;
        measured.push((ours, Some(stream(channel.clone(), "none", &frames).await)));
    }
    assert!(server.terminate().await, "the server ends in order");
    measured
}
