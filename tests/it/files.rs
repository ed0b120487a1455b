//! `hookline apply`: what files say, step by step, and what they cannot say.

use std::{fs, path::PathBuf, process::Output};

use hookline::grpc::pb;
use tokio::process::Command;

use crate::harness::{Client, Database, Receiver, Server, account_42, deal, eventually};

crate::on_both_databases!(
    a_webhook_made_anew_is_named_again,
    nothing_is_pruned_that_a_file_names,
    what_is_applied_twice_is_applied_once,
    names_change_hands_in_an_order_that_works,
    the_whole_language_can_be_written_in_a_file,
);

struct Applied {
    ok: bool,
    out: String,
    err: String,
}

/// Applies the files of a folder.
struct Files<'s> {
    server: &'s Server,
    folder: PathBuf,
    home: PathBuf,
    url: String,
}

impl<'s> Files<'s> {
    fn new(server: &'s Server, database: &Database) -> Self {
        let home = database.folder.path().to_owned();
        Self { server, folder: home.join("files"), home, url: database.url.clone() }
    }

    /// Replaces the files by one, perhaps in a folder of its own.
    fn write(&self, name: &str, text: &str) {
        let _ = fs::remove_dir_all(&self.folder);
        self.add(name, text);
    }

    fn add(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        fs::write(path, text).expect("writes");
    }

    async fn apply(&self, more: &[&str]) -> Applied {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookline"));
        command
            .args(["apply", "-f", "files", "--account", "42", "--as", "global_admin", "--user", "1"])
            .args(["--yes", "--secrets-dir", "secrets"])
            .args(more)
            .env("HOOKLINE_ADDRESS", format!("http://{}", self.server.address))
            .env("HOOKLINE_DATABASE", &self.url)
            .current_dir(&self.home)
            .kill_on_drop(true);
        let Output { status, stdout, stderr } = command.output().await.expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Applied { ok: status.success(), out: text(stdout), err: text(stderr) }
    }

    /// Applies, and finds that a second time nothing is left to do.
    async fn settle(&self, more: &[&str]) -> Applied {
        let applied = self.apply(more).await;
        assert!(applied.ok, "{}{}", applied.out, applied.err);
        let again = self.apply(more).await;
        assert!(again.out.contains("0 to create, 0 to change, 0 to delete"), "{}{}", again.out, again.err);
        applied
    }
}

fn webhook(id: &str, url: &str) -> String {
    format!("webhook: {id}\ndisplay_name: Webhook {id}\nendpoint_url: {url}\n")
}

const MIRROR: &str = r#"automation: mirror
display_name: Mirror
trigger_object: deal
trigger_action: CHANGE
actions:
  - {webhook: crm, method: POST, raw_json: '{"n": 1.50}'}
  - {webhook: crm, method: DELETE, path: 007, no_body: {}}
"#;

async fn delete_webhook(admin: &Client, id: &str) {
    let request = pb::DeleteWebhookRequest { name: format!("accounts/42/webhooks/{id}"), ..Default::default() };
    admin.webhooks().delete_webhook(admin.ask(request)).await.expect("deletes");
}

async fn succeeds(service: &Client, id: &str) -> bool {
    service.publish("42", vec![deal(id, "8", "{}")]).await.expect("acks");
    let found = eventually("it ends", || async {
        service.history("42").await.into_iter().find(|one| one.event_id == id && one.end_time.is_some())
    })
    .await;
    found.state() == pb::ExecutionState::Succeeded
}

