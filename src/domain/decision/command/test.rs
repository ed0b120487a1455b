//! Test requests: they take their turn like any other, and are in no history.

use std::sync::Arc;

use super::{
    Command, TestAnswer,
    automation::find_automation,
    require_plan,
    webhook::{find_webhook, require_readable},
    webhook_name,
};
use crate::domain::{
    account::{Account, change::Tested},
    automation::placeholder::{Scope, Trees},
    decision::draft::Draft,
    event::Event,
    execution::request::{build, test_request},
    id::{ExecutionUid, ResourceId, WebhookUid},
    refusal::{Precondition, Refusal},
};

/// How many test requests of an account are under way at once.
pub const TESTS_AT_ONCE_MAX: usize = 4;
/// How many test requests a second go to a webhook that has no limit of its own.
const TESTS_A_SECOND_MAX: u32 = 10;

/// Its manager has a request sent to a webhook.
pub fn test_webhook(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    under_way: usize,
) -> Result<TestAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    let account = draft.account()?;
    let webhook = find_webhook(account, &account_id, id)?;
    webhook.require_manager(&command.caller, &account_id)?;
    require_readable(webhook, &account_id)?;
    let request = test_request(&account_id, webhook, draft.now());
    let execution = ExecutionUid((draft.around.uuid)());
    let answer = TestAnswer { webhook: Arc::clone(webhook), execution, request: Arc::new(request) };
    send(draft, account, answer, Tested::Webhook(webhook.id.clone()), under_way)
}

/// Whoever may edit an automation has one of its requests sent, as it is rendered for an event.
pub fn test_automation(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    id: &ResourceId,
    (event, action): (&Event, usize),
    under_way: usize,
) -> Result<TestAnswer, Refusal> {
    let account_id = draft.state.id.clone();
    command.caller.require_automation_writer(&account_id)?;
    let account = draft.account()?;
    require_plan(account, "name", "tests of automations")?;
    let automation = find_automation(account, &account_id, id)?;
    if event.object != automation.spec.object {
        let message = format!("is about {}, the automation is about {}", event.object, automation.spec.object);
        return Err(Refusal::invalid("event", message));
    }
    let trees = Trees::of(event).map_err(|error| Refusal::invalid("event", error.to_string()))?;
    let execution = ExecutionUid((draft.around.uuid)());
    let scope = Scope {
        event,
        data: &trees.data,
        previous: trees.previous.as_ref(),
        account: &account_id,
        automation_name: &automation.display_name,
        execution,
        catalogue: &account.catalogue,
    };
    let webhook_of = |uid: WebhookUid| account.webhooks.get(&uid).map(|webhook| &**webhook);
    let requests = build(automation, scope, webhook_of, draft.around.rules.body_bytes_max);
    let actions = requests.len();
    let Some(request) = requests.into_iter().nth(action) else {
        return Err(Refusal::invalid("action_index", format!("the automation has {actions} actions, counted from 0")));
    };
    let webhook = account.webhooks.get(&request.webhook).filter(|webhook| webhook.deleted_at.is_none());
    let Some(webhook) = webhook else {
        let message = "the webhook was deleted; name another one in the action";
        let name = webhook_name(&account_id, &request.webhook_id);
        return Err(Refusal::precondition(Precondition::WebhookNotFound, name, message));
    };
    require_readable(webhook, &account_id)?;
    if !webhook.is_enabled() && webhook.require_manager(&command.caller, &account_id).is_err() {
        let message = "the webhook is disabled: a global admin may test it, and enable it";
        let name = webhook_name(&account_id, &webhook.id);
        return Err(Refusal::precondition(Precondition::WebhookDisabled, name, message));
    }
    if let Some(failure) = request.failure {
        let message = format!("its request is never sent for this event: {}", failure.as_str());
        return Err(Refusal::invalid("event", message));
    }
    let answer = TestAnswer { webhook: Arc::clone(webhook), execution, request: Arc::new(request) };
    send(draft, account, answer, Tested::Automation(automation.id.clone()), under_way)
}

/// Lets a test request be sent, if there is room for one more.
fn send(
    draft: &mut Draft<'_, '_>,
    account: &Account,
    answer: TestAnswer,
    tested: Tested,
    under_way: usize,
) -> Result<TestAnswer, Refusal> {
    let webhook = &answer.webhook;
    let exhausted = |message: String| Refusal::Exhausted { subject: "tests".to_owned(), message };
    let is_free = draft.free_slots(webhook.source_kind()) > under_way;
    if under_way >= TESTS_AT_ONCE_MAX || !is_free {
        return Err(exhausted(format!(
            "{under_way} test requests of this account are under way, and its slots are taken: try again in a moment"
        )));
    }
    let now = draft.now();
    let per_second = webhook.requests_per_second.unwrap_or(TESTS_A_SECOND_MAX);
    let bucket = draft.bucket(account, webhook.uid);
    if bucket.tokens(per_second, now) == 0 {
        return Err(exhausted(format!(
            "the webhook gets {per_second} requests a second at most, and has had them: try again in a moment"
        )));
    }
    bucket.take(per_second, now);
    // Only what is sent is in the audit trail.
    draft.change.tested = Some(tested);
    Ok(answer)
}
