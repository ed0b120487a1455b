//! Events from files, published over one acknowledged stream.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::input::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_EVENTS_MAX, FRAMES_AHEAD_MAX, input};
use crate::{
    cli::{
        CallArgs, CliError,
        connection::{Caller, account_of},
        is_transient, show,
    },
    grpc::pb::{self, event_input::Kind, event_service_client::EventServiceClient},
};

/// How large a file may be; larger ones are published in parts.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How often a stream that breaks is taken up again, and how long to wait before.
const RECONNECTS_MAX: u32 = 10;
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How long nothing may be acknowledged before people are told why nothing seems to happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// An event and where it was read.
struct ReadEvent {
    input: pb::EventInput,
    place: String,
    bytes: usize,
}

/// Publishes what files have, all of it or nothing that cannot be read.
pub async fn publish(call: CallArgs, parent: String, files: &[PathBuf]) -> Result<(), CliError> {
    let mut events = Vec::new();
    for file in files {
        events.extend(read(file)?);
    }
    let count = events.len();
    let caller = call.connection.open(account_of(&parent)).await?;
    let bar = ProgressBar::new(count as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events acknowledged, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let waiting = tokio::spawn(async {
        tokio::time::sleep(PATIENCE).await;
        eprintln!("waiting for acknowledgements; the server may be in trouble with its database");
    });
    let mut publishing = Publishing { parent, frames: frames(events), acked: 0, results: Vec::new(), bar };
    let published = publishing.run(&call, caller).await;
    waiting.abort();
    publishing.bar.finish_and_clear();
    if published.is_err() {
        let acked: usize = publishing.frames[..publishing.acked].iter().map(|frame| frame.events.len()).sum();
        eprintln!("{acked} of {count} events were acknowledged; publish the files again to send the rest");
    }
    publishing.report(&call, published)
}

/// The events of a file.
fn read(path: &Path) -> Result<Vec<ReadEvent>, CliError> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| CliError::new(format!("{name}: {error}"));
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(CliError::new(format!("{name} has more than {FILE_BYTES_MAX} bytes: split it")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<Vec<ReadEvent>, CliError> {
    let mut found = Vec::new();
    let mut push = |raw: &RawValue| {
        let place = format!("{name}, event {}", found.len() + 1);
        if raw.get().len() > EVENT_BYTES_MAX {
            let message =
                format!("{place} has {} bytes, the limit is {EVENT_BYTES_MAX}; nothing was published", raw.get().len());
            return Err(CliError::new(message));
        }
        let input = input(raw).map_err(|error| CliError::new(format!("{place}: {error}; nothing was published")))?;
        let is_envelope = matches!(input.kind, Some(Kind::Envelope(_)));
        let place = if is_envelope { format!("{place} (an envelope: no event_id)") } else { place };
        found.push(ReadEvent { input, place, bytes: raw.get().len() });
        Ok::<_, CliError>(())
    };
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| CliError::new(format!("{name}: {error}; nothing was published")))?;
        if value.get().starts_with('[') {
            let list: Vec<&RawValue> =
                serde_json::from_str(value.get()).map_err(|error| CliError::new(format!("{name}: {error}")))?;
            list.into_iter().try_for_each(&mut push)?;
        } else {
            push(value)?;
        }
    }
    if found.is_empty() {
        return Err(CliError::new(format!("{name} has no event")));
    }
    Ok(found)
}

/// Events that are published together.
struct Frame {
    events: Vec<pb::EventInput>,
    places: Vec<String>,
}

fn frames(events: Vec<ReadEvent>) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut bytes = 0;
    for found in events {
        let fits = |frame: &Frame| frame.events.len() < FRAME_EVENTS_MAX && bytes + found.bytes <= FRAME_BYTES_MAX;
        if !frames.last().is_some_and(fits) {
            frames.push(Frame { events: Vec::new(), places: Vec::new() });
            bytes = 0;
        }
        bytes += found.bytes;
        if let Some(frame) = frames.last_mut() {
            frame.events.push(found.input);
            frame.places.push(found.place);
        }
    }
    frames
}

/// What is being published; frame n has the sequence number n, from 1.
struct Publishing {
    parent: String,
    frames: Vec<Frame>,
    /// How many frames are acknowledged.
    acked: usize,
    results: Vec<pb::EventResult>,
    bar: ProgressBar,
}

