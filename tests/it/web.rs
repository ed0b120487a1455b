//! The HTTP port: JSON for everybody, and events from anywhere.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use hookline::grpc::pb;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    doors::ACCESS,
    harness::{Database, Receiver, Server, account_42, automation, eventually},
};

crate::on_both_databases!(
    every_method_lets_in_whom_it_should_over_http,
    the_whole_story_is_told_in_json,
    events_come_from_anywhere,
    what_was_answered_outlives_a_kill,
);

pub const HTTP: [&str; 2] = ["--http-listen", "127.0.0.1:0"];
/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Calls over HTTP with one token.
pub struct Caller {
    client: reqwest::Client,
    url: String,
    token: String,
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}

impl Caller {
    pub fn of(server: &Server, role: &str, account: &str, more: &[&str]) -> Self {
        Self { client: client(), url: server.http.clone(), token: server.token(role, account, more) }
    }

    /// Sends a body of a content type to a path.
    async fn send(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", content_type);
        request.bearer_auth(&self.token).body(body).send().await.expect("an answer")
    }

    /// Calls a method. Answers the status of HTTP, and what was answered.
    async fn call(&self, method: &str, message: &Value) -> (StatusCode, Value) {
        let path = format!("/hookline.v1.{method}");
        read(self.send(&path, "application/json", message.to_string()).await).await
    }

    pub async fn done(&self, method: &str, message: Value) -> Value {
        let (status, answer) = self.call(method, &message).await;
        assert_eq!(status, StatusCode::OK, "{method}: {answer}");
        answer
    }

    /// Sends events of account 42.
    async fn events(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        read(self.send("/v1/accounts/42/events", content_type, body).await).await
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {error}: {text}"));
    (status, answer)
}

/// A request about an account that harms nothing, from the names of its fields.
pub fn harmless(method: &str, input: &MessageDescriptor, account: &str) -> Value {
    let parent = format!("accounts/{account}");
    let id = "01kawdkvp7e0pvx9qgr0j8n2d3";
    let name = match method.split('/').next().expect("a service") {
        "AccountService" => parent.clone(),
        "WebhookService" => format!("{parent}/webhooks/none"),
        "AutomationService" | "ExplainService" => format!("{parent}/automations/none"),
        "IngestIdentityService" => format!("{parent}/ingestIdentities/none"),
        "ExecutionService" => format!("{parent}/executions/ex-{id}"),
        "JobService" => format!("{parent}/jobs/jo-{id}"),
        _ => String::new(),
    };
    let mut message = json!({});
    for field in input.fields() {
        let value = match field.name() {
            "parent" => json!(parent),
            "name" => json!(name),
            "account_id" => json!(account),
            "automation" if method.starts_with("ExplainService/ListMisses") => {
                json!(format!("{parent}/automations/none"))
            }
            "webhook" if method.ends_with("UpdateWebhook") => json!({ "name": name }),
            "automation" if method.ends_with("UpdateAutomation") => json!({ "name": name }),
            "etag" => json!("\"no\""),
            "only_new" => json!(true),
            "filter" if method.ends_with("CancelExecutions") => json!({ "states": [99] }),
            _ => continue,
        };
        message[field.json_name()] = value;
    }
    message
}

async fn every_method_lets_in_whom_it_should_over_http(database: Database) {
    let server = Server::start(&database, &HTTP).await;
    let all = server.client("service", "*", &[]).await;
    for account in ["42", "43"] {
        all.create_account(account, pb::Plan::Power).await.expect("creates");
    }
    let writer = ["--user", "2", "--permissions", "automations.write"];
    let callers = [
        Caller::of(&server, "service", "42", &[]),
        Caller::of(&server, "global_admin", "42", &["--user", "1"]),
        Caller::of(&server, "user", "42", &writer),
        Caller::of(&server, "user", "42", &["--user", "3"]),
    ];
    let nobody = Caller { token: "x.y.z".to_owned(), client: client(), url: server.http.clone() };
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).expect("a description");
    for (method, allowed) in ACCESS {
        let (service, name) = method.split_once('/').expect("a method");
        let service = pool.get_service_by_name(&format!("hookline.v1.{service}")).expect("a service");
        let described = service.methods().find(|method| method.name() == name).expect("a method");
        let code = async |caller: &Caller, account: &str| {
            let message = harmless(method, &described.input(), account);
            if described.is_server_streaming() {
                return first_word(caller, method, &message).await;
            }
            let (_, answer) = caller.call(method, &message).await;
            answer["code"].as_str().unwrap_or("ok").to_owned()
        };
        if described.is_client_streaming() {
            let (status, answer) = callers[0].call(method, &json!({})).await;
            assert_eq!((status, &answer["code"]), (StatusCode::NOT_IMPLEMENTED, &json!("unimplemented")), "{method}");
            assert!(answer["message"].as_str().expect("words").contains("PublishBatch"), "{answer}");
            continue;
        }
        for (caller, is_allowed) in callers.iter().zip(allowed) {
            let own = code(caller, "42").await;
            assert_eq!(own == "permission_denied", !is_allowed, "{method}: {own}");
            assert_ne!(own, "unauthenticated", "{method}");
            if method == "AccountService/ListAccounts"
                || name == "GetCaller"
                || name == "RotateKeys"
                || name == "ConfirmClock"
            {
                continue;
            }
            for foreign in ["43", "no-such"] {
                assert_eq!(code(caller, foreign).await, "permission_denied", "{method} of {foreign}");
            }
        }
        assert_eq!(code(&nobody, "42").await, "unauthenticated", "{method}");
    }
    let (status, _) = nobody.events("application/json", "{}").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    for (caller, expected) in callers.iter().zip([400, 403, 403, 403]) {
        let event = r#"{"event_id": "", "object": "deal", "action": "change", "entity_id": "8", "data": {}}"#;
        assert_eq!(caller.events("application/json", event).await.0, expected);
    }
}

