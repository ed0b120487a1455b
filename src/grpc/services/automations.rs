//! `AutomationService`.

use tonic::Status;

use super::{
    access::{AnyUser, AutomationWriter, Entered, Member, serve},
    api::Api,
};
use crate::{
    domain::{
        automation::{Automation, ReadAutomation, uid_of},
        decision::command::{AutomationAnswer, AutomationPatch, Command, Done, Edit, Task},
        refusal::{Refusal, Violations},
    },
    grpc::{
        calls::status,
        convert::{
            self,
            automation::{enabled, new_automation, object, whom},
            name::{self, MaskField},
        },
        pb,
    },
};

/// What can be changed of an automation.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    DisplayName,
    TriggerObject,
    TriggerAction,
    TriggerActions,
    Conditions,
    Actions,
    State,
    OwnerUserId,
}

fn shown(answer: &AutomationAnswer) -> Option<pb::Automation> {
    let AutomationAnswer { account, automation, plan, catalogue, living_webhooks } = answer;
    Some(convert::automation(account, automation, *plan, catalogue, living_webhooks))
}

fn created(answer: &AutomationAnswer) -> pb::CreateAutomationResponse {
    pb::CreateAutomationResponse { automation: shown(answer) }
}

fn updated(answer: &AutomationAnswer) -> pb::UpdateAutomationResponse {
    pb::UpdateAutomationResponse { automation: shown(answer) }
}

fn activated(answer: &AutomationAnswer) -> pb::ActivateAutomationResponse {
    pb::ActivateAutomationResponse { automation: shown(answer) }
}

fn deactivated(answer: &AutomationAnswer) -> pb::DeactivateAutomationResponse {
    pb::DeactivateAutomationResponse { automation: shown(answer) }
}

serve! {
    automation_service_server::AutomationService {
        create_automation(CreateAutomationRequest) -> CreateAutomationResponse;
        get_automation(GetAutomationRequest) -> GetAutomationResponse;
        list_automations(ListAutomationsRequest) -> ListAutomationsResponse;
        update_automation(UpdateAutomationRequest) -> UpdateAutomationResponse;
        activate_automation(ActivateAutomationRequest) -> ActivateAutomationResponse;
        deactivate_automation(DeactivateAutomationRequest) -> DeactivateAutomationResponse;
        delete_automation(DeleteAutomationRequest) -> DeleteAutomationResponse;
    }
}

/// An automation that was found and can be read.
pub fn readable(found: Option<ReadAutomation>, name: &str) -> Result<Automation, Status> {
    let found = found.ok_or_else(|| status::refused(&Refusal::not_found("automation", name)))?;
    found.map_err(|_| status::refused(&Refusal::automation_unreadable(name)))
}

impl Api {
    async fn create_automation(
        &self,
        entered: Entered<AutomationWriter>,
        request: pb::CreateAutomationRequest,
    ) -> Result<pb::CreateAutomationResponse, Status> {
        let repeat = name::repeat(&request.request_id, "CreateAutomation", &request, created)?;
        let id = name::chosen_id("automation_id", &request.automation_id)?;
        let automation = new_automation(&entered.account, request.automation.unwrap_or_default())?;
        let command = Command { caller: entered.caller, task: Task::CreateAutomation { id, automation }, repeat };
        self.answer(&entered.account, command, created).await
    }

    async fn get_automation(
        &self,
        entered: Entered<Member>,
        request: pb::GetAutomationRequest,
    ) -> Result<pb::GetAutomationResponse, Status> {
        let full_name = request.name;
        let (_, id) = name::resource("name", &full_name, "automations")?;
        let view = self.account_of(&entered.account).await?;
        let found = self.store.find_automation(view.uid, &id).await.map_err(status::store)?;
        let found = readable(found, &full_name)?;
        let living = self.store.living_webhooks(view.uid).await.map_err(status::store)?;
        let catalogue = self.store.catalogue(view.uid).await.map_err(status::store)?;
        let automation = convert::automation(&entered.account, &found, view.facts.plan, &catalogue, &living);
        Ok(pb::GetAutomationResponse { automation: Some(automation) })
    }

