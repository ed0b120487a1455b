use sea_orm::sqlx::Executor as _;

use super::*;

/// A log that was written back is begun anew by the next commit, in a file that stays as long as it was.
#[tokio::test]
async fn a_long_log_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let options = options.pragma("journal_mode", "WAL").pragma("wal_autocheckpoint", "0");
    let mut connection = options.connect().await.expect("opens");
    connection.execute("CREATE TABLE t (bytes BLOB)").await.expect("creates");
    for _ in 0..20 {
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))").await.expect("inserts");
    }
    let length = || std::fs::metadata(beside(&path, "-wal")).expect("a log").len();
    let long = length();
    assert!(long > 2_000_000, "{long}");
    let other = write_back(&path, None, i64::MAX).await.expect("writes back");
    write_back(&path, Some(other), 10).await.expect("begins anew");
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))").await.expect("inserts");
    assert_eq!(length(), long, "the next one is written over it");
    let count = sqlx::query("SELECT COUNT(*) FROM t").fetch_one(&mut connection).await.expect("counts");
    assert_eq!(count.get::<i64, _>(0), 21);
}
