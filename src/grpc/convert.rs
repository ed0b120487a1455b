//! Between protobuf and the domain. What a request says wrongly is noted with its field's path.

use std::collections::BTreeMap;

use super::pb;
use crate::{
    domain::{
        account::AccountFacts,
        automation::{Automation, AutomationSpec, check_action},
        command::{NewAction, NewWebhook, etag_of},
        condition::{ClauseSpec, Explanation, GROUP_DEPTH_MAX, GroupSpec, Match, MemberSpec, Operator, Scalar},
        decision::Rules,
        event::Action,
        execution::{Attempt, Outcome, SourceKind, State, Verdict},
        id::{AccountId, ObjectName},
        plan::{LimitOverrides, Plan},
        rate::PER_SECOND_MAX,
        refusal::Violations,
        request::{Method, Request},
        retry::{DELAY_MS_MIN, DELAYS_MAX, FailureClass, PIPEDRIVE_DELAYS_MS, RetryPolicy, SCHEDULE_MS_MAX, Schedule},
        template::BodySpec,
        timestamp::Timestamp,
        url::{EndpointUrl, UrlPolicy},
        webhook::{Credentials, DisableReason, Webhook, WebhookKind, check_display_name},
    },
    store::{AccountView, ExecutionView, UsageCounts},
};

pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: time.seconds(), nanos }
}

pub fn from_timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = i64::from(time.nanos);
    (0..1_000_000_000)
        .contains(&nanos)
        .then(|| Timestamp::from_seconds(time.seconds))
        .flatten()
        .map(|second| Timestamp(second.0 + nanos / 1_000))
}

pub fn plan(field: &str, value: i32, faults: &mut Violations) -> Option<Plan> {
    let found = match pb::Plan::try_from(value) {
        Ok(pb::Plan::Essential) => Some(Plan::Essential),
        Ok(pb::Plan::Advanced) => Some(Plan::Advanced),
        Ok(pb::Plan::Professional) => Some(Plan::Professional),
        Ok(pb::Plan::Power) => Some(Plan::Power),
        Ok(pb::Plan::Enterprise) => Some(Plan::Enterprise),
        Ok(pb::Plan::Unspecified) | Err(_) => None,
    };
    if found.is_none() {
        faults.add(field, "is required: one of PLAN_ESSENTIAL to PLAN_ENTERPRISE");
    }
    found
}

pub fn account(id: &AccountId, facts: &AccountFacts) -> pb::Account {
    let plan = match facts.plan {
        Plan::Essential => pb::Plan::Essential,
        Plan::Advanced => pb::Plan::Advanced,
        Plan::Professional => pb::Plan::Professional,
        Plan::Power => pb::Plan::Power,
        Plan::Enterprise => pb::Plan::Enterprise,
    };
    pb::Account {
        name: format!("accounts/{id}"),
        plan: plan.into(),
        etag: etag_of(facts.revision),
        create_time: Some(timestamp(facts.created_at)),
        update_time: Some(timestamp(facts.updated_at)),
        limit_overrides: (facts.overrides != LimitOverrides::default()).then_some(pb::AccountLimits {
            executions_per_window: facts.overrides.executions_per_window,
            active_automations: facts.overrides.active_automations,
            automation_webhooks: facts.overrides.automation_webhooks,
            requests_in_flight: facts.overrides.requests_in_flight,
        }),
    }
}

pub fn limit_overrides(given: pb::AccountLimits) -> LimitOverrides {
    LimitOverrides {
        executions_per_window: given.executions_per_window,
        active_automations: given.active_automations,
        automation_webhooks: given.automation_webhooks,
        requests_in_flight: given.requests_in_flight,
    }
}

