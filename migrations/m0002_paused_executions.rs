//! How many executions of an account are paused by its limit: counted with every change, never scanned.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_paused_executions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let paused = Table::alter().table("accounts").add_column(big_integer("paused").default(0)).to_owned();
        schema.alter_table(paused).await
    }
}
