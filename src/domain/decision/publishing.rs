//! The service's own notices, published as events.

use std::sync::Arc;

use super::{
    draft::Draft,
    told::{self, Told, ended},
};
use crate::domain::{
    account::{Account, notice::Notice},
    event::{Action, Event},
    id::{EventId, ObjectName},
};

impl Draft<'_, '_> {
    /// Publishes what is told of this decision as events of the service's own object, for those automations and regular
    /// webhooks that name it. What happens because of a notice makes no other one.
    pub(super) fn publish_notices(&mut self) {
        let Some(account) = self.living().filter(|account| account.hears_notices) else { return };
        let untold = self.change.ended_notices.turn(self.around.now);
        let mut events = Vec::new();
        if untold > 0 {
            // The new minute is taken note of, whether or not anything runs.
            self.change.is_tidied = true;
            events.push(self.event_of(told::of_untold(&self.state.id, untold)));
        }
        for notice in std::mem::take(&mut self.change.notices) {
            if !self.is_quiet(account, &notice) {
                events.push(self.event_of(told::of_notice(&self.state.id, account, &notice)));
            }
            self.change.notices.push(notice);
        }
        for ended in ended(&self.change) {
            if self.change.ended_notices.take(ended.count) {
                events.push(self.event_of(told::of_ended(&ended)));
            }
        }
        for event in events {
            // Its own JSON can be read.
            let _ = self.happened(account, &Arc::new(event));
        }
    }

    /// Whether a notice tells of a webhook with which it happened because of another notice. Where other requests go to it,
    /// too, it concerns them as well, and is told.
    fn is_quiet(&self, account: &Account, notice: &Notice) -> bool {
        let webhook = notice.webhook().and_then(|id| account.webhook(id));
        webhook.is_some_and(|webhook| self.quiet.contains(&webhook.uid) && account.carries_only_notices(webhook))
    }

    fn event_of(&mut self, told: Told) -> Event {
        Event {
            id: EventId::of_notice((self.around.uuid)()),
            object: ObjectName::notice(),
            action: Action::Create,
            entity_id: told.entity_id,
            occurred_at: self.around.now,
            user_id: None,
            data: told.data.to_string(),
            previous: None,
            meta: None,
            swapped: false,
            permitted_user_ids: None,
            cause: told.cause,
            trace: None,
        }
    }
}
