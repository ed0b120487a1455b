//! `hookline webhooks`: endpoints, how they do, and their secrets. `hookline apply` creates and changes them.

use clap::Subcommand;

use super::{AccountArgs, CallArgs, CliError, PAGE_SIZE, confirm, connection::account_of, every_page, show};
use crate::grpc::pb::{self, webhook_service_client::WebhookServiceClient};

/// What to do with webhooks.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// List the account's webhooks.
    List,
    /// Show one webhook, and how its endpoint does.
    Show {
        /// Its id or name.
        webhook: String,
    },
    /// Send a test request now; it is in no history.
    Test {
        /// Its id or name.
        webhook: String,
    },
    /// Let requests go to it again.
    Enable {
        /// Its id or name.
        webhook: String,
    },
    /// Send nothing to it; executions that need it fail.
    Disable {
        /// Its id or name.
        webhook: String,
    },
    /// Make a new signing secret and print it; the old one signs, too, for a while.
    RotateSecret {
        /// Its id or name.
        webhook: String,
        /// For how many hours the old secret goes on signing.
        #[arg(long, default_value_t = 24)]
        overlap_hours: u32,
    },
    /// Delete it; executions that need it fail.
    Delete {
        /// Its id or name.
        webhook: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Task {
    fn webhook(&self) -> Option<&String> {
        match self {
            Task::List => None,
            Task::Show { webhook }
            | Task::Test { webhook }
            | Task::Enable { webhook }
            | Task::Disable { webhook }
            | Task::RotateSecret { webhook, .. }
            | Task::Delete { webhook, .. } => Some(webhook),
        }
    }
}

const HEAD: [&str; 5] = ["webhook", "kind", "enabled", "endpoint", "display name"];

fn row(webhook: &pb::Webhook) -> Vec<String> {
    let enabled = match webhook.disable_reason() {
        pb::WebhookDisableReason::Unspecified => "yes".to_owned(),
        reason => format!("no ({})", show::word(reason.as_str_name(), "WEBHOOK_DISABLE_REASON_")),
    };
    vec![
        show::id(&webhook.name).to_owned(),
        show::word(webhook.kind().as_str_name(), "WEBHOOK_KIND_"),
        enabled,
        show::short(&webhook.endpoint_url, 60),
        webhook.display_name.clone(),
    ]
}

fn print(call: &CallArgs, webhook: Option<pb::Webhook>) -> Result<(), CliError> {
    let webhook = webhook.unwrap_or_default();
    if call.json {
        return show::print_json("Webhook", &webhook);
    }
    show::print_table(&HEAD, vec![row(&webhook)], "");
    Ok(())
}

/// Does it.
pub async fn run(call: CallArgs, account: AccountArgs, task: Task) -> Result<(), CliError> {
    let (parent, name) = match task.webhook() {
        Some(given) => (String::new(), account.name("webhooks", given)?),
        None => (account.parent()?, String::new()),
    };
    let owner = account_of(if name.is_empty() { &parent } else { &name });
    let mut client = WebhookServiceClient::new(call.connection.open(owner).await?);
    match task {
        Task::List => {
            let page = |page_token| pb::ListWebhooksRequest {
                parent: parent.clone(),
                page_size: PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let webhooks = every_page!(token => client.list_webhooks(page(token)), webhooks);
            if call.json {
                return show::print_json_list("Webhook", &webhooks);
            }
            let nothing = "no webhook; `hookline apply` makes them from files";
            show::print_table(&HEAD, webhooks.iter().map(row).collect(), nothing);
            Ok(())
        }
        Task::Show { .. } => {
            let found = client.get_webhook(pb::GetWebhookRequest { name: name.clone() }).await?.into_inner();
            let health = client.get_webhook_health(pb::GetWebhookHealthRequest { name }).await?.into_inner();
            let (webhook, health) = (found.webhook.unwrap_or_default(), health.health.unwrap_or_default());
            if call.json {
                let mut json = show::json("Webhook", &webhook)?;
                json["health"] = show::json("WebhookHealth", &health)?;
                println!("{json:#}");
                return Ok(());
            }
            show::print_table(&HEAD, vec![row(&webhook)], "");
            println!();
            print_health(&health);
            Ok(())
        }
        Task::Test { .. } => {
            let tested = client.test_webhook(pb::TestWebhookRequest { name }).await?.into_inner();
            if call.json {
                show::print_json("TestWebhookResponse", &tested)?;
            } else {
                let attempt = tested.attempt.clone().unwrap_or_default();
                let answer = match attempt.http_status {
                    0 => format!("{}: {}", attempt.error_kind, attempt.error_message),
                    status => format!("{status} {}", String::from_utf8_lossy(&attempt.response_excerpt)),
                };
                show::print_facts(&[
                    ("sent to", attempt.url.clone()),
                    ("body", String::from_utf8_lossy(&tested.body).into_owned()),
                    ("answer", show::short(&answer, 400)),
                    ("took", show::duration(attempt.duration)),
                ]);
            }
            if tested.succeeded { Ok(()) } else { Err(CliError::new("the endpoint did not take the test request")) }
        }
        Task::Enable { .. } => print(&call, update(&mut client, name, true).await?),
        Task::Disable { .. } => print(&call, update(&mut client, name, false).await?),
        Task::RotateSecret { overlap_hours, .. } => {
            let overlap = prost_types::Duration { seconds: i64::from(overlap_hours) * 3_600, nanos: 0 };
            let request = pb::RotateWebhookSecretRequest { name, overlap: Some(overlap), request_id: String::new() };
            let rotated = client.rotate_webhook_secret(request).await?.into_inner();
            if call.json {
                return show::print_json("RotateWebhookSecretResponse", &rotated);
            }
            println!("{}", rotated.signing_secret);
            eprintln!("this secret is shown once; the old one signs, too, for {overlap_hours} hours");
            Ok(())
        }
        Task::Delete { yes, .. } => {
            confirm(&format!("Delete {name}? What waits for it fails."), yes)?;
            client.delete_webhook(pb::DeleteWebhookRequest { name: name.clone(), ..Default::default() }).await?;
            eprintln!("{name} is deleted");
            Ok(())
        }
    }
}

async fn update(
    client: &mut WebhookServiceClient<super::connection::Caller>,
    name: String,
    enabled: bool,
) -> Result<Option<pb::Webhook>, CliError> {
    let request = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name, enabled, ..pb::Webhook::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".to_owned()] }),
        request_id: String::new(),
    };
    Ok(client.update_webhook(request).await?.into_inner().webhook)
}

fn print_health(health: &pb::WebhookHealth) {
    let state = match health.unavailable {
        true => format!("left alone until {}", show::time(health.unavailable_until_time)),
        false => "gets requests".to_owned(),
    };
    let attempts = health.succeeded_attempts + health.failed_attempts;
    let rate = if attempts == 0 { String::new() } else { format!("{:.1} %", health.success_rate * 100.0) };
    let failure = health.last_failure.clone().map(|last| {
        let status = if last.http_status == 0 { String::new() } else { format!(" ({})", last.http_status) };
        format!("{} {}{status} {}", show::time(last.fail_time), last.reason, last.execution)
    });
    show::print_facts(&[
        ("endpoint", state),
        ("attempts in 24 hours", attempts.to_string()),
        ("succeeded", rate),
        ("mean duration", show::duration(health.mean_duration)),
        ("slowest", show::duration(health.slowest_duration)),
        ("last failure", failure.unwrap_or_default()),
    ]);
}
