//! Hookline turns a platform's domain events into conditional, templated webhook requests.

pub mod domain;
pub mod engine;
pub mod grpc;
pub mod store;
