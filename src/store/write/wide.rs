//! The journal's hot statements: few texts that never change, each for many rows at once.
//!
//! SQLite has a text for each of a few widths, prepared once: rows take the narrowest that they fit in, and what is not bound
//! is null and skipped. PostgreSQL has one, whose columns come as arrays. Values are bound from where they are.

use std::sync::OnceLock;

use sea_orm::{DbBackend, DbErr, RuntimeErr, sqlx};
use sqlx::{
    Arguments as _, Row as _,
    postgres::{PgArguments, PgConnection},
    sqlite::{SqliteArguments, SqliteConnection},
};
use uuid::Uuid;

/// How many rows one statement has on SQLite.
const WIDTHS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// How many bytes the values of one statement have on PostgreSQL, unless a single row has more. With its names it fits into
/// one record of TLS: sqlx 0.9.0 leaves Nagle's algorithm on (mended since, in no release yet), and whatever goes in two
/// writes can wait 40 ms for an acknowledgement that the server delays.
const POSTGRES_BYTES_MAX: usize = 15 * 1_024;

/// What kind of values a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A `BIGINT`.
    Long,
    /// An `INTEGER`.
    Int,
    /// A `SMALLINT`.
    Small,
    /// A `TEXT`.
    Text,
    /// Bytes.
    Bytes,
    /// A UUID.
    Uuid,
}

impl Kind {
    fn postgres_array(self) -> &'static str {
        match self {
            Kind::Long => "bigint[]",
            Kind::Int => "integer[]",
            Kind::Small => "smallint[]",
            Kind::Text => "text[]",
            Kind::Bytes => "bytea[]",
            Kind::Uuid => "uuid[]",
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'r> {
    /// Of [`Kind::Long`].
    Long(Option<i64>),
    /// Of [`Kind::Int`].
    Int(i32),
    /// Of [`Kind::Small`].
    Small(i16),
    /// Of [`Kind::Text`].
    Text(Option<&'r str>),
    /// Of [`Kind::Bytes`].
    Bytes(Option<&'r [u8]>),
    /// Of [`Kind::Uuid`].
    Uuid(Option<Uuid>),
}

impl Cell<'_> {
    /// How many bytes it has in an array of PostgreSQL: its length, and itself.
    fn postgres_bytes(&self) -> usize {
        4 + match self {
            Cell::Long(value) => value.map_or(0, |_| 8),
            Cell::Int(_) => 4,
            Cell::Small(_) => 2,
            Cell::Text(value) => value.map_or(0, str::len),
            Cell::Bytes(value) => value.map_or(0, <[u8]>::len),
            Cell::Uuid(value) => value.map_or(0, |_| 16),
        }
    }
}

impl From<i64> for Cell<'_> {
    fn from(value: i64) -> Self {
        Cell::Long(Some(value))
    }
}

impl<'r> From<&'r str> for Cell<'r> {
    fn from(value: &'r str) -> Self {
        Cell::Text(Some(value))
    }
}

/// A statement for many rows.
pub struct Wide {
    /// What the rows have, in order.
    pub columns: &'static [(&'static str, Kind)],
    /// What is done with them.
    pub task: WideTask,
    texts: OnceLock<[&'static str; WIDTHS.len() + 1]>,
}

/// What is done with rows.
#[derive(Debug, Clone, Copy)]
pub enum WideTask {
    /// They are inserted into a table.
    Insert(&'static str),
    /// A table's rows of the same keys, which are the first columns, take their other values; a column of `kept`
    Update {
        /// The table.
        table: &'static str,
        /// How many columns are compared with what is there, from the first one on; the others are written.
        keys: usize,
        /// Columns in which null changes nothing.
        kept: &'static [&'static str],
        /// A column of UUIDs that is answered of each row that was found.
        returning: Option<&'static str>,
    },
}

