//! What an account tells of its decisions: notices in the log, why automations did not run, and recent events.

use std::sync::Arc;

use super::AccountActor;
use crate::{
    clock,
    domain::{
        account::{change::Change, notice::Notice},
        automation::miss::Miss,
        event::Event,
    },
};

impl AccountActor {
    /// Remembers why automations did not run.
    pub(super) fn note_misses(&self, misses: Vec<Miss>) {
        let Some(account) = self.state.account.as_ref().filter(|_| !misses.is_empty()) else { return };
        let mut book = self.shared.misses();
        for miss in misses {
            book.push(account.uid, miss, clock::now());
        }
    }

    /// Remembers the events that fitted a trigger.
    pub(super) fn note_recent(&self, events: &[(Arc<Event>, usize)]) {
        let Some(account) = self.state.account.as_ref().filter(|_| !events.is_empty()) else { return };
        let now = clock::now();
        let mut book = self.shared.recent();
        for (event, executions) in events {
            book.push(account.uid, event, *executions, now);
        }
    }

    /// Tells the log what people want to know.
    pub(super) fn tell_notices(&self, change: &Change) {
        let id = &self.state.id;
        for notice in &change.notices {
            match notice {
                Notice::LimitCrossed { percent, used, limit, paused } => tracing::warn!(
                    account.id = %id,
                    usage.used = used,
                    usage.limit = limit,
                    usage.paused = paused,
                    "{percent} % of the window's executions are used"
                ),
                Notice::EndpointUnavailable { webhook, until } => tracing::warn!(
                    account.id = %id,
                    webhook.id = %webhook,
                    until = until.to_rfc3339(),
                    "an endpoint fails and is left alone for a while"
                ),
                Notice::EndpointAvailable { webhook } => {
                    tracing::info!(account.id = %id, webhook.id = %webhook, "an endpoint answers again");
                }
                Notice::WebhookDisabled { webhook, reason } => {
                    tracing::warn!(account.id = %id, webhook.id = %webhook, reason = ?reason, "a webhook is disabled");
                }
            }
        }
    }
}
