//! Endpoints that mean no good, or are in trouble: none of them costs other accounts anything.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hookline::grpc::pb;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    process::Command,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Client, Database, Receiver, Server, automation, deal, eventually, nginx::nginx};

/// A server that trusts an authority of the test's own.
async fn trusting(database: &Database, flags: &[&str]) -> Server {
    let authority = authority(database.folder.path()).await;
    Server::start(database, &[flags, &["--endpoint-ca-file", &authority]].concat()).await
}

/// Makes an authority in a folder, and a certificate of it for 127.0.0.1. Answers the authority's file.
async fn authority(folder: &Path) -> String {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
            -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=endpoint -keyout end.key -out end.csr
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > extensions
        openssl x509 -req -in end.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out end.pem"#;
    let mut command = Command::new("bash");
    command.args(["-ec", script]).current_dir(folder).stderr(Stdio::null());
    assert!(command.status().await.expect("runs").success(), "openssl makes certificates");
    folder.join("ca.pem").display().to_string()
}

/// An account with a webhook and an automation for deals. Answers a service.
async fn wire(server: &Server, account: &str, url: &str) -> Client {
    let service = server.client("service", "*", &[]).await;
    service.create_account(account, pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", account, &["--user", "1"]).await;
    admin.create_webhook(account, "hook", url).await.expect("creates");
    let one = automation(account, "hook", "deal", pb::EventAction::Change, "{}");
    admin.create_automation(account, one).await.expect("creates");
    service
}

async fn publish(service: &Client, account: &str, from: usize, count: usize) {
    let events = (from..from + count).map(|at| deal(&format!("e{at}"), "8", "{}")).collect();
    service.publish(account, events).await.expect("acks");
}

/// The history of an account once each execution has had an attempt that ended.
async fn attempted(service: &Client, account: &str, count: usize) -> Vec<pb::Execution> {
    let history = eventually("every request was tried", || async {
        let history = service.history(account).await;
        let is_over = |one: &pb::Execution| one.end_time.is_some() || one.state() == pb::ExecutionState::Retrying;
        (history.len() == count && history.iter().all(is_over)).then_some(history)
    })
    .await;
    let mut full = Vec::new();
    for execution in history {
        full.push(service.execution(&execution.name).await);
    }
    full
}

fn first_attempt(execution: &pb::Execution) -> &pb::Attempt {
    &execution.requests[0].attempts[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_servers_delay_nobody_else() {
    let database = Database::sqlite();
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let servers = silent.local_addr().expect("an address").to_string();
    let server = Server::start(&database, &["--dns-servers", &servers, "--retry-delays-ms", "3600000"]).await;
    let receiver = Receiver::start().await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Enterprise).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    for at in 0..40 {
        let id = format!("silent{at}");
        admin.create_webhook("42", &id, &format!("http://name{at}.example.com/")).await.expect("creates");
        admin
            .create_automation("42", automation("42", &id, "deal", pb::EventAction::Change, "{}"))
            .await
            .expect("creates");
    }
    // The other account's endpoint has a name, too, which /etc/hosts knows.
    let named = receiver.url.replace("127.0.0.1", "localhost");
    let other = wire(&server, "43", &named).await;
    publish(&service, "42", 0, 5).await;
    let begun = Instant::now();
    publish(&other, "43", 0, 20).await;
    let history = attempted(&other, "43", 20).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    for execution in &history {
        assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "{execution:?}");
        assert_eq!(execution.requests[0].attempts.len(), 1, "at the first try");
    }
    let failed = eventually("the silent ones are told", || async {
        let history = service.history("42").await;
        let one = history.into_iter().find(|one| one.state() == pb::ExecutionState::Retrying)?;
        Some(service.execution(&one.name).await)
    })
    .await;
    assert_eq!(first_attempt(&failed).error_kind, "DNS", "{failed:?}");
    assert!(first_attempt(&failed).error_message.contains("name"), "{failed:?}");
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads").count();
    assert!(threads < 60, "looking up takes no threads: {threads}");
}

/// What an endpoint does with the connections that it gets.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// The first connection is never read after its beginning.
    FirstIsDeaf,
    /// The first connection answers pings and no request.
    FirstIsMute,
    /// Every other stream is refused.
    Refuses,
    /// It does what is asked.
    Answers,
}

