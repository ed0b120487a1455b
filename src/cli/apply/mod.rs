//! `hookline apply`: webhooks and automations as files say. It shows what would change, and changes that.

pub(super) mod manifest;
mod plan;

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use self::{
    manifest::{Kind, Manifest},
    plan::{Plan, PlanStep},
};
use super::{
    AccountArgs, CallArgs, CliError, PAGE_SIZE, confirm,
    connection::{Caller, account_of},
    every_page, show,
    token::Role,
};
use crate::grpc::pb::{
    self, automation_service_client::AutomationServiceClient, webhook_service_client::WebhookServiceClient,
};

/// What to apply, and how.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// The server and the caller: a global_admin of the account.
    #[command(flatten)]
    pub call: CallArgs,
    /// The account.
    #[command(flatten)]
    pub account: AccountArgs,
    /// A YAML file, or a folder of them (*.yaml, *.yml).
    #[arg(short, long)]
    pub file: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Delete webhooks and automations of the account that no file names.
    #[arg(long)]
    pub prune: bool,
    /// Set the credentials of webhooks that exist, too: nobody can read them back, so nobody can tell whether they differ.
    #[arg(long)]
    pub set_credentials: bool,
    /// A folder that gets the signing secrets of new webhooks, one a file, instead of the screen.
    #[arg(long)]
    pub secrets_dir: Option<PathBuf>,
}

/// Shows what would change, asks, and changes it.
pub async fn run(args: ApplyArgs) -> Result<(), CliError> {
    let connection = &args.call.connection;
    let has_token = connection.token.is_some() || connection.token_file.is_some();
    if !has_token && connection.role == Role::Service {
        return Err(CliError::new("webhooks are a global admin's: give --as global_admin --user 1, or --token"));
    }
    let parent = args.account.parent()?;
    let manifests = manifest::read(&args.file, &parent)?;
    let caller = connection.open(account_of(&parent)).await?;
    let current = Current::read(&caller, &parent).await?;
    let plan = Plan::new(&manifests, &current.by_name, args.prune, args.set_credentials)?;
    if args.call.json {
        println!("{:#}", plan.to_json());
    } else {
        super::print_text(format_args!("{plan}"));
    }
    for warning in &plan.warnings {
        eprintln!("warning: {}", show::visible(warning));
    }
    if args.dry_run || plan.is_empty() {
        return Ok(());
    }
    let makes_secrets =
        plan.steps.iter().any(|step| matches!(step, PlanStep::Create(one) if one.kind == Kind::Webhook));
    if makes_secrets && args.secrets_dir.is_none() && (args.call.json || !std::io::stdout().is_terminal()) {
        return Err(CliError::new(
            "new webhooks have signing secrets, which belong into no log: give --secrets-dir, a folder for them",
        ));
    }
    confirm("Apply this?", args.yes)?;
    if let Some(folder) = &args.secrets_dir {
        std::fs::create_dir_all(folder).map_err(|error| CliError::new(format!("{}: {error}", folder.display())))?;
    }
    for (number, step) in plan.steps.iter().enumerate() {
        let done = carry_out(&caller, &parent, step, args.secrets_dir.as_deref()).await;
        done.map_err(|CliError(error)| {
            let all = plan.steps.len();
            let error = step.masked(&error);
            CliError::new(format!("{}: {error}\n{number} of {all} done; mend it and apply again", step.place()))
        })?;
        eprintln!("{} {}", step.past(), step.name());
    }
    Ok(())
}

/// What the account has.
struct Current {
    by_name: HashMap<String, Value>,
}

