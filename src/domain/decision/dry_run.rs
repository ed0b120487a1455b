//! What an automation would make of an event, clause by clause and request by request, without doing it.

use std::sync::Arc;

use crate::domain::{
    account::{Account, Rules},
    attempt::Reason,
    automation::{
        Automation,
        checks::{Check, checks},
        condition::Explanation,
        placeholder::{Scope, Trees},
    },
    event::Event,
    execution::request::{Request, build},
    id::{AccountId, ExecutionUid, WebhookUid},
    timestamp::Timestamp,
    webhook::Webhook,
};

/// What an automation would make of an event.
#[derive(Debug)]
pub struct DryRun {
    /// What must hold.
    pub checks: Vec<Check>,
    /// How every clause of the conditions is decided.
    pub explanation: Vec<Explanation>,
    /// The requests as they would be built.
    pub requests: Vec<Request>,
    /// Whether the limit would hold the execution back.
    pub is_paused: bool,
    /// Why it would fail without being sent, as far as is known beforehand, and the action that would, from 0.
    pub failure: Option<(Reason, usize)>,
}

impl DryRun {
    /// Whether the automation would run.
    pub fn runs(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }
}

/// Looks at everything that a decision looks at. The error says what is wrong with the event's data.
pub fn dry_run(
    account_id: &AccountId,
    account: &Account,
    automation: &Automation,
    event: &Event,
    rules: &Rules,
    execution: ExecutionUid,
    now: Timestamp,
) -> Result<DryRun, String> {
    let trees = Trees::of(event).map_err(|error| error.to_string())?;
    let state = trees.state(event, &account.catalogue);
    let scope = Scope {
        event,
        data: &trees.data,
        previous: trees.previous.as_ref(),
        account: account_id,
        automation_name: &automation.display_name,
        execution,
        catalogue: &account.catalogue,
    };
    let webhook_of = |uid: WebhookUid| account.webhooks.get(&uid).map(Arc::as_ref);
    let limit = account.execution_limit(&rules.limits(&account.facts));
    let has_room = account.window.at(now, rules.window_length_ms).remaining(limit) > 0;
    let mut requests = build(automation, scope, webhook_of, rules.body_bytes_max);
    for request in &mut requests {
        request.failure = request.failure.or_else(|| unsendable(webhook_of(request.webhook)));
    }
    let fails = |request: &Request| request.failure.filter(|_| !request.continue_on_failure);
    Ok(DryRun {
        failure: requests.iter().enumerate().find_map(|(at, request)| Some((fails(request)?, at))),
        checks: checks(
            account.facts.plan.has_automation_webhooks(),
            automation,
            event,
            automation.compiled.conditions.hold(state),
        ),
        explanation: automation.compiled.conditions.explain(state),
        requests,
        is_paused: account.backlog.count > 0 || !has_room,
    })
}

/// Why nothing can be sent to a webhook as it is.
fn unsendable(webhook: Option<&Webhook>) -> Option<Reason> {
    match webhook.filter(|webhook| webhook.deleted_at.is_none()) {
        None => Some(Reason::WebhookDeleted),
        Some(webhook) if !webhook.is_enabled() => Some(Reason::WebhookDisabled),
        Some(_) => None,
    }
}
