//! `hookline events`: publishes events, from files or as they come.

mod files;
mod input;
mod pipe;

use std::path::PathBuf;

use clap::Subcommand;

use super::{AccountArgs, CallArgs, CliError};

/// What to do with events.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Publish events: envelopes as platforms send them, or events as the API has them with `data` and `previous` as
    /// JSON. A file has one, a list, or one a line. What is published twice has one effect.
    Publish {
        /// The files; - is standard input with one event a line, published as it comes: the number of each line is printed
        /// once it is acknowledged.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Where the number of the last line of standard input is kept that was acknowledged; those up to it are skipped.
        #[arg(long)]
        position_file: Option<PathBuf>,
        /// Standard input begins after that line already, as it does where its source starts at a position: nothing is
        /// skipped, and the lines are numbered on.
        #[arg(long, requires = "position_file")]
        no_skip: bool,
    },
}

/// Does it.
pub async fn run(call: CallArgs, account: AccountArgs, task: Task) -> Result<(), CliError> {
    let Task::Publish { files, position_file, no_skip } = task;
    let parent = account.parent()?;
    let is_pipe = files.iter().any(|file| file.as_os_str() == "-");
    match (is_pipe, files.len()) {
        (true, 1) => pipe::publish(&call, parent, position_file, no_skip).await,
        (true, _) => Err(CliError::new("standard input is published alone: give - or files")),
        (false, _) if position_file.is_some() => {
            Err(CliError::new("--position-file is for standard input: hookline events publish - < file"))
        }
        (false, _) => files::publish(call, parent, &files).await,
    }
}
