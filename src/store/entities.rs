//! The tables as sea-orm sees them. Their columns are documented by the migrations.

macro_rules! entity {
    ($module:ident, $table:literal, { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        pub mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                $($(#[$meta])* pub $field: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity!(accounts, "accounts", {
    #[sea_orm(primary_key, auto_increment = false)]
    uid: Uuid,
    id: String,
    partition: i16,
    plan: String,
    limits: Option<Vec<u8>>,
    revision: i64,
    facts_revision: i64,
    window_no: i64,
    window_start: i64,
    window_used: i64,
    next_due_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
    paused: i64,
    counts: String,
    expires_at: Option<i64>,
    expired_revision: i64,
    sealed_data_key: Option<Vec<u8>>,
    ingest_identities: Option<Vec<u8>>,
});

entity!(webhooks, "webhooks", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    uid: Uuid,
    id: String,
    display_name: String,
    kind: String,
    status: String,
    owner_user_id: Option<String>,
    masked_url: String,
    sealed_url: Vec<u8>,
    sealed_credentials: Option<Vec<u8>>,
    sealed_secrets: Vec<u8>,
    policy: Vec<u8>,
    health: Option<Vec<u8>>,
    traffic: Option<Vec<u8>>,
    revision: i64,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
});

entity!(automations, "automations", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    uid: Uuid,
    id: String,
    display_name: String,
    owner_user_id: String,
    enabled: i16,
    spec: Vec<u8>,
    revision: i64,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
});

entity!(activations, "activations", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    automation_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    user_id: String,
});

entity!(executions, "executions", {
    #[sea_orm(primary_key, auto_increment = false)]
    account: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    source: i64,
    event: i64,
    due_at: Option<i64>,
    waits_for: Option<i64>,
    admitted_window: i64,
    changed_revision: i64,
    created_at: i64,
    ended_at: Option<i64>,
    event_part: Option<i64>,
    uid: Option<Uuid>,
    retry_of: Option<Uuid>,
    run: i32,
    action_no: i32,
    attempts: i32,
    failed_actions: i32,
    weight: i32,
    source_kind: i16,
    action: i16,
    state: i16,
    may_be_done: i16,
    object: String,
    event_id: String,
    entity_id: String,
    acting_user: Option<String>,
    reason: Option<String>,
    webhooks: Option<Vec<u8>>,
    part: Option<Vec<u8>>,
    outcome: Option<Vec<u8>>,
});

entity!(parts, "parts", {
    #[sea_orm(primary_key, auto_increment = false)]
    account: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    bytes: Vec<u8>,
});

entity!(attempts, "attempts", {
    #[sea_orm(primary_key, auto_increment = false)]
    account: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    execution: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    action_no: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    number: i32,
    sealed_url: Option<Vec<u8>>,
    bytes: Vec<u8>,
});

entity!(audit, "audit", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    revision: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    no: i32,
    created_at: i64,
    resource: String,
    user_id: Option<String>,
    entry: Vec<u8>,
});

entity!(catalogue, "catalogue", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    object: String,
    fields: Vec<u8>,
});

entity!(notices, "notices", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    revision: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    no: i32,
    created_at: i64,
    notice: Vec<u8>,
});

entity!(jobs, "jobs", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    uid: Uuid,
    kind: String,
    state: String,
    spec: Vec<u8>,
    cursor: Option<Vec<u8>>,
    created_at: i64,
    updated_at: i64,
});

entity!(answers, "answers", {
    #[sea_orm(primary_key, auto_increment = false)]
    account_uid: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    request_id: String,
    account_id: Option<String>,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
    created_at: i64,
});
