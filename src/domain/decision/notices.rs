//! What those who watch an account are told of a change.

use crate::domain::{
    account::{Account, change::Change, limits::crossings, notice::Notice},
    webhook::health::Breaker,
};

/// What a change of an account, whose limit is as given, makes known.
pub fn notices(account: &Account, change: &Change, limit: u32) -> Vec<Notice> {
    let mut found: Vec<_> = crossings(account.window, change.window, limit)
        .into_iter()
        .map(|percent| Notice::LimitCrossed {
            percent,
            used: u32::try_from(change.window.used).unwrap_or(u32::MAX),
            limit,
            paused: change.backlog.count,
        })
        .collect();
    for (at, after) in change.health.iter().enumerate() {
        let is_last = change.health[at + 1..].iter().all(|later| later.webhook != after.webhook);
        let Some(webhook) = account.webhooks.get(&after.webhook).filter(|_| is_last) else { continue };
        let was_alone = account.health.get(&after.webhook).is_some_and(|health| health.breaker.is_left_alone());
        let webhook = webhook.id.clone();
        match after.health.breaker {
            Breaker::Open { until, .. } if !was_alone => found.push(Notice::EndpointUnavailable { webhook, until }),
            Breaker::Closed { .. } if was_alone => found.push(Notice::EndpointAvailable { webhook }),
            _ => {}
        }
    }
    for after in change.webhooks.iter().map(|change| &change.webhook) {
        let was_enabled = account.webhooks.get(&after.uid).is_some_and(|webhook| webhook.is_enabled());
        if let Some(reason) = after.disabled.filter(|_| was_enabled && after.deleted_at.is_none()) {
            let notice = Notice::WebhookDisabled { webhook: after.id.clone(), reason };
            if !found.contains(&notice) {
                found.push(notice);
            }
        }
    }
    found
}