/// An endpoint that speaks HTTP/2. Answers its URL and how many requests it has answered.
async fn http2(folder: &Path, manner: Manner) -> (String, Arc<AtomicUsize>) {
    let chain = CertificateDer::pem_file_iter(folder.join("end.pem")).expect("a chain").flatten().collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("end.key")).expect("a key");
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("good");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    tokio::spawn(async move {
        let mut number = 0;
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            number += 1;
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
            if manner == Manner::FirstIsDeaf && number == 1 {
                let _ = connection.accept().await;
                kept.push(connection);
                continue;
            }
            tokio::spawn(async move {
                let mut unanswered = Vec::new();
                let mut streams = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    streams += 1;
                    if manner == Manner::FirstIsMute && number == 1 {
                        unanswered.push(respond);
                    } else if manner == Manner::Refuses && streams % 2 == 0 {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        let answer = http::Response::builder().status(200).body(()).expect("an answer");
                        if let Ok(mut body) = respond.send_response(answer, false) {
                            let _ = body.send_data(Bytes::from_static(b"ok"), true);
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    (url, answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_answers_nothing_is_given_up() {
    for manner in [Manner::FirstIsDeaf, Manner::FirstIsMute] {
        let database = Database::sqlite();
        let server = trusting(&database, &["--request-deadline-ms", "1500", "--retry-delays-ms", "3600000"]).await;
        let (url, answered) = http2(database.folder.path(), manner).await;
        let one = wire(&server, "42", &url).await;
        let other = wire(&server, "43", &url).await;
        publish(&one, "42", 0, 1).await;
        let history = attempted(&one, "42", 1).await;
        assert_eq!(first_attempt(&history[0]).error_kind, "TIMEOUT", "{history:?}");
        publish(&other, "43", 0, 16).await;
        for execution in attempted(&other, "43", 16).await {
            assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "another account's: {execution:?}");
        }
        assert_eq!(answered.load(Ordering::SeqCst), 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_streams_go_out_again_at_once() {
    let database = Database::sqlite();
    let server = trusting(&database, &["--retry-delays-ms", "3600000"]).await;
    let (url, _) = http2(database.folder.path(), Manner::Refuses).await;
    let service = wire(&server, "42", &url).await;
    for round in 0..10 {
        publish(&service, "42", round, 1).await;
        let history = attempted(&service, "42", round + 1).await;
        for execution in &history {
            assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "{execution:?}");
            assert_eq!(execution.requests[0].attempts.len(), 1, "it counts nowhere");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_ends_its_connections_fails_nothing() {
    let database = Database::sqlite();
    let server = trusting(&database, &["--retry-delays-ms", "3600000"]).await;
    // It ends each connection after ten streams, as it does by default after a thousand.
    let http = "access_log off; keepalive_requests 10; server { listen LISTEN ssl http2; ssl_certificate end.pem;
        ssl_certificate_key end.key; location / { return 200 'ok'; } }";
    let (mut child, address) = nginx(database.folder.path(), http).await;
    let service = wire(&server, "42", &format!("https://{address}/")).await;
    for round in 0..6 {
        publish(&service, "42", round * 100, 100).await;
    }
    let history = attempted(&service, "42", 600).await;
    let failed: Vec<_> = history
        .iter()
        .filter(|one| one.requests[0].attempts.len() > 1 || one.state() != pb::ExecutionState::Succeeded)
        .collect();
    assert!(failed.is_empty(), "{} of 600 failed at first: {:?}", failed.len(), failed.first());
    child.kill().await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_nobody_we_trust_is_no_fault_of_ours() {
    let database = Database::sqlite();
    authority(database.folder.path()).await;
    let server = Server::start(&database, &["--retry-delays-ms", "3600000"]).await;
    let (url, _) = http2(database.folder.path(), Manner::Answers).await;
    let service = wire(&server, "42", &url).await;
    publish(&service, "42", 0, 1).await;
    let history = attempted(&service, "42", 1).await;
    assert_eq!(first_attempt(&history[0]).error_kind, "TLS", "{history:?}");
    assert!(first_attempt(&history[0]).error_message.contains("UnknownIssuer"), "{history:?}");
    let (_, log) = server.terminate_with_log().await;
    assert!(!log.contains("ERROR") && !log.contains("backtrace"), "{log}");
    let of_it: Vec<_> = log.lines().filter(|line| line.contains("UnknownIssuer")).collect();
    assert!(matches!(&of_it[..], [line] if line.contains("WARN") && line.contains("hook")), "{of_it:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_are_none_are_refused_at_start() {
    let database = Database::sqlite();
    let folder = database.folder.path();
    std::fs::write(folder.join("empty.pem"), "nothing of the kind").expect("writes");
    std::fs::write(folder.join("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("writes");
    for (file, wanted) in
        [("none.pem", "No such file"), ("empty.pem", "has no certificate"), ("broken.pem", "certificate 1")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        let path = folder.join(file).display().to_string();
        command.args(["serve", "--listen", "127.0.0.1:0", "--operations-listen", "127.0.0.1:0"]);
        command.args(["--database", &database.url, "--endpoint-ca-file", &path]).current_dir(folder);
        let ended = command.output().await.expect("runs");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "{file}");
        assert!(said.contains("--endpoint-ca-file") && said.contains(file) && said.contains(wanted), "{said}");
    }
}
