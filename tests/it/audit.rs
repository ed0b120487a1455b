//! The audit trail: who changed what, from what to what, and never a secret.

use hookline::grpc::pb;
use tonic::{Code, Status};

use crate::harness::{Client, Database, Receiver, Server, automation, bad_field, deal, eventually, regular};

crate::on_both_databases!(every_change_is_in_the_trail_and_no_secret_is);

const SECRETS: [&str; 4] = ["s3cret-one", "s3cret-two", "hunter2", "whsec_"];

fn all() -> pb::ListAuditEntriesRequest {
    pb::ListAuditEntriesRequest { parent: "accounts/42".into(), ..pb::ListAuditEntriesRequest::default() }
}

async fn page(client: &Client, request: pb::ListAuditEntriesRequest) -> Result<pb::ListAuditEntriesResponse, Status> {
    Ok(client.audit().list_audit_entries(client.ask(request)).await?.into_inner())
}

/// The entries, newest first, over pages of two, each as `who action resource: field before -> after, …`.
async fn trail(client: &Client, request: pb::ListAuditEntriesRequest) -> Vec<String> {
    let mut told = Vec::new();
    let mut request = pb::ListAuditEntriesRequest { page_size: 2, ..request };
    loop {
        let found = page(client, request.clone()).await.expect("lists");
        assert!(found.entries.len() <= 2);
        for entry in found.entries {
            assert!(entry.create_time.is_some());
            let changes = entry.changes.iter().map(|one| format!("{} {:?} -> {:?}", one.field, one.before, one.after));
            let changes: Vec<_> = changes.collect();
            let role = entry.role().as_str_name().trim_start_matches("AUDIT_ROLE_").to_owned();
            let action = entry.action().as_str_name().trim_start_matches("AUDIT_ACTION_").to_owned();
            let resource = entry.resource.trim_start_matches("accounts/42");
            told.push(format!("{role} {} {action} {resource}: {}", entry.user_id, changes.join(", ")));
        }
        request.page_token = found.next_page_token;
        if request.page_token.is_empty() {
            return told;
        }
    }
}

fn basic(password: &str) -> Option<pb::Credentials> {
    let (username, password) = ("u".to_owned(), password.to_owned());
    Some(pb::Credentials { kind: Some(pb::credentials::Kind::Basic(pb::BasicCredentials { username, password })) })
}