async fn a_webhook_made_anew_is_named_again(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let files = Files::new(&server, &database);
    files.write("all.yaml", &format!("{}---\n{MIRROR}", webhook("crm", &receiver.url)));
    files.settle(&[]).await;
    assert!(succeeds(&service, "e1").await);
    assert_eq!(receiver.got().last().expect("a request").uri, "/007", "what is written is kept");
    let unchanged = files.apply(&[]).await;
    assert!(unchanged.err.contains("warning: files/all.yaml, document 2: runs at every change"), "{}", unchanged.err);

    delete_webhook(&admin, "crm").await;
    let planned = files.apply(&["--dry-run"]).await;
    assert!(planned.out.contains("+ accounts/42/webhooks/crm"), "{}", planned.out);
    assert!(planned.out.contains("crm was deleted and made anew; it is named again"), "{}", planned.out);
    files.settle(&[]).await;
    assert!(succeeds(&service, "e2").await, "the automation names the new one");

    // Made anew by somebody else: an action is never attached to another webhook by itself.
    delete_webhook(&admin, "crm").await;
    admin.create_webhook("42", "crm", &receiver.url).await.expect("creates");
    assert!(!succeeds(&service, "e3").await);
    files.settle(&[]).await;
    assert!(succeeds(&service, "e4").await);
    // A webhook that is gone for good is told, and nothing is planned that could not be done.
    files.write("all.yaml", MIRROR);
    delete_webhook(&admin, "crm").await;
    let left = files.apply(&[]).await;
    assert!(left.ok && left.out.contains("0 to create, 0 to change, 0 to delete, 1 as they are"), "{}", left.out);
    assert!(left.err.contains("crm: the webhook was deleted; name it again in the action"), "{}", left.err);
    // So is every automation that goes on without one that is made anew, whether a file names it or not.
    for more in ["", "---\nautomation: mirror\nstate: ENABLED\n"] {
        files.write("all.yaml", &format!("{}{more}", webhook("crm", &receiver.url)));
        let planned = files.apply(&["--dry-run"]).await;
        let dead = "accounts/42/automations/mirror names accounts/42/webhooks/crm, which was deleted, not the new one";
        assert!(planned.ok && planned.err.contains(dead), "{}{}", planned.out, planned.err);
    }
    // A call that changes something else says so, too.
    let automation = pb::Automation {
        name: "accounts/42/automations/mirror".to_owned(),
        display_name: "Another".to_owned(),
        ..pb::Automation::default()
    };
    let request = pb::UpdateAutomationRequest { automation: Some(automation), ..Default::default() };
    let changed = admin.automations().update_automation(admin.ask(request)).await.expect("updates").into_inner();
    let changed = changed.automation.expect("an automation");
    assert!(changed.actions[0].webhook_deleted, "{changed:?}");
    assert!(changed.warnings.iter().any(|warning| warning.contains("was deleted; name it again")), "{changed:?}");
}

async fn nothing_is_pruned_that_a_file_names(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (_, admin) = account_42(&server, &receiver.url).await;
    admin.create_webhook("42", "crm", &receiver.url).await.expect("creates");
    let files = Files::new(&server, &database);
    files.write("all.yaml", MIRROR);
    files.settle(&[]).await;
    let refused = files.apply(&["--prune"]).await;
    assert!(!refused.ok);
    for part in ["files/all.yaml, document 1", "accounts/42/automations/mirror", "accounts/42/webhooks/crm", "--prune"]
    {
        assert!(refused.err.contains(part), "no {part} in {}", refused.err);
    }
    // Where a file has no actions, they are those that the account has.
    files.write("all.yaml", "automation: mirror\ndisplay_name: Mirror\n");
    let partial = files.apply(&["--prune"]).await;
    assert!(!partial.ok && partial.err.contains("accounts/42/automations/mirror names"), "{}", partial.err);
    // What is as it is must be well-formed, too.
    for policy in ["{preset: CUSTOM, delays: [-1s]}", "{preset: CUSTOM, delays: [0s]}", "{delays: [9999999s]}"] {
        files.write("all.yaml", &format!("webhook: crm\nretry_policy: {policy}\n"));
        let refused = files.apply(&[]).await;
        assert!(!refused.ok && refused.err.contains("retry_policy"), "{policy}: {}{}", refused.out, refused.err);
    }
    files.write("all.yaml", MIRROR);
    // Folders in the folder count, too.
    files.add("webhooks/crm.YAML", &webhook("crm", &receiver.url));
    let done = files.settle(&["--prune"]).await;
    assert!(done.out.contains("- accounts/42/webhooks/hook") && !done.out.contains("- accounts/42/webhooks/crm"));
}

async fn what_is_applied_twice_is_applied_once(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let files = Files::new(&server, &database);
    let one = |more: &str| format!("{}{more}\n", webhook("crm", &receiver.url));
    for policy in [
        "retry_policy: {preset: CUSTOM, delays: [3s, 30s, 150s]}",
        "retry_policy: {}",
        "retry_policy: {final_failures: [TIMEOUT, THROTTLED, TIMEOUT]}",
        "retry_policy: ~",
        "requests_per_second: 7",
        "requests_per_second: ~",
        "success_statuses: [404, 200, 204, 200]",
        "success_statuses: ~",
        "enabled: false",
        "enabled: true",
    ] {
        files.write("all.yaml", &one(policy));
        files.settle(&[]).await;
    }
    files.write(
        "all.yaml",
        &format!(
            "{}kind: REGULAR\nsubscription: '*.*'\nretry_policy: {{final_failures: [TIMEOUT]}}\n",
            webhook("all", &format!("{}hook", receiver.url))
        ),
    );
    files.settle(&[]).await;
    // For whom it is active comes before it works at all.
    let automation = format!("{}---\n{MIRROR}activation: {{user_ids: ['7', '9']}}\n", one(""));
    files.write("all.yaml", &automation);
    files.settle(&[]).await;
    let request = pb::GetAutomationRequest { name: "accounts/42/automations/mirror".into() };
    let made = admin.automations().get_automation(admin.ask(request)).await.expect("reads").into_inner();
    assert_eq!(made.automation.expect("an automation").state(), pb::AutomationState::Enabled);
    assert!(succeeds(&service, "e1").await, "the events of user 7");
    for activation in
        ["{everyone: true}", "{user_ids: ['7']}", "{everyone: true, user_ids: ['7']}", "{everyone: true}", "{}"]
    {
        files.write("all.yaml", &automation.replace("{user_ids: ['7', '9']}", activation));
        files.settle(&[]).await;
    }
    files.write("all.yaml", &format!("{automation}state: DISABLED\n"));
    files.settle(&[]).await;
    files.write("all.yaml", &format!("{automation}state: ENABLED\n"));
    files.settle(&[]).await;
}

