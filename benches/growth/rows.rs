//! Many executions, made by the database itself: copies of real ones, with numbers, events and entities of their own.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::harness::Database;

/// How many are copied.
const TEMPLATES: u64 = 512;
/// How many are inserted by one statement.
const CHUNK_ROWS: u64 = 500_000;
/// How old the oldest copy is.
const SPAN_MS: u64 = 2 * 86_400_000;
/// One in so many has failed.
const FAILED_EVERY: u64 = 5_000;
/// What a copy has of the original.
const COLUMNS: &str = "source, due_at, waits_for, admitted_window, changed_revision, run, action_no, attempts, \
                       failed_actions, weight, source_kind, action, may_be_done, object, acting_user, reason, webhooks, \
                       part, outcome";

async fn connect(database: &Database) -> DatabaseConnection {
    let is_postgres = database.url.starts_with("postgres");
    let url = if is_postgres { database.url.clone() } else { format!("sqlite://{}", database.url) };
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.expect("connects")
}

/// Adds so many executions to those that are there. No server may run.
pub async fn multiply(database: &Database, count: u64) {
    let connection = connect(database).await;
    let backend = connection.get_database_backend();
    let run = async |sql: &str| {
        connection.execute_unprepared(sql).await.expect(sql);
    };
    if backend == DbBackend::Sqlite {
        run("PRAGMA synchronous = OFF").await;
        run("PRAGMA journal_mode = OFF").await;
        run("PRAGMA cache_size = -1000000").await;
    } else {
        run("SET synchronous_commit = off").await;
        run("SET maintenance_work_mem = '1GB'").await;
    }
    let indexes = indexes(&connection).await;
    for (name, _) in &indexes {
        run(&format!("DROP INDEX {name}")).await;
    }
    run(&format!(
        "CREATE TEMPORARY TABLE templates AS SELECT ROW_NUMBER() OVER (ORDER BY id) - 1 AS no, account, {COLUMNS} \
         FROM (SELECT * FROM executions WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT {TEMPLATES}) AS t"
    ))
    .await;
    run("CREATE UNIQUE INDEX templates_no ON templates (no)").await;
    let oldest = hookline::clock::now().0.unsigned_abs() / 1_000 - SPAN_MS;
    let (numbers, random, id) = match backend {
        DbBackend::Sqlite => (
            "WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})",
            "random()",
            "lower(hex(randomblob(16)))",
        ),
        _ => (
            "WITH n (i) AS (SELECT generate_series({from}::bigint, {to}::bigint))",
            "hashint8extended(i, 7)",
            "gen_random_uuid()::text",
        ),
    };
    let mut from = 0;
    while from < count {
        let to = (from + CHUNK_ROWS).min(count);
        let numbers = numbers.replace("{from}", &from.to_string()).replace("{to}", &(to - 1).to_string());
        // A hundred in each millisecond.
        run(&format!(
            "INSERT INTO executions (account, id, event, event_id, entity_id, state, created_at, ended_at, {COLUMNS}) \
             {numbers} SELECT account, ({oldest} + i / 100) * 4096 + i % 100, {random}, {id}, \
             'copied-' || (i / {TEMPLATES}), CASE WHEN i % {FAILED_EVERY} < 8 THEN 6 ELSE 5 END, \
             ({oldest} + i / 100) * 1000, ({oldest} + i / 100) * 1000 + 20000, {COLUMNS} \
             FROM n JOIN templates ON no = i % (SELECT COUNT(*) FROM templates)"
        ))
        .await;
        from = to;
    }
    for (_, sql) in &indexes {
        run(sql).await;
    }
    if backend == DbBackend::Postgres {
        run("ANALYZE").await;
        run("CHECKPOINT").await;
    }
    connection.close().await.expect("closes");
    // What a server finds is on the disk, as it would be.
    rustix::fs::sync();
}

/// The indexes of executions, each with the statement that makes it.
async fn indexes(connection: &DatabaseConnection) -> Vec<(String, String)> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'executions' AND type = 'index' AND sql IS NOT NULL"
        }
        _ => {
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'executions' AND indexdef NOT LIKE '%UNIQUE%'"
        }
    };
    let rows = connection.query_all_raw(Statement::from_string(backend, sql)).await.expect("reads");
    let of_row = |row: &sea_orm::QueryResult| {
        (row.try_get_by_index(0).expect("a name"), row.try_get_by_index(1).expect("a statement"))
    };
    rows.iter().map(of_row).collect()
}
