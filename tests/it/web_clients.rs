//! The HTTP port, called by what others wrote: buf, the clients of the Connect protocol, and the SDKs of CloudEvents.

use std::{collections::BTreeMap, path::PathBuf, process::Output};

use hookline::grpc::pb;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    doors::ACCESS,
    harness::{Database, Receiver, Server, eventually},
    web::{HTTP, harmless, with_an_automation},
};

fn clients() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

async fn python(script: &str, words: &[&str]) -> Output {
    Command::new(clients().join("python/bin/python")).args(["-c", script]).args(words).output().await.expect("runs")
}

/// A script that finds the packages and what was made from `proto/`.
async fn node(script: &str, words: &[&str]) -> Output {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", script, "--"]).args(words);
    command.current_dir(clients().join("node")).output().await.expect("runs")
}

fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{error}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_calls_it_by_the_connect_protocol() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let authorization = format!("authorization: Bearer {}", server.token("user", "42", &["--user", "7"]));
    let call = async |method: &str, message: &str| {
        let mut command = Command::new(root.join("target/tools/bin/buf"));
        command.args(["curl", "--schema", "proto", "--protocol", "connect", "-H", &authorization, "-d", message]);
        let url = format!("{}/hookline.v1.{method}", server.http);
        command.arg(url).current_dir(&root).output().await.expect("runs")
    };
    let listed: Value =
        serde_json::from_str(&text(&call("WebhookService/ListWebhooks", r#"{"parent": "accounts/42"}"#).await))
            .expect("JSON");
    assert_eq!(listed["webhooks"][0]["name"], "accounts/42/webhooks/hook");
    let refused = call("WebhookService/GetWebhook", r#"{"name": "accounts/42/webhooks/none"}"#).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("not_found") && said.contains("NOT_FOUND"), "{said}");
    assert!(server.terminate().await);
}

/// Every method for every role, by the client that pages of a browser have.
const DOORS: &str = r#"
import fs from "node:fs";
import { createClient, Code, ConnectError } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { fromJson } from "@bufbuild/protobuf";
const [url, file] = process.argv.slice(-2);
const { tokens, messages } = JSON.parse(fs.readFileSync(file));
const services = {};
for (const name of fs.readdirSync("hookline/v1")) {
    for (const one of Object.values(await import(`${process.cwd()}/hookline/v1/${name}`))) {
        if (one.kind === "service") services[one.name] = one;
    }
}
const transport = createConnectTransport({ baseUrl: url });
const code = async (service, method, message, token) => {
    const client = createClient(service, transport);
    const options = { headers: { authorization: `Bearer ${token}` } };
    try {
        if (method.methodKind === "unary") {
            await client[method.localName](message, options);
        } else {
            // A watch that is let in begins with a message.
            for await (const _ of client[method.localName](message, options)) break;
        }
        return "Ok";
    } catch (error) {
        const found = ConnectError.from(error);
        if (found.code === Code.InvalidArgument && found.details.length === 0) throw error;
        return Code[found.code];
    }
};
const said = {};
for (const [name, json] of Object.entries(messages)) {
    const [service, method] = name.split("/");
    const described = services[service].methods.find((one) => one.name === method);
    said[name] = [];
    for (const token of tokens) {
        said[name].push(await code(services[service], described, fromJson(described.input, json), token));
    }
}
console.log(JSON.stringify(said));
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_pages_calls_every_method_for_every_role() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    let all = server.client("service", "*", &[]).await;
    all.create_account("42", pb::Plan::Power).await.expect("creates");
    let tokens = [
        server.token("service", "42", &[]),
        server.token("global_admin", "42", &["--user", "1"]),
        server.token("user", "42", &["--user", "2", "--permissions", "automations.write"]),
        server.token("user", "42", &["--user", "3"]),
        "x.y.z".to_owned(),
    ];
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).expect("a description");
    let mut messages = BTreeMap::new();
    for (method, _) in ACCESS.iter().filter(|(method, _)| *method != "EventService/Publish") {
        let (service, name) = method.split_once('/').expect("a method");
        let service = pool.get_service_by_name(&format!("hookline.v1.{service}")).expect("a service");
        let described = service.methods().find(|method| method.name() == name).expect("a method");
        messages.insert(*method, harmless(method, &described.input(), "42"));
    }
    let file = database.folder.path().join("messages.json");
    std::fs::write(&file, json!({ "tokens": tokens, "messages": messages }).to_string()).expect("writes");
    let said = text(&node(DOORS, &[&server.http, &file.display().to_string()]).await);
    let said: BTreeMap<String, Vec<String>> = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said.len(), messages.len());
    for (method, allowed) in ACCESS {
        let Some(codes) = said.get(method) else { continue };
        for (code, is_allowed) in codes.iter().zip(allowed) {
            assert_eq!(code == "PermissionDenied", !is_allowed, "{method}: {codes:?}");
        }
        assert_eq!(codes[4], "Unauthenticated", "{method}");
    }
    assert!(server.terminate().await);
}

const FROM_PYTHON: &str = r#"
import sys, urllib.request
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
url, token = sys.argv[1:]
for at, form in enumerate([to_binary_event, to_structured_event]):
    attributes = {"id": f"python-{at}", "source": "/crm", "type": "com.example.deal.change", "subject": "8",
        "datacontenttype": "application/json"}
    message = form(CloudEvent(attributes=attributes, data={"title": f"from Python {at}"}))
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    headers = {**message.headers, "authorization": f"Bearer {token}"}
    print(urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method="POST")).read().decode())
"#;

const FROM_NODE: &str = r#"
import { CloudEvent, HTTP } from "cloudevents";
const [url, token] = process.argv.slice(-2);
for (const [at, form] of [HTTP.binary, HTTP.structured].entries()) {
    const event = new CloudEvent({ id: `node-${at}`, source: "/crm", type: "deal.change", subject: "8",
        datacontenttype: "application/json", data: { title: `from Node ${at}` } });
    const { headers, body } = form(event);
    const answer = await fetch(url, { method: "POST", body, headers: { ...headers, authorization: `Bearer ${token}` } });
    console.log(await answer.text());
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_of_cloud_events_send_to_it() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &HTTP).await;
    with_an_automation(&server, &receiver).await;
    let (url, token) = (format!("{}/v1/accounts/42/events", server.http), server.token("service", "42", &[]));
    let said = text(&python(FROM_PYTHON, &[&url, &token]).await) + &text(&node(FROM_NODE, &[&url, &token]).await);
    assert_eq!(said.matches("ACCEPTED").count(), 4, "{said}");
    eventually("all arrive", || async { (receiver.got().len() == 4).then_some(()) }).await;
    let bodies: Vec<_> = receiver.got().iter().map(|got| got.body.clone()).collect();
    for title in ["from Python 0", "from Python 1", "from Node 0", "from Node 1"] {
        assert!(bodies.iter().any(|body| body.contains(title)), "{title}: {bodies:?}");
    }
    assert!(server.terminate().await);
}
