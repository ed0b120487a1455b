//! `EventService`: the streams that events come in by.

mod known;
mod standing;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesOrdered,
};
use opentelemetry::{KeyValue, trace::SpanKind};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use self::standing::{Accounts, Turn};
use super::{
    access::{Backend, Entered, Publisher, serve},
    api::Api,
};
use crate::{
    domain::{decision::EventReply, event::Event, id::AccountId, trace_context::TraceContext},
    engine::{Engine, EngineError, Order, Pending},
    grpc::{
        calls::{
            byte_budget::ByteBudget,
            measured::{Measured, PUBLISH},
            status,
        },
        convert::{
            event::{event, later, rejected},
            name,
        },
        pb,
    },
    telemetry::{Metrics, OpenSpan, Spans},
};

/// How many events one frame has at most.
const FRAME_EVENTS_MAX: usize = 1_000;
/// How many events of a stream are held unacknowledged; the server reads no further beyond that.
const UNACKED_EVENTS_MAX: usize = 16_384;
/// How many bytes of a stream are held unacknowledged.
const UNACKED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many answers wait for a client that does not read.
const UNREAD_ANSWERS_MAX: usize = 64;

/// How long a client may read no answers while as many as that wait; then the stream ends.
const UNREAD_STALL_MAX: Duration = Duration::from_secs(60);

type Answers = mpsc::Sender<Result<pb::PublishResponse, Status>>;

type Acknowledgements = Pin<Box<dyn Stream<Item = Result<pb::PublishResponse, Status>> + Send>>;

serve! {
    event_service_server::EventService {
        publish_batch(PublishBatchRequest) -> PublishBatchResponse;
        get_event(GetEventRequest) -> GetEventResponse;
        list_recent_events(ListRecentEventsRequest) -> ListRecentEventsResponse;
    }
    type PublishStream = Acknowledgements;

    async fn publish(
        &self,
        request: Request<Streaming<pb::PublishRequest>>,
    ) -> Result<Response<Acknowledgements>, Status> {
        let (backend, frames) = self.enter(request)?;
        Ok(Response::new(Api::publish(self, backend, frames)))
    }
}

impl Api {
    fn publish(&self, backend: Backend, frames: Streaming<pb::PublishRequest>) -> Acknowledgements {
        let (answers, receiver) = mpsc::channel(UNREAD_ANSWERS_MAX);
        let session = Session {
            engine: self.engine.clone(),
            backend,
            stopping: self.stopping.clone(),
            budget: self.budget.clone(),
            spans: self.spans.clone(),
            metrics: self.metrics.clone(),
            answers,
        };
        // The call's span lasts as long as the stream.
        self.tasks.spawn(session.run(frames).instrument(tracing::Span::current()));
        Box::pin(ReceiverStream::new(receiver))
    }

    async fn publish_batch(
        &self,
        entered: Entered<Publisher>,
        request: pb::PublishBatchRequest,
    ) -> Result<pb::PublishBatchResponse, Status> {
        check_size(request.events.len())?;
        let _held = self.budget.enter(&request).await?;
        let traced = Traced { spans: &self.spans, call: entered.trace.as_ref() };
        let order = Order::default();
        let frame = Frame::submit(&self.engine, traced, &entered.account, (0, &order), request.events).await;
        let frame = frame.map_err(|error| status::engine(&error))?;
        let results = frame.done(&self.metrics).await.map_err(|error| status::engine(&error))?;
        Ok(pb::PublishBatchResponse { results })
    }
}

fn check_size(events: usize) -> Result<(), Status> {
    if events == 0 || events > FRAME_EVENTS_MAX {
        return Err(status::invalid("events", format!("must have 1 to {FRAME_EVENTS_MAX} events")));
    }
    Ok(())
}

/// A frame whose events are taken in and wait to become durable.
struct Frame {
    sequence: u64,
    /// What was rejected before it reached the engine.
    results: Vec<pb::EventResult>,
    /// The places of the others.
    places: Vec<u32>,
    /// The spans of the others, which end when the frame is done; none where no traces are exported.
    spans: Vec<OpenSpan>,
    pending: Pending,
}

/// What an event's span belongs to.
#[derive(Clone, Copy)]
struct Traced<'a> {
    spans: &'a Spans,
    /// The context of the call.
    call: Option<&'a TraceContext>,
}

impl Traced<'_> {
    /// Begins an event's span: under the context that the event came with, linked to the call, or else under the
    /// call. The event goes on with its own span's context.
    fn begin(self, account: &AccountId, event: &mut Event) -> OpenSpan {
        let own = event.trace.take();
        let (parent, link) = match &own {
            Some(own) => (Some(own), self.call),
            None => (self.call, None),
        };
        let span = if self.spans.are_exported() {
            let attributes = vec![
                KeyValue::new("hookline.account.id", account.to_string()),
                KeyValue::new("hookline.event.id", event.id.to_string()),
                KeyValue::new("hookline.event.object", event.object.to_string()),
                KeyValue::new("hookline.event.action", event.action.as_str()),
            ];
            self.spans.start("event", SpanKind::Consumer, parent, link, attributes)
        } else {
            OpenSpan::default()
        };
        event.trace = span.context().or_else(|| parent.cloned());
        span
    }
}

