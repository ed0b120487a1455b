//! `WebhookService`.

use secrecy::ExposeSecret;
use tonic::Status;

use super::{
    access::{AnyUser, Entered, GlobalAdmin, Member, serve},
    api::Api,
};
use crate::{
    clock,
    domain::{
        caller::Caller,
        decision::command::{Command, Done, Edit, Task, WebhookAnswer, WebhookPatch},
        id::ResourceId,
        refusal::{Refusal, Violations},
        webhook::{Webhook, health::Health, signing::Overlap, traffic::Traffic},
    },
    grpc::{
        calls::status,
        convert::{
            self,
            name::{self, MaskField},
        },
        pb,
    },
};

/// What can be changed of a webhook.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    DisplayName,
    EndpointUrl,
    Credentials,
    RetryPolicy,
    SuccessStatuses,
    RequestsPerSecond,
    Subscription,
    Enabled,
}

fn secret_of(answer: &WebhookAnswer, shows_secrets: bool) -> String {
    let secret = answer.secret.as_ref().filter(|_| shows_secrets);
    secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
}

fn shown(answer: &WebhookAnswer, shows_secrets: bool) -> Option<pb::Webhook> {
    Some(convert::webhook(&answer.account, &answer.webhook, shows_secrets))
}

fn created(answer: &WebhookAnswer, shows_secrets: bool) -> pb::CreateWebhookResponse {
    let signing_secret = secret_of(answer, shows_secrets);
    pb::CreateWebhookResponse { webhook: shown(answer, shows_secrets), signing_secret }
}

fn rotated(answer: &WebhookAnswer, shows_secrets: bool) -> pb::RotateWebhookSecretResponse {
    let signing_secret = secret_of(answer, shows_secrets);
    pb::RotateWebhookSecretResponse { webhook: shown(answer, shows_secrets), signing_secret }
}

fn updated(answer: &WebhookAnswer, shows_secrets: bool) -> pb::UpdateWebhookResponse {
    let warnings = answer.warnings.iter().map(|warning| (*warning).to_owned()).collect();
    pb::UpdateWebhookResponse { webhook: shown(answer, shows_secrets), warnings }
}

serve! {
    webhook_service_server::WebhookService {
        create_webhook(CreateWebhookRequest) -> CreateWebhookResponse;
        get_webhook(GetWebhookRequest) -> GetWebhookResponse;
        list_webhooks(ListWebhooksRequest) -> ListWebhooksResponse;
        update_webhook(UpdateWebhookRequest) -> UpdateWebhookResponse;
        rotate_webhook_secret(RotateWebhookSecretRequest) -> RotateWebhookSecretResponse;
        get_webhook_health(GetWebhookHealthRequest) -> GetWebhookHealthResponse;
        test_webhook(TestWebhookRequest) -> TestWebhookResponse;
        delete_webhook(DeleteWebhookRequest) -> DeleteWebhookResponse;
    }
}

impl Api {
    async fn create_webhook(
        &self,
        entered: Entered<AnyUser>,
        request: pb::CreateWebhookRequest,
    ) -> Result<pb::CreateWebhookResponse, Status> {
        let is_regular = request.webhook.as_ref().is_some_and(|webhook| webhook.kind() == pb::WebhookKind::Regular);
        if !is_regular {
            let message = "only a global_admin may create an automation webhook; others create WEBHOOK_KIND_REGULAR";
            entered.require::<GlobalAdmin>(message)?;
        }
        let repeat = name::repeat(&request.request_id, "CreateWebhook", &request, |answer: &WebhookAnswer| {
            created(answer, false)
        })?;
        let id = name::chosen_id("webhook_id", &request.webhook_id)?;
        let mut faults = Violations::default();
        let webhook = convert::new_webhook(request.webhook.unwrap_or_default(), &self.urls, &mut faults);
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let Some(webhook) = webhook else { return Err(status::invalid("webhook", "is required")) };
        let command = Command { caller: entered.caller, task: Task::CreateWebhook { id, webhook }, repeat };
        self.answer(&entered.account, command, |answer| created(answer, true)).await
    }

    async fn get_webhook(
        &self,
        entered: Entered<Member>,
        request: pb::GetWebhookRequest,
    ) -> Result<pb::GetWebhookResponse, Status> {
        let full_name = request.name;
        let (_, id) = name::resource("name", &full_name, "webhooks")?;
        let view = self.account_of(&entered.account).await?;
        let found = self.store.find_webhook(view.uid, &id).await.map_err(status::store)?;
        let found = found.ok_or_else(|| status::refused(&Refusal::not_found("webhook", full_name)))?;
        let webhook = convert::webhook(&entered.account, &found, sees_secrets(&entered.caller, &found));
        Ok(pb::GetWebhookResponse { webhook: Some(webhook) })
    }

