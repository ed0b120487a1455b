//! `hookline automations`: what triggers, for whom, and why it did not run. `hookline apply` creates and changes them.

use clap::{Args, Subcommand};

use super::{AccountArgs, CallArgs, CliError, PAGE_SIZE, confirm, connection::account_of, every_page, show};
use crate::grpc::pb::{
    self, automation_service_client::AutomationServiceClient, explain_service_client::ExplainServiceClient,
};

/// For whom an automation is switched on or off.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct Users {
    /// For everyone.
    #[arg(long)]
    everyone: bool,
    /// For these users.
    #[arg(long, value_delimiter = ',')]
    users: Vec<String>,
}

/// What to do with automations.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// List the account's automations.
    List,
    /// Show one automation.
    Show {
        /// Its id or name.
        automation: String,
    },
    /// Show why it did not run for the last events that fitted its trigger.
    Misses {
        /// Its id or name.
        automation: String,
    },
    /// Switch it on for users: it runs for the events that they cause.
    Activate {
        /// Its id or name.
        automation: String,
        /// For whom.
        #[command(flatten)]
        whom: Users,
    },
    /// Switch it off for users.
    Deactivate {
        /// Its id or name.
        automation: String,
        /// For whom.
        #[command(flatten)]
        whom: Users,
    },
    /// Delete it. Its executions stay in the history.
    Delete {
        /// Its id or name.
        automation: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Task {
    fn automation(&self) -> Option<&String> {
        match self {
            Task::List => None,
            Task::Show { automation }
            | Task::Misses { automation }
            | Task::Activate { automation, .. }
            | Task::Deactivate { automation, .. }
            | Task::Delete { automation, .. } => Some(automation),
        }
    }
}

const HEAD: [&str; 6] = ["automation", "trigger", "state", "active for", "actions", "display name"];

fn row(automation: &pb::Automation) -> Vec<String> {
    let actions =
        automation.trigger_actions().map(|action| show::word(action.as_str_name(), "EVENT_ACTION_").to_lowercase());
    let action = actions.collect::<Vec<_>>().join(",");
    let activation = automation.activation.clone().unwrap_or_default();
    let whom = match (activation.everyone, activation.user_ids.len()) {
        (true, _) => "everyone".to_owned(),
        (false, 0) => "nobody".to_owned(),
        (false, 1..=3) => activation.user_ids.join(","),
        (false, users) => format!("{users} users"),
    };
    vec![
        show::id(&automation.name).to_owned(),
        format!("{action} {}", automation.trigger_object),
        show::word(automation.state().as_str_name(), "AUTOMATION_STATE_"),
        whom,
        automation.actions.len().to_string(),
        automation.display_name.clone(),
    ]
}

fn print(call: &CallArgs, automation: Option<pb::Automation>) -> Result<(), CliError> {
    let automation = automation.unwrap_or_default();
    if call.json {
        return show::print_json("Automation", &automation);
    }
    show::print_table(&HEAD, vec![row(&automation)], "");
    for warning in &automation.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}

/// Does it.
pub async fn run(call: CallArgs, account: AccountArgs, task: Task) -> Result<(), CliError> {
    let (parent, name) = match task.automation() {
        Some(given) => (String::new(), account.name("automations", given)?),
        None => (account.parent()?, String::new()),
    };
    let caller = call.connection.open(account_of(if name.is_empty() { &parent } else { &name })).await?;
    let mut client = AutomationServiceClient::new(caller.clone());
    match task {
        Task::List => {
            let page =
                |page_token| pb::ListAutomationsRequest { parent: parent.clone(), page_size: PAGE_SIZE, page_token };
            let automations = every_page!(token => client.list_automations(page(token)), automations);
            let unreachable = every_page!(token => client.list_automations(page(token)), unreachable);
            for name in unreachable {
                eprintln!("{name} cannot be read, and its events wait: have its row mended, or delete it");
            }
            if call.json {
                return show::print_json_list("Automation", &automations);
            }
            let nothing = "no automation; `hookline apply` makes them from files";
            show::print_table(&HEAD, automations.iter().map(row).collect(), nothing);
            Ok(())
        }
        Task::Show { .. } => {
            let found = client.get_automation(pb::GetAutomationRequest { name }).await?.into_inner().automation;
            let automation = found.unwrap_or_default();
            print(&call, Some(automation.clone()))?;
            if !call.json {
                println!("\n{:#}", show::json("Automation", &automation)?);
            }
            Ok(())
        }
        Task::Misses { .. } => {
            let mut explain = ExplainServiceClient::new(caller);
            let found = explain.list_misses(pb::ListMissesRequest { automation: name }).await?.into_inner();
            if call.json {
                return show::print_json("ListMissesResponse", &found);
            }
            print_misses(&found);
            Ok(())
        }
        Task::Activate { whom: Users { everyone, users }, .. } => {
            let request = pb::ActivateAutomationRequest { name, everyone, user_ids: users, request_id: String::new() };
            print(&call, client.activate_automation(request).await?.into_inner().automation)
        }
        Task::Deactivate { whom: Users { everyone, users }, .. } => {
            let request =
                pb::DeactivateAutomationRequest { name, everyone, user_ids: users, request_id: String::new() };
            print(&call, client.deactivate_automation(request).await?.into_inner().automation)
        }
        Task::Delete { yes, .. } => {
            confirm(&format!("Delete {name}?"), yes)?;
            let request = pb::DeleteAutomationRequest { name: name.clone(), ..Default::default() };
            client.delete_automation(request).await?;
            eprintln!("{name} is deleted");
            Ok(())
        }
    }
}

fn print_misses(found: &pb::ListMissesResponse) {
    for miss in &found.misses {
        println!("{}  {} {}  event {}", show::time(miss.decide_time), miss.object, miss.entity_id, miss.event_id);
        for check in miss.checks.iter().filter(|check| !check.held) {
            let kind = show::word(check.kind().as_str_name(), "DRY_RUN_CHECK_KIND_");
            println!("  {kind}: {}", check.message);
        }
        print_clauses(&miss.explanation);
        println!();
    }
    let since = show::time(found.complete_since_time);
    let count = match found.misses.len() {
        1 => "1 event".to_owned(),
        many => format!("{many} events"),
    };
    println!("{count} did not make it run; nothing is missing here since {since}");
}

/// The clauses of conditions, and how each came out.
pub fn print_clauses(clauses: &[pb::ClauseExplanation]) {
    let row = |clause: &pb::ClauseExplanation| {
        let operator = show::word(clause.operator().as_str_name(), "OPERATOR_").to_lowercase();
        let held = if clause.held { "yes" } else { "no" };
        vec![clause.path.clone(), clause.field.clone(), operator, clause.compared.clone(), held.to_owned()]
    };
    if !clauses.is_empty() {
        let rows = clauses.iter().map(row).collect();
        show::print_table(&["clause", "field", "operator", "compared", "held"], rows, "");
    }
}
