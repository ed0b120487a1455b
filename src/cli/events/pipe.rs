//! Events from standard input, published as they come: one a line, acknowledged line by line.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, Read, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::input::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_EVENTS_MAX, FRAMES_AHEAD_MAX, input};
use crate::{
    cli::{
        CallArgs, CliError,
        connection::{Caller, account_of},
        is_transient,
    },
    grpc::pb::{self, event_service_client::EventServiceClient},
};

/// How many lines are read ahead of what is sent.
const LINES_AHEAD_MAX: usize = 1_000;
/// How long to wait before a stream that has ended is taken up again; longer each time nothing is acknowledged.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(15);

/// A line that was read.
struct Line {
    number: u64,
    /// What it has: an event, nothing, or what is wrong with it.
    found: Result<Option<(pb::EventInput, usize)>, String>,
}

/// Why no further line can be read, which is no line's fault: nothing of it counts as done.
struct Cut(String);

/// Lines that go together.
#[derive(Default)]
struct Frame {
    /// The first and the last line, with those that have no event.
    lines: Vec<u64>,
    /// The lines of the events.
    places: Vec<u64>,
    events: Vec<pb::EventInput>,
    bytes: usize,
}

impl Frame {
    fn has_room(&self) -> bool {
        self.events.len() < FRAME_EVENTS_MAX && self.bytes < FRAME_BYTES_MAX
    }

    fn push(&mut self, line: Line) -> Option<String> {
        self.lines.push(line.number);
        match line.found {
            Ok(None) => None,
            Ok(Some((event, bytes))) => {
                self.places.push(line.number);
                self.events.push(event);
                self.bytes += bytes;
                None
            }
            Err(why) => Some(format!("line {}: {why}", line.number)),
        }
    }
}

/// Publishes until the input ends. What cannot be an event is told and passed over; what the server refuses, too.
pub async fn publish(
    call: &CallArgs,
    parent: String,
    position_file: Option<PathBuf>,
    no_skip: bool,
) -> Result<(), CliError> {
    let position = position_file.as_deref().map_or(Ok(0), position)?;
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    // A thread of its own: nothing can interrupt a read, and the process may end meanwhile.
    std::thread::spawn(move || read(std::io::stdin().lock(), position, no_skip, &sender));
    let mut pipe = Pipe {
        parent,
        lines,
        position_file,
        last: position,
        waiting: VecDeque::new(),
        sent: 0,
        acked: 0,
        is_over: false,
        cut: None,
        refused: 0,
    };
    let mut pause = RECONNECT_PAUSE_MIN;
    loop {
        let before = pipe.acked;
        let ended = match call.connection.open(account_of(&pipe.parent)).await {
            Ok(caller) => match pipe.stream(&mut EventServiceClient::new(caller)).await {
                Err(status) if !is_transient(&status) => return Err(status.into()),
                ended => ended.map_err(CliError::from),
            },
            Err(error) => Err(error),
        };
        if pipe.is_over && pipe.waiting.is_empty() {
            break;
        }
        if pipe.acked > before {
            pause = RECONNECT_PAUSE_MIN;
        }
        if let Err(CliError(why)) = ended {
            eprintln!("{why}; going on after line {} in {} ms", pipe.last, pause.as_millis());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
    }
    if let Some(Cut(why)) = pipe.cut {
        return Err(CliError::new(format!("{why}; everything up to line {} is acknowledged", pipe.last)));
    }
    match pipe.refused {
        0 => Ok(()),
        1 => Err(CliError::new("one line was refused")),
        many => Err(CliError::new(format!("{many} lines were refused"))),
    }
}

/// The number of the last line that was acknowledged; 0 where there is no such file yet.
fn position(path: &Path) -> Result<u64, CliError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            CliError::new(format!("{}: holds no number of a line; remove it to begin anew", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(CliError::new(format!("{}: {error}", path.display()))),
    }
}

/// Reads lines until there are no more, or nobody takes them.
fn read(input: impl BufRead, position: u64, no_skip: bool, sender: &mpsc::Sender<Result<Line, Cut>>) {
    if let Err(cut) = read_lines(input, position, no_skip, sender) {
        let _ = sender.blocking_send(Err(cut));
    }
}

fn read_lines(
    mut input: impl BufRead,
    position: u64,
    no_skip: bool,
    sender: &mpsc::Sender<Result<Line, Cut>>,
) -> Result<(), Cut> {
    let unreadable = |error: std::io::Error| Cut(format!("standard input cannot be read: {error}"));
    let mut number = if no_skip { position } else { 0 };
    loop {
        let mut bytes = Vec::new();
        let limit = EVENT_BYTES_MAX as u64 + 1;
        let count = (&mut input).take(limit).read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if count == 0 {
            return Ok(());
        }
        number += 1;
        let has_end = bytes.ends_with(b"\n");
        let is_long = bytes.len() > EVENT_BYTES_MAX && !has_end;
        if is_long {
            skip_line(&mut input).map_err(unreadable)?;
        }
        if number <= position && !no_skip {
            continue;
        }
        let found = if is_long { Err(format!("has more than {EVENT_BYTES_MAX} bytes")) } else { event(&bytes) };
        if let (Err(why), false, false) = (&found, has_end, is_long) {
            // Whoever wrote it may have been ended in the middle of it.
            return Err(Cut(format!("line {number} has no end, and {why}")));
        }
        if sender.blocking_send(Ok(Line { number, found })).is_err() {
            return Ok(());
        }
    }
}

/// Goes to the end of a line that is too long.
fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(buffer.len(), |end| end + 1);
        input.consume(count);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// The event of a line; none where it is empty.
fn event(bytes: &[u8]) -> Result<Option<(pb::EventInput, usize)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("is no text: {error}"))?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let event = input(raw).map_err(|CliError(why)| why)?;
    Ok(Some((event, text.len())))
}

