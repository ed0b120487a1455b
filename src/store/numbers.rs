//! Keys in statements, and the numbers of executions whose ids were handed out before there were numbers.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{
    entities::executions,
    rows::keys::{RowKey, account_key},
};
use crate::domain::id::AccountUid;

/// How many keys one statement looks for.
pub const KEYS_MAX: usize = 512;

/// `$1, $2` for so many values after a number of others. SQLite takes `$1` for a name and searches its list of names at
/// each binding, so that a wide statement would cost the square of its width; it gets `?`.
pub fn places(backend: DbBackend, after: usize, count: usize) -> String {
    let place = |at: usize| match backend {
        DbBackend::Sqlite => "?".to_owned(),
        _ => format!("${at}"),
    };
    (after + 1..=after + count).map(place).collect::<Vec<_>>().join(", ")
}

/// Keys, the last one several times, so that there are few texts of each statement to prepare.
pub fn padded<K: Copy>(keys: &[K]) -> Vec<K> {
    let mut padded = keys.to_vec();
    if let Some(last) = keys.last() {
        padded.resize(keys.len().next_power_of_two(), *last);
    }
    padded
}

/// The numbers of executions; those that are not there are left out.
pub async fn numbers_of(
    connection: &impl ConnectionTrait,
    keys: Vec<(AccountUid, RowKey)>,
) -> Result<HashMap<(AccountUid, RowKey), i64>, DbErr> {
    let mut found = HashMap::new();
    let mut carried: HashMap<AccountUid, Vec<Uuid>> = HashMap::new();
    for (account, key) in keys {
        match key {
            RowKey::Number(number) => drop(found.insert((account, key), number)),
            RowKey::Carried(uid) => carried.entry(account).or_default().push(uid),
        }
    }
    for (account, uids) in carried {
        for uids in uids.chunks(KEYS_MAX) {
            let of_uids = executions::Entity::find()
                .select_only()
                .columns([executions::Column::Uid, executions::Column::Id])
                .filter(executions::Column::Account.eq(account_key(account)))
                .filter(executions::Column::Uid.is_in(uids.to_vec()));
            let rows: Vec<(Option<Uuid>, i64)> = of_uids.into_tuple().all(connection).await?;
            let of_row = |(uid, number): (Option<Uuid>, i64)| uid.map(|uid| ((account, RowKey::Carried(uid)), number));
            found.extend(rows.into_iter().filter_map(of_row));
        }
    }
    Ok(found)
}
