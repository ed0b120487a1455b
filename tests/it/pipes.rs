//! `hookline events publish -`: what comes through a pipe is published as it comes, and goes on where it was.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use hookline::grpc::pb;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    command_line::command,
    harness::{Database, Receiver, Server, account_42, automation, eventually},
};

const PUBLISH: [&str; 7] = ["events", "publish", "-", "--account", "42", "--position-file", "position"];
const LIMITS: [&str; 2] = ["--plan-executions", "1000000,1000000,1000000,1000000"];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn line(at: usize) -> String {
    format!(
        r#"{{"event_id": "e{at}", "object": "deal", "action": "CHANGE", "entity_id": "8", "occur_time": "2026-01-01T00:00:00Z", "data": {{"n": {at}}}}}"#
    )
}

/// Every event makes one execution.
async fn set_up(server: &Server, receiver: &Receiver) {
    let (_, admin) = account_42(server, &receiver.url).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"n": {{deal.n}}}"#);
    admin.create_automation("42", one).await.expect("creates");
}

fn position(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("position")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// A line is acknowledged before the next one is written; what is no event takes its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_is_published_as_it_comes() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &LIMITS).await;
    set_up(&server, &receiver).await;
    let folder = database.folder.path();
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().await.expect("runs").success());
    // Held open for reading and writing, so that neither side waits for the other to open it.
    let open = std::fs::File::options().read(true).write(true).open(&fifo).expect("opens");
    let mut publish = command(&server, &database, &PUBLISH);
    publish.stdin(open.try_clone().expect("a handle")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = publish.spawn().expect("runs");
    let mut numbers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut writer = tokio::fs::File::from_std(open);
    for at in 1..=3 {
        writer.write_all(format!("{}\n", line(at)).as_bytes()).await.expect("writes");
        writer.flush().await.expect("writes");
        let told = tokio::time::timeout(PATIENCE, numbers.next_line()).await.expect("in time").expect("reads");
        assert_eq!(told.as_deref(), Some(at.to_string().as_str()));
        assert_eq!(position(folder), at, "the place is kept before the number is told");
    }
    writer.write_all(format!("nothing\n\n{}\n", line(6)).as_bytes()).await.expect("writes");
    writer.flush().await.expect("writes");
    for at in 4..=6 {
        let told = tokio::time::timeout(PATIENCE, numbers.next_line()).await.expect("in time").expect("reads");
        assert_eq!(told, Some(at.to_string()));
    }
    eventually("all arrive", || async { (receiver.got().len() == 4).then_some(()) }).await;
    child.kill().await.expect("kills");
    assert!(server.terminate().await);
}

/// Kills of both ends lose nothing, and nothing has an effect twice.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_no_line_of_a_file() {
    const LINES: usize = 4_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let flags = [&LIMITS[..], &["--listen", &address]].concat();
    let mut server = Server::start(&database, &flags).await;
    set_up(&server, &receiver).await;
    let folder = database.folder.path().to_owned();
    let lines: Vec<_> = (1..=LINES).map(line).collect();
    std::fs::write(folder.join("lines"), lines.join("\n")).expect("writes");
    let input = || std::fs::File::open(folder.join("lines")).expect("opens");
    for kill in 1..=4 {
        let mut publish = command(&server, &database, &PUBLISH);
        let mut child = publish.stdin(input()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        let wanted = LINES * kill / 6;
        eventually("some are acknowledged", || async { (position(&folder) >= wanted).then_some(()) }).await;
        if kill % 2 == 0 {
            server.kill().await;
            server = Server::start(&database, &flags).await;
        }
        child.kill().await.expect("kills");
    }
    let mut publish = command(&server, &database, &PUBLISH);
    let output = publish.stdin(input()).output().await.expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(told.lines().last(), Some(LINES.to_string().as_str()));
    assert_eq!(position(&folder), LINES);
    let service = server.client("service", "*", &[]).await;
    let history = eventually("every line has run", || async {
        let found = service.history("42").await;
        (found.len() >= LINES && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await;
    let mut runs = BTreeMap::<_, usize>::new();
    history.iter().for_each(|one| *runs.entry(one.event_id.clone()).or_default() += 1);
    assert_eq!((runs.len(), history.len()), (LINES, LINES), "each line once");
    // The next start has nothing to do; a source that goes on is numbered on.
    let mut publish = command(&server, &database, &PUBLISH);
    let again = publish.stdin(input()).output().await.expect("runs");
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
    std::fs::write(folder.join("more"), line(LINES + 1)).expect("writes");
    let more = std::fs::File::open(folder.join("more")).expect("opens");
    let mut publish = command(&server, &database, &[&PUBLISH[..], &["--no-skip"]].concat());
    let output = publish.stdin(more).output().await.expect("runs");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), format!("{}\n", LINES + 1));
    assert!(server.terminate().await);
}