impl Current {
    async fn read(caller: &Caller, parent: &str) -> Result<Self, CliError> {
        let mut webhooks = WebhookServiceClient::new(caller.clone());
        let mut automations = AutomationServiceClient::new(caller.clone());
        let page = |page_token| pb::ListWebhooksRequest {
            parent: parent.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let found = every_page!(token => webhooks.list_webhooks(page(token)), webhooks);
        let mut by_name = HashMap::new();
        for webhook in found {
            by_name.insert(webhook.name.clone(), show::json(Kind::Webhook.message(), &webhook)?);
        }
        let page =
            |page_token| pb::ListAutomationsRequest { parent: parent.to_owned(), page_size: PAGE_SIZE, page_token };
        let found = every_page!(token => automations.list_automations(page(token)), automations);
        for automation in found {
            by_name.insert(automation.name.clone(), show::json(Kind::Automation.message(), &automation)?);
        }
        Ok(Self { by_name })
    }
}

async fn carry_out(caller: &Caller, parent: &str, step: &PlanStep<'_>, secrets: Option<&Path>) -> Result<(), CliError> {
    match step {
        PlanStep::Create(manifest) if manifest.kind == Kind::Webhook => {
            let mut client = WebhookServiceClient::new(caller.clone());
            let request = pb::CreateWebhookRequest {
                parent: parent.to_owned(),
                webhook_id: manifest.id().to_owned(),
                webhook: Some(show::message("Webhook", manifest.value.clone())?),
                request_id: String::new(),
            };
            let made = client.create_webhook(request).await?.into_inner();
            keep_secret(manifest, &made.signing_secret, secrets)?;
            // A new webhook is enabled; a file may want it otherwise.
            if manifest.value.get("enabled") == Some(&Value::Bool(false)) {
                update(caller, manifest, vec!["enabled".to_owned()], "").await?;
            }
            Ok(())
        }
        PlanStep::Create(manifest) => {
            let mut client = AutomationServiceClient::new(caller.clone());
            let mut automation: pb::Automation = show::message("Automation", manifest.value.clone())?;
            // It works for nobody before it works for those whom the file names only.
            let waits = automation.activation.is_some() && automation.state() != pb::AutomationState::Disabled;
            if waits {
                automation.state = pb::AutomationState::Disabled.into();
            }
            let request = pb::CreateAutomationRequest {
                parent: parent.to_owned(),
                automation_id: manifest.id().to_owned(),
                automation: Some(automation),
                request_id: String::new(),
            };
            let made = client.create_automation(request).await?.into_inner().automation.unwrap_or_default();
            made.warnings.iter().for_each(|warning| eprintln!("warning: {}: {warning}", manifest.place));
            activate(caller, manifest, made.activation.unwrap_or_default()).await?;
            match waits {
                true => enable(caller, manifest).await,
                false => Ok(()),
            }
        }
        PlanStep::Update { manifest, changes, etag, current, .. } => {
            let mut paths: Vec<_> = changes.iter().map(|change| change.field.clone()).collect();
            let activates = paths.iter().any(|field| field == "activation");
            // It is enabled last, once it is active for those whom the file names only.
            let is_enabled = manifest.value.get("state") == Some(&"AUTOMATION_STATE_ENABLED".into());
            let enables = activates && is_enabled && paths.iter().any(|field| field == "state");
            paths.retain(|field| field != "activation" && !(enables && field == "state"));
            if !paths.is_empty() {
                update(caller, manifest, paths, etag).await?;
            }
            if activates {
                let activation = current.get("activation").cloned().unwrap_or_default();
                activate(caller, manifest, show::message("Activation", activation)?).await?;
            }
            match enables {
                true => update(caller, manifest, vec!["state".to_owned()], "").await,
                false => Ok(()),
            }
        }
        PlanStep::Delete { name, kind: Kind::Webhook, etag } => {
            let request = pb::DeleteWebhookRequest { name: name.clone(), etag: etag.clone(), ..Default::default() };
            WebhookServiceClient::new(caller.clone()).delete_webhook(request).await?;
            Ok(())
        }
        PlanStep::Delete { name, etag, .. } => {
            let request = pb::DeleteAutomationRequest { name: name.clone(), etag: etag.clone(), ..Default::default() };
            AutomationServiceClient::new(caller.clone()).delete_automation(request).await?;
            Ok(())
        }
    }
}

async fn update(caller: &Caller, manifest: &Manifest, paths: Vec<String>, etag: &str) -> Result<(), CliError> {
    let mask = Some(prost_types::FieldMask { paths });
    if manifest.kind == Kind::Webhook {
        let mut webhook: pb::Webhook = show::message("Webhook", manifest.value.clone())?;
        (webhook.name, webhook.etag) = (manifest.name.clone(), etag.to_owned());
        let request = pb::UpdateWebhookRequest { webhook: Some(webhook), update_mask: mask, ..Default::default() };
        let changed = WebhookServiceClient::new(caller.clone()).update_webhook(request).await?.into_inner();
        for warning in changed.warnings {
            eprintln!("warning: {}: {warning}", manifest.place);
        }
        return Ok(());
    }
    let mut automation: pb::Automation = show::message("Automation", manifest.value.clone())?;
    (automation.name, automation.etag) = (manifest.name.clone(), etag.to_owned());
    let request = pb::UpdateAutomationRequest { automation: Some(automation), update_mask: mask, ..Default::default() };
    let changed = AutomationServiceClient::new(caller.clone()).update_automation(request).await?.into_inner();
    for warning in changed.automation.unwrap_or_default().warnings {
        eprintln!("warning: {}: {warning}", manifest.place);
    }
    Ok(())
}

/// Switches a new automation on, which has waited for its activation.
async fn enable(caller: &Caller, manifest: &Manifest) -> Result<(), CliError> {
    let state = pb::AutomationState::Enabled.into();
    let automation = pb::Automation { name: manifest.name.clone(), state, ..pb::Automation::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["state".to_owned()] });
    let request = pb::UpdateAutomationRequest { automation: Some(automation), update_mask, request_id: String::new() };
    AutomationServiceClient::new(caller.clone()).update_automation(request).await?;
    Ok(())
}

