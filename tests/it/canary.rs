//! Canaries: credentials of every kind are planted, everything is done with them that people do, also at the most talkative
//! log level, and then every place is searched where they must not be.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hookline::grpc::pb;
use tokio::process::Command;

use crate::{
    harness::{Client, Database, Receiver, Server, automation, deal, eventually, next},
    identities,
    operations::http,
    traces::Collector,
};

const QUERY: &str = "c4nary-query-value";
const PASSWORD: &str = "c4nary-password";
const BEARER: &str = "c4nary-bearer-token";
const HEADER: &str = "c4nary-header-value";
/// What must be found nowhere. The pair is that of basic authentication.
const CANARIES: [&str; 5] = [QUERY, PASSWORD, BEARER, HEADER, "Y2FuYXJ5LXVzZXI6YzRuYXJ5LXBhc3N3b3Jk"];

fn webhook(id: &str, url: &str, credentials: Option<pb::credentials::Kind>) -> pb::Webhook {
    pb::Webhook {
        display_name: format!("webhook {id}"),
        kind: pb::WebhookKind::Automation.into(),
        endpoint_url: url.into(),
        credentials: credentials.map(|kind| pb::Credentials { kind: Some(kind) }),
        ..pb::Webhook::default()
    }
}

fn credentials() -> [(&'static str, &'static str, Option<pb::credentials::Kind>); 4] {
    let basic = pb::BasicCredentials { username: "canary-user".into(), password: PASSWORD.into() };
    let headers = pb::HeaderCredentials { headers: [("x-key".to_owned(), HEADER.to_owned())].into() };
    [
        ("query", "?key=c4nary-query-value&id=", None),
        ("basic", "", Some(pb::credentials::Kind::Basic(basic))),
        ("bearer", "", Some(pb::credentials::Kind::Bearer(pb::BearerCredentials { token: BEARER.into() }))),
        ("header", "", Some(pb::credentials::Kind::Headers(headers))),
    ]
}

