//! `AutomationService`.

use prost::Message;
use tonic::Status;

use super::{
    Api,
    access::{AnyUser, AutomationWriter, Entered, Member, serve},
    convert, name, pb, status,
    webhooks::masked,
};
use crate::domain::{
    automation::{ACTIVATION_USERS_MAX, Automation, ReadAutomation, uid_of},
    command::{Answer, AutomationPatch, Command, NewAutomation, Task, Whom},
    condition::Conditions,
    id::{AccountId, ObjectName},
    refusal::{Refusal, Violations},
    webhook::check_display_name,
};

fn shown(answer: &Answer) -> Option<pb::Automation> {
    match answer {
        Answer::Automation(account, automation, plan, catalogue, living) => {
            Some(convert::automation(account, automation, *plan, catalogue, living))
        }
        _ => None,
    }
}

fn created(answer: &Answer) -> pb::CreateAutomationResponse {
    pb::CreateAutomationResponse { automation: shown(answer) }
}

fn updated(answer: &Answer) -> pb::UpdateAutomationResponse {
    pb::UpdateAutomationResponse { automation: shown(answer) }
}

fn activated(answer: &Answer) -> pb::ActivateAutomationResponse {
    pb::ActivateAutomationResponse { automation: shown(answer) }
}

fn deactivated(answer: &Answer) -> pb::DeactivateAutomationResponse {
    pb::DeactivateAutomationResponse { automation: shown(answer) }
}

/// Whom an activation is for.
fn whom(everyone: bool, user_ids: &[String]) -> Result<Whom, Status> {
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

fn enabled(state: i32, faults: &mut Violations) -> Option<bool> {
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
pub(super) fn new_automation(account: &AccountId, given: pb::Automation) -> Result<NewAutomation, Status> {
    let mut faults = Violations::default();
    let object = object(&given.trigger_object, &mut faults);
    let action = convert::event_action("automation.trigger_action", given.trigger_action, &mut faults);
    let conditions = given.conditions.map(|group| convert::group(group, "automation.conditions", 1, &mut faults));
    let actions = convert::actions(account, given.actions, object.as_ref(), &mut faults);
    check_display_name(&given.display_name, "automation.display_name", &mut faults);
    if let (Some(Some(group)), Some(action)) = (&conditions, action) {
        let _ = Conditions::compile(Some(group), action, "automation.conditions", &mut faults);
    }
    let enabled = enabled(given.state, &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))?;
    let (Some(object), Some(action), Some(actions), Some(enabled)) = (object, action, actions, enabled) else {
        return Err(status::invalid("automation", "is required"));
    };
    let display_name = given.display_name;
    Ok(NewAutomation { display_name, object, action, conditions: conditions.flatten(), actions, enabled })
}

fn object(text: &str, faults: &mut Violations) -> Option<ObjectName> {
    faults.take("automation.trigger_object", text.parse())
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
        let encode = |answer: &Answer| created(answer).encode_to_vec();
        let repeat = name::repeat(&request.request_id, "CreateAutomation", &request, encode)?;
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
        let after = super::uuid_place(&request.page_token, &query)?;
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
        let (shown, next_page_token) = super::shown_page(&page, &query, |read| uid_of(read).0, show);
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
        let encode = |answer: &Answer| updated(answer).encode_to_vec();
        let repeat = name::repeat(&request.request_id, "UpdateAutomation", &request, encode)?;
        let given = request.automation.unwrap_or_default();
        let (_, id) = name::resource("automation.name", &given.name, "automations")?;
        let fields = [
            ("display_name", !given.display_name.is_empty()),
            ("trigger_object", !given.trigger_object.is_empty()),
            ("trigger_action", given.trigger_action != 0),
            ("conditions", given.conditions.is_some()),
            ("actions", !given.actions.is_empty()),
            ("state", given.state != 0),
            ("owner_user_id", !given.owner_user_id.is_empty()),
        ];
        let mut patch = AutomationPatch::default();
        let mut faults = Violations::default();
        for field in masked(request.update_mask.as_ref(), &fields)? {
            match field {
                "display_name" => patch.display_name = Some(given.display_name.clone()),
                "trigger_object" => patch.object = object(&given.trigger_object, &mut faults),
                "trigger_action" => {
                    patch.action =
                        convert::event_action("automation.trigger_action", given.trigger_action, &mut faults);
                }
                "conditions" => {
                    let group = given.conditions.clone();
                    let read = group.map(|group| convert::group(group, "automation.conditions", 1, &mut faults));
                    patch.conditions = Some(read.flatten());
                }
                "actions" => {
                    patch.actions =
                        convert::actions(&entered.account, given.actions.clone(), patch.object.as_ref(), &mut faults);
                }
                "owner_user_id" => {
                    patch.owner = faults.take("automation.owner_user_id", given.owner_user_id.parse());
                }
                _ => patch.enabled = enabled(given.state, &mut faults),
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
        let encode = |answer: &Answer| activated(answer).encode_to_vec();
        let repeat = name::repeat(&request.request_id, "ActivateAutomation", &request, encode)?;
        let task = Task::Activate { id, whom: whom(request.everyone, &request.user_ids)? };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, activated).await
    }

    async fn deactivate_automation(
        &self,
        entered: Entered<AnyUser>,
        request: pb::DeactivateAutomationRequest,
    ) -> Result<pb::DeactivateAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let encode = |answer: &Answer| deactivated(answer).encode_to_vec();
        let repeat = name::repeat(&request.request_id, "DeactivateAutomation", &request, encode)?;
        let task = Task::Deactivate { id, whom: whom(request.everyone, &request.user_ids)? };
        self.answer(&entered.account, Command { caller: entered.caller, task, repeat }, deactivated).await
    }

    async fn delete_automation(
        &self,
        entered: Entered<AutomationWriter>,
        request: pb::DeleteAutomationRequest,
    ) -> Result<pb::DeleteAutomationResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "automations")?;
        let repeat = name::repeat(&request.request_id, "DeleteAutomation", &request, |_| Vec::new())?;
        let command =
            Command { caller: entered.caller, task: Task::DeleteAutomation { id, etag: request.etag }, repeat };
        self.answer(&entered.account, command, |_| pb::DeleteAutomationResponse {}).await
    }
}