/// How much of its limits an account uses at a time.
pub fn usage(view: &AccountView, counts: &UsageCounts, rules: &Rules, now: Timestamp) -> pb::AccountUsage {
    let window = view.window.at(now, rules.window_length_ms);
    let limits = rules.limits(&view.facts);
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    pb::AccountUsage {
        limits: Some(pb::AccountLimits {
            executions_per_window: Some(limits.executions_per_window),
            active_automations: Some(limits.active_automations),
            automation_webhooks: Some(limits.automation_webhooks),
            requests_in_flight: Some(limits.requests_in_flight),
        }),
        executions_used: u32::try_from(window.used).unwrap_or_default(),
        window_start_time: Some(timestamp(window.start)),
        reset_time: Some(timestamp(window.end(rules.window_length_ms))),
        paused_executions: view.paused,
        oldest_paused_time: counts.oldest_paused.map(timestamp),
        active_automations: number(counts.active_automations),
        automation_webhooks: number(counts.automation_webhooks),
    }
}

pub fn account_view(view: &AccountView) -> pb::Account {
    account(&view.id, &view.facts)
}

pub fn endpoint(field: &str, url: &str, policy: &UrlPolicy, faults: &mut Violations) -> Option<EndpointUrl> {
    match EndpointUrl::parse(url, policy) {
        Ok(endpoint) => Some(endpoint),
        Err(sentences) => {
            for sentence in sentences {
                faults.add(field, sentence);
            }
            None
        }
    }
}

pub fn new_webhook(webhook: pb::Webhook, policy: &UrlPolicy, faults: &mut Violations) -> Option<NewWebhook> {
    let kind = match pb::WebhookKind::try_from(webhook.kind) {
        Ok(pb::WebhookKind::Automation) => Some(WebhookKind::Automation),
        Ok(pb::WebhookKind::Regular) => Some(WebhookKind::Regular),
        Ok(pb::WebhookKind::Unspecified) | Err(_) => {
            faults.add("webhook.kind", "is required: WEBHOOK_KIND_AUTOMATION");
            None
        }
    };
    let endpoint = endpoint("webhook.endpoint_url", &webhook.endpoint_url, policy, faults);
    let credentials = credentials(webhook.credentials);
    check_display_name(&webhook.display_name, "webhook.display_name", faults);
    credentials.check("webhook.credentials", faults);
    let retry = retry_policy(webhook.retry_policy, faults);
    let requests_per_second = requests_per_second(webhook.requests_per_second, faults);
    Some(NewWebhook {
        display_name: webhook.display_name,
        kind: kind?,
        endpoint: endpoint?,
        credentials,
        retry: retry?,
        requests_per_second,
    })
}

/// Reads a limit a second; 0 is none.
pub fn requests_per_second(given: u32, faults: &mut Violations) -> Option<u32> {
    if given > PER_SECOND_MAX {
        faults.add("webhook.requests_per_second", format!("must be 0 (no limit) to {PER_SECOND_MAX}"));
    }
    Some(given).filter(|limit| *limit > 0)
}

/// Reads a retry policy; none given is the installation's.
pub fn retry_policy(given: Option<pb::RetryPolicy>, faults: &mut Violations) -> Option<RetryPolicy> {
    const AT: &str = "webhook.retry_policy";
    let given = given.unwrap_or_default();
    let custom = !given.delays.is_empty();
    let schedule = match pb::RetryPreset::try_from(given.preset) {
        Ok(pb::RetryPreset::Custom) => Some(delays(&given.delays, &format!("{AT}.delays"), faults)?),
        Ok(_) if custom => {
            faults.add(format!("{AT}.delays"), "are only for RETRY_PRESET_CUSTOM");
            return None;
        }
        Ok(pb::RetryPreset::Pipedrive) => Some(PIPEDRIVE_DELAYS_MS.to_vec()),
        Ok(pb::RetryPreset::Unspecified) => None,
        Err(_) => {
            faults.add(format!("{AT}.preset"), "is no preset");
            return None;
        }
    };
    let class = |(at, number): (usize, &i32)| match pb::FailureClass::try_from(*number) {
        Ok(pb::FailureClass::Transport) => Some(FailureClass::Transport),
        Ok(pb::FailureClass::Timeout) => Some(FailureClass::Timeout),
        Ok(pb::FailureClass::Throttled) => Some(FailureClass::Throttled),
        Ok(pb::FailureClass::ServerError) => Some(FailureClass::ServerError),
        Ok(pb::FailureClass::Unspecified) | Err(_) => {
            faults.add(format!("{AT}.final_failures[{at}]"), "is no class of failures");
            None
        }
    };
    let mut final_failures: Vec<_> = given.final_failures.iter().enumerate().map(class).collect::<Option<_>>()?;
    final_failures.dedup();
    Some(RetryPolicy { schedule: schedule.map(|delays_ms| Schedule { delays_ms }), final_failures })
}

