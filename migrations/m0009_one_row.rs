//! One row an execution, under a 64-bit number: what people filter and page by in columns, its event and its requests packed
//! into one part, its first attempt into another. What is there is carried over, a bounded part in each transaction, so that
//! a migration that is cut goes on where it was.

#[path = "m0009_one_row/carry.rs"]
mod carry;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement},
};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0009_one_row"
    }
}

/// What is made before anything is carried over. The columns stand in the order in which PostgreSQL packs them best, and
/// what is large comes last, so that looking at the others reads nothing of it.
fn tables(backend: DbBackend) -> Vec<String> {
    let is_sqlite = backend == DbBackend::Sqlite;
    let (bytes, uuid) = if is_sqlite { ("blob", "blob") } else { ("bytea", "uuid") };
    // On SQLite the number is the row's own place, so that new rows come behind one another.
    let (id, key) = match is_sqlite {
        true => ("id integer PRIMARY KEY", ""),
        false => ("id bigint NOT NULL", ", PRIMARY KEY (account, id)"),
    };
    vec![
        format!("CREATE TABLE IF NOT EXISTS constants (name text PRIMARY KEY, bytes {bytes} NOT NULL)"),
        format!("CREATE TABLE IF NOT EXISTS dictionaries (id smallint PRIMARY KEY, bytes {bytes} NOT NULL)"),
        "CREATE TABLE IF NOT EXISTS carried (place bigint NOT NULL, account text NOT NULL, uid text NOT NULL)"
            .to_owned(),
        format!(
            "CREATE TABLE IF NOT EXISTS new_executions (account bigint NOT NULL, {id}, source bigint NOT NULL, \
             event bigint NOT NULL, due_at bigint, waits_for bigint, admitted_window bigint NOT NULL, \
             changed_revision bigint NOT NULL, created_at bigint NOT NULL, ended_at bigint, event_part bigint, \
             uid {uuid}, retry_of {uuid}, run integer NOT NULL, action_no integer NOT NULL, \
             attempts integer NOT NULL, failed_actions integer NOT NULL, weight integer NOT NULL, \
             source_kind smallint NOT NULL, action smallint NOT NULL, state smallint NOT NULL, \
             may_be_done smallint NOT NULL, object text NOT NULL, event_id text NOT NULL, entity_id text NOT NULL, \
             acting_user text, reason text, webhooks {bytes}, part {bytes}, outcome {bytes}{key})"
        ),
        format!("CREATE TABLE IF NOT EXISTS parts (account bigint NOT NULL, {id}, bytes {bytes} NOT NULL{key})"),
        format!(
            "CREATE TABLE IF NOT EXISTS new_attempts (account bigint NOT NULL, execution bigint NOT NULL, \
             action_no integer NOT NULL, number integer NOT NULL, sealed_url {bytes}, bytes {bytes} NOT NULL, \
             PRIMARY KEY (account, execution, action_no, number)){}",
            if is_sqlite { " WITHOUT ROWID" } else { "" }
        ),
        // Whether an event is known; also the history's filter by event.
        "CREATE INDEX IF NOT EXISTS executions_event_hash ON new_executions (event)".to_owned(),
    ]
}

/// What is made once everything is carried over.
fn indexes(backend: DbBackend) -> Vec<&'static str> {
    let mut sql = vec![
        "DROP TABLE attempts",
        "DROP TABLE executions",
        "DROP TABLE events",
        "DROP TABLE carried",
        "ALTER TABLE new_executions RENAME TO executions",
        "ALTER TABLE new_attempts RENAME TO attempts",
        // The history's filter by automation.
        "CREATE INDEX executions_source ON executions (source, id)",
        // The history's filter by the object that an event is about.
        "CREATE INDEX executions_entity ON executions (account, entity_id, id)",
        // The history's filter by states that few executions are in, and by reasons.
        "CREATE INDEX executions_rare ON executions (account, state, id) WHERE state IN (3, 4, 6, 7, 8)",
        // An account's search for what is due, webhook by webhook, and for what was under way.
        "CREATE INDEX executions_due ON executions (account, waits_for, due_at) WHERE due_at IS NOT NULL",
        // What a watch reads: what has changed after a revision, in order.
        "CREATE INDEX executions_changed ON executions (account, changed_revision, id)",
        // Executions that were made before there were numbers, by the id that was handed out.
        "CREATE INDEX executions_uid ON executions (uid) WHERE uid IS NOT NULL",
        // Whether an event that executions share is still named by one of them.
        "CREATE INDEX executions_event_part ON executions (event_part) WHERE event_part IS NOT NULL",
    ];
    match backend {
        // The history, newest first. On PostgreSQL the primary key serves.
        DbBackend::Sqlite => sql.push("CREATE INDEX executions_account ON executions (account, id)"),
        // Parts are packed already.
        _ => sql.extend([
            "ALTER TABLE executions ALTER COLUMN part SET STORAGE EXTERNAL",
            "ALTER TABLE executions ALTER COLUMN outcome SET STORAGE EXTERNAL",
            "ALTER TABLE parts ALTER COLUMN bytes SET STORAGE EXTERNAL",
            "ALTER TABLE attempts ALTER COLUMN bytes SET STORAGE EXTERNAL",
        ]),
    }
    sql
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        // Each part of it has one of its own.
        Some(false)
    }

    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm_migration::sea_orm::TransactionTrait;
        let connection = schema.get_connection();
        let backend = connection.get_database_backend();
        // Cut between its last transaction and the note that it was made.
        if !schema.has_table("events").await? {
            return Ok(());
        }
        let begin = connection.begin().await?;
        for sql in tables(backend) {
            begin.execute_unprepared(&sql).await?;
        }
        carry::constants(&begin).await?;
        begin.commit().await?;
        carry::all(connection).await?;
        let end = connection.begin().await?;
        for sql in indexes(backend) {
            end.execute_unprepared(sql).await?;
        }
        end.commit().await?;
        if backend != DbBackend::Sqlite {
            // What the planner knows of the new tables.
            connection.execute_raw(Statement::from_string(backend, "ANALYZE")).await?;
        }
        Ok(())
    }
}
