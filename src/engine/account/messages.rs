//! What an account is asked for: events and calls to decide, outcomes to take in, and to look at what is due.

use std::sync::Arc;

use actix::{Handler, Message};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    AccountActor,
    queue::{self, Wait},
};
use crate::{
    domain::{
        decision::{EventReply, command::Command},
        event::Event,
    },
    engine::calls::{CommandReply, EngineError, Order},
};

/// Events of this account came in.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeEvents {
    pub events: Vec<Arc<Event>>,
    pub order: Order,
    pub wait: Wait,
    pub reply: oneshot::Sender<Result<Vec<EventReply>, EngineError>>,
}

/// A call changes something.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeCommand {
    pub command: Arc<Command>,
    pub wait: Wait,
    pub reply: oneshot::Sender<Result<CommandReply, EngineError>>,
}

/// Attempts ended: they are in the inbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeOutcomes;

/// Look whether something is due.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake {
    /// A place among the loads, which the account keeps until it is loaded.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Handler<TakeEvents> for AccountActor {
    type Result = ();

    fn handle(&mut self, message: TakeEvents, ctx: &mut Self::Context) {
        let TakeEvents { events, order, reply, wait } = message;
        self.queue.push_events(queue::Events { events, replies: Vec::new(), order, reply, wait });
        self.turn(ctx);
    }
}

impl Handler<TakeCommand> for AccountActor {
    type Result = ();

    fn handle(&mut self, message: TakeCommand, ctx: &mut Self::Context) {
        let TakeCommand { command, reply, wait } = message;
        let is_new = command.repeat.is_none();
        self.queue.push_call(queue::Call { command, is_new, execution: queue::Subject::Unread, reply, wait });
        self.turn(ctx);
    }
}

impl Handler<TakeOutcomes> for AccountActor {
    type Result = ();

    fn handle(&mut self, _: TakeOutcomes, ctx: &mut Self::Context) {
        for ended in self.outcomes.take() {
            self.queue.push_outcome(ended);
        }
        self.turn(ctx);
    }
}

impl Handler<Wake> for AccountActor {
    type Result = ();

    fn handle(&mut self, Wake { place }: Wake, ctx: &mut Self::Context) {
        if !self.is_loaded && place.is_some() {
            self.load_place = place;
        }
        self.turn(ctx);
    }
}