fn delays(given: &[prost_types::Duration], at: &str, faults: &mut Violations) -> Option<Vec<u64>> {
    let found: Option<Vec<_>> = given.iter().map(duration_ms).collect();
    let found = found.filter(|delays| {
        delays.len() <= DELAYS_MAX
            && delays.iter().all(|ms| *ms >= DELAY_MS_MIN)
            && delays.iter().try_fold(0_u64, |sum, ms| sum.checked_add(*ms)).is_some_and(|sum| sum <= SCHEDULE_MS_MAX)
    });
    if found.is_none() {
        faults.add(at, format!("must be at most {DELAYS_MAX}, each of a second or more, three days in all"));
    }
    found
}

/// A duration in milliseconds; none where it is negative or malformed.
pub fn duration_ms(given: &prost_types::Duration) -> Option<u64> {
    let seconds = u64::try_from(given.seconds).ok()?;
    let nanos = u64::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000)
}

fn shown_retry(policy: &RetryPolicy) -> Option<pb::RetryPolicy> {
    if *policy == RetryPolicy::default() {
        return None;
    }
    let delays = policy.schedule.as_ref().map(|schedule| schedule.delays_ms.as_slice());
    let preset = match delays {
        None => pb::RetryPreset::Unspecified,
        Some(delays) if delays == PIPEDRIVE_DELAYS_MS => pb::RetryPreset::Pipedrive,
        Some(_) => pb::RetryPreset::Custom,
    };
    let duration = |ms: &u64| prost_types::Duration {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default(),
    };
    let class = |class: &FailureClass| match class {
        FailureClass::Transport => pb::FailureClass::Transport.into(),
        FailureClass::Timeout => pb::FailureClass::Timeout.into(),
        FailureClass::Throttled => pb::FailureClass::Throttled.into(),
        FailureClass::ServerError => pb::FailureClass::ServerError.into(),
    };
    let is_custom = preset == pb::RetryPreset::Custom;
    Some(pb::RetryPolicy {
        preset: preset.into(),
        delays: delays.filter(|_| is_custom).unwrap_or_default().iter().map(duration).collect(),
        final_failures: policy.final_failures.iter().map(class).collect(),
    })
}

pub fn credentials(given: Option<pb::Credentials>) -> Credentials {
    match given.and_then(|given| given.kind) {
        None => Credentials::None,
        Some(pb::credentials::Kind::Basic(basic)) => {
            Credentials::Basic { username: basic.username, password: basic.password.into() }
        }
        Some(pb::credentials::Kind::Bearer(bearer)) => Credentials::Bearer(bearer.token.into()),
        Some(pb::credentials::Kind::Headers(headers)) => {
            let headers = headers.headers.into_iter().map(|(name, value)| (name, value.into()));
            Credentials::Headers(headers.collect::<BTreeMap<_, _>>())
        }
    }
}

