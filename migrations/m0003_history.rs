//! What the history is read and bounded by: counts by state, retention, the webhooks of an execution, the order of
//! changes that a watch follows, and the notices of an account.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_history"
    }
}

/// The states of an execution, from 1.
const STATES: i16 = 8;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // A JSON list with a number for each state, and one for waiting executions of regular webhooks, counted with every change, never scanned again.
        let counts = text("counts").default("[0,0,0,0,0,0,0,0]").to_owned();
        // When the oldest execution may have been kept for long enough; null where there is none.
        let expires_at = big_integer_null("expires_at");
        // No execution that was deleted had changed after this revision.
        let expired_revision = big_integer("expired_revision").default(0).to_owned();
        for column in [counts, expires_at, expired_revision] {
            schema.alter_table(Table::alter().table("accounts").add_column(column).to_owned()).await?;
        }
        let each = (1..=STATES)
            .map(|state| {
                format!("(SELECT COUNT(*) FROM executions e WHERE e.account_uid = accounts.uid AND e.state = {state})")
            })
            .collect::<Vec<_>>()
            .join(" || ',' || ");
        let count = format!(
            "UPDATE accounts SET counts = '[' || {each} || ']', expires_at = 1, next_due_at = 1 \
             WHERE EXISTS (SELECT 1 FROM executions e WHERE e.account_uid = accounts.uid)"
        );
        schema.get_connection().execute_unprepared(&count).await?;
        // The webhooks of the requests, 16 bytes each; the history's filter by webhook.
        let webhooks = Table::alter().table("executions").add_column(blob_null("webhooks")).to_owned();
        schema.alter_table(webhooks).await?;
        // How a webhook's attempts have gone over the last day: versioned JSON, written once a minute at most.
        let traffic = Table::alter().table("webhooks").add_column(blob_null("traffic")).to_owned();
        schema.alter_table(traffic).await?;
        // What a watch reads: what has changed after a revision, in order.
        let changed = Index::create()
            .name("executions_changed")
            .table("executions")
            .col("account_uid")
            .col("changed_revision")
            .col("uid")
            .to_owned();
        schema.create_index(changed).await?;
        let notices = Table::create()
            .table("notices")
            .col(uuid("account_uid"))
            .col(big_integer("revision"))
            .col(integer("no"))
            .col(big_integer("created_at"))
            .col(blob("notice"))
            .primary_key(Index::create().name("notices_pk").col("account_uid").col("revision").col("no"))
            .to_owned();
        schema.create_table(notices).await
    }
}
