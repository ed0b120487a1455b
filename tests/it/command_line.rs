//! The command line for people, as they use it: the real binary against a real server.

use std::{fs, path::Path, process::Output};

use hookline::grpc::pb;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::harness::{Database, Receiver, Server, account_42, automation, eventually};

crate::on_both_databases!(
    files_become_webhooks_and_automations,
    a_doctor_finds_what_is_wrong,
    a_token_is_made_with_the_local_key
);

/// A command in the folder of a test's database, for its server.
pub fn command(server: &Server, database: &Database, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
    command
        .args(words)
        .env("HOOKLINE_ADDRESS", format!("http://{}", server.address))
        .env("HOOKLINE_DATABASE", &database.url)
        .current_dir(database.folder.path())
        .kill_on_drop(true);
    command
}

struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

async fn say(server: &Server, database: &Database, words: &[&str]) -> Said {
    command(server, database, words).output().await.expect("runs").into()
}

async fn well(server: &Server, database: &Database, words: &[&str]) -> String {
    let said = say(server, database, words).await;
    assert!(said.ok, "{words:?}: {}{}", said.out, said.err);
    said.out
}

async fn json(server: &Server, database: &Database, words: &[&str]) -> Value {
    let out = well(server, database, &[words, &["--json"]].concat()).await;
    serde_json::from_str(&out).expect("JSON")
}

const ADMIN: [&str; 6] = ["--account", "42", "--as", "global_admin", "--user", "1"];

