//! Ingest identities: credentials for platforms that have no bearer tokens.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookline::grpc::pb;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use crate::{
    harness::{Client, Database, Receiver, Server, account_42, automation, bad_field, eventually},
    web::{HTTP, client},
};

crate::on_both_databases!(
    a_platform_publishes_with_a_name_and_a_secret_and_does_nothing_else,
    a_revocation_holds_within_seconds_and_identities_outlive_the_process,
);

/// How soon nothing is taken in any more with the secret of an identity that was revoked.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

pub async fn create(
    service: &Client,
    id: &str,
    request_id: &str,
) -> Result<pb::CreateIngestIdentityResponse, tonic::Status> {
    let request = pb::CreateIngestIdentityRequest {
        parent: "accounts/42".into(),
        ingest_identity_id: id.into(),
        ingest_identity: Some(pb::IngestIdentity { display_name: "The CRM".into(), ..Default::default() }),
        request_id: request_id.into(),
    };
    Ok(service.ingest().create_ingest_identity(service.ask(request)).await?.into_inner())
}

pub async fn list(service: &Client) -> Vec<pb::IngestIdentity> {
    let request = pb::ListIngestIdentitiesRequest { parent: "accounts/42".into() };
    service.ingest().list_ingest_identities(service.ask(request)).await.expect("lists").into_inner().ingest_identities
}

async fn delete(service: &Client, id: &str) -> Result<(), tonic::Status> {
    let request = pb::DeleteIngestIdentityRequest {
        name: format!("accounts/42/ingestIdentities/{id}"),
        request_id: String::new(),
    };
    service.ingest().delete_ingest_identity(service.ask(request)).await.map(drop)
}

fn event(id: &str) -> Value {
    json!({ "event_id": id, "object": "deal", "action": "change", "entity_id": "8", "data": {} })
}

/// Sends an event with Basic credentials. Answers the status, the reason where there is one, and the whole answer.
pub async fn send(server: &Server, path: &str, user: &str, secret: &str, id: &str) -> (StatusCode, String, Value) {
    let request = client().post(format!("{}{path}", server.http)).basic_auth(user, Some(secret));
    let answer = request.header("content-type", "application/json").body(event(id).to_string()).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(challenge.is_some(), status == StatusCode::UNAUTHORIZED);
    let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    let reason = answer["details"][0]["debug"]["reason"].as_str().unwrap_or_default().to_owned();
    (status, reason, answer)
}

pub const EVENTS: &str = "/v1/accounts/42/events";