    async fn list_automations(
        &self,
        entered: Entered<Member>,
        request: pb::ListAutomationsRequest,
    ) -> Result<pb::ListAutomationsResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let query = format!("automations:{}", entered.account);
        let after = convert::page::uuid_cursor(&request.page_token, &query)?;
        let size = name::page_size(request.page_size)?;
        let page = self.store.list_automations(view.uid, after, size).await.map_err(status::store)?;
        let living = self.store.living_webhooks(view.uid).await.map_err(status::store)?;
        let catalogue = self.store.catalogue(view.uid).await.map_err(status::store)?;
        let plan = view.facts.plan;
        let show = |read: &ReadAutomation| match read {
            Ok(automation) => convert::automation(&entered.account, automation, plan, &catalogue, &living),
            Err(unreadable) => pb::Automation {
                name: format!("accounts/{}/automations/{}", entered.account, unreadable.id),
                ..pb::Automation::default()
            },
        };
        let (shown, next_page_token) = convert::page::shown_page(&page, &query, |read| uid_of(read).0, show);
        let (readable, unreadable): (Vec<_>, Vec<_>) =
            shown.into_iter().zip(&page.items).partition(|(_, read)| read.is_ok());
        Ok(pb::ListAutomationsResponse {
            automations: readable.into_iter().map(|(automation, _)| automation).collect(),
            next_page_token,
            unreachable: unreadable.into_iter().map(|(automation, _)| automation.name).collect(),
        })
    }

    async fn update_automation(
        &self,
        entered: Entered<AutomationWriter>,
        request: pb::UpdateAutomationRequest,
    ) -> Result<pb::UpdateAutomationResponse, Status> {
        let repeat = name::repeat(&request.request_id, "UpdateAutomation", &request, updated)?;
        let given = request.automation.unwrap_or_default();
        let (_, id) = name::resource("automation.name", &given.name, "automations")?;
        let fields = [
            MaskField { name: "display_name", field: Field::DisplayName, is_given: !given.display_name.is_empty() },
            MaskField {
                name: "trigger_object",
                field: Field::TriggerObject,
                is_given: !given.trigger_object.is_empty(),
            },
            MaskField { name: "trigger_action", field: Field::TriggerAction, is_given: given.trigger_action != 0 },
            MaskField {
                name: "trigger_actions",
                field: Field::TriggerActions,
                is_given: !given.trigger_actions.is_empty(),
            },
            MaskField { name: "conditions", field: Field::Conditions, is_given: given.conditions.is_some() },
            MaskField { name: "actions", field: Field::Actions, is_given: !given.actions.is_empty() },
            MaskField { name: "state", field: Field::State, is_given: given.state != 0 },
            MaskField { name: "owner_user_id", field: Field::OwnerUserId, is_given: !given.owner_user_id.is_empty() },
        ];
        let mut patch = AutomationPatch::default();
        let mut faults = Violations::default();
        let masked = name::masked(request.update_mask.as_ref(), &fields)?;
        let (one, list) = (masked.contains(&Field::TriggerAction), masked.contains(&Field::TriggerActions));
        if one || list {
            let (one, list) =
                (if one { given.trigger_action } else { 0 }, if list { &given.trigger_actions[..] } else { &[] });
            patch.trigger_actions = convert::event_actions("automation", one, list, &mut faults);
        }
        for field in masked {
            match field {
                Field::TriggerAction | Field::TriggerActions => {}
                Field::DisplayName => patch.display_name = Some(given.display_name.clone()),
                Field::TriggerObject => patch.object = object(&given.trigger_object, &mut faults),
                Field::Conditions => {
                    let group = given.conditions.clone();
                    let read = group.map(|group| convert::group(group, "automation.conditions", 1, &mut faults));
                    patch.conditions = Edit::To(read.flatten());
                }
                Field::Actions => {
                    patch.actions =
                        convert::actions(&entered.account, given.actions.clone(), patch.object.as_ref(), &mut faults);
                }
                Field::OwnerUserId => {
                    patch.owner = faults.take("automation.owner_user_id", given.owner_user_id.parse());
                }
                Field::State => patch.enabled = enabled(given.state, &mut faults),
            }
        }
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let command =
            Command { caller: entered.caller, task: Task::UpdateAutomation { id, etag: given.etag, patch }, repeat };
        self.answer(&entered.account, command, updated).await
    }

    async fn activate_automation(
        &self,
        entered: Entered<AnyUser>,
        request: pb::ActivateAutomationRequest,
    ) -> Result<pb::ActivateAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let repeat = name::repeat(&request.request_id, "ActivateAutomation", &request, activated)?;
        let task = Task::Activate { id, whom: whom(request.everyone, &request.user_ids)? };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, activated).await
    }

    async fn deactivate_automation(
        &self,
        entered: Entered<AnyUser>,
        request: pb::DeactivateAutomationRequest,
    ) -> Result<pb::DeactivateAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let repeat = name::repeat(&request.request_id, "DeactivateAutomation", &request, deactivated)?;
        let task = Task::Deactivate { id, whom: whom(request.everyone, &request.user_ids)? };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, deactivated).await
    }

    async fn delete_automation(
        &self,
        entered: Entered<AutomationWriter>,
        request: pb::DeleteAutomationRequest,
    ) -> Result<pb::DeleteAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let repeat =
            name::repeat(
                &request.request_id,
                "DeleteAutomation",
                &request,
                |_: &Done| pb::DeleteAutomationResponse {},
            )?;
        let command =
            Command { caller: entered.caller, task: Task::DeleteAutomation { id, etag: request.etag }, repeat };
        self.answer(&entered.account, command, |_: &Done| pb::DeleteAutomationResponse {}).await
    }
}