pub fn webhook(account: &AccountId, webhook: &Webhook, shows_secrets: bool) -> pb::Webhook {
    let kind = match webhook.kind {
        WebhookKind::Automation => pb::WebhookKind::Automation,
        WebhookKind::Regular => pb::WebhookKind::Regular,
    };
    let shown = match &webhook.credentials {
        Credentials::None => None,
        Credentials::Basic { username, .. } => Some(pb::credentials::Kind::Basic(pb::BasicCredentials {
            username: username.clone(),
            password: String::new(),
        })),
        Credentials::Bearer(_) => Some(pb::credentials::Kind::Bearer(pb::BearerCredentials::default())),
        Credentials::Headers(headers) => {
            let names = headers.keys().map(|name| (name.clone(), String::new())).collect();
            Some(pb::credentials::Kind::Headers(pb::HeaderCredentials { headers: names }))
        }
    };
    pb::Webhook {
        name: format!("accounts/{account}/webhooks/{}", webhook.id),
        display_name: webhook.display_name.clone(),
        kind: kind.into(),
        endpoint_url: if shows_secrets { webhook.endpoint.as_str().to_owned() } else { webhook.endpoint.masked() },
        credentials: shown.map(|kind| pb::Credentials { kind: Some(kind) }),
        enabled: webhook.disabled.is_none(),
        etag: etag_of(webhook.revision),
        create_time: Some(timestamp(webhook.created_at)),
        update_time: Some(timestamp(webhook.updated_at)),
        retry_policy: shown_retry(&webhook.retry),
        requests_per_second: webhook.requests_per_second.unwrap_or_default(),
        disable_reason: match webhook.disabled {
            None => pb::WebhookDisableReason::Unspecified.into(),
            Some(DisableReason::Admin) => pb::WebhookDisableReason::Admin.into(),
            Some(DisableReason::Gone) => pb::WebhookDisableReason::Gone.into(),
            Some(DisableReason::Failing) => pb::WebhookDisableReason::Failing.into(),
        },
    }
}

pub fn event_action(field: &str, value: i32, faults: &mut Violations) -> Option<Action> {
    match pb::EventAction::try_from(value) {
        Ok(pb::EventAction::Create) => Some(Action::Create),
        Ok(pb::EventAction::Change) => Some(Action::Change),
        Ok(pb::EventAction::Delete) => Some(Action::Delete),
        Ok(pb::EventAction::Unspecified) | Err(_) => {
            faults.add(field, "is required: EVENT_ACTION_CREATE, EVENT_ACTION_CHANGE or EVENT_ACTION_DELETE");
            None
        }
    }
}

pub fn pb_event_action(action: Action) -> i32 {
    match action {
        Action::Create => pb::EventAction::Create,
        Action::Change => pb::EventAction::Change,
        Action::Delete => pb::EventAction::Delete,
    }
    .into()
}

pub fn group(given: pb::ConditionGroup, at: &str, depth: usize, faults: &mut Violations) -> Option<GroupSpec> {
    if depth > GROUP_DEPTH_MAX {
        faults.add(at, format!("groups nest deeper than {GROUP_DEPTH_MAX}"));
        return None;
    }
    let how = match pb::ConditionMatch::try_from(given.r#match) {
        Ok(pb::ConditionMatch::All) => Some(Match::All),
        Ok(pb::ConditionMatch::Any) => Some(Match::Any),
        Ok(pb::ConditionMatch::None) => Some(Match::None),
        Ok(pb::ConditionMatch::Unspecified) | Err(_) => {
            faults.add(format!("{at}.match"), "is required: CONDITION_MATCH_ALL, _ANY or _NONE");
            None
        }
    };
    let mut conditions = Vec::with_capacity(given.conditions.len());
    let mut complete = true;
    for (index, member) in given.conditions.into_iter().enumerate() {
        let at = format!("{at}.conditions[{index}]");
        let member = match member.kind {
            Some(pb::condition::Kind::Group(inner)) => {
                group(inner, &format!("{at}.group"), depth + 1, faults).map(MemberSpec::Group)
            }
            Some(pb::condition::Kind::Clause(inner)) => {
                clause(inner, &format!("{at}.clause"), faults).map(MemberSpec::Clause)
            }
            None => {
                faults.add(&at, "must be a group or a clause");
                None
            }
        };
        complete &= member.is_some();
        conditions.extend(member);
    }
    let how = how?;
    complete.then_some(GroupSpec { how, conditions })
}

