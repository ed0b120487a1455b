//! The jobs of an account.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::history::{Page, one_more};
use crate::{
    domain::{
        account::job::Job,
        id::{AccountUid, JobUid},
    },
    store::{Store, StoreError, entities::jobs, rows},
    telemetry::chain,
};

/// It does not go on, and nothing else waits for it.
fn tell_unreadable(row: &jobs::Model, error: &StoreError) {
    tracing::error!(job.id = %JobUid(row.uid), error = chain(error), "a job cannot be read; it does not go on");
}

impl Store {
    /// One job.
    pub async fn find_job(&self, account: AccountUid, uid: JobUid) -> Result<Option<Job>, StoreError> {
        let row = jobs::Entity::find_by_id((account.0, uid.0)).one(&self.reader).await?;
        row.as_ref().map(rows::job).transpose()
    }

    /// A page of jobs, newest first, before a place.
    pub async fn list_jobs(
        &self,
        account: AccountUid,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<Page<Job>, StoreError> {
        let found = jobs::Entity::find()
            .filter(jobs::Column::AccountUid.eq(account.0))
            .filter(Condition::all().add_option(before.map(|before| jobs::Column::Uid.lt(before))))
            .order_by_desc(jobs::Column::Uid)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let found = found.iter().filter_map(|row| rows::job(row).ok()).collect();
        Ok(Page::cut(found, size, |job: &Job| job.uid.0))
    }
}

/// Jobs that have not ended, as far as they can be read.
pub(super) fn unfinished_jobs(rows: &[jobs::Model]) -> Vec<Job> {
    rows.iter().filter_map(|row| rows::job(row).inspect_err(|error| tell_unreadable(row, error)).ok()).collect()
}
