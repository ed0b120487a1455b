//! What is refused, with which error, and without a trace in the database.

use hookline::grpc::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Client, Database, Receiver, Server, automation, deal};

crate::on_both_databases!(every_refusal_names_its_field);

/// Checks a refusal: its code, and the field or reason that its details name.
fn check(what: &str, status: &Status, code: Code, named: &str) {
    assert_eq!(status.code(), code, "{what}: {status:?}");
    let details = status.get_error_details();
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let is_named = fields.iter().any(|violation| violation.field == named) || reason == named;
    assert!(is_named, "{what}: {named} is not named by {reason} {fields:?}");
    assert!(!status.message().is_empty(), "{what}");
}

async fn every_refusal_names_its_field(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Advanced).await.expect("creates");
    service.create_account("43", pb::Plan::Essential).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let early = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let status = admin.create_automation("42", early).await.expect_err("no webhook yet");
    check("no webhook yet", &status, Code::FailedPrecondition, "AUTOMATION_WEBHOOK_REQUIRED");
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");

    plans_and_permissions(&server, &admin, &receiver).await;
    endpoint_urls(&admin).await;
    automations(&admin).await;
    etags_and_names(&admin, &receiver).await;
    events(&service).await;
    assert_eq!(database.count("accounts").await, 2);
    assert_eq!(database.count("webhooks").await, 1);
    for table in ["automations", "activations", "parts", "executions", "answers"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
}

