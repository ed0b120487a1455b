//! Automations, conditions and actions between protobuf and the domain.

use std::collections::HashMap;

use tonic::Status;

use super::{event::event_actions, pb_event_action, timestamp};
use crate::{
    domain::{
        automation::{
            ACTIVATION_USERS_MAX, Automation, AutomationSpec, Method,
            catalogue::Catalogue,
            check_action,
            condition::{
                Anchor, ClauseSpec, Conditions, GROUP_DEPTH_MAX, GroupSpec, Match, MemberSpec, Operator, RelativeSpec,
                Scalar, VALUE_BYTES_MAX, is_of_event,
            },
            header::HeaderSpec,
            template::BodySpec,
        },
        decision::command::{NewAction, NewAutomation, Whom, etag_of},
        id::{AccountId, ObjectName},
        name::check_display_name,
        plan::Plan,
        refusal::Violations,
    },
    grpc::{calls::status, pb},
};

/// A group of conditions.
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
        faults.add(format!("{at}.operator"), "is required: one of those from OPERATOR_CHANGED on");
    }
    let mut values = Vec::with_capacity(given.values.len());
    for (index, value) in given.values.into_iter().enumerate() {
        values.push(match value.kind {
            Some(pb::scalar::Kind::Text(text)) => Scalar::Text(text),
            Some(pb::scalar::Kind::Number(text)) if text.len() > VALUE_BYTES_MAX => {
                let message = format!("has {} bytes, the limit is {VALUE_BYTES_MAX}", text.len());
                faults.add(format!("{at}.values[{index}]"), message);
                return None;
            }
            Some(pb::scalar::Kind::Number(text)) => Scalar::Number(text),
            Some(pb::scalar::Kind::Boolean(value)) => Scalar::Boolean(value),
            Some(pb::scalar::Kind::Null(_)) => Scalar::Null,
            Some(pb::scalar::Kind::Field(path)) => Scalar::Field(path),
            Some(pb::scalar::Kind::PreviousField(path)) => Scalar::Previous(path),
            Some(pb::scalar::Kind::RelativeTime(relative)) => {
                let from = anchor(relative.anchor);
                if from.is_none() {
                    faults.add(
                        format!("{at}.values[{index}].relative_time.anchor"),
                        "is required: TIME_ANCHOR_NOW and others",
                    );
                }
                Scalar::Relative(RelativeSpec { from: from?, offset: relative.offset, time_zone: relative.time_zone })
            }
            None => {
                let wanted = "must be a text, a number, a boolean, null, a field, a previous_field or a relative_time";
                faults.add(format!("{at}.values[{index}]"), wanted);
                return None;
            }
        });
    }
    let of_event = is_of_event(&given.field);
    let (ignore_case, size) = (given.ignore_case, given.size);
    Some(ClauseSpec { field: given.field, of_event, operator: operator?, values, ignore_case, size })
}

fn anchor(number: i32) -> Option<Anchor> {
    match pb::TimeAnchor::try_from(number) {
        Ok(pb::TimeAnchor::Now) => Some(Anchor::Now),
        Ok(pb::TimeAnchor::StartOfDay) => Some(Anchor::StartOfDay),
        Ok(pb::TimeAnchor::StartOfWeek) => Some(Anchor::StartOfWeek),
        Ok(pb::TimeAnchor::StartOfMonth) => Some(Anchor::StartOfMonth),
        Ok(pb::TimeAnchor::Unspecified) | Err(_) => None,
    }
}

fn pb_anchor(anchor: Anchor) -> pb::TimeAnchor {
    match anchor {
        Anchor::Now => pb::TimeAnchor::Now,
        Anchor::StartOfDay => pb::TimeAnchor::StartOfDay,
        Anchor::StartOfWeek => pb::TimeAnchor::StartOfWeek,
        Anchor::StartOfMonth => pb::TimeAnchor::StartOfMonth,
    }
}

fn operator(number: i32) -> Option<Operator> {
    usize::try_from(number).ok()?.checked_sub(1).and_then(|at| Operator::ALL.get(at).copied())
}

