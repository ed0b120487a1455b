//! Who may publish an account's events without a token.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0010_ingest_identities"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // With the hashes of their secrets; null where there is none.
        schema.alter_table(Table::alter().table("accounts").add_column(blob_null("ingest_identities")).to_owned()).await
    }
}