/// Switches an automation on for whom the file names, and off for all others.
async fn activate(caller: &Caller, manifest: &Manifest, current: pb::Activation) -> Result<(), CliError> {
    let Some(wanted) = manifest.value.get("activation") else { return Ok(()) };
    let wanted: pb::Activation = show::message("Activation", wanted.clone())?;
    let mut client = AutomationServiceClient::new(caller.clone());
    let name = manifest.name.clone();
    let is_in = |list: &[String], user: &String| list.contains(user);
    let on: Vec<_> = wanted.user_ids.iter().filter(|user| !is_in(&current.user_ids, user)).cloned().collect();
    let off: Vec<_> = current.user_ids.iter().filter(|user| !is_in(&wanted.user_ids, user)).cloned().collect();
    // Off first: to switch it off for everyone switches it off for each user, too.
    let everyone = current.everyone && (!wanted.everyone || !off.is_empty());
    if everyone || !off.is_empty() {
        let request =
            pb::DeactivateAutomationRequest { name: name.clone(), everyone, user_ids: off, request_id: String::new() };
        client.deactivate_automation(request).await?;
    }
    // Switched off for everyone, it is on for nobody.
    let (is_on, on) = if everyone { (false, wanted.user_ids.clone()) } else { (current.everyone, on) };
    let activate = |everyone, user_ids| pb::ActivateAutomationRequest {
        name: name.clone(),
        everyone,
        user_ids,
        request_id: String::new(),
    };
    // For everyone, and for users by name: one call is for either.
    if wanted.everyone && !is_on {
        client.activate_automation(activate(true, Vec::new())).await?;
    }
    if !on.is_empty() {
        client.activate_automation(activate(false, on)).await?;
    }
    Ok(())
}

/// A signing secret is shown once: to the screen, or to a file that only its owner can read.
fn keep_secret(manifest: &Manifest, secret: &str, folder: Option<&Path>) -> Result<(), CliError> {
    let Some(folder) = folder else {
        println!("{}: signing secret, shown once: {secret}", manifest.name);
        return Ok(());
    };
    let path = folder.join(manifest.id());
    // Written under another name and put in place: a link that stands there is replaced, never followed.
    let draft = folder.join(format!(".{}.{}", manifest.id(), std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        CliError::new(format!("the signing secret could not be kept in {}: {error}; it is {secret}", path.display()))
    })
}