fn clause(given: pb::Clause, at: &str, faults: &mut Violations) -> Option<ClauseSpec> {
    let operator = operator(given.operator);
    if operator.is_none() {
        faults.add(format!("{at}.operator"), "is required: one of OPERATOR_CHANGED to OPERATOR_IS_NOT_EMPTY");
    }
    let mut values = Vec::with_capacity(given.values.len());
    for (index, value) in given.values.into_iter().enumerate() {
        values.push(match value.kind {
            Some(pb::scalar::Kind::Text(text)) => Scalar::Text(text),
            Some(pb::scalar::Kind::Number(text)) => Scalar::Number(text),
            Some(pb::scalar::Kind::Boolean(value)) => Scalar::Boolean(value),
            Some(pb::scalar::Kind::Null(_)) => Scalar::Null,
            None => {
                faults.add(format!("{at}.values[{index}]"), "must be a text, a number, a boolean or null");
                return None;
            }
        });
    }
    Some(ClauseSpec { field: given.field, operator: operator?, values })
}

fn operator(number: i32) -> Option<Operator> {
    usize::try_from(number).ok()?.checked_sub(1).and_then(|at| Operator::ALL.get(at).copied())
}

fn pb_operator(operator: Operator) -> i32 {
    let at = Operator::ALL.iter().position(|known| *known == operator).unwrap_or_default();
    i32::try_from(at + 1).unwrap_or_default()
}

