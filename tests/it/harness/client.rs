//! Calls to a server, as a client of the API makes them.

use hookline::grpc::pb;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

/// Calls with one token.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    token: MetadataValue<tonic::metadata::Ascii>,
}

/// What a call ends in.
pub type Answer<T> = Result<T, tonic::Status>;

impl Client {
    pub fn new(channel: Channel, token: &str) -> Self {
        Self { channel, token: format!("Bearer {token}").parse().expect("a value") }
    }

    pub fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        request
    }

    pub fn accounts(&self) -> pb::account_service_client::AccountServiceClient<Channel> {
        pb::account_service_client::AccountServiceClient::new(self.channel.clone())
    }

    pub fn webhooks(&self) -> pb::webhook_service_client::WebhookServiceClient<Channel> {
        pb::webhook_service_client::WebhookServiceClient::new(self.channel.clone())
    }

    pub fn automations(&self) -> pb::automation_service_client::AutomationServiceClient<Channel> {
        pb::automation_service_client::AutomationServiceClient::new(self.channel.clone())
    }

    pub fn events(&self) -> pb::event_service_client::EventServiceClient<Channel> {
        pb::event_service_client::EventServiceClient::new(self.channel.clone())
    }

    pub fn executions(&self) -> pb::execution_service_client::ExecutionServiceClient<Channel> {
        pb::execution_service_client::ExecutionServiceClient::new(self.channel.clone())
    }

    pub fn explain(&self) -> pb::explain_service_client::ExplainServiceClient<Channel> {
        pb::explain_service_client::ExplainServiceClient::new(self.channel.clone())
    }

    pub fn jobs(&self) -> pb::job_service_client::JobServiceClient<Channel> {
        pb::job_service_client::JobServiceClient::new(self.channel.clone())
    }

    pub fn ingest(&self) -> pb::ingest_identity_service_client::IngestIdentityServiceClient<Channel> {
        pb::ingest_identity_service_client::IngestIdentityServiceClient::new(self.channel.clone())
    }

    pub fn callers(&self) -> pb::caller_service_client::CallerServiceClient<Channel> {
        pb::caller_service_client::CallerServiceClient::new(self.channel.clone())
    }

    pub fn clocks(&self) -> pb::clock_service_client::ClockServiceClient<Channel> {
        pb::clock_service_client::ClockServiceClient::new(self.channel.clone())
    }

    pub fn keys(&self) -> pb::key_service_client::KeyServiceClient<Channel> {
        pb::key_service_client::KeyServiceClient::new(self.channel.clone())
    }

    pub fn audit(&self) -> pb::audit_service_client::AuditServiceClient<Channel> {
        pb::audit_service_client::AuditServiceClient::new(self.channel.clone())
    }

    pub fn catalogue(&self) -> pb::catalogue_service_client::CatalogueServiceClient<Channel> {
        pb::catalogue_service_client::CatalogueServiceClient::new(self.channel.clone())
    }

    pub fn watches(&self) -> pb::watch_service_client::WatchServiceClient<Channel> {
        pb::watch_service_client::WatchServiceClient::new(self.channel.clone())
    }

    pub async fn create_account(&self, id: &str, plan: pb::Plan) -> Answer<pb::Account> {
        let account = Some(pb::Account { plan: plan.into(), ..pb::Account::default() });
        let request = pb::CreateAccountRequest { account_id: id.into(), account, request_id: String::new() };
        Ok(self.accounts().create_account(self.ask(request)).await?.into_inner().account.expect("an account"))
    }

    pub async fn create_webhook(&self, account: &str, id: &str, url: &str) -> Answer<pb::CreateWebhookResponse> {
        let webhook = pb::Webhook {
            display_name: format!("webhook {id}"),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: url.into(),
            ..pb::Webhook::default()
        };
        let request = pb::CreateWebhookRequest {
            parent: format!("accounts/{account}"),
            webhook_id: id.into(),
            webhook: Some(webhook),
            request_id: String::new(),
        };
        Ok(self.webhooks().create_webhook(self.ask(request)).await?.into_inner())
    }

    pub async fn create_automation(&self, account: &str, automation: pb::Automation) -> Answer<pb::Automation> {
        let request = pb::CreateAutomationRequest {
            parent: format!("accounts/{account}"),
            automation_id: String::new(),
            automation: Some(automation),
            request_id: String::new(),
        };
        let made = self.automations().create_automation(self.ask(request)).await?.into_inner();
        Ok(made.automation.expect("an automation"))
    }

    pub async fn publish(&self, account: &str, events: Vec<pb::EventInput>) -> Answer<Vec<pb::EventResult>> {
        let request = pb::PublishBatchRequest { parent: format!("accounts/{account}"), events };
        Ok(self.events().publish_batch(self.ask(request)).await?.into_inner().results)
    }

    /// Every execution of an account, newest first, each in full.
    pub async fn history(&self, account: &str) -> Vec<pb::Execution> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListExecutionsRequest {
                parent: format!("accounts/{account}"),
                page_size: 1_000,
                page_token,
                ..pb::ListExecutionsRequest::default()
            };
            let page = self.executions().list_executions(self.ask(request)).await.expect("lists").into_inner();
            found.extend(page.executions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    }

    pub async fn execution(&self, name: &str) -> pb::Execution {
        let request = pb::GetExecutionRequest { name: name.into() };
        let found = self.executions().get_execution(self.ask(request)).await.expect("gets").into_inner();
        found.execution.expect("an execution")
    }
}
