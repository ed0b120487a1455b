//! What can go wrong with the database.

use sea_orm::{DbErr, sqlx};

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("the database could not be opened")]
    Open(#[source] sqlx::Error),
    /// PostgreSQL could not be reached.
    #[error("PostgreSQL at {0} could not be reached")]
    Unreachable(String, #[source] sqlx::Error),
    /// Its encoding cannot hold every text.
    #[error(
        "the database's encoding is {0}, which cannot hold every text: make one with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    )]
    ServerEncoding(String),
    /// Its lock could not be taken.
    #[error("the database's lock file could not be locked")]
    Lock(#[source] std::io::Error),
    /// A SQLite file could not be made or opened.
    #[error("the database's file could not be opened for writing")]
    File(#[source] std::io::Error),
    /// A copy could not be written.
    #[error("the copy could not be written")]
    Copy(#[source] std::io::Error),
    /// A statement failed.
    #[error("the database refused a statement")]
    Statement(#[from] DbErr),
    /// A group was not written.
    #[error("the database is in trouble: {0}")]
    Unwritten(String),
    /// A commit may or may not have been written.
    #[error("the database did not say whether a commit was written: {0}")]
    Uncertain(String),
    /// Something could not be encoded or read.
    #[error("a stored value could not be written or read")]
    Encoding(#[source] serde_json::Error),
    /// A row holds what it cannot hold.
    #[error("a row is malformed: {0}")]
    Row(String),
    /// The sealing key is another than the database's.
    #[error(
        "the sealing key does not open what is stored: give the key that this database was written with \
         (--sealing-key-file, or the .sealing.key file beside it)"
    )]
    SealingKey,
    /// A secret could not be sealed or opened.
    #[error("a secret could not be sealed or opened: {0}")]
    Sealing(&'static str),
    /// A newer version has written it.
    #[error(
        "the database was written by a newer version of hookline ({0}): start that version, or restore the copy from before \
         the upgrade"
    )]
    Newer(String),
    /// The history must be carried over, and the disk has no room for that.
    #[error(
        "the history must be carried over to a new form, for which {needed_mib} MiB must be free beside the database, and \
         {free_mib} MiB are: make room and start again"
    )]
    NoRoom {
        /// How much must be free.
        needed_mib: u64,
        /// How much is.
        free_mib: u64,
    },
    /// There is so much history to carry over that somebody must say so.
    #[error(
        "the history must be carried over to a new form, for which PostgreSQL needs up to {0} MiB and some time: make room, \
         then run `hookline migrate --yes`, or start with --migrate-yes"
    )]
    Large(u64),
    /// The lease has ended.
    #[error(
        "the lease of the database has ended: the database was out of reach for too long, or another process has taken \
         over"
    )]
    Lapsed,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
