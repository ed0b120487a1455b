//! Every way in which a request can fail, against real endpoints: what the history says, and what is never sent.

use std::time::Duration;

use hookline::grpc::pb;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    harness::{Client, Database, Receiver, Server, account_42, automation, deal, eventually},
    strangers::memory_peak_kib,
};

crate::on_both_databases!(each_failure_has_its_reason, a_name_that_leads_to_a_blocked_address_is_never_reached);

/// An endpoint that answers every connection with these bytes and then holds it open.
async fn endpoint(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                // Until the other side has had enough.
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    format!("127.0.0.1:{}", address.port())
}

/// A webhook whose requests are tried once, and an automation that uses it for an object of its own.
async fn wire(admin: &Client, object: &str, url: &str) -> pb::Automation {
    admin.create_webhook("42", object, url).await.expect(url);
    let once = pb::RetryPolicy { preset: pb::RetryPreset::Custom.into(), ..pb::RetryPolicy::default() };
    let request = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: format!("accounts/42/webhooks/{object}"),
            retry_policy: Some(once),
            ..pb::Webhook::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["retry_policy".into()] }),
        ..pb::UpdateWebhookRequest::default()
    };
    admin.webhooks().update_webhook(admin.ask(request)).await.expect("updates");
    let text = format!("{{{{{object}.text}}}}");
    let mut one = automation("42", object, object, pb::EventAction::Change, &format!(r#"{{"text": "{text}"}}"#));
    one.actions[0].path = text;
    admin.create_automation("42", one).await.expect("creates")
}

fn event(object: &str, text: &str) -> pb::EventInput {
    let mut input = deal(&format!("of-{object}"), "8", &format!(r#"{{"text": "{text}"}}"#));
    if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
        event.object = object.into();
        // Who may see the object never matters to automations.
        event.permitted_users = Some(pb::PermittedUsers { user_ids: vec!["999".into()] });
    }
    input
}

/// The execution of an object's event, once it has ended.
async fn ended(service: &Client, object: &str) -> pb::Execution {
    let found = eventually(object, || async {
        let found = service.history("42").await;
        found.into_iter().find(|one| one.object == object && one.end_time.is_some())
    })
    .await;
    service.execution(&found.name).await
}

async fn each_failure_has_its_reason(database: Database) {
    let flags = ["--request-deadline-ms", "700", "--body-bytes-max", "100"];
    let server = Server::start(&database, &flags).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}followed\r\ncontent-length: 0\r\n\r\n", receiver.url);
    let redirect = endpoint(redirect).await;
    let silent = endpoint(String::new()).await;
    let garbled = endpoint("this is not HTTP\r\n\r\n".into()).await;
    let stalled = endpoint("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthe beginning".into()).await;
    let long = "x".repeat(200);
    let cases = [
        ("unauthorized", format!("{}401/", receiver.url), "a", "UNAUTHORIZED"),
        ("forbidden", format!("{}403/", receiver.url), "a", "UNAUTHORIZED"),
        ("rejected", format!("{}404/", receiver.url), "a", "REJECTED"),
        ("throttled", format!("{}429/", receiver.url), "a", "REJECTED"),
        ("late", format!("{}408/", receiver.url), "a", "TIMEOUT"),
        ("broken", format!("{}503/", receiver.url), "a", "SERVER_ERROR"),
        ("redirected", format!("http://{redirect}/"), "a", "REDIRECT"),
        ("refused", format!("http://{closed}/"), "a", "CONNECT"),
        ("garbled", format!("http://{garbled}/"), "a", "CONNECT"),
        ("silent", format!("http://{silent}/"), "a", "TIMEOUT"),
        ("insecure", format!("https://{garbled}/"), "a", "TLS"),
        // A label this long can be in no name, which the resolver knows without asking anyone.
        ("unknown", format!("http://{}.invalid/", "a".repeat(64)), "a", "DNS"),
        ("unsafe", receiver.url.clone(), "..", "UNSAFE_PATH"),
        ("large", receiver.url.clone(), long.as_str(), "BODY_TOO_LARGE"),
    ];
    for status in [401, 403, 404, 429, 408, 503] {
        receiver.answer_at(&format!("/{status}/"), status);
    }
    for (object, url, text, _) in &cases {
        wire(&admin, object, url).await;
        service.publish("42", vec![event(object, text)]).await.expect("acks");
    }
    for (object, _, _, reason) in &cases {
        let found = ended(&service, object).await;
        assert_eq!(
            (found.state(), found.reason.as_str()),
            (pb::ExecutionState::Failed, *reason),
            "{object}: {found:?}"
        );
        let is_sent = !["UNSAFE_PATH", "BODY_TOO_LARGE"].contains(reason);
        assert_eq!(
            found.requests[0].attempts.len(),
            usize::from(is_sent),
            "{object}: tried once, if it could be built"
        );
        if is_sent {
            let attempt = &found.requests[0].attempts[0];
            assert_eq!(attempt.error_kind, *reason);
            assert!(attempt.http_status > 0 || !attempt.error_message.is_empty(), "{object} says more: {attempt:?}");
        } else {
            assert_eq!(found.requests[0].failure, *reason);
        }
    }
    let uris: Vec<_> = receiver.got().into_iter().map(|got| got.uri).collect();
    assert_eq!(uris.len(), 6, "a redirect is not followed, and what cannot be built is not sent: {uris:?}");
    assert!(receiver.got()[0].headers["user-agent"].to_str().expect("text").starts_with("hookline/"));

    // The status line decides: an answer that stalls afterwards is only marked.
    wire(&admin, "stalled", &format!("http://{stalled}/")).await;
    service.publish("42", vec![event("stalled", "a")]).await.expect("acks");
    let found = ended(&service, "stalled").await;
    let attempt = &found.requests[0].attempts[0];
    assert_eq!(found.state(), pb::ExecutionState::Succeeded);
    assert_eq!((attempt.response_truncated, attempt.response_excerpt.as_ref()), (true, &b"the beginning"[..]));
}

async fn a_name_that_leads_to_a_blocked_address_is_never_reached(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (_, admin) = account_42(&server, &receiver.url).await;
    let port = receiver.url.trim_end_matches('/').rsplit(':').next().expect("a port").to_owned();
    wire(&admin, "local", &format!("http://localhost:{port}/")).await;
    assert!(server.terminate().await);

    // Without the exception for the loopback the same name is checked when it is looked up.
    let server = Server::start_strict(&database).await;
    let service = server.client("service", "*", &[]).await;
    service.publish("42", vec![event("local", "a")]).await.expect("acks");
    let found = ended(&service, "local").await;
    assert_eq!(found.reason, "BLOCKED_ADDRESS");
    assert!(receiver.got().is_empty(), "nothing was connected");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    let literal =
        admin.create_webhook("42", "literal", "http://127.0.0.1/").await.expect_err("a literal is checked when saved");
    assert_eq!(crate::harness::bad_field(&literal), "webhook.endpoint_url");
}

/// An endpoint that does as it likes with each connection, once a request has come.
async fn unruly<F>(manner: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = socket.read(&mut request).await;
            tokio::spawn(manner(socket));
        }
    });
    format!("http://{address}/")
}

