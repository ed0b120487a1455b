//! Hookline turns a platform's domain events into conditional, templated webhook requests.
//!
//! # The house
//!
//! Data flows one way, and each arrow changes its type once: a protobuf frame becomes an
//! [`Event`](domain::event::Event), a decision makes a [`Change`](domain::account::change::Change) of it, the change
//! holds the requests, an attempt ends in an [`Outcome`](domain::attempt::Outcome), and that becomes a row.
//!
//! - [`domain`] is pure: rules and nothing else. It never imports tokio, actix, sea-orm, tonic or reqwest. Each of its
//!   rooms is a noun: [`event`](domain::event), [`attempt`](domain::attempt), [`automation`](domain::automation),
//!   [`webhook`](domain::webhook), [`execution`](domain::execution), [`account`](domain::account) and, above all of them,
//!   [`decision`](domain::decision).
//! - [`store`] is the only place that knows sea-orm: the tables, the journal that writes them in group commits, and
//!   what reads them.
//! - [`engine`] is the only place of the service that knows actix and reqwest: one actor an account, one an execution under way.
//! - [`grpc`] is the only place that knows protobuf; [`web`] is the same over HTTP: JSON becomes the messages of its
//!   services, and their answers become JSON.
//! - [`app`] puts them together, with [`operations`], the HTTP port for those who run it; [`port`] listens for both, with
//!   bounds that hold before a caller is known; [`clock`], [`config`], [`keys`], [`reload`], [`shares`] and
//!   [`telemetry`] are leaves; [`demo`] is a client, and so is [`cli`], the command line for people.
//!
//! # Invariants
//!
//! - An event is acknowledged only when every execution that it causes is durable, in one transaction with the event.
//! - Memory is never ahead of the database: decide, commit, apply, and only then answer and send.
//! - Nothing is answered or sent by a process whose lease of the database may have ended.
//! - One commit is in flight per account; each compares and advances the account's revision, so nothing that was
//!   decided on older state can land.
//! - A final state never changes; a request never changes once it is built.
//! - An execution is admitted by the limit of one window, once, in the order of arrival; nothing is paused while there
//!   is room. `domain::model_tests` drives an account against a model to prove it.
//! - What a stranger sends is never read: a call is let in by its headers, and a message is counted before it is built.
//! - No value of an event can lead a request away from its endpoint, or make a body anything but valid JSON.
//!
//! # One event's way
//!
//! 1. `grpc::doors` verifies the token and finds a place; `grpc::services` checks the frame, reads the envelope in one
//!    bounded pass and hands the event to the engine.
//! 2. The account's actor queues it. If a commit is in flight, the event becomes part of the next one.
//! 3. [`decide`](domain::decision::decide) finds the automations it triggers, decides their conditions, renders their
//!    requests, and puts event and executions into a change; with a free slot an execution is `RUNNING` at once.
//! 4. The journal writes the change together with those of other accounts: one transaction, wide statements.
//! 5. The actor applies the change, acknowledges the event and starts a dispatch actor for each execution.
//! 6. The dispatch actor sends the request and reports the outcome, which is decided and committed the same way: the
//!    attempt, and the execution's end, its next action, or the time of its next attempt.
//! 7. What waits (for a slot, for its time, for the limit, for an endpoint that is left alone) is a row, found again by
//!    the due index: [`wanted`](domain::account::due::wanted) says which rows an account takes next.
//! 8. Who watches the account is told that it has a new revision, and reads what has changed from the database.
//! 9. What is old enough is deleted, and what a job takes is retried or cancelled, a few rows with each commit.
//! 10. After a crash the scheduler wakes the accounts that are due; what is written as running is sent again.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod grpc;
pub mod keys;
pub mod operations;
pub mod port;
pub mod reload;
pub mod shares;
pub mod store;
pub mod telemetry;
pub mod web;
