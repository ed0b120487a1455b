//! What is written: the journal gathers the changes of all accounts into group commits of few statements.

mod journal;
mod lane;
mod prepared;
mod receipt;
mod removal;
mod statements;
mod wide;
mod work;
mod writer;

pub use self::{journal::Journal, receipt::Receipt, removal::Before, writer::WriterOptions};