/// Uses what was planted in every way. Answers the signing secrets that were made.
async fn use_everything(admin: &Client, service: &Client, receiver: &Receiver, seen: &mut String) -> Vec<String> {
    let mut secrets = Vec::new();
    for (id, ending, kind) in credentials() {
        let request = pb::CreateWebhookRequest {
            parent: "accounts/42".into(),
            webhook_id: id.into(),
            webhook: Some(webhook(id, &format!("{}{id}/{ending}", receiver.url), kind.clone())),
            request_id: format!("create-{id}"),
        };
        let made = admin.webhooks().create_webhook(admin.ask(request.clone())).await.expect("creates").into_inner();
        secrets.push(made.signing_secret);
        // The same call again has the stored answer, another one with the same key is refused.
        let again = admin.webhooks().create_webhook(admin.ask(request.clone())).await.expect("repeats").into_inner();
        assert!(again.signing_secret.is_empty());
        let other = pb::CreateWebhookRequest { webhook_id: format!("{id}2"), ..request };
        let refused = admin.webhooks().create_webhook(admin.ask(other)).await.expect_err("another call");
        let _ = writeln!(seen, "{refused:?}");
        let mut one = automation("42", id, id, pb::EventAction::Change, "{}");
        one.actions[0].path = "8".into();
        admin.create_automation("42", one).await.expect("creates");
        let mut event = deal(id, "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut event.kind {
            event.object = id.into();
        }
        service.publish("42", vec![event]).await.expect("acks");
        let name = format!("accounts/42/webhooks/{id}");
        let rotate = pb::RotateWebhookSecretRequest { name: name.clone(), ..Default::default() };
        secrets.push(
            admin
                .webhooks()
                .rotate_webhook_secret(admin.ask(rotate))
                .await
                .expect("rotates")
                .into_inner()
                .signing_secret,
        );
        let update = |webhook: pb::Webhook| pb::UpdateWebhookRequest { webhook: Some(webhook), ..Default::default() };
        let bad = format!("http://LOCALHOST/{id}?key={QUERY}&x=");
        let refused = update(pb::Webhook { name: name.clone(), endpoint_url: bad, ..Default::default() });
        let refused = admin.webhooks().update_webhook(admin.ask(refused)).await.expect_err("not normal");
        let _ = writeln!(seen, "{refused:?}");
        let kind = kind.map(|kind| pb::Credentials { kind: Some(kind) });
        let moved = pb::Webhook { name, credentials: kind, requests_per_second: 900, ..Default::default() };
        admin.webhooks().update_webhook(admin.ask(update(moved))).await.expect("updates");
    }
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_is_found_anywhere() {
    let database = Database::sqlite();
    let (collector, url) = Collector::start().await;
    let variables =
        [("RUST_LOG", "trace"), ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server =
        Server::start_with(&database, &["--retry-delays-ms", "50", "--http-listen", "127.0.0.1:0"], &variables).await;
    let receiver = Receiver::start().await;
    receiver.answer_at("/bearer/", 503);
    let service_token = server.token("service", "*", &[]);
    let admin_token = server.token("global_admin", "42", &["--user", "1"]);
    let (service, admin) = (server.client_with(&service_token).await, server.client_with(&admin_token).await);
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let user = server.client("user", "42", &["--user", "7"]).await;
    let watch = pb::WatchRequest { parent: "accounts/42".into(), ..Default::default() };
    let mut watching = user.watches().watch(user.ask(watch)).await.expect("watches").into_inner();
    let mut seen = String::new();
    let secrets = use_everything(&admin, &service, &receiver, &mut seen).await;
    eventually("everything ends", || async {
        let history = service.history("42").await;
        (history.len() == 4 && history.iter().all(|one| one.end_time.is_some())).then_some(())
    })
    .await;
    for _ in 0..4 {
        let _ = writeln!(seen, "watch: {:?}", next(&mut watching).await.expect("a change"));
    }
    for execution in user.history("42").await {
        let _ = writeln!(seen, "history: {:?}", user.execution(&execution.name).await);
    }
    let list = pb::ListWebhooksRequest { parent: "accounts/42".into(), ..Default::default() };
    let _ = writeln!(seen, "list: {:?}", user.webhooks().list_webhooks(user.ask(list)).await.expect("lists"));
    let trail = pb::ListAuditEntriesRequest { parent: "accounts/42".into(), page_size: 1_000, ..Default::default() };
    let _ = writeln!(seen, "audit: {:?}", admin.audit().list_audit_entries(admin.ask(trail)).await.expect("lists"));
    over_http(&server, &admin_token, &receiver.url, &mut seen).await;
    let identity = by_identity(&server, &service, &mut seen).await;
    let page = http().get(format!("{}metrics", server.operations)).send().await.expect("answers");
    let _ = writeln!(seen, "metrics: {}", page.text().await.expect("text"));
    let spans = eventually("spans are exported", || async {
        let spans = collector.spans();
        (spans.len() > 20).then_some(spans)
    })
    .await;
    let _ = writeln!(seen, "traces: {spans:?}");
    let address = format!("http://{}", server.address);
    std::fs::write(
        database.folder.path().join("crm.yaml"),
        format!("webhook: query\nendpoint_url: {}query/?key={QUERY}2&id=\n", receiver.url),
    )
    .expect("writes");
    for words in [
        &["webhooks", "list"][..],
        &["webhooks", "show", "query"],
        &["webhooks", "show", "basic"],
        &["executions", "list"],
        &["automations", "list"],
        &["apply", "-f", "crm.yaml", "--dry-run"],
        &["apply", "-f", "crm.yaml", "--dry-run", "--json"],
    ] {
        let is_plan = words[0] == "apply";
        let who: &[&str] =
            if is_plan { &["--as", "global_admin", "--user", "1"] } else { &["--as", "user", "--user", "7"] };
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        command.args(words).args(["--account", "42", "--address", &address, "--database", &database.url]).args(who);
        let output = command.current_dir(database.folder.path()).output().await.expect("runs");
        let _ = writeln!(
            seen,
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Everything arrived with what it needed: the canaries were there to be found.
    let sent = format!("{:?}", receiver.got());
    // The password itself only goes out in its pair.
    for canary in CANARIES.into_iter().filter(|canary| *canary != PASSWORD) {
        assert!(sent.contains(canary), "{canary} was sent");
    }
    let log = server.log();
    assert!(log.contains("TRACE") && log.len() > 10_000, "the log is as talkative as it can be");
    let _ = writeln!(seen, "log: {log}");
    // A kill leaves the log of the database beside it.
    server.kill().await;
    for file in [database.url.clone(), format!("{}-wal", database.url)] {
        let _ = writeln!(seen, "{file}: {}", String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()));
    }
    assert!(seen.matches("webhook query").count() > 5, "the search finds what is there");
    let tokens = [service_token.as_str(), admin_token.as_str()];
    let keys = ["signing", "sealing"].map(|what| {
        let key = std::fs::read_to_string(format!("{}.{what}.key", database.url)).expect("a key");
        key.trim().to_owned()
    });
    let pair = STANDARD_NO_PAD.encode(format!("crm:{identity}"));
    let identity = [identity.as_str(), pair.as_str()];
    let bare = secrets.iter().map(|secret| secret.trim_start_matches("whsec_"));
    let wanted = CANARIES.into_iter().chain(tokens).chain(keys.iter().map(String::as_str)).chain(bare).chain(identity);
    for canary in wanted {
        let found = seen.lines().find(|line| line.contains(canary));
        assert!(found.is_none(), "{canary} is in: {}", found.map(|line| around(line, canary)).unwrap_or_default());
    }
}

/// Events that come in with Basic credentials, good ones and others. Answers the secret.
async fn by_identity(server: &Server, service: &Client, seen: &mut String) -> String {
    let made = identities::create(service, "crm", "create-crm").await.expect("creates");
    let (status, ..) = identities::send(server, identities::EVENTS, "crm", &made.secret, "by-identity").await;
    assert_eq!(status, 200);
    for (path, user) in [(identities::EVENTS, "other"), ("/hookline.v1.CallerService/GetCaller", "crm")] {
        let _ = writeln!(seen, "basic: {:?}", identities::send(server, path, user, &made.secret, "refused").await);
    }
    let again = identities::create(service, "crm", "create-crm").await.expect("repeats");
    let _ = writeln!(seen, "identities: {again:?} {:?}", identities::list(service).await);
    made.secret
}

/// The same of the HTTP port: what it shows of webhooks and executions, and what it says of calls that fail.
async fn over_http(server: &Server, admin: &str, url: &str, seen: &mut String) {
    // An admin is shown the whole URL; others are not.
    let user = server.token("user", "42", &["--user", "7"]);
    let call = async |token: &str, path: &str, body: String| {
        let request = http().post(format!("{}/{path}", server.http)).bearer_auth(token);
        let answer = request.header("content-type", "application/json").body(body).send().await.expect("answers");
        format!("{path}: {} {:?} {}", answer.status(), answer.headers().clone(), answer.text().await.expect("text"))
    };
    for method in ["WebhookService/ListWebhooks", "ExecutionService/ListExecutions"] {
        let shown = call(&user, &format!("hookline.v1.{method}"), r#"{"parent": "accounts/42"}"#.to_owned()).await;
        let _ = writeln!(seen, "http: {shown}");
    }
    let name = "accounts/42/webhooks/bearer";
    let credentials = format!(r#""credentials": {{"bearer": {{"token": "{BEARER}"}}"#);
    for webhook in [
        format!(r#"{{"name": "{name}", "endpointUrl": "http://LOCALHOST/?key={QUERY}&x="}}"#),
        format!(r#"{{"name": "{name}", {credentials}, "none": 1}}}}"#),
        format!(r#"{{"name": "{name}", {credentials}"#),
    ] {
        let body = format!(r#"{{"webhook": {webhook}}}"#);
        let shown = call(admin, "hookline.v1.WebhookService/UpdateWebhook", body).await;
        assert!(shown.contains("400 Bad Request"), "{shown}");
        let _ = writeln!(seen, "http: {shown}");
    }
    let shown = call(admin, &format!("v1/accounts/42/events?url={url}"), "{}".to_owned()).await;
    let _ = writeln!(seen, "http: {shown}");
}

/// What is around a find.
fn around(line: &str, canary: &str) -> String {
    let at = line.find(canary).unwrap_or_default();
    let before: String = line[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
    let head: String = line.chars().take(60).collect();
    format!("{head} … {before}{}", line[at..].chars().take(200).collect::<String>())
}