async fn every_change_is_in_the_trail_and_no_secret_is(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    service.create_account("42", pb::Plan::Advanced).await.expect("creates");
    let url = |path: &str, secret: &str| format!("{}{path}?key={secret}&id=", receiver.url);
    admin.create_webhook("42", "hook", &url("a", "s3cret-one")).await.expect("creates");
    let update = async |field: &str, webhook: pb::Webhook| {
        let webhook = pb::Webhook { name: "accounts/42/webhooks/hook".into(), ..webhook };
        let update_mask = Some(prost_types::FieldMask { paths: vec![field.into()] });
        let request = pb::UpdateWebhookRequest { webhook: Some(webhook), update_mask, ..Default::default() };
        admin.webhooks().update_webhook(admin.ask(request)).await.expect("updates");
    };
    update("display_name", pb::Webhook { display_name: "CRM".into(), ..Default::default() }).await;
    update("credentials", pb::Webhook { credentials: basic("hunter2"), ..Default::default() }).await;
    update("credentials", pb::Webhook { credentials: basic("hunter2-too"), ..Default::default() }).await;
    update("endpoint_url", pb::Webhook { endpoint_url: url("b", "s3cret-two"), ..Default::default() }).await;
    update("endpoint_url", pb::Webhook { endpoint_url: url("b", "s3cret-one"), ..Default::default() }).await;
    let rotate = pb::RotateWebhookSecretRequest { name: "accounts/42/webhooks/hook".into(), ..Default::default() };
    admin.webhooks().rotate_webhook_secret(admin.ask(rotate)).await.expect("rotates");
    let made = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"n": 1}"#);
    let made = admin.create_automation("42", made).await.expect("creates");
    let deactivate = pb::DeactivateAutomationRequest { name: made.name.clone(), everyone: true, ..Default::default() };
    admin.automations().deactivate_automation(admin.ask(deactivate)).await.expect("deactivates");
    let activate = pb::ActivateAutomationRequest { name: made.name.clone(), ..Default::default() };
    user.automations().activate_automation(user.ask(activate)).await.expect("activates");
    let limits = pb::SetAccountLimitsRequest {
        name: "accounts/42".into(),
        limit_overrides: Some(pb::AccountLimits { executions_per_window: Some(9), ..Default::default() }),
        ..Default::default()
    };
    service.accounts().set_account_limits(service.ask(limits)).await.expect("sets");
    let request = regular("all", &receiver.url, "*.*");
    user.webhooks().create_webhook(user.ask(request)).await.expect("creates");
    receiver.answer_with(410);
    service.publish("42", vec![deal("e", "8", "{}")]).await.expect("acks");
    let entries = eventually("a rule disables the webhook", || async {
        let mut entries = trail(&service, all()).await;
        entries.retain(|entry| !entry.contains("CREATED /webhooks/all"));
        entries[0].starts_with("RULE").then_some(entries)
    })
    .await;
    let delete = pb::DeleteAutomationRequest { name: made.name.clone(), ..Default::default() };
    admin.automations().delete_automation(admin.ask(delete)).await.expect("deletes");
    let id = made.name.rsplit('/').next().expect("an id");
    let expected = [
        r#"RULE  UPDATED /webhooks/all: enabled "true" -> "false: gone""#.to_owned(),
        r#"SERVICE  UPDATED : limit_overrides "{}" -> "{\"executions_per_window\":9}""#.to_owned(),
        format!(r#"USER 7 UPDATED /automations/{id}: active_for "" -> "7""#),
        format!(r#"GLOBAL_ADMIN 1 UPDATED /automations/{id}: active_for "everyone" -> """#),
    ];
    assert_eq!(entries[..4], expected);
    assert!(
        entries[4].starts_with(&format!("GLOBAL_ADMIN 1 CREATED /automations/{id}: display_name")),
        "{}",
        entries[4]
    );
    assert!(!entries[4].contains("webhook_uid"));
    assert_eq!(entries[5], r#"GLOBAL_ADMIN 1 UPDATED /webhooks/hook: signing_secret "" -> "a new one""#);
    assert!(entries[6].ends_with("(other query values)\""), "{}", entries[6]);
    assert!(entries[7].contains("/b?key=***"), "{}", entries[7]);
    assert_eq!(entries[8], r#"GLOBAL_ADMIN 1 UPDATED /webhooks/hook: credentials "others" -> "new ones: basic""#);
    assert_eq!(entries[10], r#"GLOBAL_ADMIN 1 UPDATED /webhooks/hook: display_name "webhook hook" -> "CRM""#);
    assert!(entries[12].starts_with(r#"SERVICE  CREATED : plan "" -> "ADVANCED""#), "{}", entries[12]);
    assert_eq!(entries.len(), 13);

    what_is_asked_for_is_found(&admin, &made.name).await;
    let all_of_it = format!("{:?}", page(&service, pb::ListAuditEntriesRequest { page_size: 1_000, ..all() }).await);
    for secret in SECRETS {
        assert!(!all_of_it.contains(secret), "{secret} is in the trail");
    }
    // A refused call changes nothing, and leaves nothing.
    let denied = user.create_webhook("42", "x", &receiver.url).await.expect_err("only an admin");
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert_eq!(database.count("audit").await, 15);
    server.kill().await;
    old_entries_go(&database).await;
}

/// The trail of the fifteen entries, by resource, user and time.
async fn what_is_asked_for_is_found(admin: &Client, automation: &str) {
    let of = async |filter: pb::ListAuditEntriesRequest| trail(admin, filter).await.len();
    assert_eq!(of(all()).await, 15, "an admin reads it, too");
    assert_eq!(
        of(pb::ListAuditEntriesRequest { resource: automation.to_owned(), ..all() }).await,
        4,
        "of one resource"
    );
    assert_eq!(of(pb::ListAuditEntriesRequest { resource: "accounts/42".into(), ..all() }).await, 2);
    assert_eq!(of(pb::ListAuditEntriesRequest { user_id: "7".into(), ..all() }).await, 2, "of one user");
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    assert_eq!(of(pb::ListAuditEntriesRequest { end_time: time(1_600_000_000), ..all() }).await, 0, "of a time");
    assert_eq!(of(pb::ListAuditEntriesRequest { start_time: time(1_600_000_000), ..all() }).await, 15);
    for (request, field) in [
        (pb::ListAuditEntriesRequest { resource: "accounts/43".into(), ..all() }, "resource"),
        (pb::ListAuditEntriesRequest { user_id: "a\0".into(), ..all() }, "user_id"),
        (pb::ListAuditEntriesRequest { start_time: time(-1), ..all() }, "start_time"),
        (pb::ListAuditEntriesRequest { page_token: "x".into(), ..all() }, "page_token"),
    ] {
        let refused = page(admin, request).await.expect_err(field);
        assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
}

/// Entries are kept for as many days as are configured, and deleted however many there are.
async fn old_entries_go(database: &Database) {
    database.execute("UPDATE audit SET created_at = created_at - 172800000000").await;
    let server = Server::start(database, &["--audit-retention-days", "3"]).await;
    let service = server.client("service", "*", &[]).await;
    let plan =
        pb::SetAccountPlanRequest { name: "accounts/42".into(), plan: pb::Plan::Power.into(), ..Default::default() };
    service.accounts().set_account_plan(service.ask(plan)).await.expect("sets");
    assert_eq!(trail(&service, all()).await.len(), 16, "two days are not three");
    server.kill().await;
    // More than one statement removes.
    let many = "INSERT INTO audit (account_uid, revision, no, created_at, resource, user_id, entry) \
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
                SELECT a.account_uid, a.revision, 1000 + n.i, a.created_at, a.resource, a.user_id, a.entry \
                FROM (SELECT * FROM audit ORDER BY created_at, revision, no LIMIT 1) a CROSS JOIN n";
    database.execute(many).await;
    assert_eq!(database.count("audit").await, 1_216);
    let _server = Server::start(database, &["--audit-retention-days", "1"]).await;
    eventually("the old ones go", || async { (database.count("audit").await == 1).then_some(()) }).await;
}
