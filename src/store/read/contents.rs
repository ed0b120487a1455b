//! What stands in the parts of executions: read where it is not in their rows, and unpacked.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::store::{
    Store, StoreError,
    entities::{executions, parts},
    rows::{
        Unpacked,
        keys::{PartKind, part_key},
        packing,
    },
};

/// Executions that were read, each with what was unpacked of it, or why that cannot be read.
pub struct Opened {
    by_number: HashMap<i64, Result<Unpacked, String>>,
}

impl Opened {
    /// What was unpacked of an execution.
    pub fn of(&self, row: &executions::Model) -> Result<&Unpacked, StoreError> {
        match self.by_number.get(&row.id) {
            Some(Ok(unpacked)) => Ok(unpacked),
            Some(Err(error)) => Err(StoreError::Row(error.clone())),
            None => Err(StoreError::Row("its part was not read".into())),
        }
    }
}

impl Store {
    /// Reads and unpacks the parts of executions of an account, with their events where those are asked for.
    pub(super) async fn open_parts(
        &self,
        rows: &[executions::Model],
        wants_events: impl Fn(&executions::Model) -> bool,
    ) -> Result<Opened, StoreError> {
        let mut wanted: HashSet<(i64, i64)> = HashSet::new();
        for row in rows {
            if row.part.is_none() {
                wanted.insert((row.account, part_key(row.id, PartKind::Own)));
            }
            wanted.extend(row.event_part.filter(|_| wants_events(row)).map(|part| (row.account, part)));
        }
        let parts = self.parts(&wanted).await?;
        // Each event once, however many executions share it.
        let mut events: HashMap<(i64, i64), Arc<[u8]>> = HashMap::new();
        for place in rows.iter().filter_map(|row| Some((row.account, row.event_part?))) {
            let unpacked = || parts.get(&place).and_then(|packed| packing::unpack(packed).ok());
            if !events.contains_key(&place) {
                events.extend(unpacked().map(|event| (place, event.into())));
            }
        }
        let open = |row: &executions::Model| {
            let own = (row.part.as_deref())
                .or_else(|| parts.get(&(row.account, part_key(row.id, PartKind::Own))).map(Vec::as_slice))
                .ok_or_else(|| "its part is missing".to_owned())?;
            let plain = packing::unpack(own).map_err(|error| error.to_string())?;
            let contents = packing::contents(&plain).map_err(|error| error.to_string())?;
            let shared = row.event_part.and_then(|part| events.get(&(row.account, part)).cloned());
            Ok(Unpacked { record: contents.record, event: contents.event.map(Arc::from).or(shared) })
        };
        Ok(Opened { by_number: rows.iter().map(|row| (row.id, open(row))).collect() })
    }

    async fn parts(&self, wanted: &HashSet<(i64, i64)>) -> Result<HashMap<(i64, i64), Vec<u8>>, StoreError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let accounts: HashSet<_> = wanted.iter().map(|(account, _)| *account).collect();
        let found = parts::Entity::find()
            .filter(parts::Column::Account.is_in(accounts))
            .filter(parts::Column::Id.is_in(wanted.iter().map(|(_, id)| *id)))
            .all(&self.reader)
            .await?;
        Ok(found.into_iter().map(|row| ((row.account, row.id), row.bytes)).collect())
    }
}