impl Frame {
    /// Converts a frame's events and hands them to the engine; frames of an account keep their order.
    async fn submit(
        engine: &Engine,
        traced: Traced<'_>,
        account: &AccountId,
        (sequence, order): (u64, &Order),
        inputs: Vec<pb::EventInput>,
    ) -> Result<Self, EngineError> {
        let mut results = Vec::new();
        let mut events = Vec::with_capacity(inputs.len());
        let mut places = Vec::with_capacity(inputs.len());
        let mut spans = Vec::new();
        for (index, input) in (0_u32..).zip(inputs) {
            match event(account, input) {
                Ok(mut event) => {
                    spans.push(traced.begin(account, &mut event));
                    events.push(Arc::new(event));
                    places.push(index);
                }
                Err(rejection) => results.push(rejected(sequence, index, &rejection)),
            }
        }
        Ok(Self { sequence, results, places, spans, pending: engine.publish(account, events, order).await? })
    }

    /// Waits until everything is durable. Answers what was not plainly accepted.
    async fn done(self, metrics: &Metrics) -> Result<Vec<pb::EventResult>, EngineError> {
        let Self { sequence, mut results, places, spans, pending } = self;
        let events = results.len() + places.len();
        for ((index, mut span), reply) in places.into_iter().zip(spans).zip(pending.done().await?) {
            match reply {
                EventReply::Accepted => {}
                EventReply::Duplicate => {
                    span.note(KeyValue::new("hookline.event.duplicate", true));
                    let status = pb::EventStatus::Duplicate.into();
                    results.push(pb::EventResult { sequence, index, status, ..pb::EventResult::default() });
                }
                EventReply::Rejected(rejection) => {
                    span.fail(rejection.reason.as_str());
                    results.push(rejected(sequence, index, &rejection));
                }
            }
        }
        let duplicates = results.iter().filter(|result| result.status() == pb::EventStatus::Duplicate).count();
        metrics.events("accepted", events - results.len());
        metrics.events("duplicate", duplicates);
        metrics.events("rejected", results.len() - duplicates);
        results.sort_by_key(|result| result.index);
        Ok(results)
    }
}

/// One stream of events.
struct Session {
    engine: Engine,
    backend: Backend,
    stopping: CancellationToken,
    budget: ByteBudget,
    spans: Spans,
    metrics: Metrics,
    answers: Answers,
}

/// What a frame holds until it is acknowledged.
#[derive(Clone, Copy, Default)]
struct Load {
    events: usize,
    bytes: usize,
}

/// A frame that is done.
struct Done {
    sequence: u64,
    /// Its account, where it was taken in.
    account: Option<AccountId>,
    /// What it held.
    load: Load,
    results: Result<Vec<pb::EventResult>, EngineError>,
}

type Pendings = FuturesOrdered<BoxFuture<'static, Done>>;
/// A frame that waits for room among the bytes of all streams.
type Entering = OptionFuture<BoxFuture<'static, Result<(OwnedSemaphorePermit, AccountId, pb::PublishRequest), Status>>>;

impl Session {
    async fn run(self, mut frames: Streaming<pb::PublishRequest>) {
        let measured = Measured::stream(&self.metrics, PUBLISH);
        let served = self.serve(&mut frames).await;
        measured.end(served.as_ref().err());
        if let Err(status) = served {
            let _ = self.answers.send(Err(status)).await;
        }
    }

    /// Reads frames as long as there is room, and acknowledges them in order. An error ends the reading; what was
    /// taken in before is still acknowledged.
    async fn serve(&self, frames: &mut Streaming<pb::PublishRequest>) -> Result<(), Status> {
        let mut expected = 1_u64;
        let mut accounts = Accounts::default();
        let mut held = Load::default();
        let mut pending = Pendings::new();
        let mut entering = Entering::default();
        let mut is_entering = false;
        let mut ending = None;
        while ending.is_none() || !pending.is_empty() {
            let is_open = ending.is_none();
            let has_room = held.events < UNACKED_EVENTS_MAX && held.bytes < UNACKED_BYTES_MAX;
            tokio::select! {
                Some(done) = pending.next() => {
                    let freed = self.acknowledge(done, &mut pending, &mut accounts).await?;
                    held = Load { events: held.events - freed.events, bytes: held.bytes - freed.bytes };
                }
                () = self.stopping.cancelled(), if is_open => ending = Some(self.announce_shutdown().await),
                Some(entered) = &mut entering, if is_open && is_entering => {
                    is_entering = false;
                    match self.take_frame(entered, &mut pending, &mut accounts).await {
                        Ok(load) => held = Load { events: held.events + load.events, bytes: held.bytes + load.bytes },
                        Err(status) => ending = Some(Err(status)),
                    }
                }
                frame = frames.message(), if is_open && has_room && !is_entering => match frame {
                    Ok(Some(frame)) => match self.check(&frame, expected) {
                        Ok(account) => {
                            accounts.takes_later |= expected == 1 && frame.accepts_retry_later;
                            expected += 1;
                            is_entering = true;
                            entering = Some(enter(self.budget.clone(), account, frame).boxed()).into();
                        }
                        Err(status) => ending = Some(Err(status)),
                    },
                    Ok(None) => ending = Some(Ok(())),
                    Err(status) => ending = Some(Err(status)),
                },
            }
        }
        ending.unwrap_or(Ok(()))
    }

