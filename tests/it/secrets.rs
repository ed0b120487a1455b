//! Secrets: where they must never show, and where they must not go.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use hookline::grpc::pb;
use tokio::{net::TcpListener, process::Command};

use crate::{
    harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually},
    identities,
    web::HTTP,
};

crate::on_both_databases!(
    no_answer_of_an_endpoint_keeps_a_secret,
    credentials_stay_with_their_server,
    the_sealing_key_is_changed_while_the_service_runs,
);

/// An endpoint that gives back everything that it gets, as many do: in redirects, challenges and pages of errors.
async fn echo() -> String {
    async fn answer(uri: Uri, headers: HeaderMap) -> Response {
        let got = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let sent = got("authorization");
        if uri.path().starts_with("/redirect") {
            let location = format!("https://elsewhere.example{uri}");
            return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response();
        }
        if uri.path().starts_with("/challenge") {
            let challenge = format!("Bearer error=\"bad token {sent}\"");
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
        }
        let all: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let page = serde_json::json!({
            "uri": uri.to_string(), "again": uri.to_string().replace('%', "%25"), "headers": all, "token": got("x-key"),
        });
        (StatusCode::BAD_REQUEST, [("x-request-id", sent)], page.to_string()).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

fn headers(name: &str, value: &str) -> pb::Credentials {
    let headers = [(name.to_owned(), value.to_owned())].into();
    pb::Credentials { kind: Some(pb::credentials::Kind::Headers(pb::HeaderCredentials { headers })) }
}

fn basic(username: &str, password: &str) -> pb::Credentials {
    let basic = pb::BasicCredentials { username: username.into(), password: password.into() };
    pb::Credentials { kind: Some(pb::credentials::Kind::Basic(basic)) }
}

fn bearer(token: &str) -> pb::Credentials {
    pb::Credentials { kind: Some(pb::credentials::Kind::Bearer(pb::BearerCredentials { token: token.into() })) }
}

async fn create(admin: &Client, id: &str, url: &str, credentials: Option<pb::Credentials>) {
    let webhook = pb::Webhook {
        display_name: id.into(),
        kind: pb::WebhookKind::Automation.into(),
        endpoint_url: url.into(),
        credentials,
        ..pb::Webhook::default()
    };
    let request = pb::CreateWebhookRequest {
        parent: "accounts/42".into(),
        webhook_id: id.into(),
        webhook: Some(webhook),
        ..pb::CreateWebhookRequest::default()
    };
    admin.webhooks().create_webhook(admin.ask(request)).await.expect("creates");
}

/// What is planted, in every form that it may come back in.
const PLANTED: [&str; 10] = [
    "Pl4nted/Query",
    "Pl4nted%2FQuery",
    "Pl4nted%252FQuery",
    "pl4nted-passw0rd",
    "cGw0bnRlZC11c2VyOnBsNG50ZWQtcGFzc3cwcmQ",
    "pl4nted-bearer",
    "pl4nted-header",
    "pl4nted-key",
    "pl4nted-user",
    "whsec_",
];

async fn no_answer_of_an_endpoint_keeps_a_secret(database: Database) {
    let server = Server::start(&database, &["--retry-delays-ms", "100"]).await;
    let url = echo().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let mut wanted = 0;
    for kind in ["redirect", "challenge", "page"] {
        for (name, ending, credentials) in [
            ("query", "?api_key=Pl4nted%2FQuery&x=", None),
            ("basic", "", Some(basic("pl4nted-user", "pl4nted-passw0rd"))),
            ("bearer", "", Some(bearer("pl4nted-bearer"))),
            ("header", "", Some(headers("Authorization", "Token pl4nted-header"))),
            ("key", "", Some(headers("X-Key", "pl4nted-key"))),
            ("short", "?sig=q7x&x=", Some(headers("X-Key", "k3y"))),
        ] {
            let id = format!("{kind}-{name}");
            create(&admin, &id, &format!("{url}{kind}/{ending}"), credentials).await;
            let object = format!("{kind}_{name}");
            admin
                .create_automation("42", automation("42", &id, &object, pb::EventAction::Change, "{}"))
                .await
                .expect("creates");
            let mut event = deal(&id, "8", "{}");
            if let Some(pb::event_input::Kind::Event(event)) = &mut event.kind {
                event.object = object;
            }
            service.publish("42", vec![event]).await.expect("acks");
            wanted += 1;
            let test = pb::TestWebhookRequest { name: format!("accounts/42/webhooks/{id}") };
            let tested = admin.webhooks().test_webhook(admin.ask(test)).await.expect("tests").into_inner();
            // An admin sees the endpoint's own URL, and nothing of it in what came back.
            let attempt = pb::Attempt { url: String::new(), ..tested.attempt.expect("an attempt") };
            assert_clean(&format!("the test of {id}"), &shown(&attempt));
        }
    }
    let history = eventually("every execution ends", || async {
        let history = service.history("42").await;
        (history.len() == wanted && history.iter().all(|one| one.end_time.is_some())).then_some(history)
    })
    .await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    let mut stars = 0;
    for execution in history {
        let full = user.execution(&execution.name).await;
        for attempt in full.requests.iter().flat_map(|request| &request.attempts) {
            let text = shown(attempt);
            assert_clean(&execution.event_id, &text);
            stars += usize::from(text.contains("***"));
        }
    }
    assert!(stars >= 9, "{stars} answers had something to hide");
    assert!(server.terminate().await);
    // What is stored is what is shown: nothing is unsealed in the database.
    if !database.url.starts_with("postgres") {
        let file = std::fs::read(&database.url).expect("the database");
        assert_clean("the file", &String::from_utf8_lossy(&file));
    }
}

/// What people see of an attempt.
fn shown(attempt: &pb::Attempt) -> String {
    let excerpt = String::from_utf8_lossy(&attempt.response_excerpt).into_owned();
    format!("{} {:?} {excerpt} {}", attempt.url, attempt.response_headers, attempt.error_message)
}

fn assert_clean(place: &str, text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "{place} shows {secret}: {text}");
    }
    for short in ["sig=q7x", "\"k3y\"", ": k3y"] {
        assert!(!text.contains(short), "{place} shows {short}: {text}");
    }
}

