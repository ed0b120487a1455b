//! The command line for people: a client of the public API, and what looks after an installation.

/// Prints a line; ends quietly where nobody reads it any more (`hookline executions list | head -1`).
macro_rules! println {
    () => {
        $crate::cli::print_text(format_args!("\n"))
    };
    ($($text:tt)*) => {
        $crate::cli::print_text(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints a line to standard error.
macro_rules! eprintln {
    ($($text:tt)*) => {
        std::eprintln!("{}", $crate::cli::show::visible(&format!($($text)*)))
    };
}

pub mod accounts;
pub mod apply;
pub mod automations;
pub mod clock;
pub mod command;
pub mod connection;
pub mod database;
pub mod doctor;
pub mod events;
pub mod executions;
pub mod health;
pub mod keys;
pub mod show;
pub mod token;
pub mod webhooks;
pub mod written;

use std::{
    fmt,
    io::{IsTerminal, Write},
};

use clap::Args;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use self::connection::ConnectionArgs;

/// How many items one page of a list asks for.
const PAGE_SIZE: i32 = 500;

/// What keeps a command from doing its work, in words for the person who gave it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    /// With a sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<Status> for CliError {
    /// The message, every bad field, and the stable reason with its remedy.
    fn from(status: Status) -> Self {
        let mut text = status.message().to_owned();
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        for violation in violations.iter().filter(|one| !status.message().contains(&one.description)) {
            text += &format!("\n  {}: {}", violation.field, violation.description);
        }
        match details.error_info() {
            Some(info) => {
                let remedy = remedy(&info.reason).map(|remedy| format!(": {remedy}")).unwrap_or_default();
                text += &format!("\n  ({}{remedy})", info.reason);
            }
            None => text += &format!("\n  ({:?}{})", status.code(), of_transport(status.message())),
        }
        if status.code() == Code::PermissionDenied {
            text += "\n  with the local key give --as global_admin --user 1; otherwise --token of such a caller";
        }
        Self(text)
    }
}

/// What a failure without a reason of its own means: it comes from below the service.
fn of_transport(message: &str) -> &'static str {
    const BROKE: &str = ": the connection broke; the port may speak TLS (https://), ask for a certificate (--cert-file, \
                         --key-file), or be no gRPC port";
    let known = [
        ("http2 error", BROKE),
        ("transport error", BROKE),
        ("operation was canceled", BROKE),
        ("grpc-status header missing", ": that is no gRPC port; is it the operations port?"),
    ];
    known.iter().find(|(mark, _)| message.contains(mark)).map_or("", |(_, remedy)| remedy)
}

/// What the docs say to do about a reason: the last column of its row.
pub fn remedy(reason: &str) -> Option<&'static str> {
    let row = format!("| `{reason}` |");
    let found = include_str!("../../docs/errors.md").lines().find(|line| line.starts_with(&row))?;
    found.trim_end_matches([' ', '|']).rsplit(" | ").next()
}

/// An account, in commands about what belongs to one.
#[derive(Debug, Clone, Args)]
pub struct AccountArgs {
    /// The account's id. Not needed where a full name such as accounts/42/webhooks/crm is given.
    #[arg(long, env = "HOOKLINE_ACCOUNT", global = true)]
    pub account: Option<String>,
}

impl AccountArgs {
    /// The account's name.
    pub fn parent(&self) -> Result<String, CliError> {
        let id = self.account.as_ref().ok_or_else(|| CliError::new("which account? give --account 42"))?;
        Ok(format!("accounts/{}", id.trim_start_matches("accounts/")))
    }

    /// The full name of a resource that was given by its id or its name.
    pub fn name(&self, collection: &str, given: &str) -> Result<String, CliError> {
        if given.contains('/') {
            return Ok(given.to_owned());
        }
        let parent = self.parent().map_err(|_| {
            CliError::new(format!("which account? give --account 42, or accounts/42/{collection}/{given}"))
        })?;
        Ok(format!("{parent}/{collection}/{given}"))
    }
}

/// How to reach a server, and how to show what it answers.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// The server and the caller.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Print JSON, with the field names of the API, instead of a table.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Prints a text to standard output, with everything in it that a terminal would obey made visible. A closed pipe is no fault: it ends the process.
pub fn print_text(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let text = show::visible(&text);
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let is_closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        std::process::exit(i32::from(!is_closed));
    }
}

/// Whether a stream broke on the way, and may go on when it is taken up again.
pub fn is_transient(status: &Status) -> bool {
    let is_of_the_service = status.get_error_details().error_info().is_some();
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => !is_of_the_service,
        _ => false,
    }
}

/// Asks before something that cannot be undone.
pub fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(CliError::new(format!("{question} Nobody can be asked here: give --yes to say so")));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::new("nothing was done")),
    }
}

/// Every item of a list that comes in pages: `page` asks for one.
macro_rules! every_page {
    ($token:ident => $call:expr, $items:ident) => {{
        let mut found = Vec::new();
        let mut $token = String::new();
        loop {
            let page = $call.await?.into_inner();
            found.extend(page.$items);
            $token = page.next_page_token;
            if $token.is_empty() {
                break found;
            }
        }
    }};
}
use every_page;