impl Publishing {
    /// Publishes all of it. A stream that breaks is taken up again with what is not acknowledged, with a new token.
    async fn run(&mut self, call: &CallArgs, first: Caller) -> Result<(), CliError> {
        let mut caller = Some(first);
        let mut reconnects = 0;
        while self.acked < self.frames.len() {
            let before = self.acked;
            let opened = match caller.take() {
                Some(caller) => Ok(caller),
                None => call.connection.open(account_of(&self.parent)).await,
            };
            let ended: Result<(), CliError> = match opened {
                Ok(caller) => match self.stream(&mut EventServiceClient::new(caller)).await {
                    Ok(()) => Ok(()),
                    Err(status) if is_transient(&status) => Err(status.into()),
                    Err(status) => return Err(status.into()),
                },
                Err(error) => Err(error),
            };
            reconnects = if self.acked > before { 0 } else { reconnects + 1 };
            if self.acked < self.frames.len() {
                if reconnects > RECONNECTS_MAX {
                    let why = ended.err().map(|CliError(why)| why).unwrap_or_default();
                    return Err(CliError::new(format!("the stream ends again and again; {why}")));
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
        Ok(())
    }

    async fn stream(&mut self, client: &mut EventServiceClient<Caller>) -> Result<(), Status> {
        let (sender, receiver) = mpsc::channel(FRAMES_AHEAD_MAX);
        // Each stream counts its frames from 1.
        let base = self.acked;
        let mut next = base;
        let mut answers: Option<Streaming<pb::PublishResponse>> = None;
        let mut starting = Box::pin(client.publish(ReceiverStream::new(receiver)));
        while self.acked < self.frames.len() {
            let has_more = next < self.frames.len();
            tokio::select! {
                started = &mut starting, if answers.is_none() => answers = Some(started?.into_inner()),
                answer = async { answers.as_mut()?.message().await.transpose() }, if answers.is_some() => {
                    let Some(answer) = answer.transpose()? else { return Ok(()) };
                    self.take(answer, base);
                }
                room = sender.reserve(), if has_more => {
                    let Ok(room) = room else { return Ok(()) };
                    room.send(pb::PublishRequest {
                        sequence: (next - base) as u64 + 1,
                        parent: self.parent.clone(),
                        events: self.frames[next].events.clone(),
                        accepts_retry_later: false,
                    });
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes an answer of a stream that began after so many frames.
    fn take(&mut self, answer: pb::PublishResponse, base: usize) {
        let numbered = |result: pb::EventResult| pb::EventResult { sequence: result.sequence + base as u64, ..result };
        self.results.extend(answer.results.into_iter().map(numbered));
        let acked = usize::try_from(answer.acked_sequence).unwrap_or_default().saturating_add(base);
        let acked = acked.clamp(self.acked, self.frames.len());
        let events: usize = self.frames[self.acked..acked].iter().map(|frame| frame.events.len()).sum();
        self.acked = acked;
        self.bar.inc(events as u64);
    }

    /// Says what became of the events; an error where some were rejected.
    fn report(self, call: &CallArgs, published: Result<(), CliError>) -> Result<(), CliError> {
        let count: usize = self.frames[..self.acked].iter().map(|frame| frame.events.len()).sum();
        let place = |result: &pb::EventResult| {
            let frame = usize::try_from(result.sequence).ok().and_then(|at| self.frames.get(at.checked_sub(1)?));
            frame.and_then(|frame| frame.places.get(usize::try_from(result.index).ok()?)).cloned().unwrap_or_default()
        };
        let rejected: Vec<_> = self.results.iter().filter(|one| one.status() == pb::EventStatus::Rejected).collect();
        let duplicates = self.results.len() - rejected.len();
        if call.json {
            show::print_json_list("EventResult", &self.results)?;
        } else {
            for result in &rejected {
                println!("{}: {}: {} ({})", place(result), result.field, result.message, result.reason);
            }
            let accepted = count.saturating_sub(self.results.len());
            println!("{accepted} accepted, {duplicates} published before, {} rejected", rejected.len());
        }
        published?;
        match rejected.len() {
            0 => Ok(()),
            1 => Err(CliError::new("one event was rejected")),
            many => Err(CliError::new(format!("{many} events were rejected"))),
        }
    }
}

#[cfg(test)]
#[path = "tests/files.rs"]
mod tests;