async fn a_platform_publishes_with_a_name_and_a_secret_and_does_nothing_else(database: Database) {
    let server = Server::start(&database, &HTTP).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    service.create_account("43", pb::Plan::Power).await.expect("creates");
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation("42", one).await.expect("creates");
    let made = create(&service, "crm", "key-1").await.expect("creates");
    let identity = made.ingest_identity.expect("an identity");
    assert_eq!((identity.name.as_str(), identity.username.as_str()), ("accounts/42/ingestIdentities/crm", "crm"));
    assert_eq!(made.secret.len(), "ingest_".len() + 43, "256 bits in base64");
    let again = create(&service, "crm", "key-1").await.expect("the same call");
    assert_eq!((again.ingest_identity, again.secret.as_str()), (Some(identity.clone()), ""), "shown once");
    assert_eq!(create(&service, "crm", "").await.expect_err("taken").code(), Code::AlreadyExists);
    assert_eq!(bad_field(&create(&service, "C R M", "").await.expect_err("no id")), "ingest_identity_id");
    assert_eq!(list(&service).await, [identity]);

    let (status, _, answer) = send(&server, EVENTS, "crm", &made.secret, "e-1").await;
    assert_eq!((status, &answer["results"][0]["status"]), (StatusCode::OK, &json!("ACCEPTED")));
    eventually("it arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    let (_, _, answer) = send(&server, EVENTS, "crm", &made.secret, "e-1").await;
    assert_eq!(answer["results"][0]["status"], "DUPLICATE");

    let cases = [
        (EVENTS, "crm", "ingest_wrong", "IDENTITY_UNKNOWN"),
        (EVENTS, "other", made.secret.as_str(), "IDENTITY_UNKNOWN"),
        ("/v1/accounts/43/events", "crm", made.secret.as_str(), "IDENTITY_UNKNOWN"),
        ("/v1/accounts/none/events", "crm", made.secret.as_str(), "IDENTITY_UNKNOWN"),
        (EVENTS, "C R M", made.secret.as_str(), "TOKEN_MALFORMED"),
        (EVENTS, "crm", &"x".repeat(1_000), "TOKEN_MALFORMED"),
        ("/hookline.v1.EventService/PublishBatch", "crm", made.secret.as_str(), "TOKEN_MISSING"),
        ("/hookline.v1.CallerService/GetCaller", "crm", made.secret.as_str(), "TOKEN_MISSING"),
        ("/hookline.v1.WebhookService/ListWebhooks", "crm", made.secret.as_str(), "TOKEN_MISSING"),
    ];
    for (path, user, secret, wanted) in cases {
        let (status, reason, answer) = send(&server, path, user, secret, "e-2").await;
        assert_eq!((status, reason.as_str()), (StatusCode::UNAUTHORIZED, wanted), "{path} {user}: {answer}");
    }
    let audit = pb::ListAuditEntriesRequest { parent: "accounts/42".into(), ..Default::default() };
    let audit = admin.audit().list_audit_entries(admin.ask(audit)).await.expect("lists").into_inner().entries;
    let noted: Vec<_> = audit.iter().filter(|entry| entry.resource.ends_with("ingestIdentities/crm")).collect();
    assert_eq!(noted.len(), 1);
    assert_eq!((noted[0].action(), noted[0].role()), (pb::AuditAction::Created, pb::AuditRole::Service));
    for at in 1..20 {
        create(&service, &format!("crm-{at}"), "").await.expect("creates");
    }
    assert_eq!(create(&service, "", "").await.expect_err("one too many").code(), Code::ResourceExhausted);
    assert!(!server.log().contains(&made.secret));
}

async fn a_revocation_holds_within_seconds_and_identities_outlive_the_process(database: Database) {
    let server = Server::start(&database, &HTTP).await;
    let receiver = Receiver::start().await;
    let (service, _) = account_42(&server, &receiver.url).await;
    let made = create(&service, "", "").await.expect("creates");
    let user = made.ingest_identity.expect("an identity").username;
    let other = create(&service, "other", "").await.expect("creates");
    assert_eq!(send(&server, EVENTS, &user, &made.secret, "e-1").await.0, StatusCode::OK);
    server.kill().await;
    let server = Server::start(&database, &HTTP).await;
    let service = server.client("service", "*", &[]).await;
    assert_eq!(send(&server, EVENTS, &user, &made.secret, "e-2").await.0, StatusCode::OK, "it outlives a kill");
    // A body that comes slowly, begun before the revocation, and ended after it.
    let text = event("slow").to_string();
    let (begin, end) = text.split_at(10);
    let address = server.http.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut slow = TcpStream::connect(&address).await.expect("connects");
    let pair = STANDARD.encode(format!("{user}:{}", made.secret));
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {pair}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{begin}",
        text.len()
    );
    slow.write_all(head.as_bytes()).await.expect("writes");
    delete(&service, &user).await.expect("revokes");
    let begun = Instant::now();
    eventually("the revocation holds", || async {
        (send(&server, EVENTS, &user, &made.secret, "e-3").await.0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert!(begun.elapsed() < REVOKED_WITHIN, "{:?}", begun.elapsed());
    slow.write_all(end.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(send(&server, EVENTS, "other", &other.secret, "e-4").await.0, StatusCode::OK, "the others go on");
    assert_eq!(delete(&service, &user).await.expect_err("gone").code(), Code::NotFound);
    let request = pb::DeleteAccountRequest { name: "accounts/42".into(), ..Default::default() };
    service.accounts().delete_account(service.ask(request)).await.expect("deletes");
    eventually("an account takes its identities with it", || async {
        (send(&server, EVENTS, "other", &other.secret, "e-5").await.0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}
