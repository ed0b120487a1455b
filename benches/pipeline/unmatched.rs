//! Events that make nothing run, next to a bare tonic stream of the same bytes.

use std::{pin::Pin, time::Instant};

use hookline::grpc::pb;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::harness::{Database, Server};

/// Events of one frame.
const FRAME_EVENTS: usize = 64;
/// How many frames are sent and not acknowledged.
const FRAMES_OUTSTANDING_MAX: usize = 32;

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

/// Alternating rounds of ours and of the bare stream.
pub async fn rounds(rounds: u64, events: u64) -> Vec<(f64, Option<f64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bare = format!("http://{}", listener.local_addr().expect("an address"));
    let service = pb::event_service_server::EventServiceServer::new(Bare);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let bare = Channel::from_shared(bare).expect("a URL").connect().await.expect("connects");
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let client = server.client("service", "*", &[]).await;
    client.create_account("bench", pb::Plan::Enterprise).await.expect("creates");
    let token = server.token("service", "*", &[]);
    let frames: Vec<_> = (1..=events / FRAME_EVENTS as u64).map(frame).collect();
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let ours = stream(server.channel().await, &token, &frames).await;
        measured.push((ours, Some(stream(bare.clone(), "none", &frames).await)));
    }
    assert!(server.terminate().await, "the server ends in order");
    measured
}
