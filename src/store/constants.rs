//! What is made once for a database and never changes.

use sea_orm::{ConnectionTrait, Statement};

pub use super::rows::keys::EventHash;
use super::{
    StoreError,
    rows::{keys::EVENT_KEY_BYTES, packing},
};

/// The name of the key of the hashes of events.
pub const EVENT_KEY: &str = "event_key";

/// What hashes the ids of this database's events.
pub async fn event_hash(connection: &impl ConnectionTrait) -> Result<EventHash, StoreError> {
    let sql = "SELECT bytes FROM constants WHERE name = $1";
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, [EVENT_KEY.into()]);
    let row = connection.query_one_raw(statement).await?;
    let bytes: Vec<u8> = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    let key: [u8; EVENT_KEY_BYTES] =
        bytes.try_into().map_err(|_| StoreError::Row("the key of the hashes of events is missing".into()))?;
    Ok(EventHash::new(key))
}

/// Makes sure that this version unpacks what the database holds.
pub async fn check_dictionaries(connection: &impl ConnectionTrait) -> Result<(), StoreError> {
    let backend = connection.get_database_backend();
    let sql = "SELECT id, bytes FROM dictionaries";
    for row in connection.query_all_raw(Statement::from_string(backend, sql)).await? {
        let (id, bytes): (i16, Vec<u8>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if id != i16::from(packing::DICTIONARY_NO) || bytes != packing::DICTIONARY {
            return Err(StoreError::Newer(format!("dictionary {id}")));
        }
    }
    Ok(())
}