/// What drips, lies, resets or never ends takes no longer than the deadline, and no more memory than an excerpt.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_drip_lie_reset_or_never_end_fail_in_time() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--request-deadline-ms", "700"]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let dripping = unruly(|mut socket| async move {
        for byte in b"HTTP/1.1 200 OK\r\nx-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            socket.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    });
    let resetting = unruly(|socket| async move { socket.set_zero_linger() });
    let swelling = unruly(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 200 OK\r\nx-filler: ").await?;
        loop {
            socket.write_all(&[b'a'; 65_536]).await?;
        }
    });
    let endless = unruly(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            socket.write_all(b"10000\r\n").await?;
            socket.write_all(&[b'a'; 65_536]).await?;
            socket.write_all(b"\r\n").await?;
        }
    });
    let lying = unruly(|mut socket| async move {
        let answer = "HTTP/1.1 503 Broken\r\ncontent-length: 5\r\n\r\nshort and then much more that nobody asked for";
        socket.write_all(answer.as_bytes()).await
    });
    let cases = [
        ("dripping", dripping.await, "TIMEOUT"),
        ("resetting", resetting.await, "CONNECT"),
        ("swelling", swelling.await, "CONNECT"),
        ("endless", endless.await, ""),
        ("lying", lying.await, "SERVER_ERROR"),
    ];
    for (object, url, _) in &cases {
        wire(&admin, object, url).await;
    }
    let before = memory_peak_kib(&server);
    for (object, ..) in &cases {
        service.publish("42", vec![event(object, "a")]).await.expect("acks");
    }
    for (object, _, reason) in &cases {
        let found = ended(&service, object).await;
        assert_eq!(found.reason, *reason, "{object}: {found:?}");
        let attempt = &found.requests[0].attempts[0];
        let took = Duration::try_from(attempt.duration.expect("a time")).expect("a time");
        assert!(took < Duration::from_secs(5), "{object} took {took:?}");
        assert_eq!(attempt.response_truncated, *object == "endless", "{object}");
    }
    let grown = memory_peak_kib(&server).saturating_sub(before) / 1_024;
    assert!(grown < 32, "{grown} MiB");
}
