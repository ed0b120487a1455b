//! What the service's own notices say as events: no secrets, and a sentence for people.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::domain::{
    account::{Account, change::Change, loops::CAUSATION_DEPTH_MAX, notice::Notice},
    attempt::Reason,
    event::Cause,
    execution::{State, Unfinished},
    id::{AccountId, EntityId, ExecutionUid, ResourceId},
    source::SourceKind,
    webhook::{DisableReason, WebhookKind},
};

/// How many of the executions that it tells of a notice names.
const NAMED_EXECUTIONS_MAX: usize = 10;

/// What a notice says.
pub struct Told {
    /// The account, the webhook or the automation that it is about.
    pub entity_id: EntityId,
    /// The state of its event.
    pub data: Value,
    /// The execution that it follows from.
    pub cause: Option<Cause>,
}

/// Executions of one source that ended in the same way, and not well.
pub struct Ended {
    source_kind: SourceKind,
    source_id: ResourceId,
    source_name: String,
    state: State,
    reason: Option<Reason>,
    /// How many they are.
    pub count: u64,
    executions: Vec<ExecutionUid>,
    depth: u32,
}

/// The executions that failed for good or were stopped by a change. Those that tell of a notice are left out, and so is what
/// follows from a notice of an execution that had come as deep as any may: a chain ends.
pub fn ended(change: &Change) -> Vec<Ended> {
    let new = change.executions.iter().map(Unfinished::from);
    let steps = change.steps.iter().map(|step| step.execution.clone());
    let is_bad = |execution: &Unfinished| matches!(execution.progress.state, State::Failed | State::Stopped);
    let mut found: Vec<Ended> = Vec::new();
    let is_told = |one: &Unfinished| !one.is_of_notice && one.record.causation_depth <= CAUSATION_DEPTH_MAX + 1;
    let mut places: HashMap<(SourceKind, ResourceId, State, Option<Reason>), usize> = HashMap::new();
    for one in new.chain(steps).filter(|one| is_bad(one) && is_told(one)) {
        let (record, state, reason) = (&one.record, one.progress.state, one.progress.reason);
        let at = *places.entry((one.source_kind, record.source_id.clone(), state, reason)).or_insert(found.len());
        if at == found.len() {
            found.push(Ended {
                source_kind: one.source_kind,
                source_id: record.source_id.clone(),
                source_name: record.source_name.clone(),
                state,
                reason,
                count: 0,
                executions: Vec::new(),
                depth: 0,
            });
        }
        let group = &mut found[at];
        group.count += 1;
        group.depth = group.depth.max(record.causation_depth);
        if group.executions.len() < NAMED_EXECUTIONS_MAX {
            group.executions.push(one.uid);
        }
    }
    found
}

/// What is said of them.
pub fn of_ended(ended: &Ended) -> Told {
    let (kind, what) = match ended.source_kind {
        SourceKind::Automation => ("automation", "the automation"),
        SourceKind::RegularWebhook => ("regular_webhook", "the regular webhook"),
    };
    let (state, reason) = (ended.state.as_str(), ended.reason.map_or("", Reason::as_str));
    let executions: Vec<_> = ended.executions.iter().map(ToString::to_string).collect();
    let many = if ended.count == 1 { "An execution".to_owned() } else { format!("{} executions", ended.count) };
    let verb = match (ended.state, ended.count) {
        (State::Failed, _) => "failed",
        (_, 1) => "was stopped",
        _ => "were stopped",
    };
    let message = match ended.source_name.as_str() {
        // Of one that cannot be read not even that is known.
        "" => format!("{many} of {what} of an unknown name {verb}: {reason}."),
        name => format!("{many} of {what} \"{name}\" {verb}: {reason}."),
    };
    Told {
        entity_id: EntityId::from(&ended.source_id),
        cause: Some(Cause { execution_id: executions.first().cloned(), depth: ended.depth.saturating_add(1) }),
        data: json!({
            "kind": "executions_ended",
            "message": message,
            "state": state,
            "reason": reason,
            "count": ended.count,
            "executions": executions,
            "source": { "kind": kind, "id": ended.source_id.as_str(), "display_name": ended.source_name },
        }),
    }
}

/// What is said of those that no notice has told of.
pub fn of_untold(account: &AccountId, count: u64) -> Told {
    let message = format!("{count} more executions failed or were stopped: see the history.");
    about_account(account, json!({ "kind": "more_executions_ended", "message": message, "count": count }))
}

/// What is said of everything else.
pub fn of_notice(id: &AccountId, account: &Account, notice: &Notice) -> Told {
    let about_webhook = |webhook: &ResourceId, kind: &str, sentence: &dyn Fn(&str) -> String| {
        let found = account.webhook(webhook);
        let name = found.map_or("", |found| found.display_name.as_str());
        let of_kind = found.map_or("", |found| match found.kind {
            WebhookKind::Automation => "automation",
            WebhookKind::Regular => "regular",
        });
        Told {
            entity_id: EntityId::from(webhook),
            cause: None,
            data: json!({
                "kind": kind,
                "message": sentence(name),
                "webhook": { "kind": of_kind, "id": webhook.as_str(), "display_name": name },
            }),
        }
    };
    match notice {
        Notice::LimitCrossed { percent, used, limit, paused } => {
            let message = format!("{percent} % of the executions of this window are used: {used} of {limit}.");
            let data = json!({
                "kind": "limit_crossed", "message": message,
                "percent": percent, "used": used, "limit": limit, "paused": paused,
            });
            about_account(id, data)
        }
        Notice::EndpointUnavailable { webhook, until } => {
            let until = until.to_rfc3339();
            let sentence = |name: &str| format!("The endpoint of \"{name}\" fails and is left alone until {until}.");
            let mut told = about_webhook(webhook, "endpoint_unavailable", &sentence);
            told.data["until"] = until.clone().into();
            told
        }
        Notice::EndpointAvailable { webhook } => {
            let sentence = |name: &str| format!("The endpoint of \"{name}\" answers again.");
            about_webhook(webhook, "endpoint_available", &sentence)
        }
        Notice::WebhookDisabled { webhook, reason } => {
            let (word, why) = match reason {
                DisableReason::Admin => ("ADMIN", "a person disabled it"),
                DisableReason::Gone => ("GONE", "its endpoint answered 410, which says that it is gone"),
                DisableReason::Failing => ("FAILING", "its endpoint failed on three days without one success"),
                DisableReason::Asked => ("ASKED", "its endpoint asked for it: webhook-delivery: disable"),
                DisableReason::Unreadable => ("UNREADABLE", "it cannot be read"),
            };
            let sentence = |name: &str| format!("Nothing is sent to \"{name}\" any more: {why}.");
            let mut told = about_webhook(webhook, "webhook_disabled", &sentence);
            told.data["reason"] = word.into();
            told
        }
    }
}

fn about_account(id: &AccountId, data: Value) -> Told {
    Told { entity_id: EntityId::from(id), data, cause: None }
}
