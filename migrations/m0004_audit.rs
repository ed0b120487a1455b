//! The audit trail of an account: append-only, removed after its own time.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_audit"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let audit = Table::create()
            .table("audit")
            .col(uuid("account_uid"))
            .col(big_integer("revision"))
            .col(integer("no"))
            .col(big_integer("created_at"))
            .col(text("resource"))
            .col(text_null("user_id"))
            .col(blob("entry"))
            .primary_key(Index::create().name("audit_pk").col("account_uid").col("revision").col("no"))
            .to_owned();
        schema.create_table(audit).await?;
        // Removing entries after their time.
        let created_at = Index::create().name("audit_created_at").table("audit").col("created_at").to_owned();
        schema.create_index(created_at).await
    }
}
