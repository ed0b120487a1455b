//! `ExplainService`.

use tonic::Status;
use uuid::Uuid;

use super::{
    access::{Entered, Explainer, Member, serve},
    api::Api,
    automations,
};
use crate::{
    clock,
    domain::{
        caller::Caller,
        decision::{command, dry_run::dry_run},
        event::Event,
        id::{EventId, ExecutionUid},
        refusal::Refusal,
    },
    grpc::{
        calls::status,
        convert::{
            self,
            automation::new_automation,
            explain::{check, miss},
            name,
        },
        pb,
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
                let new = new_automation(&entered.account, draft)?;
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
            failure_message: found
                .failure
                .map(|(reason, at)| convert::explain::failure_message(reason, at))
                .unwrap_or_default(),
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
            Some(pb::dry_run_request::Subject::Event(input)) => convert::explain::given(&entered.account, input),
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
