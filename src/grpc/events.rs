//! `EventService`: the streams that events come in by.

use std::{pin::Pin, sync::Arc};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Api, convert, name, pb, status};
use crate::{
    domain::{
        caller::Caller,
        decision::{EventReply, is_traceparent},
        event::{Cause, Event, PERMITTED_USERS_MAX, Rejection, RejectionReason, parse_envelope, payload_object},
        id::AccountId,
        refusal::Violations,
    },
    engine::{Engine, EngineError, Pending},
};

/// How many events one frame has at most.
const FRAME_EVENTS_MAX: usize = 1_000;
/// How many events of a stream are held unacknowledged; the server reads no further beyond that.
const UNACKED_EVENTS_MAX: usize = 16_384;
/// How many bytes of a stream are held unacknowledged.
const UNACKED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many answers wait for a client that does not read.
const UNREAD_ANSWERS_MAX: usize = 64;

type Answers = mpsc::Sender<Result<pb::PublishResponse, Status>>;

#[tonic::async_trait]
impl pb::event_service_server::EventService for Api {
    type PublishStream = Pin<Box<dyn Stream<Item = Result<pb::PublishResponse, Status>> + Send>>;

    async fn publish(
        &self,
        request: Request<Streaming<pb::PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let (answers, receiver) = mpsc::channel(UNREAD_ANSWERS_MAX);
        let session = Session { engine: self.engine.clone(), caller, stopping: self.stopping.clone(), answers };
        self.tasks.spawn(session.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn publish_batch(
        &self,
        request: Request<pb::PublishBatchRequest>,
    ) -> Result<Response<pb::PublishBatchResponse>, Status> {
        let caller = self.auth.caller(request.metadata())?;
        let request = request.into_inner();
        let account = checked_account(&caller, &request.parent, request.events.len())?;
        let frame = Frame::take_in(&self.engine, &account, 0, request.events).await;
        let frame = frame.map_err(|error| status::engine(&error))?;
        let results = frame.done().await.map_err(|error| status::engine(&error))?;
        Ok(Response::new(pb::PublishBatchResponse { results }))
    }
}

fn checked_account(caller: &Caller, parent: &str, events: usize) -> Result<AccountId, Status> {
    let account = name::account("parent", parent)?;
    caller.require_service(&account).map_err(|refusal| status::refused(&refusal))?;
    if events == 0 || events > FRAME_EVENTS_MAX {
        return Err(status::invalid("events", format!("must have 1 to {FRAME_EVENTS_MAX} events")));
    }
    Ok(account)
}

/// A frame whose events are taken in and wait to become durable.
struct Frame {
    sequence: u64,
    /// What was rejected before it reached the engine.
    results: Vec<pb::EventResult>,
    /// The places of the others.
    places: Vec<u32>,
    pending: Pending,
}

impl Frame {
    /// Converts a frame's events and hands them to the engine; frames of an account keep their order.
    async fn take_in(
        engine: &Engine,
        account: &AccountId,
        sequence: u64,
        inputs: Vec<pb::EventInput>,
    ) -> Result<Self, EngineError> {
        let mut results = Vec::new();
        let mut events = Vec::with_capacity(inputs.len());
        let mut places = Vec::with_capacity(inputs.len());
        for (index, input) in (0_u32..).zip(inputs) {
            match event(account, input) {
                Ok(event) => {
                    events.push(Arc::new(event));
                    places.push(index);
                }
                Err(rejection) => results.push(rejected(sequence, index, &rejection)),
            }
        }
        Ok(Self { sequence, results, places, pending: engine.publish(account, events).await? })
    }

    /// Waits until everything is durable. Answers what was not plainly accepted.
    async fn done(self) -> Result<Vec<pb::EventResult>, EngineError> {
        let Self { sequence, mut results, places, pending } = self;
        for (index, reply) in places.into_iter().zip(pending.done().await?) {
            match reply {
                EventReply::Accepted => {}
                EventReply::Duplicate => results.push(pb::EventResult {
                    sequence,
                    index,
                    status: pb::EventStatus::Duplicate.into(),
                    ..pb::EventResult::default()
                }),
                EventReply::Rejected(rejection) => results.push(rejected(sequence, index, &rejection)),
            }
        }
        results.sort_by_key(|result| result.index);
        Ok(results)
    }
}

fn rejected(sequence: u64, index: u32, rejection: &Rejection) -> pb::EventResult {
    let field = match rejection.field.as_str() {
        "parent" => "parent".to_owned(),
        field => format!("events[{index}].{field}"),
    };
    pb::EventResult {
        sequence,
        index,
        status: pb::EventStatus::Rejected.into(),
        field,
        reason: rejection.reason.as_str().to_owned(),
        message: rejection.message.clone(),
    }
}

/// Reads an event in any of its forms.
fn event(account: &AccountId, input: pb::EventInput) -> Result<Event, Rejection> {
    let mut event = match input.kind {
        Some(pb::event_input::Kind::Envelope(bytes)) => parse_envelope(account, &bytes)?,
        Some(pb::event_input::Kind::Event(event)) => native(&event)?,
        None => {
            let message = "must be given as event or as envelope";
            return Err(Rejection::new("kind", RejectionReason::InvalidField, message));
        }
    };
    event.traceparent = Some(input.traceparent).filter(|text| is_traceparent(text));
    if input.causation_depth > 0 || !input.cause_execution_id.is_empty() {
        let execution_id = Some(input.cause_execution_id).filter(|id| !id.is_empty() && id.len() <= 64);
        event.cause = Some(Cause { execution_id, depth: input.causation_depth });
    }
    Ok(event)
}

fn native(given: &pb::Event) -> Result<Event, Rejection> {
    fn parse<T: std::str::FromStr<Err = String>>(field: &str, text: &str) -> Result<T, Rejection> {
        text.parse().map_err(|error| Rejection::new(format!("event.{field}"), RejectionReason::InvalidField, error))
    }
    let mut faults = Violations::default();
    let action = convert::event_action("event.action", given.action, &mut faults).ok_or_else(|| {
        Rejection::new("event.action", RejectionReason::InvalidField, "is required: create, change or delete")
    })?;
    let occurred_at = given.occur_time.as_ref().and_then(convert::from_timestamp).ok_or_else(|| {
        Rejection::new("event.occur_time", RejectionReason::InvalidField, "is required: a time from 1970 to 9999")
    })?;
    let previous = match given.previous.as_ref() {
        b"" | b"null" => None,
        bytes => Some(payload_object("event.previous", bytes)?),
    };
    if given.permitted_user_ids.len() > PERMITTED_USERS_MAX {
        let message = format!("more than {PERMITTED_USERS_MAX} users");
        return Err(Rejection::new("event.permitted_user_ids", RejectionReason::TooLarge, message));
    }
    let permitted = given.permitted_user_ids.iter().map(|id| parse("permitted_user_ids", id));
    let permitted = permitted.collect::<Result<Vec<_>, _>>()?;
    Ok(Event {
        id: parse("event_id", &given.event_id)?,
        object: parse("object", &given.object)?,
        action,
        entity_id: parse("entity_id", &given.entity_id)?,
        occurred_at,
        user_id: (!given.user_id.is_empty()).then(|| parse("user_id", &given.user_id)).transpose()?,
        data: payload_object("event.data", &given.data)?,
        previous,
        meta: None,
        swapped: false,
        permitted_user_ids: (!permitted.is_empty()).then_some(permitted),
        cause: None,
        traceparent: None,
    })
}

/// One stream of events.
struct Session {
    engine: Engine,
    caller: Caller,
    stopping: tokio_util::sync::CancellationToken,
    answers: Answers,
}

/// A frame that is taken in: its number, events, bytes and results.
type Taken = (u64, usize, usize, Result<Vec<pb::EventResult>, EngineError>);

impl Session {
    async fn run(self, mut frames: Streaming<pb::PublishRequest>) {
        if let Err(status) = self.serve(&mut frames).await {
            let _ = self.answers.send(Err(status)).await;
        }
    }

    async fn serve(&self, frames: &mut Streaming<pb::PublishRequest>) -> Result<(), Status> {
        let mut expected = 1_u64;
        let (mut events, mut bytes) = (0_usize, 0_usize);
        let mut pending: FuturesOrdered<BoxFuture<'static, Taken>> = FuturesOrdered::new();
        let mut is_open = true;
        let mut ending = Ok(());
        while is_open || !pending.is_empty() {
            let has_room = events < UNACKED_EVENTS_MAX && bytes < UNACKED_BYTES_MAX;
            tokio::select! {
                Some(taken) = pending.next() => {
                    let (acked, freed_events, freed_bytes) = self.acknowledge(taken, &mut pending).await?;
                    tracing::trace!(sequence = acked, "acknowledged");
                    events -= freed_events;
                    bytes -= freed_bytes;
                }
                () = self.stopping.cancelled(), if is_open => {
                    is_open = false;
                    self.say(pb::PublishResponse { shutting_down: true, acked_sequence: 0, results: Vec::new() }).await?;
                    ending = Err(Status::unavailable("the server is shutting down: connect again and send again what was not acknowledged"));
                }
                frame = frames.message(), if is_open && has_room => match frame {
                    Ok(Some(frame)) => match self.check(&frame, expected) {
                        Ok(account) => {
                            let size = prost::Message::encoded_len(&frame);
                            let count = frame.events.len();
                            expected += 1;
                            events += count;
                            bytes += size;
                            let sequence = frame.sequence;
                            match Frame::take_in(&self.engine, &account, sequence, frame.events).await {
                                Ok(frame) => {
                                    let done = async move { (sequence, count, size, frame.done().await) };
                                    pending.push_back(done.boxed());
                                }
                                Err(error) => {
                                    is_open = false;
                                    ending = Err(status::engine(&error));
                                }
                            }
                        }
                        Err(status) => {
                            is_open = false;
                            ending = Err(status);
                        }
                    },
                    Ok(None) => is_open = false,
                    Err(status) => {
                        is_open = false;
                        ending = Err(status);
                    }
                },
            }
        }
        ending
    }

    fn check(&self, frame: &pb::PublishRequest, expected: u64) -> Result<AccountId, Status> {
        if frame.sequence != expected {
            let message = format!("must be {expected}, one more than the frame before; it is {}", frame.sequence);
            return Err(status::invalid("sequence", message));
        }
        checked_account(&self.caller, &frame.parent, frame.events.len())
    }

    /// Acknowledges a frame and every further one that is done already, in one answer.
    async fn acknowledge(
        &self,
        first: Taken,
        pending: &mut FuturesOrdered<BoxFuture<'static, Taken>>,
    ) -> Result<(u64, usize, usize), Status> {
        let (mut acked, mut events, mut bytes, results) = first;
        let mut results = results.map_err(|error| status::engine(&error))?;
        let mut failure = None;
        while let Some(Some((sequence, more_events, more_bytes, more))) = pending.next().now_or_never() {
            match more {
                Ok(more) => results.extend(more),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            acked = sequence;
            events += more_events;
            bytes += more_bytes;
        }
        self.say(pb::PublishResponse { acked_sequence: acked, results, shutting_down: false }).await?;
        match failure {
            Some(error) => Err(status::engine(&error)),
            None => Ok((acked, events, bytes)),
        }
    }

    async fn say(&self, answer: pb::PublishResponse) -> Result<(), Status> {
        self.answers.send(Ok(answer)).await.map_err(|_| Status::cancelled("the client went away"))
    }
}
