//! The dispatch actor: sends the requests of one execution, one after the other, and reports each outcome.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

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

    fn handle(&mut self, Send { dispatch, slot, acknowledged_at }: Send, ctx: &mut Self::Context) {
        let shared = Arc::clone(&self.shared);
        let started_at = clock::now();
        let (execution, action_no, attempt_no) = (dispatch.execution, dispatch.action_no, dispatch.attempt_no);
        // Sockets belong to the shared pool of workers, not to this actor's thread.
        let account = self.account.clone();
        let task = tokio::spawn(async move {
            let webhook = dispatch.webhook.uid;
            let _slot = slot;
            // Once the lease has ended another process may send this; while it lasts nobody else does.
            shared.store.lease().held().await;
            tally::started(&shared.metrics, acknowledged_at);
            let attempt = shared.http.send(&account, &dispatch, &shared.spans).await;
            tally::attempted(&shared.metrics, &attempt);
            let took = Duration::from_micros(u64::try_from(attempt.duration_us).unwrap_or_default());
            shared.slots.note(webhook, took, matches!(attempt.outcome, Outcome::Answer { .. }));
            attempt
        });
        let report = task.into_actor(self).map(move |ended, actor, ctx| {
            let attempt = ended.unwrap_or_else(|error| {
                tracing::error!(execution.id = %execution, error = %error, "sending a request broke down");
                actor.shared.metrics.fault("request");
                let message = "an internal error; it was logged".to_owned();
                let outcome = Outcome::Error { kind: Reason::Internal, message, was_sent: true };
                Attempt { started_at, duration_us: 0, url: String::new(), secret_url: None, outcome }
            });
            let ended = AttemptReport { execution, action_no, attempt_no, attempt: Arc::new(attempt) };
            actor.shared.flights.end(&ended);
            let engine = super::Engine { shared: Arc::clone(&actor.shared) };
            let account = actor.account.clone();
            ctx.spawn(async move { engine.report(&account, ended).await }.into_actor(actor));
        });
        ctx.spawn(report);
    }
}
