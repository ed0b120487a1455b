//! The whole schema, with the columns that every kind of source, retries by a person, paused work and per-account
//! limits need. Times are microseconds since 1970; payloads, bodies and excerpts are bytes.

use sea_orm_migration::{prelude::*, schema::*};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

fn key(name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name);
    for column in columns {
        index.col(*column);
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        accounts(schema).await?;
        webhooks(schema).await?;
        automations(schema).await?;
        events(schema).await?;
        executions(schema).await?;
        answers_and_jobs(schema).await
    }
}

async fn accounts(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("accounts")
        .col(uuid("uid").primary_key())
        .col(text("id"))
        .col(small_integer("partition"))
        .col(text("plan"))
        .col(blob_null("limits"))
        .col(big_integer("revision"))
        .col(big_integer("facts_revision"))
        .col(big_integer("window_no"))
        .col(big_integer("window_start"))
        .col(big_integer("window_used"))
        .col(big_integer_null("next_due_at"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer_null("deleted_at"))
        .to_owned();
    schema.create_table(table).await?;
    // Finding an account by its id, and listing accounts.
    schema.create_index(key("accounts_id", &["id"]).table("accounts").unique().to_owned()).await?;
    // The scheduler's search for accounts that must be looked at.
    let due = key("accounts_due", &["next_due_at", "uid"])
        .table("accounts")
        .and_where(Expr::col("next_due_at").is_not_null())
        .to_owned();
    schema.create_index(due).await
}

async fn webhooks(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("webhooks")
        .col(uuid("account_uid"))
        .col(uuid("uid"))
        .col(text("id"))
        .col(text("display_name"))
        .col(text("kind"))
        .col(text("status"))
        .col(text_null("owner_user_id"))
        .col(text("masked_url"))
        .col(blob("sealed_url"))
        .col(blob_null("sealed_credentials"))
        .col(blob("sealed_secrets"))
        .col(blob("policy"))
        .col(blob_null("health"))
        .col(big_integer("revision"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer_null("deleted_at"))
        .primary_key(&mut key("webhooks_pk", &["account_uid", "uid"]))
        .to_owned();
    schema.create_table(table).await?;
    // No two living webhooks of an account share an id or a name.
    for (name, column) in [("webhooks_id", "id"), ("webhooks_display_name", "display_name")] {
        let living = key(name, &["account_uid", column])
            .table("webhooks")
            .unique()
            .and_where(Expr::col("deleted_at").is_null())
            .to_owned();
        schema.create_index(living).await?;
    }
    Ok(())
}

async fn automations(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("automations")
        .col(uuid("account_uid"))
        .col(uuid("uid"))
        .col(text("id"))
        .col(text("display_name"))
        .col(text("owner_user_id"))
        .col(small_integer("enabled"))
        .col(blob("spec"))
        .col(big_integer("revision"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer_null("deleted_at"))
        .primary_key(&mut key("automations_pk", &["account_uid", "uid"]))
        .to_owned();
    schema.create_table(table).await?;
    // No two living automations of an account share an id.
    let living = key("automations_id", &["account_uid", "id"])
        .table("automations")
        .unique()
        .and_where(Expr::col("deleted_at").is_null())
        .to_owned();
    schema.create_index(living).await?;
    // An empty user id stands for everyone.
    let activations = Table::create()
        .table("activations")
        .col(uuid("account_uid"))
        .col(uuid("automation_uid"))
        .col(text("user_id"))
        .primary_key(&mut key("activations_pk", &["account_uid", "automation_uid", "user_id"]))
        .to_owned();
    schema.create_table(activations).await
}

async fn events(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("events")
        .col(uuid("account_uid"))
        .col(text("event_id"))
        .col(blob("payload"))
        .col(big_integer("created_at"))
        .primary_key(&mut key("events_pk", &["account_uid", "event_id"]))
        .to_owned();
    schema.create_table(table).await
}

async fn executions(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("executions")
        .col(uuid("account_uid"))
        .col(uuid("uid"))
        .col(small_integer("source_kind"))
        .col(uuid("source_uid"))
        .col(text("event_id"))
        .col(integer("run"))
        .col(text("object"))
        .col(small_integer("action"))
        .col(text("entity_id"))
        .col(text_null("acting_user"))
        .col(small_integer("state"))
        .col(text_null("reason"))
        // 0 while a request is under way, null in the final states.
        .col(big_integer_null("due_at"))
        .col(uuid_null("next_webhook"))
        .col(big_integer("admitted_window"))
        .col(big_integer("changed_revision"))
        .col(uuid_null("retry_of"))
        .col(text("trace"))
        .col(integer("action_no"))
        .col(integer("attempts"))
        .col(integer("failed_actions"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .col(blob("requests"))
        .primary_key(&mut key("executions_pk", &["account_uid", "uid"]))
        .to_owned();
    schema.create_table(table).await?;
    // One execution a source, event and run; also the history's filter by event.
    let unique = key("executions_event", &["account_uid", "event_id", "source_uid", "run"])
        .table("executions")
        .unique()
        .to_owned();
    schema.create_index(unique).await?;
    // The history's filter by automation.
    schema
        .create_index(key("executions_source", &["account_uid", "source_uid", "uid"]).table("executions").to_owned())
        .await?;
    // An account's search for what is due, webhook by webhook, and for what was under way.
    let due = key("executions_due", &["account_uid", "next_webhook", "due_at"])
        .table("executions")
        .and_where(Expr::col("due_at").is_not_null())
        .to_owned();
    schema.create_index(due).await?;
    let attempts = Table::create()
        .table("attempts")
        .col(uuid("account_uid"))
        .col(uuid("execution_uid"))
        .col(integer("action_no"))
        .col(integer("number"))
        .col(big_integer("started_at"))
        .col(big_integer("duration_us"))
        .col(text("url"))
        .col(blob_null("sealed_url"))
        .col(integer_null("status"))
        .col(text_null("error_kind"))
        .col(text_null("error_message"))
        .col(blob_null("headers"))
        .col(blob_null("excerpt"))
        .col(small_integer("truncated"))
        .primary_key(&mut key("attempts_pk", &["account_uid", "execution_uid", "action_no", "number"]))
        .to_owned();
    schema.create_table(attempts).await
}

async fn answers_and_jobs(schema: &SchemaManager<'_>) -> Result<(), DbErr> {
    let answers = Table::create()
        .table("answers")
        .col(uuid("account_uid"))
        .col(text("request_id"))
        .col(blob("fingerprint"))
        .col(blob("answer"))
        .col(big_integer("created_at"))
        .primary_key(&mut key("answers_pk", &["account_uid", "request_id"]))
        .to_owned();
    schema.create_table(answers).await?;
    // Removing answers after 24 hours.
    schema.create_index(key("answers_created_at", &["created_at"]).table("answers").to_owned()).await?;
    let jobs = Table::create()
        .table("jobs")
        .col(uuid("account_uid"))
        .col(uuid("uid"))
        .col(text("kind"))
        .col(text("state"))
        .col(blob("spec"))
        .col(blob_null("cursor"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .primary_key(&mut key("jobs_pk", &["account_uid", "uid"]))
        .to_owned();
    schema.create_table(jobs).await
}
