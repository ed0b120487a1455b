//! The HTTP port as a port: what it reads of a request before anybody is known, TLS, and pages of elsewhere.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    doors::certificates,
    harness::{Database, Server},
    web::{Caller, HTTP, PATIENCE, client},
};

/// Sends bytes as they are. Answers what comes back first.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let address = server.http.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("connects");
    socket.write_all(bytes).await.expect("writes");
    let mut answer = vec![0; 4_096];
    let count = tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await.expect("in time").unwrap_or_default();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// A token is looked at before a body, and a stranger is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_answered_before_its_body() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    for path in ["/hookline.v1.EventService/PublishBatch", "/v1/accounts/42/events"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n"
        );
        let answer = raw(&server, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{path}: {answer}");
    }
    let slow = raw(&server, b"POST / HTTP/1.1\r\nhost: x\r\nx-").await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "a head that does not come is given up: {slow}");
    assert!(server.terminate().await);
}

/// What a proxy before the port could understand in another way than the port does is refused, and harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_can_be_read_in_two_ways_are_refused() {
    let database = Database::sqlite();
    let server = Server::start(&database, &HTTP).await;
    let head =
        "POST /hookline.v1.WebhookService/ListWebhooks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for framing in [
        "transfer-encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\n\r\n{}",
        "content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "content-length: -1\r\n\r\n{}",
        "content-length: 0x2\r\n\r\n{}",
        "content-length : 2\r\n\r\n{}",
        " folded: 1\r\n\r\n{}",
    ] {
        let line = raw(&server, format!("{head}{framing}").as_bytes()).await;
        assert!(line.starts_with("HTTP/1.1 400") || line.is_empty(), "{framing:?}: {line}");
    }
    let service = Caller::of(&server, "service", "*", &[]);
    service.done("AccountService/ListAccounts", json!({})).await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_known_origins_may_call_and_others_may_not() {
    let database = Database::sqlite();
    let flags = [&HTTP[..], &["--http-allow-origins", "https://app.example"]].concat();
    let server = Server::start(&database, &flags).await;
    let ask = async |origin: &str| {
        let request =
            client().request(Method::OPTIONS, format!("{}/hookline.v1.AccountService/ListAccounts", server.http));
        let request = request.header("origin", origin).header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization,content-type");
        let response = request.send().await.expect("an answer");
        response.headers().get("access-control-allow-origin").map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(ask("https://app.example").await.as_deref(), Some("https://app.example"));
    assert_eq!(ask("https://other.example").await, None);
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_tls_over_both_versions_of_http() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::sqlite();
    let folder = database.folder.path();
    certificates(folder).await;
    let flags = [&HTTP[..], &["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]].concat();
    let server = Server::spawn(&database, &flags, &[]).await;
    let authority = std::fs::read(folder.join("ca.pem")).expect("a file");
    let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
    let builder = || reqwest::Client::builder().no_proxy().tls_certs_only([authority.clone()]);
    for (client, version) in [
        (builder().http1_only().build().expect("a client"), reqwest::Version::HTTP_11),
        (builder().build().expect("a client"), reqwest::Version::HTTP_2),
    ] {
        let url = format!("{}/hookline.v1.AccountService/ListAccounts", server.http);
        let request = client.post(url).header("content-type", "application/json").body("{}");
        let response = request.send().await.expect("an answer");
        assert_eq!((response.version(), response.status()), (version, StatusCode::UNAUTHORIZED));
        assert!(response.headers().contains_key("strict-transport-security"));
    }
    assert!(server.terminate().await);
}
