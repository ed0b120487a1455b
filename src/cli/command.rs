//! The commands of the binary.

use clap::{Parser, Subcommand};

use super::{
    AccountArgs, CallArgs,
    database::{BackupArgs, MigrateArgs},
    token::TokenArgs,
};
use crate::{cli, config::ServeArgs};

/// Turns a platform's domain events into conditional, templated webhook requests.
#[derive(Debug, Parser)]
#[command(name = "hookline", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    Serve(Box<ServeArgs>),
    /// Show the whole job on sample events: a server, a receiver, deliveries and their history.
    Demo,
    /// Bring the database's schema up to date and exit. `serve` does it too.
    Migrate(MigrateArgs),
    /// Make a token for a caller, signed with the local key, and print it.
    Token(Box<TokenArgs>),
    /// Accounts: tenants, their plans, and how much of their limits they use.
    Accounts {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::accounts::Task,
    },
    /// Webhooks: endpoints, how they do, and their secrets.
    Webhooks {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// The account.
        #[command(flatten)]
        account: AccountArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::webhooks::Task,
    },
    /// Automations: what triggers, for whom, and why it did not run.
    Automations {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// The account.
        #[command(flatten)]
        account: AccountArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::automations::Task,
    },
    /// Executions: what was sent, what was answered, and why it did not arrive.
    Executions {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// The account.
        #[command(flatten)]
        account: AccountArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::executions::Task,
    },
    /// Events: publish them from files.
    Events {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// The account.
        #[command(flatten)]
        account: AccountArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::events::Task,
    },
    /// Make webhooks and automations be as files say: show what would change, then change it.
    Apply(Box<cli::apply::ApplyArgs>),
    /// Keys: have everything sealed by a new one.
    Keys {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
        /// What to do.
        #[command(subcommand)]
        task: cli::keys::Task,
    },
    /// Say that a server's clock is right: what waits because it was not trusted goes on.
    ConfirmClock {
        /// The server and the caller.
        #[command(flatten)]
        call: CallArgs,
    },
    /// Copy a SQLite database while it is in use. With PostgreSQL use pg_dump.
    Backup(BackupArgs),
    /// Look at configuration, keys, database, clock and certificates, and say what to do. Changes nothing.
    Doctor(Box<cli::doctor::DoctorArgs>),
    /// Ask a running server whether it serves.
    Health(Box<cli::health::HealthArgs>),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
#[path = "tests/command.rs"]
mod tests;
