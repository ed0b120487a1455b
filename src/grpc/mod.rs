//! The only place that knows protobuf: the services, who calls, and what errors look like on the wire.

mod calls;
mod convert;
mod doors;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[expect(unused_qualifications, clippy::allow_attributes, clippy::large_enum_variant, reason = "made by a generator")]
pub mod pb;
mod services;

pub use self::{
    calls::{bounds::EVENTS_BYTES_MAX, byte_budget::ByteBudget, codec::BoundedCodec},
    convert::written::{check_automation, check_webhook, shown_retry_policy},
    doors::{
        admission::{Admission, CallBounds},
        auth::{Authenticator, Claims, LEEWAY_SECONDS, TokenRules, check_key_file, mint},
        serving::{Doors, serve},
    },
    services::api::{Api, READS_OF_ACCOUNT_AT_ONCE_MAX, SERVICE_NAMES},
};
