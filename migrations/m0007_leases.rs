//! Who may write, until when, and the last time that was told; and answers to repeatable calls that outlive their
//! account.

use sea_orm_migration::prelude::*;

pub struct Migration;

/// A row for each partition of accounts; the whole database is one. PostgreSQL needs it before the schema is brought up to
/// date: who may do that is what it says.
pub const CREATE_LEASES: &str = "CREATE TABLE IF NOT EXISTS leases (
    partition INTEGER NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    wall_time BIGINT NOT NULL
)";

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_leases"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let connection = schema.get_connection();
        for sql in [
            CREATE_LEASES,
            // An answer is looked for by the account's id: the account may be gone, or another one by now.
            "ALTER TABLE answers ADD COLUMN account_id TEXT",
            "UPDATE answers SET account_id = (SELECT id FROM accounts WHERE accounts.uid = answers.account_uid)",
            "CREATE INDEX answers_of_id ON answers (account_id, request_id)",
        ] {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}
