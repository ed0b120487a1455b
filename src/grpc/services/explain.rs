//! `ExplainService`.

use std::sync::Arc;

use tonic::Status;
use uuid::Uuid;

use super::{
    access::{AutomationWriter, Entered, Explainer, Member, serve},
    api::Api,
    automations,
};
use crate::{
    clock,
    domain::{
        account::Account,
        automation::Automation,
        caller::Caller,
        decision::{
            backtest::backtest,
            command::{self, Command, Task},
            dry_run::dry_run,
        },
        event::{Action, Event},
        id::{AccountId, ExecutionUid},
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
        backtest(BacktestRequest) -> BacktestResponse;
        test_automation(TestAutomationRequest) -> TestAutomationResponse;
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
        let subject = request.subject.map(|subject| match subject {
            pb::dry_run_request::Subject::Event(input) => Subject::Given(Box::new(input)),
            pb::dry_run_request::Subject::EventId(id) => Subject::Known(id),
        });
        let event = self.subject(&entered, &view, subject).await?;
        let account = self.store.read_account(&view).await.map_err(status::store)?;
        let source = request.source.map(|source| match source {
            pb::dry_run_request::Source::Automation(name) => Source::Saved(name),
            pb::dry_run_request::Source::Draft(draft) => Source::Draft(Box::new(draft)),
        });
        let automation = chosen(&entered.account, &account, source)?;
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

    async fn backtest(
        &self,
        entered: Entered<Explainer>,
        request: pb::BacktestRequest,
    ) -> Result<pb::BacktestResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let account = self.store.read_account(&view).await.map_err(status::store)?;
        let source = request.source.map(|source| match source {
            pb::backtest_request::Source::Automation(name) => Source::Saved(name),
            pb::backtest_request::Source::Draft(draft) => Source::Draft(Box::new(draft)),
        });
        let automation = chosen(&entered.account, &account, source)?;
        let spec = &automation.spec;
        let recent = self.engine.recent_events(view.uid, Some(&spec.object), spec.trigger_actions.as_slice());
        let tried = backtest(&account, &automation, &recent.events);
        let shows_events = !matches!(entered.caller, Caller::User { .. });
        let answer = convert::explain::backtest(&tried, shows_events);
        // Events are kept since something has had their trigger.
        let since_of = |action: &Action| {
            let is_alike = |other: &&Arc<Automation>| {
                other.spec.object == spec.object && other.spec.trigger_actions.as_slice().contains(action)
            };
            account.automations.values().filter(is_alike).map(|other| other.created_at).min()
        };
        let since = spec.trigger_actions.as_slice().iter().map(since_of).collect::<Option<Vec<_>>>();
        let since = since.and_then(|since| since.into_iter().max());
        let complete_since_time = since.map(|since| convert::timestamp(since.max(recent.complete_since)));
        Ok(pb::BacktestResponse { complete_since_time, ..answer })
    }

    async fn test_automation(
        &self,
        entered: Entered<AutomationWriter>,
        request: pb::TestAutomationRequest,
    ) -> Result<pb::TestAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let view = self.account_of(&entered.account).await?;
        let subject = request.subject.map(|subject| match subject {
            pb::test_automation_request::Subject::Event(input) => Subject::Given(Box::new(input)),
            pb::test_automation_request::Subject::EventId(id) => Subject::Known(id),
        });
        let event = Arc::new(self.subject(&entered, &view, subject).await?);
        let action = usize::try_from(request.action_index).unwrap_or(usize::MAX);
        let task = |under_way| Task::TestAutomation { id, event, action, under_way };
        let shows_secrets = entered.caller.sees_secrets();
        let command = |under_way| Command { caller: entered.caller, task: task(under_way), repeat: None };
        let mut tested = self.engine.test(&entered.account, command).await.map_err(|error| status::engine(&error))?;
        if !shows_secrets {
            tested.attempt.secret_url = None;
        }
        Ok(pb::TestAutomationResponse {
            succeeded: tested.attempt.outcome.is_success(),
            attempt: Some(convert::attempt(&tested.attempt, 1)),
            body: tested.body.into(),
            request_id: tested.request_id,
        })
    }

    /// The event that an automation is tried with.
    async fn subject<A>(
        &self,
        entered: &Entered<A>,
        view: &AccountView,
        subject: Option<Subject>,
    ) -> Result<Event, Status> {
        match subject {
            Some(Subject::Given(input)) => convert::explain::given(&entered.account, *input),
            Some(Subject::Known(_)) if matches!(entered.caller, Caller::User { .. }) => {
                let message = "only a service or a global_admin may take an event of the history";
                Err(status::refused(&Refusal::denied(message)))
            }
            Some(Subject::Known(id)) => self.known_event(view.uid, &id).await,
            None => Err(status::invalid("event", "is required: an event, or the id of one of the history")),
        }
    }
}

/// An event to try an automation with.
enum Subject {
    /// One that the caller gives.
    Given(Box<pb::EventInput>),
    /// One that was taken in.
    Known(String),
}

/// An automation to try.
enum Source {
    /// One that is saved.
    Saved(String),
    /// One that is not.
    Draft(Box<pb::Automation>),
}

/// The automation to try.
fn chosen(id: &AccountId, account: &Account, source: Option<Source>) -> Result<Arc<Automation>, Status> {
    match source {
        Some(Source::Saved(full_name)) => {
            let (of, automation) = name::resource("automation", &full_name, "automations")?;
            let found = account.automation(&automation).filter(|_| of == *id).cloned();
            found.ok_or_else(|| status::refused(&Refusal::not_found("automation", full_name)))
        }
        Some(Source::Draft(draft)) => {
            let new = new_automation(id, *draft)?;
            let draft = command::draft_automation(id, account, &new, Uuid::now_v7());
            Ok(draft.map_err(|refusal| status::refused(&refusal))?.into())
        }
        None => Err(status::invalid("automation", "is required: a saved automation, or a draft")),
    }
}
