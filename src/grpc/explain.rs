//! `ExplainService`.

use tonic::Status;
use uuid::Uuid;

use super::{
    Api,
    access::{Entered, Explainer, Member, serve},
    automations, convert, events, name, pb, status,
};
use crate::{
    clock,
    domain::{
        caller::Caller,
        command,
        dry_run::{Check, CheckKind, dry_run},
        event::Event,
        execution::Reason,
        id::{AccountId, EventId, ExecutionUid},
        miss::Missed,
        refusal::Refusal,
    },
    store::AccountView,
};

serve! {
    explain_service_server::ExplainService {
        dry_run(DryRunRequest) -> DryRunResponse;
        list_misses(ListMissesRequest) -> ListMissesResponse;
    }
}

impl Api {
    async fn dry_run(
        &self,
        entered: Entered<Explainer>,
        request: pb::DryRunRequest,
    ) -> Result<pb::DryRunResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let event = self.subject(&entered, &view, request.subject).await?;
        let account = self.store.read_account(&view).await.map_err(status::store)?;
        let automation = match request.source {
            Some(pb::dry_run_request::Source::Automation(full_name)) => {
                let (of, id) = name::resource("automation", &full_name, "automations")?;
                let found = account.automation(&id).filter(|_| of == entered.account).cloned();
                found.ok_or_else(|| status::refused(&Refusal::not_found("automation", full_name)))?
            }
            Some(pb::dry_run_request::Source::Draft(draft)) => {
                let new = automations::new_automation(&entered.account, draft)?;
                let draft = command::draft_automation(&entered.account, &account, &new, Uuid::now_v7());
                draft.map_err(|refusal| status::refused(&refusal))?.into()
            }
            None => return Err(status::invalid("automation", "is required: a saved automation, or a draft")),
        };
        let (execution, now) = (ExecutionUid(Uuid::now_v7()), clock::now());
        let found = dry_run(&entered.account, &account, &automation, &event, &self.rules, execution, now);
        let found = found.map_err(|error| status::invalid("event", error))?;
        Ok(pb::DryRunResponse {
            would_run: found.runs(),
            checks: found.checks.iter().map(check).collect(),
            explanation: found.explanation.iter().map(convert::explanation).collect(),
            requests: found.requests.iter().map(|one| convert::request(&entered.account, one)).collect(),
            would_pause: found.is_paused,
            failure: found.failure.map(|(reason, _)| reason.as_str().to_owned()).unwrap_or_default(),
            failure_message: found.failure.map(|(reason, at)| failure_message(reason, at)).unwrap_or_default(),
        })
    }

    async fn list_misses(
        &self,
        entered: Entered<Member>,
        request: pb::ListMissesRequest,
    ) -> Result<pb::ListMissesResponse, Status> {
        let full_name = request.automation;
        let (_, id) = name::resource("automation", &full_name, "automations")?;
        let view = self.account_of(&entered.account).await?;
        let found = self.store.find_automation(view.uid, &id).await.map_err(status::store)?;
        let automation = automations::readable(found, &full_name)?;
        if entered.caller.history_of().is_some_and(|user| *user != automation.owner) {
            let message = "only a service, a global_admin and the automation's owner may read why it did not run";
            return Err(status::refused(&Refusal::denied(message)));
        }
        let found = self.engine.misses(view.uid, automation.uid);
        Ok(pb::ListMissesResponse {
            misses: found.misses.iter().map(miss).collect(),
            complete_since_time: Some(convert::timestamp(found.complete_since)),
        })
    }

    async fn subject(
        &self,
        entered: &Entered<Explainer>,
        view: &AccountView,
        subject: Option<pb::dry_run_request::Subject>,
    ) -> Result<Event, Status> {
        match subject {
            Some(pb::dry_run_request::Subject::Event(input)) => given(&entered.account, input),
            Some(pb::dry_run_request::Subject::EventId(id)) => {
                if matches!(entered.caller, Caller::User { .. }) {
                    let message = "only a service or a global_admin may take an event of the history";
                    return Err(status::refused(&Refusal::denied(message)));
                }
                let parsed: EventId = id.parse().map_err(|error: String| status::invalid("event_id", error))?;
                let found = self.store.find_event(view.uid, parsed).await.map_err(status::store)?;
                found.ok_or_else(|| status::refused(&Refusal::not_found("event", id)))
            }
            None => Err(status::invalid("event", "is required: an event, or the id of one of the history")),
        }
    }
}

fn failure_message(reason: Reason, at: usize) -> String {
    let why = match reason {
        Reason::WebhookDeleted => "the webhook was deleted; name it again in the action",
        Reason::WebhookDisabled => "the webhook is disabled: mend its endpoint, and have a global admin enable it",
        Reason::ValueMissing => "a value that the path marks as required is empty in this event",
        Reason::UnsafePath => "the path would lead away from the endpoint",
        Reason::BodyTooLarge => "the rendered body is larger than the limit",
        _ => "the request cannot be sent",
    };
    format!("actions[{at}]: {why}")
}

fn given(account: &AccountId, input: pb::EventInput) -> Result<Event, Status> {
    events::event(account, input)
        .map_err(|rejection| status::invalid(&format!("event.{}", rejection.field), rejection.message))
}

fn miss(missed: &Missed) -> pb::Miss {
    let event = &missed.event;
    pb::Miss {
        event_id: event.id.to_string(),
        object: event.object.to_string(),
        action: convert::pb_event_action(event.action),
        entity_id: event.entity_id.to_string(),
        acting_user_id: event.user_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        occur_time: Some(convert::timestamp(event.occurred_at)),
        decide_time: Some(convert::timestamp(missed.decided_at)),
        checks: missed.checks.iter().map(check).collect(),
        explanation: missed.explanation.iter().map(convert::explanation).collect(),
    }
}

fn check(found: &Check) -> pb::DryRunCheck {
    let kind = match found.kind {
        CheckKind::Plan => pb::DryRunCheckKind::Plan,
        CheckKind::Enabled => pb::DryRunCheckKind::Enabled,
        CheckKind::Trigger => pb::DryRunCheckKind::Trigger,
        CheckKind::Activation => pb::DryRunCheckKind::Activation,
        CheckKind::Conditions => pb::DryRunCheckKind::Conditions,
    };
    pb::DryRunCheck { kind: kind.into(), held: found.holds, message: found.message.clone() }
}
