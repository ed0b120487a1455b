//! Two scenes of the demo: a limit that is hit and raised, and an endpoint that dies and comes back.

use std::{net::SocketAddr, ops::Range, sync::atomic::Ordering};

use super::{Client, Failure, Received, WAIT_MAX, WAIT_STEP, create_account, pb};

/// How many executions the limit admits at first.
const LIMIT: u32 = 2;
/// How many events come in although.
const EVENTS_OVER_LIMIT: u32 = 5;
/// How many first tries must fail until the endpoint is left alone.
const FIRST_TRIES: u32 = crate::domain::webhook::health::FAILURES_TO_OPEN;
/// How many events come in while it is.
const EVENTS_PARKED: u32 = 4;

/// What a scene adds to the demo's last line.
pub struct Scene {
    /// How many events were published.
    pub events: usize,
    /// How many executions there are.
    pub executions: usize,
    /// How many of them succeeded.
    pub succeeded: usize,
}

/// An account of a scene's own, with one automation that tells an endpoint of each deal.
struct Stage<'a> {
    service: &'a Client,
    account: &'a str,
}

impl<'a> Stage<'a> {
    async fn set_up(service: &'a Client, admin: &Client, account: &'a str, url: String) -> Result<Self, Failure> {
        create_account(service, account).await?;
        let webhook = pb::Webhook {
            display_name: "The endpoint".to_owned(),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: url,
            ..pb::Webhook::default()
        };
        let request = pb::CreateWebhookRequest {
            parent: format!("accounts/{account}"),
            webhook_id: "endpoint".to_owned(),
            webhook: Some(webhook),
            ..pb::CreateWebhookRequest::default()
        };
        let channel = || admin.channel.clone();
        pb::webhook_service_client::WebhookServiceClient::new(channel()).create_webhook(admin.ask(request)).await?;
        let action = pb::WebhookAction {
            webhook: format!("accounts/{account}/webhooks/endpoint"),
            method: pb::HttpMethod::Post.into(),
            body: Some(pb::webhook_action::Body::RawJson(r#"{"id": {{deal.id}}}"#.to_owned())),
            ..pb::WebhookAction::default()
        };
        let request = pb::CreateAutomationRequest {
            parent: format!("accounts/{account}"),
            automation: Some(pb::Automation {
                display_name: "Tell of new deals".to_owned(),
                trigger_object: "deal".to_owned(),
                trigger_action: pb::EventAction::Create.into(),
                actions: vec![action],
                ..pb::Automation::default()
            }),
            ..pb::CreateAutomationRequest::default()
        };
        let mut automations = pb::automation_service_client::AutomationServiceClient::new(channel());
        automations.create_automation(admin.ask(request)).await?;
        Ok(Self { service, account })
    }

    async fn publish(&self, ids: Range<u32>) -> Result<(), Failure> {
        let event = |id: u32| pb::EventInput {
            kind: Some(pb::event_input::Kind::Event(pb::Event {
                event_id: format!("deal-{id}"),
                object: "deal".to_owned(),
                action: pb::EventAction::Create.into(),
                entity_id: id.to_string(),
                occur_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
                data: format!(r#"{{"id": {id}}}"#).into(),
                ..pb::Event::default()
            })),
            ..pb::EventInput::default()
        };
        let request =
            pb::PublishBatchRequest { parent: format!("accounts/{}", self.account), events: ids.map(event).collect() };
        let mut events = pb::event_service_client::EventServiceClient::new(self.service.channel.clone());
        match events.publish_batch(self.service.ask(request)).await?.into_inner().results.first() {
            None => Ok(()),
            Some(result) => Err(format!("{}: {}", result.field, result.message).into()),
        }
    }

    async fn set_limit(&self, executions: u32) -> Result<(), Failure> {
        let limits = pb::AccountLimits { executions_per_window: Some(executions), ..pb::AccountLimits::default() };
        let request = pb::SetAccountLimitsRequest {
            name: format!("accounts/{}", self.account),
            limit_overrides: Some(limits),
            ..pb::SetAccountLimitsRequest::default()
        };
        let mut accounts = pb::account_service_client::AccountServiceClient::new(self.service.channel.clone());
        accounts.set_account_limits(self.service.ask(request)).await?;
        Ok(())
    }

    /// Waits until so many executions are in a state, and answers how many there are in all.
    async fn until(&self, state: pb::ExecutionState, wanted: u32) -> Result<usize, Failure> {
        let mut history = pb::execution_service_client::ExecutionServiceClient::new(self.service.channel.clone());
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            let request = pb::ListExecutionsRequest {
                parent: format!("accounts/{}", self.account),
                ..pb::ListExecutionsRequest::default()
            };
            let found = history.list_executions(self.service.ask(request)).await?.into_inner().executions;
            let count = found.iter().filter(|execution| execution.state() == state).count();
            if count == usize::try_from(wanted)? {
                return Ok(found.len());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("{count} of {wanted} executions are {}", state.as_str_name()).into());
            }
            tokio::time::sleep(WAIT_STEP).await;
        }
    }
}

/// More events than the limit admits: the others are paused, and run once it is raised.
pub async fn limit(service: &Client, admin: &Client, receiver: SocketAddr) -> Result<Scene, Failure> {
    let stage = Stage::set_up(service, admin, "limited", format!("http://{receiver}/limited/")).await?;
    stage.set_limit(LIMIT).await?;
    stage.publish(0..EVENTS_OVER_LIMIT).await?;
    stage.until(pb::ExecutionState::Succeeded, LIMIT).await?;
    stage.until(pb::ExecutionState::Paused, EVENTS_OVER_LIMIT - LIMIT).await?;
    println!("\na limit of {LIMIT} executions a window");
    println!("  {EVENTS_OVER_LIMIT} events: {LIMIT} ran, {} are paused (EXECUTION_LIMIT)", EVENTS_OVER_LIMIT - LIMIT);
    stage.set_limit(EVENTS_OVER_LIMIT).await?;
    let executions = stage.until(pb::ExecutionState::Succeeded, EVENTS_OVER_LIMIT).await?;
    println!("  raised to {EVENTS_OVER_LIMIT}: the paused ones ran, too");
    Ok(Scene { events: usize::try_from(EVENTS_OVER_LIMIT)?, executions, succeeded: executions })
}

/// An endpoint that answers 503 is left alone; what is parked meanwhile arrives once it is back.
pub async fn dying_endpoint(
    service: &Client,
    admin: &Client,
    receiver: SocketAddr,
    received: &Received,
) -> Result<Scene, Failure> {
    let stage = Stage::set_up(service, admin, "dying", format!("http://{receiver}/dies/")).await?;
    received.is_dead.store(true, Ordering::SeqCst);
    stage.publish(0..FIRST_TRIES).await?;
    stage.until(pb::ExecutionState::Retrying, FIRST_TRIES).await?;
    let all = FIRST_TRIES + EVENTS_PARKED;
    stage.publish(FIRST_TRIES..all).await?;
    stage.until(pb::ExecutionState::Paused, EVENTS_PARKED).await?;
    println!("\nan endpoint that dies");
    println!(
        "  {FIRST_TRIES} first tries failed: it is left alone, {EVENTS_PARKED} more are parked (ENDPOINT_UNAVAILABLE)"
    );
    received.is_dead.store(false, Ordering::SeqCst);
    let executions = stage.until(pb::ExecutionState::Succeeded, all).await?;
    println!("  it is back: all {all} arrived");
    Ok(Scene { events: usize::try_from(all)?, executions, succeeded: executions })
}