/// An operator.
pub fn pb_operator(operator: Operator) -> i32 {
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
                field: clause.written_field(),
                operator: pb_operator(clause.operator),
                values: clause.values.iter().map(pb_scalar).collect(),
                ignore_case: clause.ignore_case,
                size: clause.size,
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
            Scalar::Field(path) => pb::scalar::Kind::Field(path.clone()),
            Scalar::Previous(path) => pb::scalar::Kind::PreviousField(path.clone()),
            Scalar::Relative(relative) => pb::scalar::Kind::RelativeTime(pb::RelativeTime {
                anchor: pb_anchor(relative.from).into(),
                offset: relative.offset.clone(),
                time_zone: relative.time_zone.clone(),
            }),
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
    for (at, action) in read.iter().enumerate() {
        let id = action.as_ref().and_then(|action| action.id.as_ref());
        let is_twice = |other: &Option<NewAction>| other.as_ref().is_some_and(|other| other.id.as_ref() == id);
        if id.is_some() && read[..at].iter().any(is_twice) {
            faults.add(format!("automation.actions[{at}].action_id"), "is given twice: each action has its own");
        }
    }
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
        Ok(pb::HttpMethod::Patch) => Some(Method::Patch),
        Ok(pb::HttpMethod::Get) => Some(Method::Get),
        Ok(pb::HttpMethod::Head) => Some(Method::Head),
        Ok(pb::HttpMethod::Unspecified) | Err(_) => {
            faults.add(format!("{at}.method"), "is required: GET, HEAD, POST, PUT, PATCH or DELETE");
            None
        }
    };
    let body = match given.body {
        Some(pb::webhook_action::Body::RawJson(text)) => Some(BodySpec::Raw(text)),
        Some(pb::webhook_action::Body::NoBody(_)) => Some(BodySpec::None),
        Some(pb::webhook_action::Body::Text(text)) => Some(BodySpec::Text(text)),
        Some(pb::webhook_action::Body::Form(body)) => {
            Some(BodySpec::Form(body.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()))
        }
        Some(pb::webhook_action::Body::KeyValue(body)) => {
            Some(BodySpec::KeyValue(body.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()))
        }
        None if method.is_some_and(|method| !method.takes_body()) => Some(BodySpec::None),
        None => {
            faults.add(format!("{at}.body"), "is required: key_value, raw_json, form or text, or no_body");
            None
        }
    };
    if let (Some(method), Some(body)) = (method, &body)
        && !method.takes_body()
        && *body != BodySpec::None
    {
        let method = method.as_str();
        faults.add(format!("{at}.body"), format!("{method} carries no body: choose no_body, or POST, PUT or PATCH"));
    }
    let headers: Vec<_> =
        given.headers.into_iter().map(|header| HeaderSpec { name: header.name, value: header.value }).collect();
    if let Some(object) = object {
        check_action(&given.path, (body.as_ref(), &headers), object, at, faults);
    }
    let id = match given.action_id.as_str() {
        "" => Some(None),
        id => faults.take(format!("{at}.action_id"), id.parse()).map(Some),
    };
    Some(NewAction {
        id: id?,
        webhook: webhook?,
        method: method?,
        path: given.path,
        body: body?,
        headers,
        continue_on_failure: given.continue_on_failure,
    })
}

