//! One try to send a request: how it ended, what that means, and when it is tried again.

pub mod retry_policy;