async fn names_change_hands_in_an_order_that_works(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    account_42(&server, &receiver.url).await;
    let files = Files::new(&server, &database);
    let three = |names: [&str; 3]| {
        let ids = ["a", "b", "c"];
        let documents = ids.iter().zip(names);
        let documents = documents.map(|(id, name)| webhook(id, &receiver.url).replace(&format!("Webhook {id}"), name));
        documents.collect::<Vec<_>>().join("---\n")
    };
    files.write("all.yaml", &three(["North", "South", "East"]));
    files.settle(&[]).await;
    files.write("all.yaml", &three(["South", "East", "West"]));
    files.settle(&[]).await;
    files.write("all.yaml", &three(["East", "South", "West"]));
    let ring = files.apply(&[]).await;
    assert!(
        !ring.ok && ring.err.contains("third display_name first") && ring.err.contains("nothing was changed"),
        "{}",
        ring.err
    );
    files.write("all.yaml", &three(["webhook hook", "East", "West"]));
    let taken = files.apply(&[]).await;
    assert!(!taken.ok && taken.err.contains("accounts/42/webhooks/hook is called \"webhook hook\""), "{}", taken.err);
    assert!(taken.err.contains("keeps it"), "{}", taken.err);
    let pruned = files.apply(&["--prune"]).await;
    assert!(!pruned.ok && pruned.err.contains("is deleted last"), "{}", pruned.err);
}

/// An automation with everything that a clause and an action can say, in the short form of files.
const EVERYTHING: &str = r#"automation: everything
display_name: Everything
trigger_object: deal
trigger_actions: [CHANGE, CREATE]
conditions:
  match: ANY
  conditions:
    - clause: {field: country, operator: IN, values: [ee, LV], ignore_case: true}
    - clause: {field: title, operator: MATCHES, values: ['^[A-Z]{2}-[0-9]+$']}
    - clause: {field: tags, operator: CONTAINS_ALL, values: [vip, {field: wanted}]}
    - clause: {field: tags, operator: GT, values: [{previous_field: tags}], size: true}
    - clause: {field: owner_id, operator: IS, values: [{field: event.user_id}]}
    - clause: {field: event.is_bulk_edit, operator: IS_NOT, values: [true]}
    - clause:
        field: close
        operator: BETWEEN
        values:
          - {relative_time: {anchor: START_OF_WEEK, time_zone: Europe/Tallinn}}
          - {relative_time: {anchor: NOW, offset: 14 days}}
actions:
  - {webhook: crm, method: GET, path: 'look?id={{deal.id}}', headers: [{name: Accept, value: text/plain}]}
  - {webhook: crm, method: HEAD, no_body: {}}
  - {webhook: crm, method: PATCH, form: {entries: [{key: a, value: '{{deal.title}}'}, {key: a, value: 1}]}}
  - {webhook: crm, method: PUT, text: '<a>{{deal.title | escape}}</a>', headers: [{name: content-type, value: text/xml}]}
"#;

async fn the_whole_language_can_be_written_in_a_file(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, _) = account_42(&server, &receiver.url).await;
    let files = Files::new(&server, &database);
    files.write("all.yaml", &format!("{}---\n{EVERYTHING}", webhook("crm", &receiver.url)));
    files.settle(&[]).await;
    assert!(succeeds(&service, "e-1").await);
    let got: Vec<_> = receiver.got().into_iter().map(|one| (one.method, one.uri, one.body)).collect();
    let wanted = [("GET", "/look?id=", ""), ("HEAD", "/", ""), ("PATCH", "/", "a=&a=1"), ("PUT", "/", "<a></a>")];
    let wanted = wanted.map(|(method, uri, body)| (method.to_owned(), uri.to_owned(), body.to_owned()));
    assert_eq!(got, wanted);
    files.write(
        "all.yaml",
        &format!("{}---\n{EVERYTHING}", webhook("crm", &receiver.url)).replace("[CHANGE, CREATE]", "[DELETE]"),
    );
    let refused = files.apply(&[]).await;
    assert!(!refused.ok && refused.err.contains("nothing changes on delete"), "{}{}", refused.out, refused.err);
}