async fn credentials_stay_with_their_server(database: Database) {
    let server = Server::start(&database, &[]).await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let (_, admin) = account_42(&server, &first.url).await;
    create(&admin, "moved", &first.url, Some(bearer("pl4nted-bearer"))).await;
    let update = async |url: &str, credentials: Option<pb::Credentials>| {
        let paths = match credentials {
            Some(_) => vec!["endpoint_url".to_owned(), "credentials".to_owned()],
            None => vec!["endpoint_url".to_owned()],
        };
        let request = pb::UpdateWebhookRequest {
            webhook: Some(pb::Webhook {
                name: "accounts/42/webhooks/moved".into(),
                endpoint_url: url.into(),
                credentials,
                ..pb::Webhook::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateWebhookRequest::default()
        };
        admin.webhooks().update_webhook(admin.ask(request)).await.expect("updates").into_inner()
    };
    let test = async || {
        let test = pb::TestWebhookRequest { name: "accounts/42/webhooks/moved".into() };
        assert!(admin.webhooks().test_webhook(admin.ask(test)).await.expect("tests").into_inner().succeeded);
    };
    let has_kind = |updated: &pb::UpdateWebhookResponse| {
        updated.webhook.as_ref().and_then(|webhook| webhook.credentials.as_ref()).is_some_and(|one| one.kind.is_some())
    };
    let same = update(&format!("{}elsewhere/", first.url), None).await;
    assert!(same.warnings.is_empty() && has_kind(&same), "another path of the same server: {same:?}");
    test().await;
    assert_eq!(first.got().last().expect("a request").headers["authorization"], "Bearer pl4nted-bearer");

    // Another port is another server.
    let moved = update(&second.url, None).await;
    assert!(moved.warnings.len() == 1 && moved.warnings[0].contains("credentials were dropped"), "{moved:?}");
    assert!(!has_kind(&moved));
    test().await;
    let got = second.got().pop().expect("a request");
    assert!(!got.headers.contains_key("authorization"), "{got:?}");
    assert!(got.headers.contains_key("webhook-signature"), "the signing secret stays");
    let back = update(&first.url, Some(bearer("another-one"))).await;
    assert!(back.warnings.is_empty() && has_kind(&back), "new credentials come along: {back:?}");
    test().await;
    assert_eq!(first.got().last().expect("a request").headers["authorization"], "Bearer another-one");
    // The trail says so.
    let trail = pb::ListAuditEntriesRequest { parent: "accounts/42".into(), ..pb::ListAuditEntriesRequest::default() };
    let entries = admin.audit().list_audit_entries(admin.ask(trail)).await.expect("lists").into_inner().entries;
    let dropped = entries.iter().flat_map(|entry| &entry.changes).filter(|change| change.field == "credentials");
    assert!(dropped.count() >= 2, "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_the_owners_and_links_are_not_followed() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let folder = database.folder.path();
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    for name in ["test.db", "test.db.lock", "test.db.migrate.lock", "test.db.signing.key", "test.db.sealing.key"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    let run = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        let output = command.args(words).current_dir(folder).output().await.expect("runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    // A copy never goes where a link leads, nor over a file.
    std::fs::write(folder.join("victim"), "precious").expect("writes");
    symlink(folder.join("nowhere"), folder.join("copy.db")).expect("links");
    let (done, said) = run(&["backup", "--database", "test.db", "copy.db"]).await;
    assert!(!done && !folder.join("nowhere").exists(), "{said}");
    let (done, said) = run(&["backup", "--database", "test.db", "good.db"]).await;
    assert!(done, "{said}");
    assert_eq!(mode(&folder.join("good.db")), 0o600);
    let left = std::fs::read_dir(folder).expect("a folder").flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("backup")), "nothing is left");

    // Nor does a signing secret.
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    std::fs::write(folder.join("crm.yaml"), "webhook: crm\ndisplay_name: CRM\nendpoint_url: http://127.0.0.1:9/\n")
        .expect("writes");
    std::fs::create_dir(folder.join("kept")).expect("makes");
    symlink(folder.join("victim"), folder.join("kept/crm")).expect("links");
    let address = format!("http://{}", server.address);
    let admin =
        ["--account", "42", "--as", "global_admin", "--user", "1", "--address", &address, "--database", "test.db"];
    let words = [&["apply", "-f", "crm.yaml", "--yes", "--secrets-dir", "kept"][..], &admin].concat();
    let (done, said) = run(&words).await;
    assert!(done, "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("victim")).expect("reads"), "precious");
    assert!(std::fs::read_to_string(folder.join("kept/crm")).expect("reads").starts_with("whsec_"));

    // What a plan does beside what the file says is in the plan.
    create(
        &server.client("global_admin", "42", &["--user", "1"]).await,
        "moved",
        "http://127.0.0.1:9/",
        Some(bearer("b")),
    )
    .await;
    std::fs::write(folder.join("crm.yaml"), "webhook: moved\nendpoint_url: http://127.0.0.1:10/\n").expect("writes");
    let words = [&["apply", "-f", "crm.yaml", "--dry-run"][..], &admin].concat();
    let (done, said) = run(&words).await;
    assert!(
        done && said.contains("warning: the endpoint URL leads to another server: the credentials are dropped"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_type_wrong_is_not_printed_with_its_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    for database in [
        "postgress://u:SECRET@127.0.0.1/db",
        "postgres:/u:SECRET@127.0.0.1/db",
        "mysql://u:SECRET@127.0.0.1/db",
        "postgres://u:SECRET@127.0.0.1:99999/db",
        "postgres://u:SECRET@127.0.0.1:1/db",
        "u:SECRET@127.0.0.1/db",
        "host=127.0.0.1 user=u password=SECRET",
        "postgres;u:SECRET",
    ] {
        for command in ["migrate", "doctor"] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_hookline"));
            program.args([command, "--database", database]).current_dir(folder.path());
            let output = program.output().await.expect("runs");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success() && !said.contains("SECRET"), "{database}: {said}");
        }
    }
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let (_, admin) = account_42(&server, "http://127.0.0.1:9/").await;
    let refused = admin.create_webhook("42", "x", "http://LOCALHOST/a/../?key=SECRET&").await.expect_err("not normal");
    let said = format!("{refused:?}");
    assert!(said.contains("http://localhost/?key=***&") && !said.contains("SECRET"), "{said}");
}

/// Both keys open, the first one seals; after the rotation the old one is not needed any more.
async fn the_sealing_key_is_changed_while_the_service_runs(database: Database) {
    let folder = database.folder.path();
    for (name, byte) in [
        ("old.key", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
        ("new.key", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="),
    ] {
        std::fs::write(folder.join(name), byte).expect("writes");
    }
    let receiver = Receiver::start().await;
    let url = format!("{}?key=pl4nted-query&id=", receiver.url);
    let server = Server::start(&database, &["--sealing-key-file", "old.key"]).await;
    let service = server.client("service", "*", &[]).await;
    let request = pb::CreateAccountRequest {
        account_id: "42".into(),
        account: Some(pb::Account { plan: pb::Plan::Power.into(), ..Default::default() }),
        request_id: "one".into(),
    };
    service.accounts().create_account(service.ask(request.clone())).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let create = pb::CreateWebhookRequest {
        parent: "accounts/42".into(),
        webhook_id: "hook".into(),
        webhook: Some(pb::Webhook {
            display_name: "hook".into(),
            kind: pb::WebhookKind::Automation.into(),
            endpoint_url: url.clone(),
            credentials: Some(bearer("pl4nted-bearer")),
            ..Default::default()
        }),
        request_id: "two".into(),
    };
    admin.webhooks().create_webhook(admin.ask(create.clone())).await.expect("creates");
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    one.actions[0].path = "{{deal.id}}".into();
    admin.create_automation("42", one).await.expect("creates");
    service.publish("42", vec![deal("e1", "8", r#"{"id": 8}"#)]).await.expect("acks");
    eventually("it arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    eventually("it ends", || async {
        service.history("42").await.iter().all(|one| one.end_time.is_some()).then_some(())
    })
    .await;
    assert!(server.terminate().await);
    // What a call asked, with its secrets, cannot be tried out: its fingerprint has a key.
    let lengths = database.numbers("SELECT CAST(length(fingerprint) AS bigint) FROM answers").await;
    assert!(lengths.len() == 2 && lengths.iter().all(|length| *length == 36), "{lengths:?}");
    // A fingerprint of before is keyed at the start.
    database.execute("UPDATE answers SET fingerprint = substr(fingerprint, 1, 8)").await;
    let server = Server::start(&database, &["--sealing-key-file", "old.key"]).await;
    let service = server.client("service", "*", &[]).await;
    let ingest_secret = identities::create(&service, "crm", "").await.expect("creates").secret;
    assert!(server.terminate().await);
    assert!(
        database
            .numbers("SELECT CAST(length(fingerprint) AS bigint) FROM answers")
            .await
            .iter()
            .all(|length| *length == 36)
    );

    let say = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        let output =
            command.args(words).args(["--database", &database.url]).current_dir(folder).output().await.expect("runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (_, said) = say(&["doctor", "--sealing-key-file", "new.key,old.key"]).await;
    assert!(said.contains("values are sealed by another key") && said.contains("keys rotate"), "{said}");
    let server = Server::start(&database, &["--sealing-key-file", "new.key,old.key"]).await;
    let address = format!("http://{}", server.address);
    let (done, said) = say(&["keys", "rotate", "--address", &address]).await;
    // The data key, and the three fields of the webhook.
    assert!(done && said.contains("4 values are sealed anew, 0 are left"), "{said}");
    let (done, said) = say(&["keys", "rotate", "--address", &address]).await;
    assert!(done && said.contains("0 values are sealed anew, 0 are left"), "once is enough: {said}");
    let narrow = server.client("service", "42", &[]).await;
    let denied = narrow.keys().rotate_keys(narrow.ask(pb::RotateKeysRequest::default())).await.expect_err("not of all");
    assert_eq!(denied.code(), tonic::Code::PermissionDenied);
    let service = server.client("service", "*", &[]).await;
    let bad = pb::RotateKeysRequest { page_token: "x".into() };
    let refused = service.keys().rotate_keys(service.ask(bad)).await.expect_err("no token of a rotation");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(server.terminate().await);
    let (_, said) = say(&["doctor", "--sealing-key-file", "new.key"]).await;
    assert!(!said.contains("another key"), "{said}");

    everything_opens_with_the_new_key(&database, &receiver, &url, &ingest_secret).await;
}

async fn everything_opens_with_the_new_key(database: &Database, receiver: &Receiver, url: &str, ingest_secret: &str) {
    let server = Server::start(database, &["--sealing-key-file", "new.key", HTTP[0], HTTP[1]]).await;
    let (status, ..) = identities::send(&server, identities::EVENTS, "crm", ingest_secret, "by-identity").await;
    assert_eq!(status, 200, "the hash of an identity's secret has the account's own key");
    let (service, admin) =
        (server.client("service", "*", &[]).await, server.client("global_admin", "42", &["--user", "1"]).await);
    service.publish("42", vec![deal("e2", "9", r#"{"id": 9}"#)]).await.expect("acks");
    eventually("it arrives with its credentials", || async {
        let got = receiver.got().into_iter().find(|got| got.uri.ends_with("id=9"))?;
        assert_eq!(got.headers["authorization"], "Bearer pl4nted-bearer");
        Some(())
    })
    .await;
    for execution in admin.history("42").await {
        let full = admin.execution(&execution.name).await;
        let seen = full.requests[0].attempts.iter().all(|attempt| attempt.url.starts_with(url));
        assert!(seen, "the secrets of the history open: {full:?}");
    }
    // Erasing the account begins with its data key.
    let delete = pb::DeleteAccountRequest { name: "accounts/42".into(), ..Default::default() };
    service.accounts().delete_account(service.ask(delete)).await.expect("deletes");
    eventually("it is erased", || async {
        let gone =
            service.accounts().get_account(service.ask(pb::GetAccountRequest { name: "accounts/42".into() })).await;
        gone.is_err().then_some(())
    })
    .await;
    assert!(server.terminate().await);
}
