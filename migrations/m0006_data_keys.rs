//! A key of each account's own, which seals the secrets of its history.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_data_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // Sealed by the installation's key; null until the account is used first.
        schema.alter_table(Table::alter().table("accounts").add_column(blob_null("sealed_data_key")).to_owned()).await
    }
}
