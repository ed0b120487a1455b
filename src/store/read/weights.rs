//! How large executions are: their requests can be large, so they are read by bytes and not only by number.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    domain::id::AccountUid,
    store::{Store, StoreError, entities::executions, rows::keys::account_key},
};

/// How many bytes of executions and their events are read at once.
const READ_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// How many of them are read at once in any case.
pub const READ_ROWS_MIN: usize = 8;
/// How many executions of such weights may be read at once, from the first one on; some in any case.
pub fn how_many_fit(weights: impl Iterator<Item = i64>) -> usize {
    let mut bytes = 0;
    let fits = |weight: &i64| {
        bytes += weight;
        bytes <= READ_BYTES_MAX
    };
    weights.take_while(fits).count().max(READ_ROWS_MIN)
}

impl Store {
    /// How many of some executions, from the first one on, may be read at once; some in any case.
    pub(super) async fn how_many_fit(&self, account: AccountUid, numbers: &[i64]) -> Result<usize, StoreError> {
        use executions::Column as C;
        if numbers.len() <= READ_ROWS_MIN {
            return Ok(numbers.len());
        }
        let weights: Vec<(i64, i32)> = executions::Entity::find()
            .select_only()
            .columns([C::Id, C::Weight])
            .filter(C::Account.eq(account_key(account)))
            .filter(C::Id.is_in(numbers.iter().copied()))
            .into_tuple()
            .all(&self.reader)
            .await?;
        let weights: HashMap<_, _> = weights.into_iter().collect();
        Ok(how_many_fit(numbers.iter().map(|number| weights.get(number).copied().unwrap_or_default().into())))
    }
}
