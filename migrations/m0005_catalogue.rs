//! The fields that accounts add to the field catalogue, object by object.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_catalogue"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let catalogue = Table::create()
            .table("catalogue")
            .col(uuid("account_uid"))
            .col(text("object"))
            .col(blob("fields"))
            .primary_key(Index::create().name("catalogue_pk").col("account_uid").col("object"))
            .to_owned();
        schema.create_table(catalogue).await
    }
}
