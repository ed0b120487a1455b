//! How large executions are: their requests can be large, so they are read by bytes and not only by number.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::Expr};
use uuid::Uuid;

use super::{Store, StoreError, entities::executions};
use crate::domain::id::AccountUid;

/// How many bytes of executions and their events are read at once.
const READ_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// How many of them are read at once in any case.
pub const READ_ROWS_MIN: usize = 8;
/// How large an execution is, with its event.
pub const WEIGHT_SQL: &str = "CAST(LENGTH(requests) + COALESCE((SELECT LENGTH(events.payload) FROM events \
    WHERE events.account_uid = executions.account_uid AND events.event_id = executions.event_id), 0) AS BIGINT)";

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
    pub(super) async fn how_many_fit(&self, account: AccountUid, uids: &[Uuid]) -> Result<usize, StoreError> {
        use executions::Column as C;
        if uids.len() <= READ_ROWS_MIN {
            return Ok(uids.len());
        }
        let weights: Vec<(Uuid, i64)> = executions::Entity::find()
            .select_only()
            .column(C::Uid)
            .expr_as(Expr::cust(WEIGHT_SQL), "weight")
            .filter(C::AccountUid.eq(account.0))
            .filter(C::Uid.is_in(uids.iter().copied()))
            .into_tuple()
            .all(&self.reader)
            .await?;
        let weights: HashMap<_, _> = weights.into_iter().collect();
        Ok(how_many_fit(uids.iter().map(|uid| weights.get(uid).copied().unwrap_or_default())))
    }
}