/// An automation as it is shown; `living` are the webhooks that are not deleted, and whether they are enabled, where they
/// were looked up.
pub fn automation(
    account: &AccountId,
    automation: &Automation,
    plan: Plan,
    catalogue: &Catalogue,
    living: &HashMap<uuid::Uuid, bool>,
) -> pb::Automation {
    let spec: &AutomationSpec = &automation.spec;
    let state = match (automation.enabled, plan.has_automation_webhooks()) {
        (false, _) => pb::AutomationState::Disabled,
        (true, true) => pb::AutomationState::Enabled,
        (true, false) => pb::AutomationState::Suspended,
    };
    let mut warnings = spec.warnings(&automation.compiled, catalogue);
    for (at, action) in spec.actions.iter().enumerate() {
        let why = match living.get(&action.webhook_uid.0) {
            None => "the webhook was deleted; name it again in the action",
            Some(false) => "the webhook is disabled; its requests fail until it is enabled",
            Some(true) => continue,
        };
        warnings.push(format!("actions[{at}].webhook: {}: {why}", action.webhook));
    }
    let pb_action = |action: &crate::domain::automation::ActionSpec| pb::WebhookAction {
        webhook: format!("accounts/{account}/webhooks/{}", action.webhook),
        method: pb_method(action.method),
        path: action.path.clone(),
        body: Some(match &action.body {
            BodySpec::None => pb::webhook_action::Body::NoBody(pb::NoBody {}),
            BodySpec::Raw(text) => pb::webhook_action::Body::RawJson(text.clone()),
            BodySpec::KeyValue(given) => {
                pb::webhook_action::Body::KeyValue(pb::KeyValueBody { entries: entries(given) })
            }
            BodySpec::Form(given) => pb::webhook_action::Body::Form(pb::FormBody { entries: entries(given) }),
            BodySpec::Text(text) => pb::webhook_action::Body::Text(text.clone()),
        }),
        headers: action.headers.iter().map(|header| pb_header(&header.name, &header.value)).collect(),
        continue_on_failure: action.continue_on_failure,
        action_id: action.id.as_ref().map(ToString::to_string).unwrap_or_default(),
        webhook_deleted: !living.contains_key(&action.webhook_uid.0),
    };
    pb::Automation {
        name: format!("accounts/{account}/automations/{}", automation.id),
        display_name: automation.display_name.clone(),
        trigger_object: spec.object.to_string(),
        trigger_action: match spec.trigger_actions.as_slice() {
            [one] => pb_event_action(*one),
            _ => 0,
        },
        trigger_actions: spec.trigger_actions.as_slice().iter().map(|action| pb_event_action(*action)).collect(),
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

fn entries(entries: &[(String, String)]) -> Vec<pb::KeyValueEntry> {
    entries.iter().map(|(key, value)| pb::KeyValueEntry { key: key.clone(), value: value.clone() }).collect()
}

/// A header.
pub fn pb_header(name: &str, value: &str) -> pb::RequestHeader {
    pb::RequestHeader { name: name.to_owned(), value: value.to_owned() }
}

/// A method.
pub fn pb_method(method: Method) -> i32 {
    match method {
        Method::Post => pb::HttpMethod::Post,
        Method::Put => pb::HttpMethod::Put,
        Method::Patch => pb::HttpMethod::Patch,
        Method::Delete => pb::HttpMethod::Delete,
        Method::Get => pb::HttpMethod::Get,
        Method::Head => pb::HttpMethod::Head,
    }
    .into()
}

/// Whom an activation is for.
pub fn whom(everyone: bool, user_ids: &[String]) -> Result<Whom, Status> {
    if everyone {
        return Ok(Whom::Everyone);
    }
    if user_ids.is_empty() {
        return Ok(Whom::Caller);
    }
    if user_ids.len() > ACTIVATION_USERS_MAX {
        return Err(status::invalid("user_ids", format!("at most {ACTIVATION_USERS_MAX} users")));
    }
    let parse = |(at, id): (usize, &String)| {
        id.parse().map_err(|error: String| status::invalid(&format!("user_ids[{at}]"), error))
    };
    Ok(Whom::Users(user_ids.iter().enumerate().map(parse).collect::<Result<_, _>>()?))
}

/// Whether a new automation is enabled; it is, where nothing is said.
pub fn enabled(state: i32, faults: &mut Violations) -> Option<bool> {
    match pb::AutomationState::try_from(state) {
        Ok(pb::AutomationState::Unspecified | pb::AutomationState::Enabled) => Some(true),
        Ok(pb::AutomationState::Disabled) => Some(false),
        Ok(pb::AutomationState::Suspended) | Err(_) => {
            faults.add("automation.state", "must be AUTOMATION_STATE_ENABLED or AUTOMATION_STATE_DISABLED");
            None
        }
    }
}

/// Reads an automation to create, or a draft of one.
pub fn new_automation(account: &AccountId, given: pb::Automation) -> Result<NewAutomation, Status> {
    let mut faults = Violations::default();
    let object = object(&given.trigger_object, &mut faults);
    let on = event_actions("automation", given.trigger_action, &given.trigger_actions, &mut faults);
    let conditions = given.conditions.map(|given| group(given, "automation.conditions", 1, &mut faults));
    let actions = actions(account, given.actions, object.as_ref(), &mut faults);
    check_display_name(&given.display_name, "automation.display_name", &mut faults);
    if let (Some(Some(group)), Some(on)) = (&conditions, &on) {
        let _ = Conditions::compile(Some(group), on.as_slice(), "automation.conditions", &mut faults);
    }
    let enabled = enabled(given.state, &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))?;
    let (Some(object), Some(on), Some(actions), Some(enabled)) = (object, on, actions, enabled) else {
        return Err(status::invalid("automation", "is required"));
    };
    let display_name = given.display_name;
    Ok(NewAutomation { display_name, object, trigger_actions: on, conditions: conditions.flatten(), actions, enabled })
}

/// The object of a trigger.
pub fn object(text: &str, faults: &mut Violations) -> Option<ObjectName> {
    faults.take("automation.trigger_object", text.parse())
}
