//! What happened on the platform: one change of one object, and the envelopes that tell of it.

mod envelope;
mod event;
pub mod recent;

pub use self::{
    envelope::parse_envelope,
    event::{
        Action, Cause, EVENT_PAYLOAD_BYTES_MAX, Event, PERMITTED_USERS_MAX, Rejection, RejectionReason, payload_object,
    },
};
