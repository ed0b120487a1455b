//! The schema, one file a step. Steps never import the entities, so that they stay what they were.

use sea_orm_migration::prelude::*;

#[path = "m0001_initial.rs"]
mod m0001_initial;
#[path = "m0002_paused_executions.rs"]
mod m0002_paused_executions;
#[path = "m0003_history.rs"]
mod m0003_history;
#[path = "m0004_audit.rs"]
mod m0004_audit;
#[path = "m0005_catalogue.rs"]
mod m0005_catalogue;
#[path = "m0006_data_keys.rs"]
mod m0006_data_keys;
#[path = "m0007_leases.rs"]
pub mod m0007_leases;
#[path = "m0008_attempts_that_may_count.rs"]
mod m0008_attempts_that_may_count;
#[path = "m0009_one_row.rs"]
pub mod m0009_one_row;
#[path = "m0010_ingest_identities.rs"]
mod m0010_ingest_identities;

/// Steps that change rows which a process of before them reads or writes: they are made by whoever has the database's lease.
/// Every other step only adds.
pub const EXCLUSIVE: [&str; 1] = ["m0009_one_row"];

/// Every step, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_paused_executions::Migration),
            Box::new(m0003_history::Migration),
            Box::new(m0004_audit::Migration),
            Box::new(m0005_catalogue::Migration),
            Box::new(m0006_data_keys::Migration),
            Box::new(m0007_leases::Migration),
            Box::new(m0008_attempts_that_may_count::Migration),
            Box::new(m0009_one_row::Migration),
            Box::new(m0010_ingest_identities::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "hookline_migrations".into_iden()
    }
}
