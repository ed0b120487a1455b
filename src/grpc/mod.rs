//! The only place that knows protobuf: the services, who calls, and what errors look like on the wire.

mod calls;
mod convert;
mod descriptors;
mod doors;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[expect(unused_qualifications, clippy::allow_attributes, clippy::large_enum_variant, reason = "made by a generator")]
pub mod pb;
mod services;

pub use self::{
    calls::{
        bounds::{EVENTS_BYTES_MAX, whole_bytes_max},
        byte_budget::ByteBudget,
        codec::BoundedCodec,
        json::check as check_json,
        receiving::Framing,
        status::{invalid, malformed, message_too_large},
    },
    convert::{
        timestamp,
        written::{check_automation, check_webhook, shown_retry_policy},
    },
    descriptors::POOL,
    doors::{
        admission::{Admission, CallBounds},
        auth::{Authenticator, Claims, LEEWAY_SECONDS, TokenRules, check_key_file, mint},
        identities::{Identified, IngestFor},
        serving::{Doors, serve},
    },
    services::api::{Api, READS_OF_ACCOUNT_AT_ONCE_MAX, SERVICE_NAMES},
};
