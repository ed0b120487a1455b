//! What has become of an action after each attempt: one that failed may have done what was asked, and a `DELETE` that then
//! finds nothing has succeeded.

use sea_orm_migration::prelude::*;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_attempts_that_may_count"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // Of what was written before nothing is known: it counts as not done, as it did then.
        for sql in [
            "ALTER TABLE executions ADD COLUMN may_be_done SMALLINT NOT NULL DEFAULT 0",
            "ALTER TABLE attempts ADD COLUMN fate SMALLINT NOT NULL DEFAULT 0",
        ] {
            schema.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}
