//! The dispatch actor: sends the requests of one execution, one after the other, and reports each outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Message};
use futures::FutureExt as _;

use super::{Shared, observe::tally, slots::Slot};
use crate::{
    clock,
    domain::{
        attempt::{Attempt, AttemptReport, Outcome, Reason},
        execution::dispatch::Dispatch,
        id::AccountId,
        timestamp::Timestamp,
    },
};

/// Sends the requests of one execution.
pub struct DispatchActor {
    shared: Arc<Shared>,
    account: AccountId,
}

impl DispatchActor {
    /// An actor for an execution of an account.
    pub fn new(shared: Arc<Shared>, account: AccountId) -> Self {
        Self { shared, account }
    }
}

impl Actor for DispatchActor {
    type Context = Context<Self>;
}

/// Send this request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Send {
    pub dispatch: Dispatch,
    /// Its slot of all; free again once the attempt has ended.
    pub slot: Slot,
    /// When the execution was acknowledged, if this is its first request.
    pub acknowledged_at: Option<Timestamp>,
}

impl Handler<Send> for DispatchActor {
    type Result = ();

    fn handle(&mut self, Send { dispatch, slot, acknowledged_at }: Send, _: &mut Self::Context) {
        let (shared, account) = (Arc::clone(&self.shared), self.account.clone());
        // Sockets belong to the shared pool of workers, not to this actor's thread.
        tokio::spawn(async move {
            let started_at = clock::now();
            let (execution, action_no, attempt_no) = (dispatch.execution, dispatch.action_no, dispatch.attempt_no);
            let sent = AssertUnwindSafe(send(&shared, &account, dispatch, slot, acknowledged_at)).catch_unwind().await;
            let attempt = sent.unwrap_or_else(|_| {
                tracing::error!(execution.id = %execution, "sending a request broke down");
                shared.metrics.fault("request");
                let message = "an internal error; it was logged".to_owned();
                let outcome = Outcome::Error { kind: Reason::Internal, message, was_sent: true };
                Attempt { started_at, duration_us: 0, url: String::new(), secret_url: None, outcome }
            });
            let ended = AttemptReport { execution, action_no, attempt_no, attempt: Arc::new(attempt) };
            // Whoever restarts the account's actor finds it there.
            shared.flights.end(&ended);
            super::Engine { shared }.report(&account, ended).await;
        });
    }
}

/// Sends a request, while its slot of all is held.
async fn send(
    shared: &Shared,
    account: &AccountId,
    dispatch: Dispatch,
    _slot: Slot,
    acknowledged_at: Option<Timestamp>,
) -> Attempt {
    let webhook = dispatch.webhook.uid;
    // Once the lease has ended another process may send this; while it lasts nobody else does.
    shared.store.lease().held().await;
    tally::started(&shared.metrics, acknowledged_at);
    let attempt = shared.http.send(account, &dispatch, &shared.spans).await;
    tally::attempted(&shared.metrics, &attempt);
    let took = Duration::from_micros(u64::try_from(attempt.duration_us).unwrap_or_default());
    shared.slots.note(webhook, took, matches!(attempt.outcome, Outcome::Answer { .. }));
    attempt
}