async fn plans_and_permissions(server: &Server, admin: &Client, receiver: &Receiver) {
    let status = admin.create_webhook("43", "x", &receiver.url).await.expect_err("another account");
    check("another account", &status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status =
        admin.create_webhook("no-such", "x", &receiver.url).await.expect_err("a foreign account that is not there");
    check("whether or not it exists", &status, Code::PermissionDenied, "PERMISSION_DENIED");
    let essential = server.client("global_admin", "43", &["--user", "1"]).await;
    let status = essential.create_webhook("43", "x", &receiver.url).await.expect_err("the plan");
    check("the plan", &status, Code::FailedPrecondition, "PLAN_UPGRADE_REQUIRED");
    let user = server.client("user", "42", &["--user", "2", "--permissions", "automations.write"]).await;
    let status = user.create_webhook("42", "x", &receiver.url).await.expect_err("a user");
    check("a user creates no webhook", &status, Code::PermissionDenied, "PERMISSION_DENIED");
    let reader = server.client("user", "42", &["--user", "2"]).await;
    let some = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let status = reader.create_automation("42", some).await.expect_err("no permission");
    check("a user without the permission", &status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = reader.publish("42", vec![deal("e", "8", "{}")]).await.expect_err("a user");
    check("a user publishes nothing", &status, Code::PermissionDenied, "PERMISSION_DENIED");
    let nobody = server.client_with("x.y.z").await;
    let status = nobody.publish("42", vec![deal("e", "8", "{}")]).await.expect_err("no token");
    assert_eq!(status.code(), Code::Unauthenticated);
}

async fn endpoint_urls(admin: &Client) {
    for url in [
        "https://example.com/path",
        "https://user:pass@example.com/",
        "https://example.com/#/",
        "https://example.com/a/../b/",
        "https://EXAMPLE.com/",
        "https://example.com:443/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "ftp://example.com/",
        "example.com/",
        "",
    ] {
        let status = admin.create_webhook("42", "x", url).await.expect_err(url);
        check(url, &status, Code::InvalidArgument, "webhook.endpoint_url");
    }
    let status = admin.create_webhook("42", "Not-An-Id", "https://example.com/").await.expect_err("an id");
    check("an id", &status, Code::InvalidArgument, "webhook_id");
}

async fn automations(admin: &Client) {
    let base = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let with_action = |change: fn(&mut pb::WebhookAction)| {
        let mut automation = base.clone();
        change(&mut automation.actions[0]);
        automation
    };
    let raw = |text: &str| {
        let mut automation = base.clone();
        automation.actions[0].body = Some(pb::webhook_action::Body::RawJson(text.into()));
        automation
    };
    let nested = |depth: usize| {
        let clause = pb::Clause {
            field: "a".into(),
            operator: pb::Operator::IsEmpty.into(),
            values: Vec::new(),
            ..Default::default()
        };
        let mut condition = pb::Condition { kind: Some(pb::condition::Kind::Clause(clause)) };
        for _ in 1..depth {
            let group = pb::ConditionGroup { r#match: pb::ConditionMatch::Any.into(), conditions: vec![condition] };
            condition = pb::Condition { kind: Some(pb::condition::Kind::Group(group)) };
        }
        let conditions =
            Some(pb::ConditionGroup { r#match: pb::ConditionMatch::All.into(), conditions: vec![condition] });
        pb::Automation { conditions, ..base.clone() }
    };
    let many = {
        let clause = pb::Clause {
            field: "a".into(),
            operator: pb::Operator::IsEmpty.into(),
            values: Vec::new(),
            ..Default::default()
        };
        let condition = pb::Condition { kind: Some(pb::condition::Kind::Clause(clause)) };
        let group = pb::ConditionGroup { r#match: pb::ConditionMatch::All.into(), conditions: vec![condition; 101] };
        pb::Automation { conditions: Some(group), ..base.clone() }
    };
    let action = "automation.actions[0]";
    let deep = format!("automation.conditions{}", ".conditions[0].group".repeat(5));
    let cases: Vec<(&str, pb::Automation, String)> = vec![
        ("no webhook", with_action(|action| action.webhook.clear()), format!("{action}.webhook")),
        ("no method", with_action(|action| action.method = 0), format!("{action}.method")),
        (
            "a GET with a body",
            with_action(|action| action.method = pb::HttpMethod::Get.into()),
            format!("{action}.body"),
        ),
        ("no body", with_action(|action| action.body = None), format!("{action}.body")),
        ("a body that is not JSON", raw("{\n \"a\": }"), format!("{action}.raw_json")),
        ("an unknown root", raw(r#"{"a": {{person.name}}}"#), format!("{action}.raw_json")),
        ("a key twice", raw(r#"{"a": 1, "a": 2}"#), format!("{action}.raw_json")),
        ("a path that leaves", with_action(|action| action.path = "../x".into()), format!("{action}.path")),
        ("a fragment", with_action(|action| action.path = "x#y".into()), format!("{action}.path")),
        ("deep groups", nested(6), deep),
        ("many clauses", many, "automation.conditions".into()),
        ("no name", pb::Automation { display_name: String::new(), ..base.clone() }, "automation.display_name".into()),
        (
            "no object",
            pb::Automation { trigger_object: "Deal".into(), ..base.clone() },
            "automation.trigger_object".into(),
        ),
        ("no action", pb::Automation { trigger_action: 0, ..base.clone() }, "automation.trigger_action".into()),
        ("no actions", pb::Automation { actions: Vec::new(), ..base.clone() }, "automation.actions".into()),
        (
            "eleven actions",
            pb::Automation { actions: vec![base.actions[0].clone(); 11], ..base.clone() },
            "automation.actions".into(),
        ),
    ];
    for (what, automation, field) in cases {
        let status = admin.create_automation("42", automation).await.expect_err(what);
        check(what, &status, Code::InvalidArgument, &field);
    }
    let mut all_wrong = with_action(|action| {
        action.method = 0;
        action.path = "x#y".into();
        action.body = Some(pb::webhook_action::Body::RawJson("{".into()));
    });
    all_wrong.display_name.clear();
    let status = admin.create_automation("42", all_wrong).await.expect_err("everything is wrong");
    for field in [
        "automation.display_name".to_owned(),
        format!("{action}.method"),
        format!("{action}.path"),
        format!("{action}.raw_json"),
    ] {
        check("every fault at once", &status, Code::InvalidArgument, &field);
    }
    let status = admin.create_automation("42", raw("{\n \"a\": }")).await.expect_err("not JSON");
    assert!(status.message().contains("line 2 column 7"), "{}", status.message());
    let missing = with_action(|action| action.webhook = "accounts/42/webhooks/none".into());
    let status = admin.create_automation("42", missing).await.expect_err("no such webhook");
    check("no such webhook", &status, Code::FailedPrecondition, "WEBHOOK_NOT_FOUND");
}

async fn etags_and_names(admin: &Client, receiver: &Receiver) {
    let status = admin.create_webhook("42", "hook", &receiver.url).await.expect_err("the id is taken");
    check("the id is taken", &status, Code::AlreadyExists, "ALREADY_EXISTS");
    let twin = pb::CreateWebhookRequest {
        parent: "accounts/42".into(),
        webhook: Some(pb::Webhook {
            display_name: "webhook hook".into(),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: receiver.url.clone(),
            ..pb::Webhook::default()
        }),
        ..pb::CreateWebhookRequest::default()
    };
    let status = admin.webhooks().create_webhook(admin.ask(twin)).await.expect_err("the name is taken");
    check("the name is taken", &status, Code::AlreadyExists, "ALREADY_EXISTS");
    let update = |etag: &str, url: &str, mask: &[&str]| pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/hook".into(),
            endpoint_url: url.into(),
            etag: etag.into(),
            ..pb::Webhook::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() }),
        request_id: String::new(),
    };
    let mut webhooks = admin.webhooks();
    let stale = update("\"0\"", &receiver.url, &["endpoint_url"]);
    let status = webhooks.update_webhook(admin.ask(stale)).await.expect_err("a stale etag");
    check("a stale etag", &status, Code::Aborted, "STALE_ETAG");
    let ending = update("", &format!("{}?a=", receiver.url), &["endpoint_url"]);
    let status = webhooks.update_webhook(admin.ask(ending)).await.expect_err("another ending");
    check("another ending", &status, Code::FailedPrecondition, "ENDPOINT_ENDING_FIXED");
    let status = webhooks.update_webhook(admin.ask(update("", "", &["kind"]))).await.expect_err("the kind is fixed");
    check("the kind is fixed", &status, Code::InvalidArgument, "update_mask");
    let page = pb::ListWebhooksRequest {
        parent: "accounts/42".into(),
        page_token: "x".into(),
        page_size: 0,
        with_health: false,
    };
    let status = webhooks.list_webhooks(admin.ask(page)).await.expect_err("a malformed token");
    check("a malformed token", &status, Code::InvalidArgument, "page_token");
}

async fn events(service: &Client) {
    let results = service.publish("no-such", vec![deal("e", "8", "{}")]).await.expect("acks");
    assert_eq!((results[0].reason.as_str(), results[0].field.as_str()), ("ACCOUNT_NOT_FOUND", "parent"));
    for (data, reason) in [("[]", "INVALID_JSON"), ("{} {}", "INVALID_JSON"), (r#"{"a": "\ud800"}"#, "INVALID_JSON")] {
        let results = service.publish("42", vec![deal("e", "8", data)]).await.expect("acks");
        assert_eq!((results[0].reason.as_str(), results[0].field.as_str()), (reason, "events[0].event.data"), "{data}");
    }
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(1024 * 1024));
    let results = service.publish("42", vec![deal("e", "8", &large)]).await.expect("acks");
    assert_eq!(results[0].reason, "TOO_LARGE");
    let results = service.publish("42", vec![deal("", "8", "{}")]).await.expect("acks");
    assert_eq!(results[0].field, "events[0].event.event_id");
    let frame: Vec<_> = (0..5).map(|_| deal("e", "8", &large)).collect();
    let status = service.publish("42", frame).await.expect_err("an oversized frame");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let status = service.publish("42", Vec::new()).await.expect_err("an empty frame");
    check("an empty frame", &status, Code::InvalidArgument, "events");
}