fn write(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join(name), text).expect("writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_follow_one_event_from_a_file_to_its_answer() {
    let (database, receiver) = (Database::sqlite(), Receiver::start().await);
    let server = Server::start(&database, &[]).await;
    let made = well(&server, &database, &["accounts", "create", "42", "--plan", "power"]).await;
    assert!(made.contains("ACCOUNT") && made.contains("POWER"), "{made}");
    let nothing = well(&server, &database, &["webhooks", "list", "--account", "42"]).await;
    assert_eq!(nothing, "no webhook; `hookline apply` makes them from files\n");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    let mut one = automation("42", "hook", "deal", pb::EventAction::Change, r#"{"n": {{deal.n}}}"#);
    one.conditions = Some(crate::harness::condition("n", pb::Operator::Gt, &["2"]));
    admin.create_automation("42", one).await.expect("creates");

    let mut tail = command(&server, &database, &["executions", "tail", "--account", "42", "--json"]);
    let mut tail = tail.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("runs");
    let mut changes = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    // The first line is the cursor that it follows from.
    let first = changes.next_line().await.expect("reads").expect("a line");
    assert!(first.contains("cursor"), "{first}");

    let folder = database.folder.path();
    let event = |id: &str, n: u8| {
        format!(
            r#"{{"event_id": "{id}", "object": "deal", "action": "CHANGE", "entity_id": "8",
            "occur_time": "2026-01-01T00:00:00Z", "data": {{"n": {n}.50}}}}"#
        )
    };
    write(folder, "events.ndjson", &format!("{}\n[{}, {}]\n", event("e1", 2), event("e2", 1), event("e1", 2)));
    let published = well(&server, &database, &["events", "publish", "events.ndjson", "--account", "42"]).await;
    assert_eq!(published, "2 accepted, 1 published before, 0 rejected\n");
    write(folder, "bad.json", r#"[{"meta": {"action": "change"}}, {}]"#);
    let refused = say(&server, &database, &["events", "publish", "bad.json", "--account", "42"]).await;
    assert!(
        !refused.ok && refused.out.contains("bad.json, event 1 (an envelope: no event_id): "),
        "{}{}",
        refused.out,
        refused.err
    );
    assert!(refused.out.contains("0 accepted, 0 published before, 2 rejected"), "{}", refused.out);
    assert_eq!(refused.err, "hookline: 2 events were rejected\n");

    let name = loop {
        let line = changes.next_line().await.expect("reads").expect("a line");
        let change: Value = serde_json::from_str(&line).expect("JSON");
        if change["execution"]["state"] == "EXECUTION_STATE_SUCCEEDED" {
            break change["execution"]["name"].as_str().expect("a name").to_owned();
        }
    };
    let shown = well(&server, &database, &["executions", "show", &name]).await;
    for wanted in [name.as_str(), "SUCCEEDED", &format!("POST {}", receiver.url), r#"{"n": 2.50}"#, "200", "gt", "2.50"]
    {
        assert!(shown.contains(wanted), "no {wanted} in {shown}");
    }
    let id = name.rsplit('/').next().expect("an id");
    let found = json(&server, &database, &["executions", "show", id, "--account", "42"]).await;
    assert_eq!(found["event_id"], "e1");
    let list = ["executions", "list", "--account", "42", "--state", "succeeded", "--since", "1h"];
    let listed = json(&server, &database, &list).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let none = well(&server, &database, &["executions", "list", "--account", "42", "--state", "FAILED"]).await;
    assert_eq!(none, "no execution like that\n");
    let unknown = say(&server, &database, &["executions", "list", "--account", "42", "--state", "LOST"]).await;
    assert!(unknown.err.contains("LOST is no state: one of PENDING"), "{}", unknown.err);
    let count = well(&server, &database, &["executions", "count", "--account", "42"]).await;
    assert!(count.contains("SUCCEEDED"), "{count}");

    let listed = json(&server, &database, &["automations", "list", "--account", "42"]).await;
    let automation = listed[0]["name"].as_str().expect("a name").to_owned();
    let misses = well(&server, &database, &["automations", "misses", &automation]).await;
    assert!(misses.contains("event e2") && misses.contains("CONDITIONS"), "{misses}");
    let retried = well(&server, &database, &["executions", "retry", &name, "--from-first"]).await;
    assert!(retried.contains("ex-"), "{retried}");
    assert_eq!(well(&server, &database, &["health"]).await, format!("http://{} serves\n", server.address));
    let operations = well(&server, &database, &["health", "--operations", &server.operations]).await;
    assert!(operations.ends_with("serves\n"));
}

/// A stream that breaks is taken up again where it was, and a tail, too: after `kill -9` and a restart.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_survives_a_killed_server() {
    const EVENTS: usize = 150_000;
    let database = Database::sqlite();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let server = Server::start(&database, &["--listen", &address]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let line = |at: usize| {
        format!(
            r#"{{"event_id": "e{at}", "object": "deal", "action": "CHANGE", "entity_id": "8", "occur_time": "2026-01-01T00:00:00Z", "data": {{}}}}"#
        )
    };
    let lines: Vec<_> = (0..EVENTS).map(line).chain(["{}".to_owned()]).collect();
    write(database.folder.path(), "many.ndjson", &lines.join("\n"));
    let publish = command(&server, &database, &["events", "publish", "many.ndjson", "--account", "42"]).spawn_piped();
    let tail = command(&server, &database, &["executions", "tail", "--account", "42"]).spawn_piped();
    let accepted = async |server: &Server| {
        let page = reqwest_page(server).await;
        let line =
            page.lines().find(|line| line.starts_with(r#"hookline_events_total{result="accepted"}"#))?.to_owned();
        line.rsplit(' ').next()?.parse::<usize>().ok()
    };
    eventually("some are acknowledged", || async { accepted(&server).await.filter(|count| *count > 500) }).await;
    server.kill().await;
    let server = Server::start(&database, &["--listen", &address]).await;
    let said = Said::from(publish.wait_with_output().await.expect("ends"));
    assert!(
        said.out.contains("many.ndjson, event 150001 (an envelope"),
        "the rejected one has its place: {}{}",
        said.out,
        said.err
    );
    assert!(said.out.ends_with("150000 accepted, 0 published before, 1 rejected\n"), "{}", said.out);
    let again = accepted(&server).await.expect("a count");
    assert!(again > 0 && again < EVENTS, "what was acknowledged before is not sent again: {again}");
    drop(tail);
}

trait Piped {
    fn spawn_piped(self) -> tokio::process::Child;
}

impl Piped for Command {
    fn spawn_piped(mut self) -> tokio::process::Child {
        self.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("runs")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_a_command_quietly() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let mut bash = Command::new("bash");
    bash.args(["-c", "set -o pipefail; \"$0\" accounts list | true", env!("CARGO_BIN_EXE_hookline")])
        .env("HOOKLINE_ADDRESS", format!("http://{}", server.address))
        .env("HOOKLINE_DATABASE", &database.url);
    let said = Said::from(bash.output().await.expect("runs"));
    assert!(said.ok && said.err.is_empty(), "{}", said.err);
}

async fn reqwest_page(server: &Server) -> String {
    let answer = crate::operations::http().get(format!("{}metrics", server.operations)).send().await.expect("answers");
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_says_what_to_do() {
    let database = Database::sqlite();
    let server = Server::start(&database, &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut elsewhere = command(&server, &database, &["accounts", "list"]);
    let said =
        Said::from(elsewhere.env("HOOKLINE_DATABASE", folder.path().join("no.db")).output().await.expect("runs"));
    assert!(!said.ok && said.err.contains("no token was given (--token, HOOKLINE_TOKEN)"), "{}", said.err);
    let said = say(&server, &database, &["accounts", "show", "41"]).await;
    assert!(said.err.contains("accounts/41") && said.err.contains("(NOT_FOUND: check the name"), "{}", said.err);
    let said = say(&server, &database, &["webhooks", "show", "hook"]).await;
    assert!(said.err.contains("give --account 42, or accounts/42/webhooks/hook"), "{}", said.err);
    let said = say(&server, &database, &["accounts", "delete", "42"]).await;
    assert!(said.err.contains("give --yes"), "{}", said.err);
    let said = say(&server, &database, &["accounts", "list", "--address", "http://127.0.0.1:9"]).await;
    assert!(said.err.contains("is `hookline serve` running there?"), "{}", said.err);
    let said = say(&server, &database, &["accounts", "list", "--address", &server.address.to_string()]).await;
    assert!(said.err.contains(&format!("write http://{}", server.address)), "{}", said.err);
    let said =
        say(&server, &database, &["accounts", "list", "--address", &format!("https://{}", server.address)]).await;
    assert!(said.err.contains("the port speaks no TLS: write http://"), "{}", said.err);
    let said =
        say(&server, &database, &["accounts", "list", "--address", server.operations.trim_end_matches('/')]).await;
    assert!(said.err.contains("or be no gRPC port"), "{}", said.err);
    let said = say(&server, &database, &["webhooks", "test", "hook", "--account", "42"]).await;
    assert!(said.err.contains("give --as global_admin --user 1"), "{}", said.err);
    fs::write(folder.path().join("e.json"), r#"{"event_id": "e", "action": "BEST"}"#).expect("writes");
    let file = folder.path().join("e.json").display().to_string();
    let said = say(&server, &database, &["events", "publish", &file, "--account", "42"]).await;
    assert!(said.err.contains("action: BEST is none of CREATE, CHANGE, DELETE; nothing was published"), "{}", said.err);
    let said = say(&server, &database, &["accounts", "create", "a b", "--plan", "power"]).await;
    assert!(said.err.contains("account_id: "), "the bad field is named: {}", said.err);
}

/// Applies the folder `crm` as an admin.
async fn apply(server: &Server, database: &Database, more: &[&str]) -> Said {
    say(server, database, &[&["apply", "-f", "crm"], &ADMIN[..], more].concat()).await
}

async fn files_become_webhooks_and_automations(database: Database) {
    let receiver = Receiver::start().await;
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let files = database.folder.path().join("crm");
    let webhook = format!(
        "webhook: crm\ndisplay_name: CRM\nendpoint_url: {}\ncredentials: {{basic: {{username: me, password: \
         {{file: secret}}}}}}\nretry_policy: {{preset: custom, delays: [5s, 60s]}}\n---\nwebhook: off\n\
         display_name: Off\nendpoint_url: {}\nenabled: false\n",
        receiver.url, receiver.url
    );
    write(&files, "secret", "s3cret\n");
    write(&files, "b-webhooks.yaml", &webhook);
    let mirror = r#"
automation: mirror
display_name: Mirror
trigger_object: deal
trigger_action: CHANGE
conditions:
  match: ALL
  conditions:
    - clause: {field: value, operator: GT, values: [100]}
actions:
  - {webhook: crm, method: PUT, path: "deals/{{deal.id}}", raw_json: '{"title": {{deal.title}}, "n": 1.50}'}
  - {webhook: crm, method: POST, key_value: {entries: [{key: id, value: "{{deal.id}}"}]}}
activation: {user_ids: ["8", "7"]}
"#;
    write(&files, "a-automations.yml", mirror);
    let apply = async |more: &[&str]| apply(&server, &database, more).await;
    write(
        &files,
        "c-broken.yaml",
        &mirror.replace("automation: mirror", "automation: b").replace("{{deal.id}}", "{{del}}"),
    );
    let broken = apply(&["--yes"]).await;
    assert!(
        broken.err.contains("c-broken.yaml, document 1: ") && broken.err.contains("actions[0].path"),
        "{}",
        broken.err
    );
    assert!(broken.err.ends_with("nothing was changed\n"), "{}", broken.err);
    assert_eq!(json(&server, &database, &["webhooks", "list", "--account", "42"]).await, serde_json::json!([]));
    fs::remove_file(files.join("c-broken.yaml")).expect("removes");
    let planned = apply(&["--dry-run"]).await;
    assert!(planned.out.contains("+ accounts/42/webhooks/crm\n"), "{}{}", planned.out, planned.err);
    assert!(planned.out.ends_with("3 to create, 0 to change, 0 to delete, 0 as they are\n"), "{}", planned.out);
    assert!(!apply(&[]).await.ok, "nobody can be asked");
    let refused = apply(&["--yes"]).await;
    assert!(refused.err.contains("give --secrets-dir"), "no secret in a pipeline's log: {}", refused.err);
    let done = apply(&["--yes", "--secrets-dir", "secrets"]).await;
    assert!(done.ok && done.err.contains("created accounts/42/automations/mirror"), "{}{}", done.out, done.err);
    assert!(!done.out.contains("whsec_") && !done.out.contains("s3cret"), "{}", done.out);
    let secret = fs::read_to_string(database.folder.path().join("secrets/crm")).expect("a secret");
    assert!(secret.starts_with("whsec_"));
    let again = apply(&["--dry-run"]).await;
    assert_eq!(again.out, "0 to create, 0 to change, 0 to delete, 3 as they are\n", "applied twice is applied once");

    let listed = json(&server, &database, &["automations", "list", "--account", "42"]).await;
    let mut active: Vec<_> = listed[0]["activation"]["user_ids"].as_array().expect("users").clone();
    active.sort_by_key(ToString::to_string);
    assert_eq!(active, ["7", "8"]);
    let listed = json(&server, &database, &["webhooks", "list", "--account", "42"]).await;
    let off = listed.as_array().expect("a list").iter().find(|one| one["display_name"] == "Off").expect("a webhook");
    assert!(off.get("enabled").is_none(), "{off}");

    write(&files, "a-automations.yml", &mirror.replace("[100]", "[200]").replace(r#", "7""#, ""));
    write(&files, "b-webhooks.yaml", webhook.split("---").next().expect("a document"));
    let changed = apply(&["--dry-run", "--prune"]).await;
    for wanted in
        ["~ accounts/42/automations/mirror", "    conditions: ", "    activation: ", "- accounts/42/webhooks/off"]
    {
        assert!(changed.out.contains(wanted), "no {wanted} in {}", changed.out);
    }
    let done = apply(&["--yes", "--prune"]).await;
    assert!(done.ok, "{}{}", done.out, done.err);
    assert_eq!(apply(&["--dry-run", "--prune"]).await.out, "0 to create, 0 to change, 0 to delete, 2 as they are\n");
    let set = apply(&["--dry-run", "--set-credentials"]).await;
    assert!(set.out.contains("credentials: (as they are) → ") && !set.out.contains("s3cret"), "{}", set.out);

    files_are_checked_before_anything_is_changed(&server, &database, &webhook, mirror).await;
}

async fn files_are_checked_before_anything_is_changed(
    server: &Server,
    database: &Database,
    webhook: &str,
    mirror: &str,
) {
    let files = database.folder.path().join("crm");
    let apply = async |more: &[&str]| apply(server, database, more).await;
    // What a file refers to is never shown, wherever it stands.
    let referring = mirror.replace("raw_json: '{\"title\": {{deal.title}}, \"n\": 1.50}'", "raw_json: {file: body}");
    write(&files, "body", r#"{"key": "s3cret-in-a-body"}"#);
    write(&files, "a-automations.yml", &referring);
    let planned = apply(&["--dry-run"]).await;
    assert!(
        planned.out.contains("(from crm/body)") && !planned.out.contains("s3cret-in"),
        "{}{}",
        planned.out,
        planned.err
    );
    write(&files, "body", r#"{"key": s3cret-in-a-body"#);
    let refused = apply(&["--dry-run"]).await;
    assert!(refused.err.contains("raw_json") && !refused.err.contains("s3cret-in"), "{}", refused.err);
    write(&files, "a-automations.yml", mirror);

    // Null clears; an id of its own for the same name says so before anything is changed.
    let cleared = webhook.split("---").next().expect("a document").replace("credentials: {", "credentials: null\n#");
    write(&files, "b-webhooks.yaml", &cleared);
    assert!(apply(&["--yes"]).await.ok);
    let planned = apply(&["--dry-run"]).await;
    assert!(!planned.out.contains("credentials"), "{}", planned.out);
    write(&files, "b-webhooks.yaml", &cleared.replace("webhook: crm", "webhook: crm9"));
    write(&files, "a-automations.yml", &mirror.replace("webhook: crm", "webhook: crm9"));
    let refused = apply(&["--dry-run", "--prune"]).await;
    assert!(refused.err.contains(r#"accounts/42/webhooks/crm is called "CRM" and is deleted last"#), "{}", refused.err);

    write(&files, "a-automations.yml", mirror);

    let fixed = webhook.replace("webhook: crm\n", "webhook: crm\nkind: REGULAR\nsubscription: change.deal\n");
    write(&files, "b-webhooks.yaml", fixed.split("---").next().expect("a document"));
    let refused = apply(&["--dry-run"]).await;
    assert!(
        refused.err.contains("b-webhooks.yaml, document 1: kind is WEBHOOK_KIND_AUTOMATION and fixed"),
        "{}",
        refused.err
    );
    let service = say(server, database, &["apply", "-f", "crm", "--account", "42"]).await;
    assert!(service.err.contains("give --as global_admin --user 1"), "{}", service.err);
}

async fn a_doctor_finds_what_is_wrong(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    account_42(&server, &receiver.url).await;
    let folder = database.folder.path().to_owned();
    let out = well(&server, &database, &["doctor"]).await;
    for wanted in ["ok    configuration", "ok    keys", "a process holds it", "opens the stored secrets", "ok    clock"]
    {
        assert!(out.contains(wanted), "no {wanted} in {out}");
    }
    let mut wrong = command(&server, &database, &["doctor", "--listen", "0.0.0.0:1", "--plan-executions", "1"]);
    let said = Said::from(wrong.output().await.expect("runs"));
    assert!(!said.ok && said.out.contains("FAIL  configuration  listening on 0.0.0.0:1 needs keys"), "{}", said.out);
    let other_key = folder.join("other.key");
    fs::write(&other_key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("writes");
    let mut wrong = command(&server, &database, &["doctor", "--sealing-key-file", &other_key.display().to_string()]);
    let said = Said::from(wrong.output().await.expect("runs"));
    assert!(said.out.contains("FAIL  sealing key    opens 0 of 1 stored secrets"), "{}", said.out);
    assert!(said.out.contains("chmod 600"), "{}", said.out);
    assert!(server.terminate().await);

    // Later things than its own schema.
    database.execute("INSERT INTO hookline_migrations (version, applied_at) VALUES ('m9999_later', 0)").await;
    let server = Server::start(&Database::sqlite(), &[]).await;
    let said = say(&server, &database, &["doctor"]).await;
    assert!(said.out.contains("FAIL  database       was written by a newer version (m9999_later)"), "{}", said.out);
    assert!(said.out.contains("free: no process runs"), "{}", said.out);

    let mut older =
        command(&server, &database, &["serve", "--listen", "127.0.0.1:0", "--operations-listen", "127.0.0.1:0"]);
    let said = Said::from(older.output().await.expect("runs"));
    assert!(!said.ok && said.err.contains("m9999_later"), "an older version does not start: {}", said.err);

    let mut doubtful = Command::new(env!("CARGO_BIN_EXE_hookline"));
    doubtful.args(["doctor", "--database", "/nowhere/at/all.db"]).env("HOOKLINE_RETRY_DELAY_MS", "5");
    let said = Said::from(doubtful.output().await.expect("runs"));
    assert!(!said.ok && said.out.contains("/nowhere/at cannot be written"), "{}", said.out);
    assert!(said.out.contains("HOOKLINE_RETRY_DELAY_MS is no setting: is it misspelled?"), "{}", said.out);

    // After a crash it looks, and leaves the log that the next start needs.
    let crashed = Database::sqlite();
    let server = Server::start(&crashed, &[]).await;
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    server.kill().await;
    let files = || ["", "-wal"].map(|end| fs::read(format!("{}{end}", crashed.url)).expect("a file"));
    let before = files();
    let mut after = Command::new(env!("CARGO_BIN_EXE_hookline"));
    after.args(["doctor", "--database", &crashed.url]);
    let said = Said::from(after.output().await.expect("runs"));
    assert!(said.out.contains("was not closed in order"), "{}{}", said.out, said.err);
    assert!(files() == before, "it changes nothing");

    // Nothing at all is nothing wrong, and nothing is made.
    let empty = tempfile::tempdir().expect("a folder");
    let mut fresh = Command::new(env!("CARGO_BIN_EXE_hookline"));
    let said = Said::from(fresh.arg("doctor").current_dir(empty.path()).output().await.expect("runs"));
    assert!(said.ok && said.out.contains("does not exist yet"), "{}{}", said.out, said.err);
    assert_eq!(fs::read_dir(empty.path()).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_reads_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = async |name: &str, days: &str| {
        let (key, certificate) = (folder.path().join(format!("{name}.key")), folder.path().join(format!("{name}.pem")));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-subj", "/CN=localhost", "-days", days, "-keyout"]).arg(&key).arg("-out").arg(&certificate);
        assert!(openssl.output().await.expect("runs").status.success());
        (key.display().to_string(), certificate.display().to_string())
    };
    let (key, good) = make("good", "90").await;
    let (soon_key, soon) = make("soon", "5").await;
    let doctor = async |certificate: &str, key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        command.args(["doctor", "--tls-cert-file", certificate, "--tls-key-file", key]).current_dir(folder.path());
        Said::from(command.output().await.expect("runs"))
    };
    assert!(doctor(&good, &key).await.out.contains("ok    certificate    good until "));
    let said = doctor(&soon, &soon_key).await;
    assert!(
        said.ok && said.out.contains("warn  certificate") && said.out.contains("soon.pem ends in "),
        "{}",
        said.out
    );
    let said = doctor(&good, &soon_key).await;
    assert!(!said.ok && said.out.contains("FAIL  certificate"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let made = Command::new(env!("CARGO_BIN_EXE_hookline")).args(["completions", shell]).output().await;
        let said = Said::from(made.expect("runs"));
        assert!(said.ok && said.out.contains("executions"), "{shell}");
    }
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(hookline exec); COMP_CWORD=1; _hookline hookline exec hookline; \
                  echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    let said = Said::from(bash.args(["-c", script, env!("CARGO_BIN_EXE_hookline")]).output().await.expect("runs"));
    assert_eq!(said.out.trim(), "executions", "{}", said.err);
}

async fn a_token_is_made_with_the_local_key(database: Database) {
    let server = Server::start(&database, &[]).await;
    let token = well(&server, &database, &["token", "--role", "service", "--account", "*"]).await;
    let service = server.client_with(token.trim()).await;
    service.create_account("42", pb::Plan::Power).await.expect("the server takes it");
    let said = say(&server, &database, &["token", "--role", "user", "--account", "42"]).await;
    assert!(!said.ok && said.err.contains("--user"), "{}", said.err);
}