fn pb_group(spec: &GroupSpec) -> pb::ConditionGroup {
    let how = match spec.how {
        Match::All => pb::ConditionMatch::All,
        Match::Any => pb::ConditionMatch::Any,
        Match::None => pb::ConditionMatch::None,
    };
    let member = |member: &MemberSpec| pb::Condition {
        kind: Some(match member {
            MemberSpec::Group(group) => pb::condition::Kind::Group(pb_group(group)),
            MemberSpec::Clause(clause) => pb::condition::Kind::Clause(pb::Clause {
                field: clause.field.clone(),
                operator: pb_operator(clause.operator),
                values: clause.values.iter().map(pb_scalar).collect(),
            }),
        }),
    };
    pb::ConditionGroup { r#match: how.into(), conditions: spec.conditions.iter().map(member).collect() }
}

fn pb_scalar(value: &Scalar) -> pb::Scalar {
    pb::Scalar {
        kind: Some(match value {
            Scalar::Text(text) => pb::scalar::Kind::Text(text.clone()),
            Scalar::Number(text) => pb::scalar::Kind::Number(text.clone()),
            Scalar::Boolean(value) => pb::scalar::Kind::Boolean(*value),
            Scalar::Null => pb::scalar::Kind::Null(0),
        }),
    }
}

/// Reads the actions of an automation of an account; with its trigger's object their paths and bodies are checked, too.
pub fn actions(
    account: &AccountId,
    given: Vec<pb::WebhookAction>,
    object: Option<&ObjectName>,
    faults: &mut Violations,
) -> Option<Vec<NewAction>> {
    let read = |(index, action)| action_of(account, action, object, &format!("automation.actions[{index}]"), faults);
    let read: Vec<_> = given.into_iter().enumerate().map(read).collect();
    read.into_iter().collect()
}

fn action_of(
    account: &AccountId,
    given: pb::WebhookAction,
    object: Option<&ObjectName>,
    at: &str,
    faults: &mut Violations,
) -> Option<NewAction> {
    let field = format!("{at}.webhook");
    let webhook = if given.webhook.is_empty() {
        faults.add(field, "is required: the automation webhook to send to");
        None
    } else {
        match super::name::resource(&field, &given.webhook, "webhooks") {
            Ok((of, webhook)) if of == *account => Some(webhook),
            Ok(_) => {
                faults.add(field, "must be a webhook of the same account");
                None
            }
            Err(_) => {
                faults.add(field, "must be accounts/{account}/webhooks/{webhook}");
                None
            }
        }
    };
    let method = match pb::HttpMethod::try_from(given.method) {
        Ok(pb::HttpMethod::Post) => Some(Method::Post),
        Ok(pb::HttpMethod::Put) => Some(Method::Put),
        Ok(pb::HttpMethod::Delete) => Some(Method::Delete),
        Ok(pb::HttpMethod::Get) => {
            faults.add(format!("{at}.method"), "GET carries no body: use POST, PUT or DELETE");
            None
        }
        Ok(pb::HttpMethod::Unspecified) | Err(_) => {
            faults.add(format!("{at}.method"), "is required: POST, PUT or DELETE");
            None
        }
    };
    let body = match given.body {
        Some(pb::webhook_action::Body::RawJson(text)) => Some(BodySpec::Raw(text)),
        Some(pb::webhook_action::Body::KeyValue(body)) => {
            Some(BodySpec::KeyValue(body.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()))
        }
        None => {
            faults.add(format!("{at}.body"), "is required: key_value or raw_json");
            None
        }
    };
    if let Some(object) = object {
        check_action(&given.path, body.as_ref(), object, at, faults);
    }
    Some(NewAction {
        webhook: webhook?,
        method: method?,
        path: given.path,
        body: body?,
        continue_on_failure: given.continue_on_failure,
    })
}

/// An automation as it is shown; `deleted` are webhooks that are gone.
pub fn automation(account: &AccountId, automation: &Automation, plan: Plan, deleted: &[uuid::Uuid]) -> pb::Automation {
    let spec: &AutomationSpec = &automation.spec;
    let state = match (automation.enabled, plan.has_automation_webhooks()) {
        (false, _) => pb::AutomationState::Disabled,
        (true, true) => pb::AutomationState::Enabled,
        (true, false) => pb::AutomationState::Suspended,
    };
    let mut warnings = spec.warnings(&automation.compiled);
    for (at, action) in spec.actions.iter().enumerate() {
        if deleted.contains(&action.webhook_uid.0) {
            warnings.push(format!("actions[{at}].webhook: {} was deleted; its requests fail", action.webhook));
        }
    }
    let pb_action = |action: &crate::domain::automation::ActionSpec| pb::WebhookAction {
        webhook: format!("accounts/{account}/webhooks/{}", action.webhook),
        method: pb_method(action.method),
        path: action.path.clone(),
        body: Some(match &action.body {
            BodySpec::Raw(text) => pb::webhook_action::Body::RawJson(text.clone()),
            BodySpec::KeyValue(entries) => {
                let entry =
                    |(key, value): &(String, String)| pb::KeyValueEntry { key: key.clone(), value: value.clone() };
                pb::webhook_action::Body::KeyValue(pb::KeyValueBody { entries: entries.iter().map(entry).collect() })
            }
        }),
        continue_on_failure: action.continue_on_failure,
    };
    pb::Automation {
        name: format!("accounts/{account}/automations/{}", automation.id),
        display_name: automation.display_name.clone(),
        trigger_object: spec.object.to_string(),
        trigger_action: pb_event_action(spec.action),
        conditions: spec.conditions.as_ref().map(pb_group),
        actions: spec.actions.iter().map(pb_action).collect(),
        state: state.into(),
        activation: Some(pb::Activation {
            everyone: automation.activation.everyone,
            user_ids: automation.activation.users.iter().map(ToString::to_string).collect(),
        }),
        owner_user_id: automation.owner.to_string(),
        warnings,
        etag: etag_of(automation.revision),
        create_time: Some(timestamp(automation.created_at)),
        update_time: Some(timestamp(automation.updated_at)),
    }
}

fn pb_method(method: Method) -> i32 {
    match method {
        Method::Post => pb::HttpMethod::Post,
        Method::Put => pb::HttpMethod::Put,
        Method::Delete => pb::HttpMethod::Delete,
    }
    .into()
}

/// Reads a state of an execution.
pub fn state(number: i32) -> Option<State> {
    usize::try_from(number).ok()?.checked_sub(1).and_then(|at| State::ALL.get(at).copied())
}

fn pb_state(state: State) -> i32 {
    let at = State::ALL.iter().position(|known| *known == state).unwrap_or_default();
    i32::try_from(at + 1).unwrap_or_default()
}

/// An execution as it is shown; in lists without requests and explanation.
pub fn execution(account: &AccountId, view: &ExecutionView, in_full: bool) -> pb::Execution {
    let progress = &view.progress;
    let (source_kind, collection) = match view.source_kind {
        SourceKind::Automation => (pb::SourceKind::Automation, "automations"),
        SourceKind::RegularWebhook => (pb::SourceKind::RegularWebhook, "webhooks"),
    };
    let name = |uid| format!("accounts/{account}/executions/{uid}");
    let mut shown = pb::Execution {
        name: name(view.uid),
        source_kind: source_kind.into(),
        source: format!("accounts/{account}/{collection}/{}", view.record.source_id),
        source_display_name: view.record.source_name.clone(),
        event_id: view.event_id.clone(),
        run: view.run,
        object: view.object.clone(),
        action: pb_event_action(view.action),
        entity_id: view.entity_id.clone(),
        acting_user_id: view.acting_user.clone().unwrap_or_default(),
        state: pb_state(progress.state),
        reason: progress.reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        due_time: progress.due_at.filter(|_| progress.state != State::Paused).map(timestamp),
        create_time: Some(timestamp(view.created_at)),
        end_time: progress.ended_at.map(timestamp),
        failed_actions: i32::try_from(progress.failed_actions).unwrap_or(i32::MAX),
        trace_id: view.trace.clone(),
        retry_of: view.retry_of.map(name).unwrap_or_default(),
        requests: Vec::new(),
        explanation: Vec::new(),
        revision: view.changed_revision,
    };
    if in_full {
        shown.requests = requests(account, view);
        shown.explanation = view.record.explanation.iter().map(explanation).collect();
    }
    shown
}

pub fn explanation(found: &Explanation) -> pb::ClauseExplanation {
    pb::ClauseExplanation {
        path: found.path.clone(),
        field: found.field.clone(),
        operator: pb_operator(found.operator),
        compared: found.compared.clone(),
        held: found.held,
    }
}

fn requests(account: &AccountId, view: &ExecutionView) -> Vec<pb::Request> {
    let shown = |(at, one): (usize, &Request)| {
        let attempts = view.attempts.get(&at).map(Vec::as_slice).unwrap_or_default();
        pb::Request {
            request_id: view.uid.request_id(at + 1),
            attempts: attempts.iter().zip(1..).map(|(found, number)| attempt(found, number)).collect(),
            ..request(account, one)
        }
    };
    view.record.requests.iter().enumerate().map(shown).collect()
}

/// A request as it is built, before it has an id.
pub fn request(account: &AccountId, request: &Request) -> pb::Request {
    pb::Request {
        request_id: String::new(),
        webhook: format!("accounts/{account}/webhooks/{}", request.webhook_id),
        method: pb_method(request.method),
        endpoint_url: request.endpoint.clone(),
        path: request.path.clone(),
        body: request.body.clone().into(),
        failure: request.failure.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        attempts: Vec::new(),
    }
}

pub fn attempt(attempt: &Attempt, number: i32) -> pb::Attempt {
    let micros = attempt.duration_us.max(0);
    let error_kind = match attempt.outcome.verdict() {
        Verdict::Success => String::new(),
        Verdict::Retry(reason) | Verdict::Failure(reason) => reason.as_str().to_owned(),
    };
    let mut shown = pb::Attempt {
        number,
        start_time: Some(timestamp(attempt.started_at)),
        duration: Some(prost_types::Duration {
            seconds: micros / 1_000_000,
            nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default(),
        }),
        url: attempt.secret_url.clone().unwrap_or_else(|| attempt.url.clone()),
        error_kind,
        ..pb::Attempt::default()
    };
    match &attempt.outcome {
        Outcome::Answer { status, headers, excerpt, truncated } => {
            shown.http_status = (*status).into();
            shown.response_headers = headers.iter().cloned().collect();
            shown.response_excerpt = excerpt.clone().into();
            shown.response_truncated = *truncated;
        }
        Outcome::Error { message, .. } => shown.error_message.clone_from(message),
    }
    shown
}
