//! Executions, requests and attempts as protobuf shows them.

use super::{automation::pb_header, duration, pb_event_action, pb_method, pb_operator, timestamp};
use crate::{
    domain::{
        attempt::{Attempt, Outcome, Verdict},
        automation::condition::Explanation,
        execution::{State, record::Basis, request::Request},
        id::AccountId,
        source::SourceKind,
    },
    grpc::pb,
    store::ExecutionView,
};

/// Reads a state of an execution.
pub fn state(number: i32) -> Option<State> {
    usize::try_from(number).ok()?.checked_sub(1).and_then(|at| State::ALL.get(at).copied())
}

/// A state on the wire.
pub fn pb_state(state: State) -> i32 {
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
        explanation_basis: pb::ExplanationBasis::Unspecified.into(),
    };
    if in_full {
        shown.requests = requests(account, view);
        shown.explanation = view.record.explanation.iter().map(explanation).collect();
        shown.explanation_basis = match view.record.basis {
            _ if shown.explanation.is_empty() => pb::ExplanationBasis::Unspecified,
            Basis::Decision => pb::ExplanationBasis::Decision,
            Basis::Retry => pb::ExplanationBasis::Retry,
        }
        .into();
    }
    shown
}

/// How a clause was decided.
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
        body: request.body.text().into_owned().into(),
        failure: request.failure.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        attempts: Vec::new(),
        action_id: request.action.as_ref().map(ToString::to_string).unwrap_or_default(),
        left_out: request.is_left_out,
        warnings: request.warnings.clone(),
        headers: request.headers.iter().map(|(name, value)| pb_header(name, value)).collect(),
        content_type: request.content_type().map(ToOwned::to_owned).unwrap_or_default(),
    }
}

/// An attempt.
pub fn attempt(attempt: &Attempt, number: i32) -> pb::Attempt {
    let micros = u64::try_from(attempt.duration_us).unwrap_or_default();
    let error_kind = match attempt.outcome.verdict() {
        Verdict::Success => String::new(),
        Verdict::Retry(reason) | Verdict::Failure(reason) => reason.as_str().to_owned(),
    };
    let mut shown = pb::Attempt {
        number,
        start_time: Some(timestamp(attempt.started_at)),
        duration: Some(duration(micros)),
        url: attempt.secret_url.clone().unwrap_or_else(|| attempt.url.clone()),
        error_kind,
        ..pb::Attempt::default()
    };
    match &attempt.outcome {
        Outcome::Answer { status, headers, excerpt, truncated, .. } => {
            shown.http_status = (*status).into();
            shown.response_headers = headers.iter().cloned().collect();
            shown.response_excerpt = excerpt.clone().into();
            shown.response_truncated = *truncated;
        }
        Outcome::Error { message, .. } => shown.error_message.clone_from(message),
    }
    shown
}