impl Wide {
    /// A statement.
    pub const fn new(columns: &'static [(&'static str, Kind)], task: WideTask) -> Self {
        Self { columns, task, texts: OnceLock::new() }
    }

    /// A text, made once and kept for as long as the process lives: a session finds what it has prepared by it.
    fn text(&self, backend: DbBackend, width_at: usize) -> &'static str {
        let texts = self.texts.get_or_init(|| {
            std::array::from_fn(|at| {
                let text = match WIDTHS.get(at) {
                    Some(rows) => self.sql(&places(*rows, self.columns.len()), "column"),
                    None => self.sql(&self.unnest(), "c"),
                };
                &*text.leak()
            })
        });
        match backend {
            DbBackend::Sqlite => texts[width_at],
            _ => texts[WIDTHS.len()],
        }
    }

    fn unnest(&self) -> String {
        let arrays: Vec<_> = (self.columns.iter().enumerate())
            .map(|(at, (_, kind))| format!("${}::{}", at + 1, kind.postgres_array()))
            .collect();
        arrays.join(", ")
    }

    /// The text, with rows that are either `VALUES` or arrays, and what their columns are called without a number. A failed
    /// statement of the journal rolls the whole transaction back: SQLite is told not to copy each page before it changes it,
    /// so that it could undo the statement alone.
    fn sql(&self, rows: &str, name: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let is_values = name == "column";
        match self.task {
            WideTask::Insert(table) => {
                let source = match is_values {
                    true => format!("SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"),
                    false => format!("SELECT * FROM unnest({rows})"),
                };
                let insert = if is_values { "INSERT OR FAIL" } else { "INSERT" };
                format!("{insert} INTO {table} ({}) {source}", names.join(", "))
            }
            WideTask::Update { table, keys, kept, returning } => {
                let value = |at: usize| format!("v.{name}{}", at + 1);
                let set = names.iter().enumerate().skip(keys).map(|(at, column)| match kept.contains(column) {
                    true => format!("{column} = COALESCE({}, {table}.{column})", value(at)),
                    false => format!("{column} = {}", value(at)),
                });
                let found = names.iter().enumerate().take(keys);
                let found = found.map(|(at, column)| format!("{table}.{column} = {}", value(at)));
                let source = if is_values {
                    format!("(VALUES {rows}) AS v")
                } else {
                    let columns: Vec<_> = (1..=names.len()).map(|at| format!("{name}{at}")).collect();
                    format!("unnest({rows}) AS v({})", columns.join(", "))
                };
                let returning = returning.map(|column| format!(" RETURNING {table}.{column}")).unwrap_or_default();
                let (set, found) = (set.collect::<Vec<_>>().join(", "), found.collect::<Vec<_>>().join(" AND "));
                let update = if is_values { "UPDATE OR FAIL" } else { "UPDATE" };
                format!("{update} {table} SET {set} FROM {source} WHERE {found}{returning}")
            }
        }
    }
}

fn places(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn unbound(error: sqlx::error::BoxDynError) -> DbErr {
    failed(sqlx::Error::Encode(error))
}

/// Runs a query, and keeps what it returns.
macro_rules! finish {
    ($query:ident, $connection:ident, $wide:ident, $returned:ident) => {
        match $wide.task {
            WideTask::Update { returning: Some(_), .. } => {
                for row in $query.fetch_all(&mut *$connection).await.map_err(failed)? {
                    $returned.push(row.try_get(0).map_err(failed)?);
                }
            }
            _ => $query.execute(&mut *$connection).await.map(drop).map_err(failed)?,
        }
    };
}

/// Runs a statement on SQLite, with the cells of row after row; answers the column that it returns.
pub async fn run_on_sqlite(
    connection: &mut SqliteConnection,
    wide: &Wide,
    cells: &[Cell<'_>],
) -> Result<Vec<Uuid>, DbErr> {
    let mut returned = Vec::new();
    let width = wide.columns.len();
    let widest = WIDTHS[WIDTHS.len() - 1];
    for some in cells.chunks(widest * width) {
        let at = WIDTHS.iter().position(|rows| rows * width >= some.len()).unwrap_or(WIDTHS.len() - 1);
        let mut arguments = SqliteArguments::default();
        arguments.reserve(some.len(), 0);
        for cell in some {
            match *cell {
                Cell::Long(value) => arguments.add(value),
                Cell::Int(value) => arguments.add(value),
                Cell::Small(value) => arguments.add(value),
                Cell::Text(value) => arguments.add(value),
                Cell::Bytes(value) => arguments.add(value),
                Cell::Uuid(value) => arguments.add(value),
            }
            .map_err(unbound)?;
        }
        let query = sqlx::query_with(wide.text(DbBackend::Sqlite, at), arguments);
        finish!(query, connection, wide, returned);
    }
    Ok(returned)
}

/// How many rows one statement takes from the first one on.
fn postgres_rows(cells: &[Cell<'_>], width: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&[Cell<'_>]| {
        bytes += row.iter().map(Cell::postgres_bytes).sum::<usize>();
        bytes <= POSTGRES_BYTES_MAX
    };
    cells.chunks(width).take_while(fits).count().max(1)
}

/// Runs a statement on PostgreSQL, with the cells of row after row; answers the column that it returns.
pub async fn run_on_postgres(
    connection: &mut PgConnection,
    wide: &Wide,
    cells: &[Cell<'_>],
) -> Result<Vec<Uuid>, DbErr> {
    let mut returned = Vec::new();
    let width = wide.columns.len();
    let mut rest = cells;
    while !rest.is_empty() {
        let (some, others) = rest.split_at(postgres_rows(rest, width) * width);
        rest = others;
        let mut arguments = PgArguments::default();
        for (at, (_, kind)) in wide.columns.iter().enumerate() {
            let column = some.iter().skip(at).step_by(width);
            macro_rules! array {
                ($cell:ident) => {
                    arguments.add(
                        column
                            .map(|cell| if let Cell::$cell(value) = *cell { value } else { Default::default() })
                            .collect::<Vec<_>>(),
                    )
                };
            }
            match kind {
                Kind::Long => array!(Long),
                Kind::Int => array!(Int),
                Kind::Small => array!(Small),
                Kind::Text => array!(Text),
                Kind::Bytes => array!(Bytes),
                Kind::Uuid => array!(Uuid),
            }
            .map_err(unbound)?;
        }
        let query = sqlx::query_with(wide.text(DbBackend::Postgres, 0), arguments);
        finish!(query, connection, wide, returned);
    }
    Ok(returned)
}

#[cfg(test)]
#[path = "tests/wide.rs"]
mod tests;