    fn check(&self, frame: &pb::PublishRequest, expected: u64) -> Result<AccountId, Status> {
        if frame.sequence != expected {
            let message = format!("must be {expected}, one more than the frame before; it is {}", frame.sequence);
            return Err(status::invalid("sequence", message));
        }
        let account = name::account("parent", &frame.parent)?;
        self.backend.check(&account)?;
        check_size(frame.events.len())?;
        Ok(account)
    }

    /// Hands a frame to the engine. Its part of the room is free again once it is done.
    async fn take_frame(
        &self,
        entered: Result<(OwnedSemaphorePermit, AccountId, pb::PublishRequest), Status>,
        pending: &mut Pendings,
        accounts: &mut Accounts,
    ) -> Result<Load, Status> {
        let (held, account, frame) = entered?;
        let load = Load { events: frame.events.len(), bytes: held.num_permits() };
        let sequence = frame.sequence;
        let traced = Traced { spans: &self.spans, call: self.backend.trace.as_ref() };
        let order = match accounts.enter(&account, Instant::now()) {
            Turn::Now(order) => order,
            Turn::Later(rest) => {
                let why = "the account is in trouble: send its events again in their order";
                self.metrics.events("retry_later", load.events);
                let results = Ok(later(sequence, load.events, why, rest));
                pending.push_back(std::future::ready(Done { sequence, account: None, load, results }).boxed());
                return Ok(load);
            }
        };
        let frame = Frame::submit(&self.engine, traced, &account, (sequence, &order), frame.events).await;
        let metrics = self.metrics.clone();
        let done = async move {
            let results = match frame {
                Ok(frame) => frame.done(&metrics).await,
                Err(error) => Err(error),
            };
            drop(held);
            Done { sequence, account: Some(account), load, results }
        };
        pending.push_back(done.boxed());
        Ok(load)
    }

    /// Acknowledges a frame and every further one that is done already, in one answer. Answers what is held no more.
    async fn acknowledge(&self, first: Done, pending: &mut Pendings, accounts: &mut Accounts) -> Result<Load, Status> {
        let (mut acked, mut freed, mut results) = (None, Load::default(), Vec::new());
        let mut next = Some(first);
        let mut failure = None;
        while let Some(done) = next {
            let (sequence, load) = (done.sequence, done.load);
            match self.results_of(done, accounts) {
                Ok(of_frame) => results.extend(of_frame),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            acked = Some(sequence);
            freed = Load { events: freed.events + load.events, bytes: freed.bytes + load.bytes };
            next = pending.next().now_or_never().flatten();
        }
        if let Some(acked_sequence) = acked {
            self.say(pb::PublishResponse { acked_sequence, results, shutting_down: false }).await?;
        }
        match failure {
            Some(error) => Err(status::engine(&error)),
            None => Ok(freed),
        }
    }

    /// The results of a frame that is done; an error where its trouble ends the stream.
    fn results_of(&self, done: Done, accounts: &mut Accounts) -> Result<Vec<pb::EventResult>, EngineError> {
        let Done { sequence, account, load, results } = done;
        let trouble = match &results {
            Err(EngineError::Unavailable { retry_after, .. }) => Some(*retry_after),
            _ => None,
        };
        let goes_on = account.is_none_or(|account| accounts.leave(&account, trouble, Instant::now()));
        match results {
            Err(EngineError::Unavailable { why, retry_after }) if goes_on => {
                self.metrics.events("retry_later", load.events);
                Ok(later(sequence, load.events, &why, retry_after))
            }
            other => other,
        }
    }

    /// Tells the client that nothing more is read. Answers how the stream ends.
    async fn announce_shutdown(&self) -> Result<(), Status> {
        self.say(pb::PublishResponse { shutting_down: true, acked_sequence: 0, results: Vec::new() }).await?;
        Err(status::stopping())
    }

    async fn say(&self, answer: pb::PublishResponse) -> Result<(), Status> {
        // What is durable is held until its acknowledgement is taken.
        match tokio::time::timeout(UNREAD_STALL_MAX, self.answers.send(Ok(answer))).await {
            Ok(sent) => sent.map_err(|_| Status::cancelled("the client went away")),
            Err(_) => Err(status::slow_reader(UNREAD_STALL_MAX)),
        }
    }
}

async fn enter(
    budget: ByteBudget,
    account: AccountId,
    frame: pb::PublishRequest,
) -> Result<(OwnedSemaphorePermit, AccountId, pb::PublishRequest), Status> {
    Ok((budget.enter(&frame).await?, account, frame))
}
