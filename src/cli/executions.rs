//! `hookline executions`: what was sent, what was answered, and why it did not arrive.

use std::time::Duration;

use clap::{Args, Subcommand};
use tonic::Status;

use super::{
    AccountArgs, CallArgs, CliError,
    automations::print_clauses,
    connection::{Caller, account_of},
    is_transient, remedy, show,
};
use crate::{
    clock,
    domain::timestamp::Timestamp,
    grpc::pb::{
        self, execution_service_client::ExecutionServiceClient, watch_response::Change,
        watch_service_client::WatchServiceClient,
    },
};

/// How many executions one page asks for.
const PAGE_MAX: u32 = 1_000;
/// How long to wait before a broken watch is taken up again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Which executions are meant.
#[derive(Debug, Clone, Args)]
pub struct Filter {
    /// In these states, such as FAILED,PAUSED.
    #[arg(long, value_delimiter = ',')]
    state: Vec<String>,
    /// For these reasons, such as TIMEOUT.
    #[arg(long, value_delimiter = ',')]
    reason: Vec<String>,
    /// Of this automation: its id or name.
    #[arg(long)]
    automation: Option<String>,
    /// With a request to this webhook: its id or name.
    #[arg(long)]
    webhook: Option<String>,
    /// About this kind of object, such as deal.
    #[arg(long, default_value = "")]
    object: String,
    /// About this object's id.
    #[arg(long, default_value = "")]
    entity: String,
    /// Of this event.
    #[arg(long, default_value = "")]
    event: String,
    /// Made at or after a time: 2026-01-31T08:00:00Z, or so long ago: 90m, 12h, 7d.
    #[arg(long)]
    since: Option<String>,
    /// Made before a time, or so long ago.
    #[arg(long)]
    until: Option<String>,
    /// How many at most, newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// What to do with executions.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// List executions, newest first.
    List(Box<Filter>),
    /// Count executions by state.
    Count,
    /// Show one: its requests as they were sent, every attempt, and how its conditions came out.
    Show {
        /// Its id or name.
        execution: String,
    },
    /// Follow what happens, live, until Ctrl-C.
    Tail {
        /// Go on after this cursor, as `--json` shows it, instead of beginning now.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Send one again that has ended.
    Retry {
        /// Its id or name.
        execution: String,
        /// Begin with the first action, not with the first that did not succeed.
        #[arg(long)]
        from_first: bool,
        /// Build the requests anew, with the automation as it is now.
        #[arg(long)]
        rebuild: bool,
    },
    /// Cancel one that waits.
    Cancel {
        /// Its id or name.
        execution: String,
    },
}

const HEAD: [&str; 8] = ["execution", "made", "state", "reason", "source", "event", "object", "next try"];

fn row(execution: &pb::Execution) -> Vec<String> {
    vec![
        show::id(&execution.name).to_owned(),
        show::time(execution.create_time),
        show::word(execution.state().as_str_name(), "EXECUTION_STATE_"),
        execution.reason.clone(),
        show::short(&execution.source_display_name, 30),
        show::short(&execution.event_id, 36),
        format!("{} {}", execution.object, execution.entity_id),
        show::time(execution.due_time),
    ]
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<prost_types::Timestamp, CliError> {
    let malformed = || CliError::new(format!("{text} is no time: write 2026-01-31T08:00:00Z, or 90m, 12h, 7d ago"));
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match (number.parse::<u32>(), unit) {
        (Ok(number), "m") => i64::from(number) * 60,
        (Ok(number), "h") => i64::from(number) * 3_600,
        (Ok(number), "d") => i64::from(number) * 86_400,
        _ => {
            let at = Timestamp::parse(text).ok_or_else(malformed)?;
            return Ok(prost_types::Timestamp { seconds: at.seconds(), nanos: 0 });
        }
    };
    Ok(prost_types::Timestamp { seconds: clock::now().seconds() - seconds, nanos: 0 })
}

fn states(words: &[String]) -> Result<Vec<i32>, CliError> {
    let state = |word: &String| {
        let full = format!("EXECUTION_STATE_{}", word.trim_start_matches("EXECUTION_STATE_").to_uppercase());
        let found = pb::ExecutionState::from_str_name(&full).filter(|one| *one != pb::ExecutionState::Unspecified);
        let known = "PENDING, RUNNING, RETRYING, PAUSED, SUCCEEDED, FAILED, STOPPED, CANCELLED";
        found.map(i32::from).ok_or_else(|| CliError::new(format!("{word} is no state: one of {known}")))
    };
    words.iter().map(state).collect()
}

/// Does it.
pub async fn run(call: CallArgs, account: AccountArgs, task: Task) -> Result<(), CliError> {
    let name = match &task {
        Task::List(_) | Task::Count | Task::Tail { .. } => account.parent()?,
        Task::Show { execution } | Task::Retry { execution, .. } | Task::Cancel { execution } => {
            account.name("executions", execution)?
        }
    };
    let caller = call.connection.open(account_of(&name)).await?;
    let mut client = ExecutionServiceClient::new(caller.clone());
    match task {
        Task::List(filter) => list(&call, &account, client, name, *filter).await,
        Task::Count => {
            let counts = client.count_executions(pb::CountExecutionsRequest { parent: name }).await?.into_inner();
            if call.json {
                return show::print_json("CountExecutionsResponse", &counts);
            }
            let row = |one: &pb::StateCount| {
                vec![show::word(one.state().as_str_name(), "EXECUTION_STATE_"), one.count.to_string()]
            };
            show::print_table(&["state", "executions"], counts.counts.iter().map(row).collect(), "no execution");
            Ok(())
        }
        Task::Show { .. } => {
            let found = client.get_execution(pb::GetExecutionRequest { name }).await?.into_inner();
            let execution = found.execution.unwrap_or_default();
            if call.json {
                return show::print_json("Execution", &execution);
            }
            print_execution(&execution);
            Ok(())
        }
        Task::Tail { cursor } => tail(&call, caller, name, cursor).await,
        Task::Retry { from_first, rebuild, .. } => {
            let start = if from_first { pb::RetryStart::First } else { pb::RetryStart::FirstUnsuccessful };
            let requests = if rebuild { pb::RetryRequests::Rebuilt } else { pb::RetryRequests::AsStored };
            let request = pb::RetryExecutionRequest {
                name,
                start: start.into(),
                requests: requests.into(),
                request_id: String::new(),
            };
            let made = client.retry_execution(request).await?.into_inner().execution.unwrap_or_default();
            if call.json {
                return show::print_json("Execution", &made);
            }
            show::print_table(&HEAD, vec![row(&made)], "");
            Ok(())
        }
        Task::Cancel { .. } => {
            client.cancel_execution(pb::CancelExecutionRequest { name: name.clone(), ..Default::default() }).await?;
            eprintln!("{name} is cancelled");
            Ok(())
        }
    }
}

async fn list(
    call: &CallArgs,
    account: &AccountArgs,
    mut client: ExecutionServiceClient<Caller>,
    parent: String,
    filter: Filter,
) -> Result<(), CliError> {
    let full = |collection, given: &Option<String>| match given {
        Some(given) => account.name(collection, given),
        None => Ok(String::new()),
    };
    let mut request = pb::ListExecutionsRequest {
        parent,
        automation: full("automations", &filter.automation)?,
        webhook: full("webhooks", &filter.webhook)?,
        states: states(&filter.state)?,
        reasons: filter.reason.iter().map(|reason| reason.to_uppercase()).collect(),
        object: filter.object,
        entity_id: filter.entity,
        event_id: filter.event,
        start_time: filter.since.as_deref().map(moment).transpose()?,
        end_time: filter.until.as_deref().map(moment).transpose()?,
        ..pb::ListExecutionsRequest::default()
    };
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let wanted = u32::try_from(limit - found.len()).unwrap_or(PAGE_MAX).min(PAGE_MAX);
        request.page_size = i32::try_from(wanted).unwrap_or(i32::MAX);
        let page = client.list_executions(request.clone()).await?.into_inner();
        found.extend(page.executions);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || found.len() >= limit {
            break;
        }
    }
    if call.json {
        return show::print_json_list("Execution", &found);
    }
    show::print_table(&HEAD, found.iter().map(row).collect(), "no execution like that");
    if !request.page_token.is_empty() {
        eprintln!("the newest {limit}; --limit shows more");
    }
    Ok(())
}

fn print_execution(execution: &pb::Execution) {
    let runs =
        if execution.run == 0 { String::new() } else { format!("{} (of {})", execution.run, execution.retry_of) };
    let action = show::word(execution.action().as_str_name(), "EVENT_ACTION_").to_lowercase();
    show::print_facts(&[
        ("execution", execution.name.clone()),
        ("state", show::word(execution.state().as_str_name(), "EXECUTION_STATE_")),
        ("reason", execution.reason.clone()),
        ("source", format!("{} ({})", execution.source_display_name, execution.source)),
        ("event", format!("{} ({action} {} {})", execution.event_id, execution.object, execution.entity_id)),
        ("acting user", execution.acting_user_id.clone()),
        ("retry", runs),
        ("made", show::time(execution.create_time)),
        ("next try", show::time(execution.due_time)),
        ("ended", show::time(execution.end_time)),
        ("trace", execution.trace_id.clone()),
    ]);
    if let Some(remedy) = remedy(&execution.reason) {
        println!("\nwhat to do: {remedy}");
    }
    for (number, request) in (1..).zip(&execution.requests) {
        let method = show::word(request.method().as_str_name(), "HTTP_METHOD_");
        println!(
            "\nrequest {number}  {}  {method} {}{}",
            request.request_id,
            show::one_line(&request.endpoint_url),
            show::one_line(&request.path)
        );
        println!("  webhook  {}", request.webhook);
        if !request.failure.is_empty() {
            println!("  could not be built: {}", request.failure);
        }
        for warning in &request.warnings {
            println!("  warning: {warning}");
        }
        for header in &request.headers {
            println!("  header   {}: {}", header.name, show::one_line(&header.value));
        }
        let body = String::from_utf8_lossy(&request.body);
        println!("  body     {}", if body.is_empty() { "none".into() } else { show::one_line(&body) });
        let rows = request.attempts.iter().map(attempt_row).collect();
        let none = if request.left_out { "  left out: it succeeded in a run before" } else { "  no attempt yet" };
        show::print_table(&["  attempt", "started", "took", "url", "answer"], rows, none);
    }
    if !execution.explanation.is_empty() {
        let basis = match execution.explanation_basis() {
            pb::ExplanationBasis::Retry => " as they were when a person had it run again, whatever they say",
            _ => "",
        };
        println!("\nconditions{basis}");
        print_clauses(&execution.explanation);
    }
}

fn attempt_row(attempt: &pb::Attempt) -> Vec<String> {
    let answer = match attempt.http_status {
        0 => format!("{}: {}", attempt.error_kind, attempt.error_message),
        status => format!("{status} {}", String::from_utf8_lossy(&attempt.response_excerpt)),
    };
    vec![
        format!("  {}", attempt.number),
        show::time(attempt.start_time),
        show::duration(attempt.duration),
        attempt.url.clone(),
        show::short(&answer, 100),
    ]
}

/// Follows an account. A watch that breaks is taken up again where it was.
async fn tail(call: &CallArgs, caller: Caller, parent: String, cursor: Option<String>) -> Result<(), CliError> {
    let mut caller = Some(caller);
    let mut cursor = cursor.unwrap_or_default();
    if !call.json {
        eprintln!("following {parent}; Ctrl-C ends it");
    }
    loop {
        let request = pb::WatchRequest { parent: parent.clone(), only_new: cursor.is_empty(), cursor: cursor.clone() };
        // A new connection has a new token, too.
        let opened = match caller.take() {
            Some(caller) => Ok(caller),
            None => call.connection.open(account_of(&parent)).await,
        };
        let followed = match opened {
            Ok(caller) => follow(call, &mut WatchServiceClient::new(caller), request, &mut cursor).await,
            Err(_) => Ok(()),
        };
        match followed {
            Ok(()) => {}
            Err(status) if is_transient(&status) => {}
            Err(status) => return Err(status.into()),
        }
        eprintln!("the stream has ended; taking it up again");
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn follow(
    call: &CallArgs,
    client: &mut WatchServiceClient<Caller>,
    request: pb::WatchRequest,
    cursor: &mut String,
) -> Result<(), Status> {
    let mut changes = client.watch(request).await?.into_inner();
    while let Some(seen) = changes.message().await? {
        cursor.clone_from(&seen.cursor);
        if call.json {
            let line = show::json("WatchResponse", &seen).map_err(|error| Status::internal(error.0))?;
            println!("{line}");
            continue;
        }
        match seen.change {
            Some(Change::Execution(execution)) => println!("{}", line_of(&execution)),
            Some(Change::Notice(notice)) => println!("{}  {}", show::time(notice.create_time), notice_of(&notice)),
            None => {}
        }
    }
    Ok(())
}

fn line_of(execution: &pb::Execution) -> String {
    let at = execution.end_time.or(execution.create_time);
    let state = show::word(execution.state().as_str_name(), "EXECUTION_STATE_");
    let due = match execution.due_time {
        Some(due) if execution.state() == pb::ExecutionState::Retrying => {
            format!("  again at {}", show::time(Some(due)))
        }
        _ => String::new(),
    };
    format!(
        "{}  {state:<9} {:<20} {}  {} {} {}{due}",
        show::time(at),
        execution.reason,
        show::id(&execution.name),
        show::short(&execution.source_display_name, 30),
        execution.object,
        execution.entity_id
    )
}

fn notice_of(notice: &pb::AccountNotice) -> String {
    use pb::account_notice::Kind;
    match &notice.kind {
        Some(Kind::LimitCrossed(crossed)) => format!(
            "{} % of the window's {} executions are used; {} are held back",
            crossed.percent, crossed.executions_per_window, crossed.paused_executions
        ),
        Some(Kind::EndpointUnavailable(gone)) => {
            format!("{} fails and is left alone until {}", gone.webhook, show::time(gone.until_time))
        }
        Some(Kind::EndpointAvailable(back)) => format!("{} answers again", back.webhook),
        Some(Kind::WebhookDisabled(disabled)) => {
            let reason = show::word(disabled.reason().as_str_name(), "WEBHOOK_DISABLE_REASON_");
            format!("{} is disabled ({reason})", disabled.webhook)
        }
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "tests/executions.rs"]
mod tests;
