//! The examples in other languages, against the real server: every sample arrives, and a broken connection loses nothing.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, process::Output};

use hookline::grpc::pb;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::harness::{Database, Receiver, Server, automation};

/// How much the first connection of a proxy answers before it breaks: a few acknowledgements.
const CUT_AFTER_BYTES: usize = 150;
const EVENTS: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The samples that are one event each, by account.
fn samples() -> BTreeMap<String, Vec<(PathBuf, Value)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("tests/samples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let sample: Value = serde_json::from_str(&text).expect("JSON");
        // One file describes types of fields and is no event.
        let Some(company) = sample["meta"].get("company_id") else { continue };
        let account = company.to_string().trim_matches('"').to_owned();
        found.entry(account).or_default().push((path, sample));
    }
    found
}

/// The object and the action of a sample.
fn trigger(sample: &Value) -> (String, pb::EventAction) {
    let meta = &sample["meta"];
    let object = meta.get("entity").or(meta.get("object")).and_then(Value::as_str).expect("an object").to_owned();
    let action = match meta["action"].as_str().expect("an action") {
        "create" | "added" => pb::EventAction::Create,
        "delete" | "deleted" => pb::EventAction::Delete,
        _ => pb::EventAction::Change,
    };
    (object, action)
}

async fn python(server: SocketAddr, token: &str, account: &str, files: &[PathBuf]) -> Output {
    let clients = root().join("target/clients");
    let interpreter = clients.join("python/bin/python");
    assert!(interpreter.exists(), "./tests/run installs what the examples need");
    let mut command = Command::new(interpreter);
    command.arg(root().join("examples/python/publish.py"));
    command.args(["--server", &server.to_string(), "--account", account]).args(files);
    command.env("HOOKLINE_TOKEN", token).env("PYTHONPATH", clients.join("generated"));
    command.output().await.expect("runs")
}

async fn node(server: SocketAddr, token: &str, account: &str, files: &[PathBuf]) -> Output {
    let mut command = Command::new("node");
    command.arg(root().join("examples/node/publish.js")).args([&server.to_string(), account]).args(files);
    command.env("HOOKLINE_TOKEN", token).output().await.expect("runs")
}

fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{error}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_published_from_python_and_from_node_becomes_a_request() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    let token = server.token("service", "*", &[]);
    let mut events = 0;
    for (account, samples) in samples() {
        service.create_account(&account, pb::Plan::Power).await.expect("creates");
        let admin = server.client("global_admin", &account, &["--user", "1"]).await;
        admin.create_webhook(&account, "hook", &receiver.url).await.expect("creates");
        let mut triggers: Vec<_> = samples.iter().map(|(_, sample)| trigger(sample)).collect();
        triggers.sort();
        triggers.dedup();
        for (object, action) in triggers {
            let one = automation(&account, "hook", &object, action, r#"{"id": "{{event.entity_id}}"}"#);
            admin.create_automation(&account, one).await.expect("creates");
        }
        let files: Vec<_> = samples.into_iter().map(|(path, _)| path).collect();
        events += files.len();
        let shown = text(&python(server.address, &token, &account, &files).await);
        assert_eq!(shown.matches("SUCCEEDED").count(), files.len(), "{shown}");
        assert!(shown.contains(&format!("published {} events, 0 rejected, 0 reconnects", files.len())), "{shown}");
        let again = text(&node(server.address, &token, &account, &files).await);
        assert_eq!(again.matches("SUCCEEDED").count(), files.len(), "the same history from Node: {again}");
    }
    assert_eq!(events, 7);
    assert_eq!(receiver.got().len(), events, "what Node published again was recognised");
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_verify_with_the_standards_libraries_in_python_and_javascript() {
    const PYTHON: &str = "import os, sys; from standardwebhooks import Webhook; \
        Webhook(sys.argv[1]).verify(sys.argv[5], {'webhook-id': sys.argv[2], 'webhook-timestamp': sys.argv[3], \
        'webhook-signature': sys.argv[4]})";
    const NODE: &str = "const [secret, id, timestamp, signature, body] = process.argv.slice(1); \
        const { Webhook } = require('standardwebhooks'); new Webhook(secret).verify(body, {'webhook-id': id, \
        'webhook-timestamp': timestamp, 'webhook-signature': signature})";
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let secret = admin.create_webhook("42", "hook", &receiver.url).await.expect("creates").signing_secret;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"text": "{{deal.text}}"}"#);
    admin.create_automation("42", one).await.expect("creates");
    let event = crate::harness::deal("e1", "8", r#"{"text": "déjà vu \u0001"}"#);
    service.publish("42", vec![event]).await.expect("acks");
    let got = crate::harness::eventually("it arrives", || async { receiver.got().pop() }).await;
    let header = |name: &str| got.headers[name].to_str().expect("text").to_owned();
    let clients = root().join("target/clients");
    for (body, is_good) in [(got.body.clone(), true), (got.body.replace("vu", "vus"), false)] {
        let given =
            [secret.clone(), header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"), body];
        let mut python = Command::new(clients.join("python/bin/python"));
        let python = python.args(["-c", PYTHON]).args(&given).output().await.expect("runs");
        assert_eq!(python.status.success(), is_good, "{}", String::from_utf8_lossy(&python.stderr));
        let mut node = Command::new("node");
        let node = node.args(["-e", NODE]).args(&given).current_dir(clients.join("node")).output().await.expect("runs");
        assert_eq!(node.status.success(), is_good, "{}", String::from_utf8_lossy(&node.stderr));
    }
}

/// A proxy whose first connection breaks after a few answers.
async fn breaking_proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut answer_bytes = CUT_AFTER_BYTES;
        while let Ok((client, _)) = listener.accept().await {
            let upstream = TcpStream::connect(server).await.expect("connects");
            for socket in [&client, &upstream] {
                socket.set_nodelay(true).expect("sets");
            }
            tokio::spawn(forward(client, upstream, answer_bytes));
            answer_bytes = usize::MAX;
        }
    });
    address
}

async fn forward(client: TcpStream, upstream: TcpStream, mut answer_bytes: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        if count > answer_bytes || to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        answer_bytes -= count;
    }
    up.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_loses_and_doubles_nothing() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let token = server.token("service", "*", &[]);
    let service = server.client("service", "*", &[]).await;
    for (account, run) in [("42", "python"), ("43", "node")] {
        service.create_account(account, pb::Plan::Enterprise).await.expect("creates");
        let admin = server.client("global_admin", account, &["--user", "1"]).await;
        admin.create_webhook(account, "hook", &receiver.url).await.expect("creates");
        let one = automation(account, "hook", "deal", pb::EventAction::Change, r#"{"id": {{deal.id}}}"#);
        admin.create_automation(account, one).await.expect("creates");
        let line = |number: usize| {
            let id = uuid::Uuid::from_u128(number as u128 + 1);
            format!(
                r#"{{"data": {{"id": {number}}}, "previous": {{"title": "old"}}, "meta": {{"action": "change", "entity": "deal", "entity_id": "{number}", "company_id": "{account}", "id": "{id}", "timestamp": "2025-02-20T09:49:57.462Z", "version": "2.0"}}}}"#
            )
        };
        let lines: Vec<_> = (0..EVENTS).map(line).collect();
        let path = database.folder.path().join(format!("{run}.jsonl"));
        std::fs::write(&path, lines.join("\n")).expect("writes");
        let proxy = breaking_proxy(server.address).await;
        let output = match run {
            "python" => python(proxy, &token, account, &[path]).await,
            _ => node(proxy, &token, account, &[path]).await,
        };
        let shown = text(&output);
        assert!(shown.contains(&format!("published {EVENTS} events, 0 rejected, 1 reconnects")), "{shown}");
        assert_eq!(shown.matches("SUCCEEDED").count(), EVENTS, "each has exactly one execution");
    }
    assert_eq!(receiver.got().len(), 2 * EVENTS);
}