/// What is on its way from the input to the server.
struct Pipe {
    parent: String,
    lines: mpsc::Receiver<Result<Line, Cut>>,
    position_file: Option<PathBuf>,
    /// The last line that is done.
    last: u64,
    /// Frames that are not acknowledged, oldest first.
    waiting: VecDeque<Frame>,
    /// How many of them were sent on the stream that is open.
    sent: usize,
    /// How many were acknowledged in all.
    acked: u64,
    /// Whether the input has ended.
    is_over: bool,
    /// Why it has, where it was not its end.
    cut: Option<Cut>,
    refused: u64,
}

impl Pipe {
    /// Sends what waits, and what comes, until the input has ended and all of it is acknowledged.
    async fn stream(&mut self, client: &mut EventServiceClient<Caller>) -> Result<(), Status> {
        let (sender, receiver) = mpsc::channel(1);
        self.sent = 0;
        let mut acked_of_stream = 0;
        let mut sequence = 0;
        let mut answers: Option<Streaming<pb::PublishResponse>> = None;
        let mut starting = Box::pin(client.publish(ReceiverStream::new(receiver)));
        loop {
            if self.is_over && self.waiting.is_empty() {
                return Ok(());
            }
            let has_more = self.sent < self.waiting.len();
            let may_read = !self.is_over && !has_more && self.waiting.len() < FRAMES_AHEAD_MAX;
            tokio::select! {
                started = &mut starting, if answers.is_none() => answers = Some(started?.into_inner()),
                answer = async { answers.as_mut()?.message().await.transpose() }, if answers.is_some() => {
                    let Some(answer) = answer.transpose()? else { return Ok(()) };
                    self.take(&answer, &mut acked_of_stream);
                }
                room = sender.reserve(), if has_more => {
                    let Ok(room) = room else { return Ok(()) };
                    sequence += 1;
                    room.send(pb::PublishRequest {
                        sequence,
                        parent: self.parent.clone(),
                        events: self.waiting[self.sent].events.clone(),
                        accepts_retry_later: false,
                    });
                    self.sent += 1;
                }
                line = self.lines.recv(), if may_read => self.gather(line),
            }
        }
    }

    /// A line, and those behind it that have come already, become a frame.
    fn gather(&mut self, first: Option<Result<Line, Cut>>) {
        let mut frame = Frame::default();
        let mut next = first;
        self.is_over = next.is_none();
        while let Some(read) = next {
            let line = match read {
                Ok(line) => line,
                Err(cut) => {
                    (self.is_over, self.cut) = (true, Some(cut));
                    break;
                }
            };
            if let Some(why) = frame.push(line) {
                self.refused += 1;
                eprintln!("{why}");
            }
            next = if frame.has_room() { self.lines.try_recv().ok() } else { None };
        }
        if frame.lines.is_empty() {
            return;
        }
        if frame.events.is_empty() {
            // Nothing of it goes to the server, so it is done with what goes before.
            match self.waiting.back_mut() {
                Some(before) => before.lines.extend(frame.lines),
                None => self.done(&frame.lines),
            }
        } else {
            self.waiting.push_back(frame);
        }
    }

    /// Takes an answer of a stream of which so many frames were acknowledged before.
    fn take(&mut self, answer: &pb::PublishResponse, acked_of_stream: &mut u64) {
        for result in answer.results.iter().filter(|result| result.status() == pb::EventStatus::Rejected) {
            let at = result.sequence.checked_sub(*acked_of_stream + 1).and_then(|at| usize::try_from(at).ok());
            let frame = at.and_then(|at| self.waiting.get(at));
            let line = frame.and_then(|frame| frame.places.get(usize::try_from(result.index).ok()?));
            let line = line.map_or_else(|| "a line".to_owned(), |line| format!("line {line}"));
            eprintln!("{line}: {}: {} ({})", result.field, result.message, result.reason);
            self.refused += 1;
        }
        while *acked_of_stream < answer.acked_sequence {
            let Some(frame) = self.waiting.pop_front() else { return };
            *acked_of_stream += 1;
            self.sent = self.sent.saturating_sub(1);
            self.acked += 1;
            self.done(&frame.lines);
        }
    }

    /// Lines are done: the place is kept first, and then their numbers are printed.
    fn done(&mut self, lines: &[u64]) {
        let Some(last) = lines.last() else { return };
        self.last = *last;
        if let Some(path) = &self.position_file
            && let Err(error) = keep(path, *last)
        {
            eprintln!("{}: {error}; after the next start lines are sent again", path.display());
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            // Whoever reads them may have gone.
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}

/// Keeps a number in a file, whole at any moment.
fn keep(path: &Path, number: u64) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, format!("{number}\n"))?;
    fs::rename(&new, path)
}

#[cfg(test)]
#[path = "tests/pipe.rs"]
mod tests;
