use super::*;

static INSERT: Wide = Wide::new(&[("a", Kind::Long), ("b", Kind::Text)], WideTask::Insert("t"));
static UPDATE: Wide = Wide::new(
    &[("a", Kind::Long), ("b", Kind::Text), ("c", Kind::Bytes)],
    WideTask::Update { table: "t", keys: 1, kept: &["c"], returning: Some("u") },
);

#[test]
fn there_is_a_text_for_each_width() {
    let narrow = INSERT.text(DbBackend::Sqlite, 0);
    assert_eq!(narrow, "INSERT OR FAIL INTO t (a, b) SELECT * FROM (VALUES (?, ?)) WHERE column1 IS NOT NULL");
    for (at, width) in WIDTHS.iter().enumerate() {
        assert_eq!(INSERT.text(DbBackend::Sqlite, at).matches('?').count(), 2 * width);
    }
    let arrays = INSERT.text(DbBackend::Postgres, 0);
    assert_eq!(arrays, "INSERT INTO t (a, b) SELECT * FROM unnest($1::bigint[], $2::text[])");
}

#[test]
fn keys_are_compared_and_the_others_written() {
    let set = "UPDATE t SET b = v.c2, c = COALESCE(v.c3, t.c)";
    let from = "FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS v(c1, c2, c3) WHERE t.a = v.c1 RETURNING t.u";
    assert_eq!(UPDATE.text(DbBackend::Postgres, 0), format!("{set} {from}"));
    let narrow = UPDATE.text(DbBackend::Sqlite, 0);
    let (set, from) =
        ("UPDATE OR FAIL t SET b = v.column2, c = COALESCE(v.column3, t.c)", "FROM (VALUES (?, ?, ?)) AS v");
    assert_eq!(narrow, format!("{set} {from} WHERE t.a = v.column1 RETURNING t.u"));
}

/// What one statement has for PostgreSQL fits into one record of TLS, and a larger row goes alone.
#[test]
fn a_statement_has_as_many_rows_as_fit() {
    let large = "x".repeat(POSTGRES_BYTES_MAX);
    let small = "x".repeat(1_000);
    let row = |text| [Cell::from(1), Cell::Text(Some(text))];
    let rows: Vec<_> = std::iter::repeat_n(row(&small), 100).flatten().collect();
    let bytes = 12 + 4 + 1_000;
    assert_eq!(postgres_rows(&rows, 2), POSTGRES_BYTES_MAX / bytes);
    assert_eq!(postgres_rows(&rows[..6], 2), 3);
    let mixed = [row(&large), row(&small), row(&small)].concat();
    assert_eq!(postgres_rows(&mixed, 2), 1);
    assert_eq!(postgres_rows(&mixed[2..], 2), 2);
}

/// Whatever their number, rows arrive once each and in order, and null values stay null.
#[tokio::test]
async fn any_number_of_rows_is_written_once() {
    use sea_orm::sqlx::{Connection as _, Executor as _};
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)").await.expect("creates");
    let mut total = 0_i64;
    for count in [1_i64, 3, 64, 65, 127, 200] {
        let cells = |at: i64| [Cell::Long(Some(at)), Cell::Text((at % 2 == 0).then_some("even"))];
        let rows: Vec<_> = (total..total + count).flat_map(cells).collect();
        run_on_sqlite(&mut connection, &INSERT, &rows).await.expect("inserts");
        total += count;
        let query = sqlx::query("SELECT COUNT(*), COUNT(b), MAX(a) FROM t").fetch_one(&mut connection);
        let row = query.await.expect("counts");
        let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(found, (total, (total + 1) / 2, total - 1));
    }
}