    async fn list_webhooks(
        &self,
        entered: Entered<Member>,
        request: pb::ListWebhooksRequest,
    ) -> Result<pb::ListWebhooksResponse, Status> {
        let view = self.account_of(&entered.account).await?;
        let query = format!("webhooks:{}", entered.account);
        let after = convert::page::uuid_cursor(&request.page_token, &query)?;
        let size = name::page_size(request.page_size)?;
        let page = self.store.list_webhooks(view.uid, after, size).await.map_err(status::store)?;
        let now = clock::now();
        let show = |(webhook, health, traffic): &(Webhook, Health, Traffic)| {
            let health = request.with_health.then(|| {
                let mut health = convert::webhook_health(&entered.account, health, traffic, now);
                if let (Some(_), Some(failure)) = (entered.caller.history_of(), &mut health.last_failure) {
                    // Whether a user may read it takes a look into the history for each.
                    failure.execution.clear();
                }
                health
            });
            let shown = convert::webhook(&entered.account, webhook, sees_secrets(&entered.caller, webhook));
            pb::Webhook { health, ..shown }
        };
        let (webhooks, next_page_token) = convert::page::shown_page(&page, &query, |(webhook, ..)| webhook.uid.0, show);
        Ok(pb::ListWebhooksResponse { webhooks, next_page_token })
    }

    async fn update_webhook(
        &self,
        entered: Entered<AnyUser>,
        request: pb::UpdateWebhookRequest,
    ) -> Result<pb::UpdateWebhookResponse, Status> {
        let repeat = name::repeat(&request.request_id, "UpdateWebhook", &request, |answer: &WebhookAnswer| {
            updated(answer, false)
        })?;
        let webhook = request.webhook.unwrap_or_default();
        let (_, id) = name::resource("webhook.name", &webhook.name, "webhooks")?;
        self.managed_webhook(&entered, &id).await?;
        let fields = [
            MaskField { name: "display_name", field: Field::DisplayName, is_given: !webhook.display_name.is_empty() },
            MaskField { name: "endpoint_url", field: Field::EndpointUrl, is_given: !webhook.endpoint_url.is_empty() },
            MaskField { name: "credentials", field: Field::Credentials, is_given: webhook.credentials.is_some() },
            MaskField {
                name: "success_statuses",
                field: Field::SuccessStatuses,
                is_given: !webhook.success_statuses.is_empty(),
            },
            MaskField { name: "retry_policy", field: Field::RetryPolicy, is_given: webhook.retry_policy.is_some() },
            MaskField {
                name: "requests_per_second",
                field: Field::RequestsPerSecond,
                is_given: webhook.requests_per_second != 0,
            },
            MaskField { name: "subscription", field: Field::Subscription, is_given: !webhook.subscription.is_empty() },
            MaskField { name: "enabled", field: Field::Enabled, is_given: webhook.enabled },
        ];
        let mut patch = WebhookPatch::default();
        let mut faults = Violations::default();
        for field in name::masked(request.update_mask.as_ref(), &fields)? {
            match field {
                Field::DisplayName => patch.display_name = Some(webhook.display_name.clone()),
                Field::SuccessStatuses => {
                    patch.success = convert::success_statuses(&webhook.success_statuses, &mut faults);
                }
                Field::RetryPolicy => patch.retry = convert::retry_policy(webhook.retry_policy.clone(), &mut faults),
                Field::RequestsPerSecond => {
                    let limit = webhook.requests_per_second;
                    patch.requests_per_second = Edit::To(convert::requests_per_second(limit, &mut faults));
                }
                Field::Subscription => patch.subscription = convert::subscription(&webhook.subscription, &mut faults),
                Field::Enabled => patch.enabled = Some(webhook.enabled),
                Field::Credentials => patch.credentials = Some(convert::credentials(webhook.credentials.clone())),
                Field::EndpointUrl => {
                    let url = &webhook.endpoint_url;
                    patch.endpoint = convert::endpoint("webhook.endpoint_url", (url, false), &self.urls, &mut faults);
                }
            }
        }
        faults.check().map_err(|refusal| status::refused(&refusal))?;
        let command =
            Command { caller: entered.caller, task: Task::UpdateWebhook { id, etag: webhook.etag, patch }, repeat };
        self.answer(&entered.account, command, |answer| updated(answer, true)).await
    }