fn enveloped(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    [&[0][..], &u32::try_from(text.len()).expect("fits").to_be_bytes(), text.as_bytes()].concat()
}

/// The envelopes of a stream that is answered, as they come.
struct Envelopes {
    response: Response,
    buffer: Vec<u8>,
}

impl Envelopes {
    async fn of(caller: &Caller, method: &str, message: &Value) -> Self {
        let path = format!("/hookline.v1.{method}");
        let response = caller.send(&path, "application/connect+json", enveloped(message)).await;
        assert_eq!(response.status(), StatusCode::OK, "{method}");
        assert_eq!(response.headers()["content-type"], "application/connect+json");
        Self { response, buffer: Vec::new() }
    }

    /// The flags and the message of the next one.
    async fn next(&mut self) -> Option<(u8, Value)> {
        loop {
            if let Some((&[flags, a, b, c, d], rest)) = self.buffer.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if let Some(message) = rest.get(..length) {
                    let message = serde_json::from_slice(message).expect("JSON");
                    self.buffer.drain(..5 + length);
                    return Some((flags, message));
                }
            }
            let chunk = self.response.chunk().await.expect("bytes")?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// The code that a stream ends with at once, or `ok`.
async fn first_word(caller: &Caller, method: &str, message: &Value) -> String {
    let mut envelopes = Envelopes::of(caller, method, message).await;
    // A watch that is let in begins with a message.
    match tokio::time::timeout(PATIENCE, envelopes.next()).await.expect("in time") {
        Some((2, end)) => end["error"]["code"].as_str().unwrap_or("ok").to_owned(),
        _ => "ok".to_owned(),
    }
}

/// From nothing to a delivered webhook and its history, as one would do it with curl.
async fn the_whole_story_is_told_in_json(database: Database) {
    let receiver = Receiver::start().await;
    let server = Server::start(&database, &HTTP).await;
    let service = Caller::of(&server, "service", "*", &[]);
    let admin = Caller::of(&server, "global_admin", "42", &["--user", "1"]);
    let account = json!({ "accountId": "42", "account": { "plan": "PLAN_POWER" } });
    assert_eq!(service.done("AccountService/CreateAccount", account).await["account"]["name"], "accounts/42");
    let webhook = json!({
        "parent": "accounts/42",
        "webhookId": "hook",
        "webhook": {
            "displayName": "A hook",
            "kind": "WEBHOOK_KIND_AUTOMATION",
            "endpointUrl": receiver.url,
        },
    });
    let made = admin.done("WebhookService/CreateWebhook", webhook).await;
    assert!(made["signingSecret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
    let one = json!({
        "parent": "accounts/42",
        "automation": {
            "displayName": "Tell of large deals",
            "triggerObject": "deal",
            "triggerAction": "EVENT_ACTION_CHANGE",
            "conditions": { "match": "CONDITION_MATCH_ALL", "conditions": [
                { "clause": { "field": "value", "operator": "OPERATOR_GT", "values": [{ "number": "1000" }] } },
            ] },
            "actions": [{
                "webhook": "accounts/42/webhooks/hook",
                "method": "HTTP_METHOD_POST",
                "rawJson": r#"{"value": {{deal.value}}}"#,
            }],
        },
    });
    admin.done("AutomationService/CreateAutomation", one).await;
    // Digits survive: nobody makes a float of them, and nobody writes base64.
    let event = |id: &str| {
        json!({ "event": {
            "eventId": id,
            "object": "deal",
            "action": "EVENT_ACTION_CHANGE",
            "entityId": "8",
            "occurTime": "2026-01-31T09:30:00.123456Z",
            "dataJson": r#"{"value": 12345678901234567890.10}"#,
        } })
    };
    let batch = json!({ "parent": "accounts/42", "events": [event("e1"), event("e2")] });
    assert_eq!(service.done("EventService/PublishBatch", batch.clone()).await, json!({}));
    let again = service.done("EventService/PublishBatch", batch).await;
    assert_eq!(again["results"][1]["status"], "EVENT_STATUS_DUPLICATE", "{again}");
    eventually("both arrive", || async { (receiver.got().len() == 2).then_some(()) }).await;
    assert_eq!(receiver.got()[0].body, r#"{"value": 12345678901234567890.10}"#);
    let history = eventually("both end", || async {
        let list = json!({ "parent": "accounts/42", "states": ["EXECUTION_STATE_SUCCEEDED"] });
        let page = admin.done("ExecutionService/ListExecutions", list).await;
        (page["executions"].as_array().map_or(0, Vec::len) == 2).then_some(page)
    })
    .await;
    let name = history["executions"][0]["name"].clone();
    let shown = admin.done("ExecutionService/GetExecution", json!({ "name": name })).await;
    assert!(shown["execution"].to_string().contains("12345678901234567890.10"), "{shown}");
    assert!(server.terminate().await);
}

/// The README's first calls, as they stand there.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_calls_of_the_readme_work() {
    let readme = include_str!("../../README.md");
    let block = readme.split("\n\n").filter(|part| part.contains("    call ") || part.contains("call() {"));
    let script = block.collect::<Vec<_>>().join("\n");
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &HTTP).await;
    let binary = format!("{} ", env!("CARGO_BIN_EXE_hookline"));
    let script = script
        .replace("cargo run -q --release -- ", &binary)
        .replace("hookline token ", &format!("hookline token --database {} ", database.url))
        .replace("http://127.0.0.1:8081", &server.http)
        .replace("http://127.0.0.1:8080/", &receiver.url);
    let mut command = tokio::process::Command::new("bash");
    let output = command.args(["-ec", &script]).current_dir(database.folder.path()).output().await.expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("\"code\""), "{said}");
    eventually("the webhook arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    let got = receiver.got();
    assert_eq!((got[0].uri.as_str(), got[0].body.as_str()), ("/deals/8", r#"{"title": "Big deal"}"#));
    assert!(said.contains("accounts/42/executions/ex-"), "{said}");
    assert!(server.terminate().await);
}

/// A page learns from the token alone whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_who_they_are() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    let writer = ["--user", "2", "--permissions", "automations.write"];
    for (caller, role, accounts, user, permissions) in [
        (Caller::of(&server, "service", "*", &[]), "SERVICE", json!(["accounts/-"]), Value::Null, Value::Null),
        (Caller::of(&server, "service", "42", &[]), "SERVICE", json!(["accounts/42"]), Value::Null, Value::Null),
        (
            Caller::of(&server, "global_admin", "42", &["--user", "1"]),
            "GLOBAL_ADMIN",
            json!(["accounts/42"]),
            json!("1"),
            Value::Null,
        ),
        (
            Caller::of(&server, "user", "42", &writer),
            "USER",
            json!(["accounts/42"]),
            json!("2"),
            json!(["automations.write"]),
        ),
    ] {
        let told = caller.done("CallerService/GetCaller", json!({})).await["caller"].clone();
        assert_eq!(told["role"], format!("CALLER_ROLE_{role}"));
        assert_eq!((&told["accounts"], &told["userId"], &told["permissions"]), (&accounts, &user, &permissions));
        let end: time::OffsetDateTime = time::OffsetDateTime::parse(
            told["expireTime"].as_str().expect("a time"),
            &time::format_description::well_known::Rfc3339,
        )
        .expect("a time");
        assert!(end > time::OffsetDateTime::now_utc(), "{told}");
    }
    assert!(server.terminate().await);
}

const CLOUD_EVENT: &str = r#"{"specversion": "1.0", "id": "ID", "source": "/crm", "type": "deal.change", "subject": "8",
    "data": {"title": "from a cloud"}}"#;

pub async fn with_an_automation(server: &Server, receiver: &Receiver) {
    let (_, admin) = account_42(server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"title": "{{deal.title}}"}"#);
    admin.create_automation("42", one).await.expect("creates");
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results");
    results.iter().map(|result| result["status"].as_str().expect("a status")).collect()
}

async fn events_come_from_anywhere(database: Database) {
    let receiver = Receiver::start().await;
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let service = Caller::of(&server, "service", "42", &[]);
    let cloud = |id: &str| CLOUD_EVENT.replace("ID", id);
    let (status, answer) = service.events("application/cloudevents+json", cloud("c1")).await;
    assert_eq!((status, statuses(&answer)), (StatusCode::OK, vec!["ACCEPTED"]), "{answer}");
    let batch = format!("[{}, {}, {}]", cloud("c1"), cloud("c2"), cloud("c3"));
    let (status, answer) = service.events("application/cloudevents-batch+json", batch).await;
    assert_eq!((status, statuses(&answer)), (StatusCode::OK, vec!["DUPLICATE", "ACCEPTED", "ACCEPTED"]));
    let binary = client().post(format!("{}/v1/accounts/42/events", server.http)).bearer_auth(&service.token);
    let attributes =
        [("specversion", "1.0"), ("id", "c4"), ("source", "/crm"), ("type", "deal.change"), ("subject", "8")];
    let binary = attributes.iter().fold(binary, |request, (name, value)| request.header(format!("ce-{name}"), *value));
    let binary = binary.header("content-type", "application/json").body(r#"{"title": "binary"}"#);
    let (status, answer) = read(binary.send().await.expect("an answer")).await;
    assert_eq!((status, statuses(&answer)), (StatusCode::OK, vec!["ACCEPTED"]), "{answer}");
    // Pipedrive's own, of the account that they say; one of another account is refused, and the others are taken.
    let sample: Value =
        serde_json::from_str(include_str!("../samples/v2-change-deal-custom-field.json")).expect("JSON");
    let of_account = |account: i64| {
        let mut envelope = sample.clone();
        envelope["meta"]["company_id"] = account.into();
        envelope["meta"]["id"] = format!("of-{account}").into();
        envelope
    };
    let ours =
        r#"{"event_id": "o1", "object": "deal", "action": "change", "entity_id": "8", "data": {"title": "ours"}}"#;
    let mixed = format!("[{}, {}, {ours}, {{\"specversion\": \"1.0\"}}]", of_account(42), of_account(43));
    let (status, answer) = service.events("application/json", mixed.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(statuses(&answer), vec!["ACCEPTED", "REJECTED", "ACCEPTED", "REJECTED"], "{answer}");
    assert_eq!(answer["results"][1]["reason"], "ACCOUNT_MISMATCH");
    assert_eq!(answer["results"][3]["field"], "events[3].id");
    let (status, answer) = service.events("application/json", mixed).await;
    assert_eq!(
        (status, statuses(&answer)),
        (StatusCode::BAD_REQUEST, vec!["DUPLICATE", "REJECTED", "DUPLICATE", "REJECTED"])
    );
    eventually("all arrive", || async { (receiver.got().len() == 6).then_some(()) }).await;
    let titles: Vec<_> = receiver.got().iter().map(|got| got.body.clone()).collect();
    for title in ["from a cloud", "binary", "ours"] {
        assert!(titles.iter().any(|body| body.contains(title)), "{titles:?}");
    }
    assert!(server.terminate().await);
}

async fn what_was_answered_outlives_a_kill(database: Database) {
    let receiver = Receiver::start().await;
    receiver.hold();
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let service = Caller::of(&server, "service", "42", &[]);
    let (status, _) = service.events("application/cloudevents+json", CLOUD_EVENT.replace("ID", "k1")).await;
    assert_eq!(status, StatusCode::OK);
    server.kill().await;
    receiver.release();
    let before = receiver.got().len();
    let server = Server::start(&database, &HTTP).await;
    eventually("it is sent after all", || async { (receiver.got().len() > before).then_some(()) }).await;
    let service = Caller { url: server.http.clone(), ..service };
    let (status, answer) = service.events("application/cloudevents+json", CLOUD_EVENT.replace("ID", "k1")).await;
    assert_eq!((status, statuses(&answer)), (StatusCode::OK, vec!["DUPLICATE"]));
    assert!(server.terminate().await);
}

/// What watches sees changes as they come, and its end says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_followed_over_http() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let admin = Caller::of(&server, "global_admin", "42", &["--user", "1"]);
    let service = Caller::of(&server, "service", "42", &[]);
    let watch = json!({ "parent": "accounts/42" });
    let mut changes = Envelopes::of(&admin, "WatchService/Watch", &watch).await;
    service.events("application/cloudevents+json", CLOUD_EVENT.replace("ID", "w1")).await;
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            let (flags, message) = changes.next().await.expect("goes on");
            assert_eq!(flags, 0, "{message}");
            if message.to_string().contains("EXECUTION_STATE_SUCCEEDED") {
                return;
            }
        }
    });
    seen.await.expect("the execution's end is seen");
    let wrong = json!({ "parent": "accounts/42", "cursor": "none" });
    let (flags, end) = Envelopes::of(&admin, "WatchService/Watch", &wrong).await.next().await.expect("an end");
    assert_eq!((flags, &end["error"]["code"]), (2, &json!("invalid_argument")), "{end}");
    assert!(server.terminate().await, "a watch does not hold up a shutdown");
    let end = loop {
        match changes.next().await.expect("an end") {
            (2, end) => break end,
            _ => continue,
        }
    };
    assert_eq!(end["error"]["code"], "unavailable", "{end}");
    assert_eq!(changes.next().await, None);
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_says_why() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    account_42(&server, "http://127.0.0.1:9/").await;
    let service = Caller::of(&server, "service", "42", &[]);
    const LIST: &str = "/hookline.v1.WebhookService/ListWebhooks";
    const EVENTS: &str = "/v1/accounts/42/events";
    let large = format!(r#"{{"parent": "{}"}}"#, "x".repeat(70_000));
    for (path, kind, body, status, word) in [
        (LIST, "application/json", "", 400, "no JSON"),
        (LIST, "application/json", "{", 400, "no JSON"),
        (LIST, "application/json", "{} {}", 400, "no JSON"),
        (LIST, "application/json", "[]", 400, "cannot be read"),
        (LIST, "application/json", r#"{"parrent": "accounts/42"}"#, 400, "parrent"),
        (LIST, "application/json", r#"{"parent": 42}"#, 400, "cannot be read"),
        (LIST, "application/json", r#"{"parent": "accounts/-"}"#, 400, "parent"),
        (LIST, "application/json", large.as_str(), 400, "the limit of this method is 65536"),
        (LIST, "text/plain", "{}", 415, "application/json"),
        (LIST, "application/connect+json", "{}", 415, "application/json"),
        (LIST, "application/grpc", "{}", 415, "application/json"),
        ("/hookline.v1.WatchService/Watch", "application/json", "{}", 415, "application/connect+json"),
        ("/hookline.v1.WebhookService/None", "application/json", "{}", 404, "nothing here"),
        ("/", "application/json", "{}", 404, "nothing here"),
        ("/hookline.v1.WebhookService/ListWebhooks?token=x", "application/json", "{}", 400, "Authorization"),
        ("/v1/accounts/42/events?token=x", "application/json", "{}", 400, "Authorization"),
        (EVENTS, "application/json", "{", 400, "no JSON"),
        (EVENTS, "text/plain", "{}", 400, "application/cloudevents+json"),
        (EVENTS, "application/json", "[]", 400, "1 to 1000"),
        (EVENTS, "application/cloudevents+json", "{}", 400, "specversion"),
        ("/v1/accounts/-/events", "application/json", "[]", 400, "one account"),
        ("/v1/accounts/%ff/events", "application/json", "[]", 400, "UTF-8"),
        ("/v1/accounts/..%2f43/events", "application/cloudevents+json", CLOUD_EVENT, 400, "one account"),
    ] {
        let response = service.send(path, kind, body.to_owned()).await;
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let (answered, answer) = read(response).await;
        assert_eq!((answered.as_u16(), answer.to_string().contains(word)), (status, true), "{path} {body}: {answer}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for path in [LIST, EVENTS] {
            let request = client().request(method.clone(), format!("{}{path}", server.http));
            let response = request.bearer_auth(&service.token).send().await.expect("an answer");
            assert_eq!(
                (response.status(), &response.headers()["allow"]),
                (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("a value"))
            );
        }
    }
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_inflated_within_the_bound() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    account_42(&server, "http://127.0.0.1:9/").await;
    let service = Caller::of(&server, "service", "42", &[]);
    let send = async |path: &str, body: Vec<u8>, encoding: &str| {
        let request = client().post(format!("{}{path}", server.http)).bearer_auth(&service.token);
        let request = request.header("content-type", "application/json").header("content-encoding", encoding);
        read(request.body(body).send().await.expect("an answer")).await
    };
    const LIST: &str = "/hookline.v1.WebhookService/ListWebhooks";
    let (status, answer) = send(LIST, zipped(br#"{"parent": "accounts/42"}"#), "gzip").await;
    assert_eq!((status, &answer["webhooks"][0]["name"]), (StatusCode::OK, &json!("accounts/42/webhooks/hook")));
    let bomb = zipped(&vec![b' '; 50_000_000]);
    for path in [LIST, "/v1/accounts/42/events"] {
        let (status, answer) = send(path, bomb.clone(), "gzip").await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("out_of_range")), "{answer}");
    }
    assert_eq!(send(LIST, b"{}".to_vec(), "gzip").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(LIST, b"{}".to_vec(), "br").await.0, StatusCode::NOT_IMPLEMENTED);
    assert!(server.terminate().await);
}

/// What the port says of itself is OpenAPI, by a checker that others wrote, and what it answers is as it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_good_and_true() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let admin = Caller::of(&server, "global_admin", "42", &["--user", "1"]);
    let service = Caller::of(&server, "service", "42", &[]);
    let url = format!("{}/openapi.json", server.http);
    assert_eq!(client().get(&url).send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let description = client().get(&url).bearer_auth(&admin.token).send().await.expect("an answer");
    let description = description.text().await.expect("text");
    let folder = database.folder.path();
    std::fs::write(folder.join("openapi.json"), &description).expect("writes");
    let events = service.events("application/cloudevents+json", CLOUD_EVENT.replace("ID", "o1")).await.1;
    let list = json!({ "parent": "accounts/42" });
    let history = eventually("it ends", || async {
        let page = admin.done("ExecutionService/ListExecutions", list.clone()).await;
        page["executions"][0]["endTime"].is_string().then_some(page)
    })
    .await;
    let get = json!({ "name": history["executions"][0]["name"] });
    let mut said = vec![
        json!({ "schema": "EventResults", "value": events }),
        json!({ "schema": "ListExecutionsResponse", "value": history }),
    ];
    for (method, message) in [
        ("ExecutionService/GetExecution", &get),
        ("WebhookService/ListWebhooks", &list),
        ("AutomationService/ListAutomations", &list),
        ("CatalogueService/ListFields", &json!({ "parent": "accounts/42", "object": "deal" })),
        ("AuditService/ListAuditEntries", &list),
        ("AccountService/GetAccountUsage", &json!({ "name": "accounts/42" })),
    ] {
        let name = method.split_once('/').expect("a method").1;
        said.push(json!({ "schema": format!("{name}Response"), "value": admin.done(method, message.clone()).await }));
    }
    let (_, refused) = admin.call("WebhookService/GetWebhook", &json!({ "name": "none" })).await;
    said.push(json!({ "schema": "Error", "value": refused }));
    std::fs::write(folder.join("said.json"), Value::from(said).to_string()).expect("writes");
    let script = r##"
import json, jsonschema, openapi_spec_validator
document = json.load(open("openapi.json"))
openapi_spec_validator.validate(document)
for one in json.load(open("said.json")):
    schema = {"$ref": "#/components/schemas/" + one["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(one["value"])
    print(one["schema"])
"##;
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/python/bin/python");
    let mut command = tokio::process::Command::new(python);
    let output = command.args(["-c", script]).current_dir(folder).output().await.expect("runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.lines().count(), 9, "{told}");
    assert!(server.terminate().await);
}
