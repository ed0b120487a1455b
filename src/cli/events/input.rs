//! One event as people and programs write it, and how many go together.

use serde_json::{Value, value::RawValue};

use crate::{
    cli::{CliError, apply::manifest::liberal, show, written::Written},
    domain::event::EVENT_PAYLOAD_BYTES_MAX,
    grpc::pb::{self, event_input::Kind},
};

/// How large one event may be: the server takes `data` and `previous` of 1 MiB each.
pub const EVENT_BYTES_MAX: usize = 3 * EVENT_PAYLOAD_BYTES_MAX;
/// How many events one frame has at most.
pub const FRAME_EVENTS_MAX: usize = 100;
/// How many bytes of payloads one frame has, unless a single event has more.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// How many frames are on their way unread.
pub const FRAMES_AHEAD_MAX: usize = 16;

/// Whatever has an event id is an event of the API; all else is an envelope, byte for byte.
pub fn input(raw: &RawValue) -> Result<pb::EventInput, CliError> {
    #[derive(serde::Deserialize)]
    struct Mark {
        event_id: Option<Value>,
    }
    let malformed = |error: serde_json::Error| CliError::new(format!("not an event: {error}"));
    let mark: Mark = serde_json::from_str(raw.get()).map_err(malformed)?;
    if mark.event_id.is_none() {
        let kind = Kind::Envelope(raw.get().as_bytes().to_vec().into());
        return Ok(pb::EventInput { kind: Some(kind), ..pb::EventInput::default() });
    }
    #[derive(serde::Deserialize)]
    struct Payloads<'t> {
        #[serde(borrow, default)]
        data: Option<&'t RawValue>,
        #[serde(borrow, default)]
        previous: Option<&'t RawValue>,
    }
    let payloads: Payloads<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
    let Written::Fields(mut rest) = Written::json(raw.get())? else { return Err(CliError::new("not an event")) };
    rest.retain(|(name, _)| name != "data" && name != "previous");
    let mut event: pb::Event = show::message("Event", liberal("Event", rest)?)?;
    let bytes = |raw: Option<&RawValue>| raw.map(|raw| raw.get().as_bytes().to_vec()).unwrap_or_default();
    event.data = bytes(payloads.data).into();
    event.previous = bytes(payloads.previous).into();
    Ok(pb::EventInput { kind: Some(Kind::Event(event)), ..pb::EventInput::default() })
}
