//! `hookline accounts`: tenants, their plans, and how much of their limits they use.

use clap::{Subcommand, ValueEnum};

use super::{CallArgs, CliError, PAGE_SIZE, confirm, every_page, show, token::Role};
use crate::grpc::pb::{self, account_service_client::AccountServiceClient};

/// A plan.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(missing_docs, reason = "the names of the plans")]
pub enum Plan {
    Essential,
    Advanced,
    Professional,
    Power,
    Enterprise,
}

impl From<Plan> for pb::Plan {
    fn from(plan: Plan) -> Self {
        match plan {
            Plan::Essential => pb::Plan::Essential,
            Plan::Advanced => pb::Plan::Advanced,
            Plan::Professional => pb::Plan::Professional,
            Plan::Power => pb::Plan::Power,
            Plan::Enterprise => pb::Plan::Enterprise,
        }
    }
}

/// What to do with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// List accounts.
    List,
    /// Show one account, and how much of its limits it uses.
    Show {
        /// Its id.
        account: String,
    },
    /// Create an account.
    Create {
        /// Its id: the tenant's in your platform.
        account: String,
        /// Its plan. Automations begin with `advanced`.
        #[arg(long, value_enum)]
        plan: Plan,
    },
    /// Change an account's plan.
    SetPlan {
        /// Its id.
        account: String,
        /// The plan.
        #[arg(value_enum)]
        plan: Plan,
    },
    /// Delete an account with everything it has, its history too.
    Delete {
        /// Its id.
        account: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

fn row(account: &pb::Account) -> Vec<String> {
    vec![
        show::id(&account.name).to_owned(),
        show::word(account.plan().as_str_name(), "PLAN_"),
        show::time(account.create_time),
    ]
}

fn print(call: &CallArgs, account: Option<pb::Account>) -> Result<(), CliError> {
    let account = account.unwrap_or_default();
    if call.json {
        return show::print_json("Account", &account);
    }
    show::print_table(&["account", "plan", "created"], vec![row(&account)], "");
    Ok(())
}

fn name(id: &str) -> String {
    format!("accounts/{}", id.trim_start_matches("accounts/"))
}

/// Does it.
pub async fn run(call: CallArgs, task: Task) -> Result<(), CliError> {
    // A user's token is for one account.
    let own = match &task {
        Task::Show { account } => Some(account.as_str()).filter(|_| call.connection.role != Role::Service),
        _ => None,
    };
    let mut client = AccountServiceClient::new(call.connection.open(own).await?);
    match task {
        Task::List => {
            let page = |page_token| pb::ListAccountsRequest { page_size: PAGE_SIZE, page_token };
            let accounts = every_page!(token => client.list_accounts(page(token)), accounts);
            if call.json {
                return show::print_json_list("Account", &accounts);
            }
            let rows = accounts.iter().map(row).collect();
            show::print_table(
                &["account", "plan", "created"],
                rows,
                "no account; `hookline accounts create` makes one",
            );
            Ok(())
        }
        Task::Show { account } => {
            let name = name(&account);
            let found = client.get_account(pb::GetAccountRequest { name: name.clone() }).await?.into_inner();
            let usage = client.get_account_usage(pb::GetAccountUsageRequest { name }).await?.into_inner();
            let (found, usage) = (found.account.unwrap_or_default(), usage.usage.unwrap_or_default());
            if call.json {
                let mut json = show::json("Account", &found)?;
                json["usage"] = show::json("AccountUsage", &usage)?;
                println!("{json:#}");
                return Ok(());
            }
            print_usage(&found, &usage);
            Ok(())
        }
        Task::Create { account, plan } => {
            let fresh = pb::Account { plan: pb::Plan::from(plan).into(), ..pb::Account::default() };
            let request =
                pb::CreateAccountRequest { account_id: account, account: Some(fresh), request_id: String::new() };
            print(&call, client.create_account(request).await?.into_inner().account)
        }
        Task::SetPlan { account, plan } => {
            let plan = pb::Plan::from(plan).into();
            let request = pb::SetAccountPlanRequest { name: name(&account), plan, ..Default::default() };
            print(&call, client.set_account_plan(request).await?.into_inner().account)
        }
        Task::Delete { account, yes } => {
            let name = name(&account);
            confirm(&format!("Delete {name} with its webhooks, automations and history?"), yes)?;
            client.delete_account(pb::DeleteAccountRequest { name: name.clone(), ..Default::default() }).await?;
            eprintln!("{name} is deleted; its history is being erased");
            Ok(())
        }
    }
}

fn print_usage(account: &pb::Account, usage: &pb::AccountUsage) {
    let limits = usage.limits.unwrap_or_default();
    let of = |used: u32, limit: Option<u32>| format!("{used} of {}", limit.unwrap_or_default());
    let paused = match usage.paused_executions {
        0 => String::new(),
        paused => format!("{paused}, the oldest since {}", show::time(usage.oldest_paused_time)),
    };
    show::print_facts(&[
        ("account", account.name.clone()),
        ("plan", show::word(account.plan().as_str_name(), "PLAN_")),
        ("created", show::time(account.create_time)),
        ("executions in this window", of(usage.executions_used, limits.executions_per_window)),
        ("next window", show::time(usage.reset_time)),
        ("held back by the limit", paused),
        ("active automations", of(usage.active_automations, limits.active_automations)),
        ("automation webhooks", of(usage.automation_webhooks, limits.automation_webhooks)),
        ("requests in flight at most", limits.requests_in_flight.unwrap_or_default().to_string()),
        ("days of history", limits.retention_days.unwrap_or_default().to_string()),
    ]);
}