    async fn rotate_webhook_secret(
        &self,
        entered: Entered<AnyUser>,
        request: pb::RotateWebhookSecretRequest,
    ) -> Result<pb::RotateWebhookSecretResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "webhooks")?;
        self.managed_webhook(&entered, &id).await?;
        let repeat = name::repeat(&request.request_id, "RotateWebhookSecret", &request, |answer: &WebhookAnswer| {
            rotated(answer, false)
        })?;
        // A duration that is none is longer than any that may be asked for.
        let asked_ms = request.overlap.as_ref().map(|overlap| convert::duration_ms(overlap).unwrap_or(u64::MAX));
        let overlap = Overlap::parse(asked_ms).map_err(|fault| status::invalid("overlap", fault))?;
        let task = Task::RotateSecret { id, overlap };
        let command = Command { caller: entered.caller, task, repeat };
        self.answer(&entered.account, command, |answer| rotated(answer, true)).await
    }

    async fn get_webhook_health(
        &self,
        entered: Entered<Member>,
        request: pb::GetWebhookHealthRequest,
    ) -> Result<pb::GetWebhookHealthResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "webhooks")?;
        let view = self.account_of(&entered.account).await?;
        let found = self.store.webhook_health(view.uid, &id).await.map_err(status::store)?;
        let (health, traffic) = found.ok_or_else(|| status::refused(&Refusal::not_found("webhook", request.name)))?;
        let mut health = convert::webhook_health(&entered.account, &health, &traffic, clock::now());
        if let (Some(reader), Some(failure)) = (entered.caller.history_of(), &traffic.last_failure) {
            // Which execution it was is only for those who may read it.
            let found = self.store.find_execution(view.uid, failure.execution, Some(reader), false).await;
            if found.map_err(status::store)?.is_none()
                && let Some(shown) = &mut health.last_failure
            {
                shown.execution.clear();
            }
        }
        Ok(pb::GetWebhookHealthResponse { health: Some(health) })
    }

    async fn test_webhook(
        &self,
        entered: Entered<AnyUser>,
        request: pb::TestWebhookRequest,
    ) -> Result<pb::TestWebhookResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "webhooks")?;
        self.managed_webhook(&entered, &id).await?;
        let command =
            |under_way| Command { caller: entered.caller, task: Task::TestWebhook { id, under_way }, repeat: None };
        let tested = self.engine.test(&entered.account, command).await;
        let tested = tested.map_err(|error| status::engine(&error))?;
        Ok(pb::TestWebhookResponse {
            succeeded: tested.attempt.outcome.is_success(),
            attempt: Some(convert::attempt(&tested.attempt, 1)),
            body: tested.body.into(),
            request_id: tested.request_id,
        })
    }

    async fn delete_webhook(
        &self,
        entered: Entered<AnyUser>,
        request: pb::DeleteWebhookRequest,
    ) -> Result<pb::DeleteWebhookResponse, Status> {
        let (_, id) = name::resource("name", &request.name, "webhooks")?;
        self.managed_webhook(&entered, &id).await?;
        let repeat =
            name::repeat(&request.request_id, "DeleteWebhook", &request, |_: &Done| pb::DeleteWebhookResponse {})?;
        let command = Command { caller: entered.caller, task: Task::DeleteWebhook { id, etag: request.etag }, repeat };
        self.answer(&entered.account, command, |_: &Done| pb::DeleteWebhookResponse {}).await
    }

    /// A webhook that the caller may change, if there is one: the first lock; the account's own decision is the second.
    async fn managed_webhook(&self, entered: &Entered<AnyUser>, id: &ResourceId) -> Result<Option<Webhook>, Status> {
        let view = self.account_of(&entered.account).await?;
        let found = self.store.find_webhook(view.uid, id).await.map_err(status::store)?;
        if let Some(webhook) = &found {
            let allowed = webhook.require_manager(&entered.caller, &entered.account);
            allowed.map_err(|refusal| status::refused(&refusal))?;
        }
        Ok(found)
    }
}

/// Whether a caller sees the credentials in a webhook's URL.
fn sees_secrets(caller: &Caller, webhook: &Webhook) -> bool {
    let is_owner = caller.history_of().is_some_and(|user| webhook.owner.as_ref() == Some(user));
    caller.sees_secrets() || is_owner
}
